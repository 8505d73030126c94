//! Follows the chain, record by record, until it breaks.

mod ending;
mod epochs;
mod gaps;
pub(super) mod pruned;

use super::Options;
use super::evidence::{Break, Evidence};
use super::lines::RawLine;
use super::recent::Recent;
use super::report::{Attack, Finding, Note, NoteKind, Report, Verdict};
use super::tears::Met;
use crate::key::PublicKey;
use crate::line::Line;
use crate::record::Head;
use crate::time::Timestamp;
use pruned::{Beginning, KeptSeals};
use std::io;
use std::time::Duration;

const MAX_NOTES: usize = 100;
const MAX_FINDINGS: usize = 100;
/// Clocks are corrected by less all the time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// Where a line stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Spot {
    pub(super) source: String,
    pub(super) line: u64,
}

impl Spot {
    pub(super) fn at_the_beginning_of(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            line: 0,
        }
    }
}

/// Lines that are no records, and that nothing accounts for.
#[derive(Default)]
struct Rubbish {
    lines: u64,
    spot: Spot,
    /// How long the last of them is.
    length: usize,
    ended: bool,
}

pub(super) struct Chain<'a> {
    options: &'a Options,
    report: Report,
    head: Head,
    log_id: Option<String>,
    epoch: Option<(u64, PublicKey)>,
    /// The epoch that was reached before records that are missing.
    epoch_before_gap: Option<(u64, PublicKey)>,
    unsealed_since: Option<(u64, Timestamp)>,
    last_ts: Timestamp,
    last_was_seal: bool,
    last_was_rotation: bool,
    repeated: u64,
    spot: Spot,
    sources: u64,
    at_boundary: bool,
    /// Torn bytes stand before the next record, which accounts for them.
    is_torn: bool,
    rubbish: Rubbish,
    recent: Recent,
    evidence: Option<Evidence>,
    /// The seals of what retention removed.
    seals: KeptSeals,
    /// What is missing before the first record, until a record says why.
    beginning: Option<Beginning>,
    /// The last record that is on record as removed.
    removed_through: Option<u64>,
    /// Why the seals cannot be read.
    error: Option<io::Error>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
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
                bytes: 0,
            },
            head: Head::START,
            log_id: None,
            epoch: None,
            epoch_before_gap: None,
            unsealed_since: None,
            last_ts: Timestamp::default(),
            last_was_seal: false,
            last_was_rotation: false,
            repeated: 0,
            spot: Spot::default(),
            sources: 0,
            at_boundary: false,
            is_torn: false,
            rubbish: Rubbish::default(),
            recent: Recent::new(),
            evidence: None,
            seals: KeptSeals::Unknown,
            beginning: None,
            removed_through: None,
            error: None,
        }
    }

    /// Gives it the seals of what retention removed.
    pub(super) fn with_seals(&mut self, seals: KeptSeals) {
        self.seals = seals;
    }

    /// Why it cannot go on, if it cannot.
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
        self.spot = Spot::at_the_beginning_of(name);
    }

    pub(super) fn take(&mut self, met: &Met<'_>) {
        self.count(met);
        self.examine(met);
        self.at_boundary = false;
    }

    /// A line before those that are verified.
    pub(super) fn pass_over(&mut self, met: &Met<'_>) {
        self.count(met);
        self.at_boundary = false;
    }

    /// The last line that was passed over, from which the chain is followed.
    pub(super) fn begin_with(&mut self, met: &Met<'_>) {
        self.examine(met);
    }

    /// Whether the record that was asked for is covered by a good seal.
    pub(super) fn is_sealed_enough(&self) -> bool {
        let wanted = self.options.until_sealed;
        wanted.is_some_and(|seq| self.evidence.is_none() && self.report.sealed_through >= seq)
    }

    fn count(&mut self, met: &Met<'_>) {
        self.report.bytes += met.bytes();
        self.spot.line += met.lines();
    }

    fn examine(&mut self, met: &Met<'_>) {
        if let (Some(beginning), Met::Line(raw, line)) = (&mut self.beginning, met) {
            beginning.observe(line.as_ref(), raw.text);
        }
        match (&mut self.evidence, met) {
            (Some(evidence), Met::Line(raw, line)) => {
                evidence.observe(line.as_ref(), raw.text);
                if let Some(line) = line {
                    self.observe_removal(line, raw.text);
                }
            }
            (Some(_), Met::Torn(_)) => (),
            (None, Met::Torn(_)) => self.is_torn = true,
            (None, Met::Line(raw, None)) => self.take_rubbish(raw),
            (None, Met::Line(raw, Some(line))) => self.take_record(line, raw.text),
        }
    }

    fn take_rubbish(&mut self, raw: &RawLine<'_>) {
        if self.rubbish.lines == 0 {
            self.rubbish.spot = self.spot.clone();
        }
        self.rubbish.lines += 1;
        (self.rubbish.length, self.rubbish.ended) = (raw.text.len(), raw.ended);
    }

    fn take_record(&mut self, line: &Line<'_>, text: &[u8]) {
        let is_first = self.report.records == 0;
        let follows = line.follows(&self.head) || (is_first && self.may_begin_with(line));
        let is_next = self.rubbish.lines == 0;
        if follows && is_next {
            return self.accept(line, text);
        }
        if is_first && self.may_be_pruned(line) {
            self.begin_pruned(line, text);
            return self.accept(line, text);
        }
        if self.options.repetitions && is_next && self.recent.has(line) {
            self.repeated += 1;
            return;
        }
        self.broke(line, text);
    }

    /// A part may begin anywhere; a log begins with record 1.
    fn may_begin_with(&self, line: &Line<'_>) -> bool {
        self.is_part() && line.seq > 1
    }

    fn is_part(&self) -> bool {
        self.options.partial || self.options.since.is_some()
    }

    fn broke(&mut self, line: &Line<'_>, text: &[u8]) {
        self.evidence = Some(self.break_at(line, text));
        self.observe_removal(line, text);
    }

    /// The evidence that begins with a record which does not follow.
    fn break_at(&self, line: &Line<'_>, text: &[u8]) -> Evidence {
        let is_rubbish = self.rubbish.lines > 0;
        let mut evidence = Evidence::new(Break {
            head: self.head,
            found: Some((line.head(), *line.prev_hash)),
            rubbish_lines: self.rubbish.lines,
            rubbish_ended: self.rubbish.ended,
            at_boundary: self.at_boundary,
            after_rotation: self.last_was_rotation,
            begins_segment: line.event_type == b"log.resumed",
            repeats: self.recent.has(line),
            branches_off: self.recent.is_successor(line),
            log_id: self.log_id.clone(),
            epoch: self.epoch,
            spot: if is_rubbish {
                self.rubbish.spot.clone()
            } else {
                self.spot.clone()
            },
        });
        evidence.observe(Some(line), text);
        evidence
    }

    fn accept(&mut self, line: &Line<'_>, text: &[u8]) {
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
                let text = match self.options.since {
                    Some(_) => "earlier records were not looked at",
                    None => "earlier records are not here",
                };
                self.note(NoteKind::Partial, line.seq, text);
            }
        }
        self.check_clock(line);
        self.report.records += 1;
        self.head = line.head();
        self.recent.push(line);
        (self.last_was_seal, self.last_was_rotation) = (false, false);
        if line.event_type.starts_with(b"log.") {
            self.take_log_record(line, text);
        } else {
            self.check_sealing(line.ts);
        }
        if !self.last_was_seal {
            self.unsealed_since.get_or_insert((line.seq, line.ts));
        }
        self.check_expected();
    }

    fn check_clock(&mut self, line: &Line<'_>) {
        if self.last_ts.since(line.ts) > CLOCK_TOLERANCE {
            let text = format!("the clock went back from {} to {}", self.last_ts, line.ts);
            self.note(NoteKind::ClockStepped, line.seq, &text);
        }
        self.last_ts = line.ts;
    }

    fn check_sealing(&mut self, ts: Timestamp) {
        if let Some((seq, since)) = self.unsealed_since
            && ts.since(since) > self.options.max_unsealed
            && !self
                .report
                .findings
                .iter()
                .any(|found| found.attack == Attack::Unsealed)
        {
            let spot = self.spot.clone();
            let detail = format!("unsealed since {since}, though the log went on until {ts}");
            self.find(Attack::Unsealed, seq, &spot, detail);
        }
    }

    fn check_expected(&mut self) {
        if let Some(expected) = self.options.expected
            && expected.seq == self.head.seq
            && expected != self.head
            && self.evidence.is_none()
        {
            let spot = self.spot.clone();
            let detail = "this is not the record that is known from elsewhere".to_owned();
            self.find(Attack::Forked, self.head.seq, &spot, detail);
        }
    }

    pub(super) fn find(&mut self, attack: Attack, record: u64, spot: &Spot, detail: String) {
        if self.report.findings.len() == MAX_FINDINGS {
            self.report.findings_left_out += 1;
            return;
        }
        self.report.findings.push(Finding {
            attack,
            record,
            source: spot.source.clone(),
            line: spot.line,
            detail,
        });
    }

    pub(super) fn note(&mut self, kind: NoteKind, record: u64, detail: &str) {
        if self.report.notes.len() == MAX_NOTES {
            self.report.notes_left_out += 1;
            return;
        }
        let detail = detail.to_owned();
        self.report.notes.push(Note {
            kind,
            record,
            detail,
        });
    }
}
