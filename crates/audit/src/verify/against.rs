//! Comparison of a log with a second copy of it.

use super::chain::Location;
use super::lines::Lines;
use super::report::{Attack, Finding, NoteKind, PendingReport, Report, Witness};
use super::source::{LogFiles, Source};
use super::torn_filter::{LogItem, TornFilter};
use super::{Options, Start, examine};
use crate::record::Head;
use std::collections::VecDeque;
use std::io::{self, Read};

/// Compares a log with a second copy, and adds findings and proofs to the report on the log.
/// Both are read once more, in parallel.
///
/// The second copy may end earlier, begin later and repeat records; all records that it has
/// must be in the first, unchanged.
///
/// # Errors
/// The operating system's, when a file cannot be read.
fn compare(
    examined: &mut PendingReport,
    first: Vec<Source>,
    second: Vec<Source>,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let (mut ours, mut theirs) = (Records::new(first, false), Records::new(second, true));
    let last_seq = examined.report.last_seq;
    let mut mine = ours.next()?;
    let (mut last, mut agreed) = (Head::START, 0);
    while let Some((record, location)) = theirs.next()? {
        if ours.read + theirs.read > 1024 * 1024 {
            progress(std::mem::take(&mut ours.read) + std::mem::take(&mut theirs.read));
        }
        while mine.as_ref().is_some_and(|(head, _)| head.seq < record.seq) {
            mine = ours.next()?;
        }
        // Only the first difference is reported: by the chain, all later records differ as well.
        match &mine {
            Some((head, _)) if *head == record => agreed = record.seq.max(agreed),
            Some((head, _)) if head.seq == record.seq => {
                let detail = "the two copies differ from this record on";
                examined.find(finding(Attack::Forked, record.seq, location, detail));
                return Ok(());
            }
            None if record.seq > last_seq => {
                let detail = "the second copy has this record and later ones, the first does not";
                examined.find(finding(Attack::RolledBack, last_seq + 1, location, detail));
                return Ok(());
            }
            _ => (),
        }
        if record.seq > last.seq {
            last = record;
        }
    }
    examined.prove(Witness::Copy, agreed);
    if last.seq < last_seq {
        examined.report.note_beside(
            NoteKind::Behind,
            last.seq + 1,
            format!("the second copy ends at record {}", last.seq),
        );
    }
    Ok(())
}

/// Verifies both copies, then compares them. `open` gives the sources of the first copy or, for
/// `true`, of the second; each is read twice, and `progress` is called for both.
///
/// # Errors
/// The operating system's, when a file cannot be read.
pub fn verify_against(
    open: &mut dyn FnMut(bool) -> io::Result<LogFiles>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> io::Result<(Report, Report)> {
    let collector = Options {
        // A copy may begin later than the log.
        start: match options.start {
            Start::FirstRecord => Start::AnyRecord,
            start => start,
        },
        repetitions: true,
        lagging: true,
        heads: Vec::new(),
        state: None,
        now: None,
        ..options.clone()
    };
    // The second copy first: it can only have records that the log had before.
    let second = examine(open(true)?, &collector, progress)?;
    let mut first = examine(open(false)?, options, progress)?;
    compare(&mut first, open(false)?.files, open(true)?.files, progress)?;
    Ok((first.judge(), second.judge()))
}

fn finding(attack: Attack, record: u64, location: Location, detail: &str) -> Finding {
    Finding {
        attack,
        record,
        source: location.source,
        line: location.line,
        detail: detail.to_owned(),
    }
}

/// The complete records of several sources, without those among torn bytes.
pub(super) struct Records {
    sources: std::vec::IntoIter<Source>,
    lines: Option<Lines<Box<dyn Read>>>,
    torn: TornFilter,
    ready: VecDeque<(Head, Location)>,
    location: Location,
    /// Bytes read and not yet reported as progress.
    read: u64,
}

impl Records {
    pub(super) fn new(sources: Vec<Source>, repetitions: bool) -> Self {
        Self {
            sources: sources.into_iter(),
            lines: None,
            torn: TornFilter::new(repetitions),
            ready: VecDeque::new(),
            location: Location::default(),
            read: 0,
        }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<(Head, Location)>> {
        while self.ready.is_empty() {
            let Some(lines) = &mut self.lines else {
                let Some(source) = self.sources.next() else {
                    return Ok(None);
                };
                self.location = Location::start_of(source.name());
                self.lines = Some(Lines::new(source.open()?));
                continue;
            };
            let (location, ready) = (&mut self.location, &mut self.ready);
            let mut give = |item: LogItem<'_>| {
                location.line += item.lines();
                if let LogItem::Line(_, Some(line)) = item {
                    ready.push_back((line.head(), location.clone()));
                }
            };
            if let Some(raw) = lines.next()? {
                self.read += raw.text.len() as u64 + 1;
                self.torn.take(raw, &mut give);
            } else {
                self.torn.flush(&mut give);
                self.lines = None;
            }
        }
        Ok(self.ready.pop_front())
    }
}
