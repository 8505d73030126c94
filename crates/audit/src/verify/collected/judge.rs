//! Verification of the copies of each record, and detection of gaps.

use super::runs::RecordCopy;
use super::{Collected, Missing};
use crate::line::RecordLine;
use crate::record::Head;
use crate::verify::Options;
use crate::verify::chain::{Chain, Location};
use crate::verify::lines::RawLine;
use crate::verify::report::{Attack, PendingReport};
use crate::verify::torn_filter::LogItem;

/// The most gaps that are reported one by one.
const MAX_MISSING: usize = 1000;
/// The most damaged records that are remembered between two complete ones.
const MAX_DAMAGED: usize = 1000;

pub(super) struct CollectedVerifier<'a> {
    chain: Chain<'a>,
    pub(super) collected: Collected,
    /// The last complete record.
    pub(super) last: Option<Head>,
    /// The records after it without a complete copy.
    damaged: Vec<u64>,
}

impl<'a> CollectedVerifier<'a> {
    pub(super) fn new(options: &'a Options, name: &str) -> Self {
        let mut chain = Chain::new(options);
        chain.begin_source(name);
        Self {
            chain,
            collected: Collected::default(),
            last: None,
            damaged: Vec::new(),
        }
    }

    /// Takes the copies of a record, in order of arrival.
    pub(super) fn take(&mut self, copies: &[RecordCopy]) -> Option<(Head, Location)> {
        let Some((chosen, line)) = choose(copies, self.chain.head()) else {
            let mut damaged = copies.iter().filter(|copy| !copy.is_cut_short).peekable();
            let seq = damaged.peek().map(|copy| copy.seq);
            self.collected.torn += copies.iter().filter(|copy| copy.is_cut_short).count() as u64;
            for copy in damaged {
                self.chain.find(
                    Attack::Edited,
                    copy.seq,
                    &copy.location,
                    "this line is not a record as it was written".to_owned(),
                );
            }
            if self.damaged.len() < MAX_DAMAGED {
                self.damaged.extend(seq);
            }
            return None;
        };
        for copy in copies.iter().filter(|copy| !std::ptr::eq(*copy, chosen)) {
            if copy.text == chosen.text {
                self.collected.duplicates += 1;
            } else if copy.is_cut_short || chosen.text.starts_with(&copy.text) {
                // The collector was stopped in the middle of a line: the record was sent again.
                self.collected.torn += 1;
            } else {
                // A complete record with other bytes continues the chain a second time.
                let attack = match RecordLine::parse(&copy.text) {
                    Some(line) if line.is_whole() => Attack::Forked,
                    _ => Attack::Edited,
                };
                let (file, line) = (&chosen.location.source, chosen.location.line);
                let detail = format!("it has other bytes than the same record at {file}:{line}");
                self.chain.find(attack, copy.seq, &copy.location, detail);
            }
        }
        self.close_gap(&line, &chosen.location);
        self.chain.move_before(&chosen.location);
        let raw = RawLine {
            text: &chosen.text,
            ended: true,
        };
        self.chain.take(&LogItem::Line(raw, Some(line)));
        self.last = Some(line.head());
        Some((line.head(), chosen.location.clone()))
    }

    /// Reports the gap before this record, if there is one.
    fn close_gap(&mut self, line: &RecordLine<'_>, location: &Location) {
        let damaged = std::mem::take(&mut self.damaged);
        // Before the first complete record only damaged ones show that a record is missing.
        let expected = match self.last {
            Some(last) => Some(last.seq + 1),
            None => damaged.first().copied(),
        };
        let Some(mut from) = expected.filter(|from| *from < line.seq) else {
            return;
        };
        // A replay from the first gap on closes all of them.
        self.collected.replay_from.get_or_insert(from);
        if self.collected.missing.len() < MAX_MISSING {
            self.collected.missing.push(Missing {
                from,
                to: line.seq - 1,
            });
        } else {
            self.collected.missing_left_out += 1;
        }
        for seq in damaged {
            self.blame_deletion(from, seq, location);
            from = seq + 1;
        }
        self.blame_deletion(from, line.seq, location);
        self.chain.begin_anew_with(line);
    }

    /// Reports deleted records. Damaged ones have findings of their own.
    fn blame_deletion(&mut self, from: u64, before: u64, location: &Location) {
        if from < before {
            let detail = match before - from {
                1 => format!("record {from} is missing"),
                _ => format!("records {from} to {} are missing", before - 1),
            };
            self.chain.find(Attack::Deleted, from, location, detail);
        }
    }

    /// The report on the records, and the other results.
    pub(super) fn finish(mut self) -> (PendingReport, Collected) {
        // Damaged records at the end must be sent again, too.
        if let (Some(last), false) = (self.last, self.damaged.is_empty()) {
            self.collected.replay_from.get_or_insert(last.seq + 1);
        }
        (self.chain.finish(), self.collected)
    }
}

/// The complete copy that follows the record before, or else any complete one.
fn choose<'a>(copies: &'a [RecordCopy], head: &Head) -> Option<(&'a RecordCopy, RecordLine<'a>)> {
    let whole = |copy: &'a RecordCopy| {
        let line = RecordLine::parse(&copy.text).filter(RecordLine::is_whole);
        line.map(|line| (copy, line))
    };
    let mut any = None;
    for (copy, line) in copies.iter().filter_map(whole) {
        if line.follows(head) {
            return Some((copy, line));
        }
        any = any.or(Some((copy, line)));
    }
    any
}
