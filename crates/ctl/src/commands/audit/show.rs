//! `audit show`: the log's records, as a table or as they are.

use super::files::ReadError;
use super::place::{LogOptions, sources};
use super::row::Layout;
use crate::error::{CommandResult, Outcome};
use crate::ui::escape::escape_json;
use crate::ui::line::Line;
use crate::ui::screen::{ColorOption, OutputError, Screen, versioned_json};
use clap::Args;
use pulse_audit::show::{Filter, Shown, records};
use pulse_audit::verify::{Since, narrowed};
use serde::Serialize;
use serde_json::value::RawValue;

/// The number of lines that are written together.
const BATCH: usize = 256;

/// The heading of the filter's options in `--help`.
const FILTER: &str = "Which records";

/// The records to show.
#[derive(Clone, Debug, Args)]
pub(super) struct FilterOptions {
    /// Those about this node
    #[arg(long, value_name = "NODE", help_heading = FILTER)]
    node: Option<String>,

    /// Those of this caller: a user id, or as the PEER column shows it
    #[arg(long, value_name = "PEER", help_heading = FILTER)]
    peer: Option<String>,

    /// Those of this type; "command." is all that begin with it
    #[arg(long, value_name = "EVENT", help_heading = FILTER)]
    event: Option<String>,

    /// Those of one request, by its correlation id
    #[arg(long, value_name = "ID", help_heading = FILTER)]
    id: Option<String>,

    /// Those of this time (UTC) or later: 2026-11-21, 2026-11-21T10:00
    #[arg(long, value_name = "TIME", help_heading = FILTER)]
    since: Option<Since>,

    /// Those with this number or a higher one
    #[arg(long, value_name = "SEQ", help_heading = FILTER)]
    from_seq: Option<u64>,
}

/// Show the log's records, from the first to the last
///
/// Times are UTC. Each line's own hash is checked, and a line that is no record is
/// shown as such; "audit verify" verifies the log as a whole.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl audit show --node pve1 --since 2026-11-21
  pulse-sensorctl audit show --event connection.denied
  pulse-sensorctl audit show --peer 1000 --json | jq -r .record.node | sort | uniq -c")]
pub(crate) struct Options {
    #[command(flatten)]
    place: LogOptions,

    #[command(flatten)]
    filter: FilterOptions,

    /// Print one JSON object a line, with the record as it is in the log below "record"
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,
}

/// Carries the command out.
///
/// # Errors
/// When there is no log, or it cannot be read, or stdout not written.
pub(super) fn run(options: Options) -> CommandResult {
    let filter = options.filter.filter();
    let mut sources = sources(&options.place.find()?)?;
    // A segment's name is the number of its first record, so earlier ones need not be read. Times
    // are in no name.
    if let Some(seq) = filter.from_seq {
        sources = narrowed(sources, &Since::Seq(seq));
    }
    let mut printer = Printer::new(Screen::new(options.color), options.json);
    for record in records(sources, filter) {
        printer.take(&record.map_err(ReadError::from_library)?)?;
    }
    printer.flush()?;
    Ok(Outcome::Fine)
}

impl FilterOptions {
    /// The same for the audit library.
    pub(super) fn filter(self) -> Filter {
        let (since, seq) = match self.since {
            Some(Since::Time(time)) => (Some(time), None),
            Some(Since::Seq(seq)) => (None, Some(seq)),
            None => (None, None),
        };
        Filter {
            node: self.node,
            peer: self.peer,
            event: self.event,
            correlation_id: self.id,
            // None is less than any number.
            from_seq: self.from_seq.max(seq),
            since,
        }
    }
}

/// Writes records as they come, several at a time.
pub(super) struct Printer {
    screen: Screen,
    json: bool,
    lines: Vec<Line>,
}

impl Printer {
    /// A printer of JSON, or of a table with its titles.
    pub(super) fn new(screen: Screen, json: bool) -> Self {
        Self {
            lines: if json {
                Vec::new()
            } else {
                vec![Layout::of(screen.columns()).head()]
            },
            screen,
            json,
        }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn take(&mut self, record: &Shown) -> Result<(), OutputError> {
        self.lines.push(if self.json {
            // A record is passed on as it is in the log; a line that is none becomes a string.
            let line = &record.line;
            let line = versioned_json(&match serde_json::from_str::<&RawValue>(line) {
                Ok(whole) if !record.members.is_empty() => JsonLine::Record(whole),
                _ => JsonLine::NotARecord(line),
            })?;
            // Escaping changes the bytes but not the value. A pipe gets the bytes: their hash can
            // be verified.
            Line::plain(if self.screen.is_terminal() {
                escape_json(&line)
            } else {
                line
            })
        } else {
            Layout::of(self.screen.columns()).row(record)
        });
        if self.lines.len() < BATCH {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Writes the records that were taken.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), OutputError> {
        self.screen.print(&std::mem::take(&mut self.lines))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum JsonLine<'a> {
    Record(&'a RawValue),
    NotARecord(&'a str),
}
