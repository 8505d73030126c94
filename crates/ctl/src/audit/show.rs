//! `audit show`: the log's records, as a table or as they are.

use super::AuditError;
use super::arguments::{FilterOptions, ShowOptions};
use super::place::Place;
use super::row::Layout;
use crate::failure::{Ending, Failure};
use crate::line::Line;
use crate::screen::Screen;
use crate::shown::shown_json;
use pulse_audit::show::{Filter, Shown, records};
use pulse_audit::verify::{Since, narrowed};
use serde_json::json;
use std::io;

/// Lines that are written together.
const TOGETHER: usize = 256;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no log, or it cannot be read.
pub(crate) fn run(screen: Screen, options: &ShowOptions) -> Result<Ending, Failure> {
    let filter = options.filter.filter();
    let mut sources = Place::find(&options.place)?.sources()?;
    if let Some(seq) = filter.from_seq {
        sources = narrowed(sources, &Since::Seq(seq));
    }
    let mut printer = Printer::new(screen, options.json);
    for record in records(sources, filter) {
        printer.take(&record.map_err(AuditError::reading)?)?;
    }
    printer.flush()?;
    Ok(Ending::Done)
}

impl FilterOptions {
    /// As the library wants it.
    pub(crate) fn filter(&self) -> Filter {
        let (since, seq) = match self.since {
            Some(Since::Time(time)) => (Some(time), None),
            Some(Since::Seq(seq)) => (None, Some(seq)),
            None => (None, None),
        };
        Filter {
            node: self.node.clone(),
            peer: self.peer.clone(),
            event: self.event.clone(),
            correlation_id: self.id.clone(),
            from_seq: self.from_seq.max(seq),
            since,
        }
    }
}

/// Writes records as they come, several at a time.
pub(crate) struct Printer {
    screen: Screen,
    json: bool,
    lines: Vec<Line>,
}

impl Printer {
    /// To the screen, as JSON or below the table's titles.
    pub(crate) fn new(screen: Screen, json: bool) -> Self {
        let lines = if json {
            Vec::new()
        } else {
            vec![Layout::of(screen.columns()).head()]
        };
        Self {
            screen,
            json,
            lines,
        }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn take(&mut self, record: &Shown) -> io::Result<()> {
        self.lines.push(if self.json {
            Line::plain(self.json_line(record))
        } else {
            Layout::of(self.screen.columns()).row(record)
        });
        if self.lines.len() < TOGETHER {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Writes what was taken.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.screen.print(&std::mem::take(&mut self.lines))
    }

    /// The record as it stands in the log; on a terminal, what that would obey is
    /// written as JSON's own escapes, which changes the bytes but not the value.
    fn json_line(&self, record: &Shown) -> String {
        let line = if record.members.is_empty() {
            json!({ "not_a_record": record.line }).to_string()
        } else {
            record.line.clone()
        };
        if self.screen.is_terminal() {
            shown_json(&line)
        } else {
            line
        }
    }
}
