//! Verification of the chain, record by record, up to its first break.
//!
//! Up to there, every record is checked: its hash, its number, its place after the record
//! before, and for seals the signature. At the break an [`Evidence`] is created, and all
//! later records are only observed by it: nothing behind a break is verified, because a
//! forger could have written all of it.

mod ending;
mod epochs;
mod gaps;
pub(super) mod kept_seals;
mod pruned;
mod state;

use super::evidence::{Break, BrokenLink, Cause, Evidence, Origin};
use super::recent::RecentRecords;
use super::report::{Attack, Finding, Note, NoteKind, Proof, Report, Verdict, Witness};
use super::torn_filter::LogItem;
use super::{Options, Start};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::Head;
use crate::storage::segment_start;
use crate::time::Timestamp;
use kept_seals::KeptSeals;
use pruned::MissingBeginning;
use std::io;
use std::time::Duration;

const MAX_NOTES: usize = 100;
const MAX_FINDINGS: usize = 100;
/// Smaller steps of the clock are normal corrections.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// The position of a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Location {
    pub(super) source: String,
    pub(super) line: u64,
}

impl Location {
    pub(super) fn start_of(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            line: 0,
        }
    }
}

/// Lines that are not records, and that no record accounts for; at least one.
struct StrayLines {
    lines: u64,
    /// The first of them.
    location: Location,
    /// The length of the last in bytes, and whether a newline ends it.
    length: usize,
    ended: bool,
}

/// A key, and the record from which on the next seal had to be made with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnnouncedKey {
    pub(super) epoch: u64,
    pub(super) key: PublicKey,
    pub(super) seq: u64,
}

/// The key that the next seal has to be made with.
#[derive(Clone, Copy)]
enum CurrentKey {
    /// No record has named it yet.
    Unknown,
    /// Records are missing, and this was the key before them. The next one that is named
    /// must be this or a later one.
    BeforeGap(AnnouncedKey),
    Known(AnnouncedKey),
}

impl CurrentKey {
    fn known(self) -> Option<AnnouncedKey> {
        match self {
            Self::Known(key) => Some(key),
            Self::Unknown | Self::BeforeGap(_) => None,
        }
    }
}

/// The kind of the last good record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastRecord {
    Seal,
    /// It ends its file.
    Rotation,
    Other,
}

