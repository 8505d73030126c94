//! Verification of a collector's file, which also has lines of other programs.
//!
//! A forwarder sends unacknowledged records again, so records may be repeated, late and out
//! of order; lines have headers; the file may begin in the middle of the log. None of that is
//! a defect. Every record must be there, as it was written. The file is read twice: once for
//! an index of the records' positions, once in the order of their numbers. Memory is bounded:
//! see `runs` and `order`.

mod claims;
mod judge;
mod order;
mod runs;

use super::against::Records;
use super::chain::Location;
use super::report::{Attack, Finding, NoteKind, PendingReport, Report, Witness};
use super::{LogFiles, Options, Source, Start, examine};
use crate::record::Head;
use judge::CollectedVerifier;
use order::Order;
use runs::Index;
use serde::Serialize;
use std::io;

/// Knowledge about a collector's file.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// Only lines whose header has this word are read.
    pub host: Option<String>,
    /// The collector has acknowledged all records up to this one.
    pub acknowledged: Option<u64>,
}

/// A range of records that are missing or incomplete in a collector's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// The results for a collector's file besides the report on its records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The gaps between records, in order; at most 1,000.
    pub missing: Vec<Missing>,
    /// The number of further gaps.
    pub missing_left_out: u64,
    /// The records of the log after the last one in the file, if a log was given.
    pub not_here_yet: Option<Missing>,
    /// The record from which on a replay makes the file complete, as far as is known.
    pub replay_from: Option<u64>,
    /// Identical repetitions of records.
    pub duplicates: u64,
    /// Incomplete records, as a collector leaves when it is stopped.
    pub torn: u64,
    /// Lines of other programs.
    pub others: u64,
}