pub(super) struct Chain<'a> {
    options: &'a Options,
    report: Report,
    head: Head,
    log_id: Option<String>,
    key: CurrentKey,
    /// The first epoch that is known.
    first_epoch: Option<u64>,
    /// For each private key of the state directory, where the log announced it.
    announced_keys: Vec<Option<AnnouncedKey>>,
    /// Records known from elsewhere, sorted by number, and the index of the next one.
    heads: Vec<Head>,
    next_head: usize,
    /// The first record after the last seal.
    unsealed_since: Option<(u64, Timestamp)>,
    last_ts: Timestamp,
    last: LastRecord,
    repeated: u64,
    location: Location,
    sources: u64,
    at_boundary: bool,
    /// The number in the file's name, until its first record is read.
    named_for: Option<u64>,
    misnamed: Vec<Finding>,
    /// Torn bytes precede the next record, which accounts for them.
    is_torn: bool,
    /// Lines before the next record that are not records.
    stray: Option<StrayLines>,
    recent: RecentRecords,
    /// Set from the break of the chain on.
    evidence: Option<Evidence>,
    /// The seals of removed segments.
    seals: KeptSeals,
    /// The records that are missing before the first one, if it is a segment's first.
    beginning: Option<MissingBeginning>,
    /// The last record whose removal is on record.
    removed_through: Option<u64>,
    /// An error of reading the seals.
    error: Option<io::Error>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        // Sorted, so that they are compared in one pass with the records.
        let mut heads = options.heads.clone();
        heads.sort_unstable_by_key(|head| head.seq);
        Self {
            options,
            report: Report {
                verdict: Verdict::Intact,
                findings: Vec::new(),
                findings_left_out: 0,
                notes: Vec::new(),
                notes_left_out: 0,
                log_id: None,
                key: options.key.map(|key| key.to_string()),
                records: 0,
                seals: 0,
                first_seq: 0,
                pruned_through: 0,
                last_seq: 0,
                last_hash: String::new(),
                sealed_through: 0,
                epoch: None,
                proofs: Vec::new(),
                bytes: 0,
            },
            head: Head::START,
            log_id: None,
            key: CurrentKey::Unknown,
            first_epoch: None,
            announced_keys: vec![None; options.state.as_ref().map_or(0, |keys| keys.held().len())],
            heads,
            next_head: 0,
            unsealed_since: None,
            last_ts: Timestamp::default(),
            last: LastRecord::Other,
            repeated: 0,
            location: Location::default(),
            sources: 0,
            at_boundary: false,
            named_for: None,
            misnamed: Vec::new(),
            is_torn: false,
            stray: None,
            recent: RecentRecords::new(),
            evidence: None,
            seals: KeptSeals::Unknown,
            beginning: None,
            removed_through: None,
            error: None,
        }
    }

    /// Sets the seals of removed segments.
    pub(super) fn with_seals(&mut self, seals: KeptSeals) {
        self.seals = seals;
    }

    /// The error for which verification cannot continue.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    pub(super) fn begin_source(&mut self, name: &str) {
        self.at_boundary = self.sources > 0;
        if let Some(evidence) = &mut self.evidence {
            evidence.begin_source();
        }
        if let Some(beginning) = &mut self.beginning {
            beginning.begin_source();
        }
        self.sources += 1;
        self.location = Location::start_of(name);
    }

    /// Expects the file to begin with the record that its name says.
    pub(super) fn expect_from_name(&mut self, name: &str) {
        let name = name.rsplit('/').next();
        // A compressed segment has an extension after its name.
        let name = name.map(|name| name.strip_suffix(".zst").unwrap_or(name));
        self.named_for = name.and_then(segment_start);
    }

    pub(super) fn take(&mut self, item: &LogItem<'_>) {
        self.count(item);
        self.examine(item);
        self.at_boundary = false;
    }

    /// Takes a line before those that are verified.
    pub(super) fn skip(&mut self, item: &LogItem<'_>) {
        self.count(item);
        self.at_boundary = false;
    }

    /// Takes the last skipped line, with which the chain begins.
    pub(super) fn begin_with(&mut self, item: &LogItem<'_>) {
        self.examine(item);
    }

    /// True when a good seal covers the record that was asked for.
    pub(super) fn is_sealed_enough(&self) -> bool {
        // Behind a break, all of the log is read as evidence.
        self.evidence.is_none()
            && self
                .options
                .until_sealed
                .is_some_and(|seq| self.report.sealed_through >= seq)
    }

    fn count(&mut self, item: &LogItem<'_>) {
        self.report.bytes += item.bytes();
        self.location.line += item.lines();
        // Only the first line counts, but torn bytes may precede it. If it is not a record, it
        // cannot contradict the name.
        if let (Some(named_for), LogItem::Line(_, line)) = (self.named_for, item) {
            self.named_for = None;
            if let Some(line) = line.filter(|line| line.seq != named_for) {
                let detail = format!(
                    "the file's name says that it begins with record {named_for}, but it begins \
                     with record {}",
                    line.seq
                );
                self.misnamed.push(Finding {
                    attack: Attack::SegmentMisnamed,
                    record: line.seq,
                    source: self.location.source.clone(),
                    line: self.location.line,
                    detail,
                });
            }
        }
    }

    fn examine(&mut self, item: &LogItem<'_>) {
        if let (Some(beginning), LogItem::Line(raw, line)) = (&mut self.beginning, item) {
            beginning.observe(line.as_ref(), raw.text);
        }
        match (&mut self.evidence, item) {
            (Some(evidence), LogItem::Line(raw, line)) => {
                evidence.observe(line.as_ref(), raw.text);
                if let Some(line) = line {
                    self.observe_removal(line, raw.text);
                }
            }
            (Some(_), LogItem::Torn(_)) => (),
            (None, LogItem::Torn(_)) => self.is_torn = true,
            // Not a break yet: the next record, or the end of the log, shows what the lines are.
            (None, LogItem::Line(raw, None)) => {
                let stray = self.stray.get_or_insert_with(|| StrayLines {
                    lines: 0,
                    location: self.location.clone(),
                    length: 0,
                    ended: false,
                });
                stray.lines += 1;
                (stray.length, stray.ended) = (raw.text.len(), raw.ended);
            }
            (None, LogItem::Line(raw, Some(line))) => self.take_record(line, raw.text),
        }
    }

    fn take_record(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        let is_first = self.report.records == 0;
        // A part of a log may begin anywhere; a log begins with record 1.
        let follows = line.follows(&self.head) || (is_first && self.is_part() && line.seq > 1);
        let is_next = self.stray.is_none();
        if follows && is_next {
            return self.accept(line, text);
        }
        // After the case above: a segment that is given as a part needs no record of a removal.
        if is_first && self.may_be_pruned(line) {
            self.begin_pruned(line, text);
            return self.accept(line, text);
        }
        if self.options.repetitions && is_next && self.recent.has(line) {
            self.repeated += 1;
            return;
        }
        self.evidence = Some(self.break_at(line, text));
        // The record at the break may itself be of the removal that explains a missing beginning.
        self.observe_removal(line, text);
    }

    fn is_part(&self) -> bool {
        self.options.start != Start::FirstRecord
    }

    /// The evidence of a break at a record that does not follow.
    fn break_at(&self, line: &RecordLine<'_>, text: &[u8]) -> Evidence {
        let (location, cause) = match &self.stray {
            Some(stray) => (
                &stray.location,
                Cause::Stray {
                    lines: stray.lines,
                    ended: stray.ended,
                    at_boundary: self.at_boundary,
                    next: line.head(),
                },
            ),
            None => (
                &self.location,
                Cause::Link(BrokenLink {
                    found: line.head(),
                    prev: *line.prev_hash,
                    at_boundary: self.at_boundary,
                    after_rotation: self.last == LastRecord::Rotation,
                    begins_segment: line.log_event() == Some(LogEventType::Resumed),
                    origin: if self.recent.has(line) {
                        Origin::Repeated
                    } else if self.recent.is_successor(line) {
                        Origin::Branch
                    } else {
                        Origin::Unknown
                    },
                }),
            ),
        };
        let mut evidence = Evidence::new(Break {
            head: self.head,
            log_id: self.log_id.clone(),
            key: self.key.known(),
            location: location.clone(),
            cause,
        });
        evidence.observe(Some(line), text);
        evidence
    }

    fn accept(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        if std::mem::take(&mut self.is_torn) {
            self.note(
                NoteKind::TornWrite,
                line.seq,
                "bytes of a torn write stand before this record",
            );
        }
        if self.report.records == 0 {
            self.report.first_seq = line.seq;
            self.check_beginning(line);
            if line.seq > 1 && self.beginning.is_none() {
                let text = if let Start::Since(_) = self.options.start {
                    "earlier records were not verified"
                } else {
                    "earlier records are not here"
                };
                self.note(NoteKind::Partial, line.seq, text);
            }
        }
        // A note and no finding: an operator or NTP can set the clock back.
        if self.last_ts.since(line.ts) > CLOCK_TOLERANCE {
            self.note(
                NoteKind::ClockStepped,
                line.seq,
                format!("the clock went back from {} to {}", self.last_ts, line.ts),
            );
        }
        self.last_ts = line.ts;
        self.report.records += 1;
        self.head = line.head();
        self.recent.push(line);
        self.last = LastRecord::Other;
        // Records of the log itself may come late: after a pause `log.resumed` precedes the seal.
        if line.event_type.starts_with(b"log.") {
            self.take_log_record(line, text);
        } else if let Some((seq, since)) = self.unsealed_since
            && line.ts.since(since) > self.options.max_unsealed
            && !self
                .report
                .findings
                .iter()
                .any(|found| found.attack == Attack::Unsealed)
        {
            // Only the first: without a seal all later records are unsealed, too.
            self.find_here(
                Attack::Unsealed,
                seq,
                format!(
                    "unsealed since {since}, though the log continued until {}",
                    line.ts
                ),
            );
        }
        if self.last != LastRecord::Seal {
            self.unsealed_since.get_or_insert((line.seq, line.ts));
        }
        self.compare_heads();
    }

    /// Compares the record with those known from elsewhere.
    fn compare_heads(&mut self) {
        while let Some(known) = self.heads.get(self.next_head)
            && known.seq <= self.head.seq
        {
            self.next_head += 1;
            if *known == self.head {
                // The latest head proves all that earlier heads prove.
                self.report.proofs.retain(|proof| proof.by != Witness::Head);
                self.report.proofs.push(Proof {
                    by: Witness::Head,
                    through: known.seq,
                });
            } else if known.seq < self.head.seq {
                let text = match self.beginning {
                    None => "a record that is known from elsewhere is before those that are here",
                    Some(_) => {
                        "a record that is known from elsewhere was removed: keep a later one"
                    }
                };
                self.note(NoteKind::Partial, known.seq, text);
            } else if self.evidence.is_none() {
                self.find_here(
                    Attack::Forked,
                    self.head.seq,
                    "this is not the record that is known from elsewhere",
                );
            }
        }
    }

    /// Adds a finding at the last line read.
    fn find_here(&mut self, attack: Attack, record: u64, detail: impl Into<String>) {
        self.find(attack, record, &self.location.clone(), detail.into());
    }

    pub(super) fn find(
        &mut self,
        attack: Attack,
        record: u64,
        location: &Location,
        detail: String,
    ) {
        if self.report.findings.len() == MAX_FINDINGS {
            self.report.findings_left_out += 1;
            return;
        }
        self.report.findings.push(Finding {
            attack,
            record,
            source: location.source.clone(),
            line: location.line,
            detail,
        });
    }

    pub(super) fn note(&mut self, kind: NoteKind, record: u64, detail: impl Into<String>) {
        if self.report.notes.len() == MAX_NOTES {
            self.report.notes_left_out += 1;
            return;
        }
        self.report.notes.push(Note {
            kind,
            record,
            detail: detail.into(),
        });
    }
}