/// Verifies a collector's file, and compares it with the log if `log` gives the log's files.
/// Each file is read twice. The second report is on the log.
///
/// # Errors
/// When a file cannot be read, when a source is not a file, or when its records are in too much
/// disorder for the bounded memory.
pub fn verify_collected(
    sources: Vec<Source>,
    collection: &Collection,
    log: Option<&mut dyn FnMut() -> io::Result<LogFiles>>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> io::Result<(Report, Collected, Option<Report>)> {
    let index = Index::of(sources, collection.host.as_deref(), progress)?;
    // Opened after the collector's file was read, which can only have earlier records.
    let (records, mut second) = match log {
        None => (None, None),
        Some(open) => {
            let records = Records::new(open()?.files, false);
            (Some(records), Some(examine(open()?, options, progress)?))
        }
    };
    let own = Options {
        start: Start::AnyRecord,
        live: false,
        lagging: true,
        state: None,
        now: None,
        ..options.clone()
    };
    let mut judge = CollectedVerifier::new(&own, index.name());
    let mut log = LogComparison::new(records);
    let (mut order, mut read) = (Order::of(&index), 0);
    loop {
        let copies = order.next()?;
        if copies.is_empty() {
            break;
        }
        if let Some((record, location)) = judge.take(&copies) {
            log.compare(&record, location)?;
        }
        read += copies.iter().map(|copy| copy.text.len()).sum::<usize>();
        if read > 1024 * 1024 {
            progress(std::mem::take(&mut read) as u64);
        }
    }
    let last = judge.last.map_or(0, |last| last.seq);
    let (mut examined, mut collected) = judge.finish();
    (examined.report.bytes, collected.others) = (index.bytes, index.others);
    if let Some(second) = &mut second {
        second.prove(Witness::Copy, log.agreed);
    }
    let known = options.heads.iter().map(|head| head.seq).max();
    log.finish(&mut examined, &mut collected, last, collection, known)?;
    let mut report = examined.judge();
    add_notes(&mut report, &collected);
    Ok((report, collected, second.map(PendingReport::judge)))
}

/// The comparison with the log, which is read in parallel to the collector's file.
struct LogComparison {
    records: Option<Records>,
    mine: Option<Head>,
    /// The last record that is equal in both.
    agreed: u64,
    findings: Vec<Finding>,
}

impl LogComparison {
    fn new(records: Option<Records>) -> Self {
        Self {
            records,
            mine: None,
            agreed: 0,
            findings: Vec::new(),
        }
    }

    fn compare(&mut self, record: &Head, location: Location) -> io::Result<()> {
        let Some(log) = &mut self.records else {
            return Ok(());
        };
        while self.mine.is_none_or(|mine| mine.seq < record.seq) {
            match log.next()? {
                Some((head, _)) => self.mine = Some(head),
                None => break,
            }
        }
        let mine = self.mine.unwrap_or(Head::START);
        if !self.findings.is_empty() {
            // Only the first difference is reported.
        } else if mine.seq < record.seq {
            let detail = "the collector has this record and the log does not";
            self.find(Attack::RolledBack, record.seq, location, detail);
        } else if mine == *record {
            self.agreed = record.seq;
        } else if mine.seq == record.seq {
            let detail = "the log has this record with other bytes";
            self.find(Attack::Forked, record.seq, location, detail);
        }
        Ok(())
    }

    fn find(&mut self, attack: Attack, record: u64, location: Location, detail: &str) {
        self.findings.push(Finding {
            attack,
            record,
            source: location.source,
            line: location.line,
            detail: detail.to_owned(),
        });
    }

    /// Checks the end of the collector's file: it must have the records that the collector
    /// acknowledged, and those that are `known` from elsewhere.
    fn finish(
        mut self,
        examined: &mut PendingReport,
        collected: &mut Collected,
        last: u64,
        collection: &Collection,
        known: Option<u64>,
    ) -> io::Result<()> {
        let is_compared = self.records.is_some();
        // The rest of the log, to learn its last record.
        if let Some(log) = &mut self.records {
            while let Some((head, _)) = log.next()? {
                self.mine = Some(head);
            }
        }
        let end = self.mine.map_or(0, |mine| mine.seq);
        let wanted = [
            (collection.acknowledged, "all to record", "was acknowledged"),
            (known, "record", "is known from elsewhere"),
        ];
        for (wanted, what, why) in wanted {
            let Some(wanted) = wanted.filter(|seq| *seq > last) else {
                continue;
            };
            self.find(
                Attack::Truncated,
                last + 1,
                Location::default(),
                &format!("the file ends at record {last}, but {what} {wanted} {why}"),
            );
            collected.replay_from.get_or_insert(last + 1);
        }
        if let Some(seq) = collection.acknowledged.filter(|seq| *seq <= last) {
            examined.prove(Witness::Acknowledged, seq);
        }
        if end > last {
            let (from, to) = (last + 1, end);
            collected.not_here_yet = Some(Missing { from, to });
            collected.replay_from.get_or_insert(from);
            let why = match collection.acknowledged {
                Some(seq) if seq <= last => "not sent yet",
                Some(_) => "cut off, or not sent yet",
                None => {
                    "not sent yet, or cut off: what the collector acknowledged would show which"
                }
            };
            let text = format!("the file does not have records {from} to {to} of the log: {why}");
            examined.report.note_beside(NoteKind::Behind, from, text);
        } else if is_compared {
            examined.prove(Witness::Copy, self.agreed);
        } else if collection.acknowledged.is_none() && known.is_none() {
            let text = "whether its end was cut off is not known without the log or what was \
                        acknowledged";
            examined
                .report
                .note_beside(NoteKind::EndUnknown, last + 1, text.to_owned());
        }
        for found in self.findings {
            examined.find(found);
        }
        Ok(())
    }
}

fn add_notes(report: &mut Report, collected: &Collected) {
    let first = report.first_seq;
    if collected.duplicates > 0 {
        let text = format!("{} records are repeated", collected.duplicates);
        report.note_beside(NoteKind::Repeated, first, text);
    }
    if collected.torn > 0 {
        let text = format!("{} lines have only a part of a record", collected.torn);
        report.note_beside(NoteKind::Unfinished, first, text);
    }
    if collected.others > 0 {
        let text = format!("{} lines of other programs were skipped", collected.others);
        report.note_beside(NoteKind::Others, first, text);
    }
}
