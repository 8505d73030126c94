//! Follows the chain, record by record, until it breaks.

use super::Options;
use super::evidence::{Break, Evidence, Recent};
use super::lines::RawLine;
use super::report::{Attack, Finding, Note, NoteKind, Report, Verdict};
use crate::key::PublicKey;
use crate::line::Line;
use crate::record::Head;
use crate::tail::{Torn, members};
use crate::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

const MAX_NOTES: usize = 100;
/// Clocks are corrected by less all the time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// Where a line stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Spot {
    pub(super) source: String,
    pub(super) line: u64,
}

pub(super) struct Chain<'a> {
    options: &'a Options,
    report: Report,
    head: Head,
    log_id: Option<String>,
    epoch: Option<(u64, PublicKey)>,
    unsealed_since: Option<(u64, Timestamp)>,
    last_ts: Timestamp,
    last_was_seal: bool,
    last_was_rotation: bool,
    repeated: u64,
    spot: Spot,
    sources: u64,
    at_boundary: bool,
    torn: Torn,
    torn_lines: u64,
    torn_spot: Spot,
    torn_ended: bool,
    recent: Recent,
    evidence: Option<Evidence>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self {
            options,
            report: Report {
                verdict: Verdict::Intact,
                findings: Vec::new(),
                notes: Vec::new(),
                notes_left_out: 0,
                log_id: None,
                key: options.key.map(|key| key.to_string()),
                records: 0,
                seals: 0,
                first_seq: 0,
                last_seq: 0,
                last_hash: String::new(),
                sealed_through: 0,
                epoch: None,
                bytes: 0,
            },
            head: Head::START,
            log_id: None,
            epoch: None,
            unsealed_since: None,
            last_ts: Timestamp::default(),
            last_was_seal: false,
            last_was_rotation: false,
            repeated: 0,
            spot: Spot::default(),
            sources: 0,
            at_boundary: false,
            torn: Torn::default(),
            torn_lines: 0,
            torn_spot: Spot::default(),
            torn_ended: false,
            recent: Recent::new(),
            evidence: None,
        }
    }

    pub(super) fn begin_source(&mut self, name: &str) {
        self.at_boundary = self.sources > 0;
        self.sources += 1;
        self.spot = Spot {
            source: name.to_owned(),
            line: 0,
        };
    }

    pub(super) fn take(&mut self, raw: &RawLine<'_>) {
        self.report.bytes += (raw.text.len() + usize::from(raw.ended)) as u64;
        self.spot.line += 1;
        let line = match raw.ended {
            true => Line::parse(raw.text).filter(Line::is_whole),
            false => None,
        };
        match (&mut self.evidence, line) {
            (Some(evidence), line) => evidence.observe(line.as_ref(), raw.text),
            (None, None) => self.take_rubbish(raw),
            (None, Some(line)) => self.take_record(&line, raw.text),
        }
        self.at_boundary = false;
    }

    fn take_rubbish(&mut self, raw: &RawLine<'_>) {
        if self.torn.is_empty() {
            self.torn_spot = self.spot.clone();
        }
        if !self.torn.is_too_much() {
            self.torn.push(raw.text);
            self.torn.push(if raw.ended { b"\n" } else { b"" });
        }
        self.torn_lines += 1;
        self.torn_ended = raw.ended;
    }

    fn take_record(&mut self, line: &Line<'_>, text: &[u8]) {
        let is_first = self.report.records == 0;
        let follows = line.follows(&self.head) || (is_first && self.may_begin_with(line));
        if follows && (self.torn.is_empty() || self.torn.is_accounted_for(line, text)) {
            return self.accept(line, text);
        }
        if self.options.repetitions && self.torn.is_empty() && self.recent.has(line) {
            self.repeated += 1;
            return;
        }
        self.broke(line, text);
    }

    /// A part may begin anywhere; a log begins with record 1.
    fn may_begin_with(&self, line: &Line<'_>) -> bool {
        self.options.partial && line.seq > 1
    }

    fn broke(&mut self, line: &Line<'_>, text: &[u8]) {
        let is_rubbish = !self.torn.is_empty();
        let mut evidence = Evidence::new(Break {
            head: self.head,
            found: Some((line.head(), *line.prev_hash)),
            rubbish_lines: if is_rubbish { self.torn_lines } else { 0 },
            rubbish_ended: self.torn_ended,
            at_boundary: self.at_boundary,
            after_rotation: self.last_was_rotation,
            repeats: self.recent.has(line),
            branches_off: self.recent.is_successor(line),
            log_id: self.log_id.clone(),
            epoch: self.epoch,
            spot: if is_rubbish {
                self.torn_spot.clone()
            } else {
                self.spot.clone()
            },
        });
        evidence.observe(Some(line), text);
        self.evidence = Some(evidence);
    }

    fn accept(&mut self, line: &Line<'_>, text: &[u8]) {
        if !self.torn.is_empty() {
            self.note(
                NoteKind::TornWrite,
                line.seq,
                "bytes of a torn write stand before this record",
            );
            self.torn = Torn::default();
            self.torn_lines = 0;
        }
        if self.report.records == 0 {
            self.report.first_seq = line.seq;
            if line.seq > 1 {
                self.note(NoteKind::Partial, line.seq, "earlier records are not here");
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

    fn take_log_record(&mut self, line: &Line<'_>, text: &[u8]) {
        let members = members(text).unwrap_or_default();
        match line.event_type {
            b"log.open" => self.take_open(line.seq, &members),
            b"log.resumed" => self.take_resumed(line.seq, &members),
            b"log.sealed" => self.take_seal(line, &members),
            b"log.rotated" => self.last_was_rotation = true,
            _ => (),
        }
    }

    fn take_open(&mut self, seq: u64, members: &Value) {
        if seq != 1 {
            let spot = self.spot.clone();
            return self.find(
                Attack::Spliced,
                seq,
                &spot,
                "another log begins here".to_owned(),
            );
        }
        self.learn_epoch(seq, members);
    }

    fn take_resumed(&mut self, seq: u64, members: &Value) {
        let Some((number, key)) = self.epoch else {
            return self.learn_epoch(seq, members);
        };
        let same_log = members["log_id"].as_str() == self.log_id.as_deref();
        let same_key = key_of(members, "key") == Some(key);
        if !same_log || !same_key || members["epoch"].as_u64() != Some(number) {
            let spot = self.spot.clone();
            self.find(
                Attack::Spliced,
                seq,
                &spot,
                "it goes on with another log or key".to_owned(),
            );
        }
    }

    /// The key, where a log or a part of one begins.
    fn learn_epoch(&mut self, seq: u64, members: &Value) {
        let (Some(number), Some(key)) = (members["epoch"].as_u64(), key_of(members, "key")) else {
            let spot = self.spot.clone();
            return self.find(Attack::Edited, seq, &spot, "it names no key".to_owned());
        };
        self.log_id = members["log_id"].as_str().map(str::to_owned);
        self.epoch = Some((number, key));
        match self.options.key {
            Some(pinned) if number == 0 && pinned != key => {
                let spot = self.spot.clone();
                let detail =
                    format!("the log begins with the key {key}: another log, or written anew");
                self.find(Attack::WrongKey, seq, &spot, detail);
            }
            Some(_) if number == 0 => (),
            _ => {
                let text = format!("the key {key} was taken from the log itself");
                self.report.key.get_or_insert(key.to_string());
                self.note(NoteKind::KeyFromLog, seq, &text);
            }
        }
    }

    fn take_seal(&mut self, line: &Line<'_>, members: &Value) {
        let Some((signed, signature)) = line.signature else {
            return;
        };
        let claimed = key_of(members, "key");
        if self.epoch.is_none()
            && let (Some(number), Some(key)) = (members["epoch"].as_u64(), claimed)
        {
            self.epoch = Some((number, key));
            self.report.key.get_or_insert(key.to_string());
            self.note(
                NoteKind::KeyFromLog,
                line.seq,
                "the key was taken from a seal itself",
            );
        }
        let right = self.epoch.filter(|(number, key)| {
            claimed == Some(*key)
                && members["epoch"].as_u64() == Some(*number)
                && key.verifies(signed, signature)
        });
        match (right, key_of(members, "next_key")) {
            (Some((number, _)), Some(next)) => {
                self.epoch = Some((number + 1, next));
                self.report.seals += 1;
                self.report.sealed_through = line.seq;
                self.last_was_seal = true;
                self.unsealed_since = None;
            }
            (_, next) => {
                let mut own = [claimed, next].into_iter().flatten();
                let own = own.any(|key| self.is_another(key) && key.verifies(signed, signature));
                self.bad_seal(line.seq, own, signed, signature);
            }
        }
    }

    fn is_another(&self, key: PublicKey) -> bool {
        self.epoch.is_none_or(|(_, current)| current != key)
    }

    fn bad_seal(&mut self, seal: u64, own: bool, signed: &[u8], signature: &[u8]) {
        let mut evidence = Evidence::new(Break {
            head: self.head,
            found: None,
            rubbish_lines: 0,
            rubbish_ended: true,
            at_boundary: false,
            after_rotation: false,
            repeats: false,
            branches_off: false,
            log_id: self.log_id.clone(),
            epoch: self.epoch,
            spot: self.spot.clone(),
        });
        evidence.bad_seal(self.report.sealed_through + 1, seal, own, signed, signature);
        self.evidence = Some(evidence);
    }

    fn find(&mut self, attack: Attack, record: u64, spot: &Spot, detail: String) {
        self.report.findings.push(Finding {
            attack,
            record,
            source: spot.source.clone(),
            line: spot.line,
            detail,
        });
    }

    fn note(&mut self, kind: NoteKind, record: u64, detail: &str) {
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

    pub(super) fn finish(mut self) -> Report {
        if let Some(evidence) = self.evidence.take() {
            let finding = evidence.judge();
            // Whatever else was found may well come from this.
            self.report.findings.insert(0, finding);
        } else if !self.torn.is_empty() {
            self.finish_in_rubbish();
        }
        if self.report.findings.is_empty() {
            self.check_end();
        }
        if self.repeated > 0 {
            let text = format!("{} repetitions were skipped", self.repeated);
            self.note(NoteKind::Repeated, self.head.seq, &text);
        }
        let on_its_word =
            |note: &Note| matches!(note.kind, NoteKind::KeyFromLog | NoteKind::Partial);
        self.report.verdict = match () {
            () if !self.report.findings.is_empty() => Verdict::Broken,
            () if self.report.notes.iter().any(on_its_word) => Verdict::Unproven,
            () => Verdict::Intact,
        };
        self.report.log_id = self.log_id;
        self.report.epoch = self.epoch.map(|(number, _)| number);
        self.report.last_seq = self.head.seq;
        self.report.last_hash = self.head.hash().to_owned();
        self.report
    }

    fn finish_in_rubbish(&mut self) {
        let (seq, spot) = (self.head.seq + 1, self.torn_spot.clone());
        if self.options.live && self.torn_lines == 1 && !self.torn_ended {
            return self.note(NoteKind::Unfinished, seq, "the last line is being written");
        }
        let (attack, detail) = match self.torn_ended {
            true => (
                Attack::Edited,
                "this line is not a record as it was written",
            ),
            false => (Attack::Truncated, "the last line is not whole"),
        };
        self.find(attack, seq, &spot, detail.to_owned());
    }

    /// The chain is whole: does it end where it should?
    fn check_end(&mut self) {
        let (seq, spot) = (self.head.seq, self.spot.clone());
        let is_short = self
            .options
            .expected
            .is_some_and(|expected| seq < expected.seq);
        let (epoch, wanted) = (
            self.epoch.map(|(number, _)| number),
            self.options.expected_epoch,
        );
        if self.report.records == 0 {
            self.find(Attack::Truncated, 1, &spot, "there is no record".to_owned());
        } else if is_short || wanted.is_some_and(|wanted| epoch < Some(wanted)) {
            let attack = if self.last_was_seal {
                Attack::RolledBack
            } else {
                Attack::Truncated
            };
            let detail = format!("the log ends at record {seq}, but later ones were written");
            self.find(attack, seq + 1, &spot, detail);
        } else if let Some((first, since)) = self.unsealed_since {
            let age = self.options.now.map(|now| now.since(since));
            if age.is_some_and(|age| age > self.options.max_unsealed) {
                let detail = format!("the log's end is unsealed since {since}");
                self.find(Attack::Unsealed, first, &spot, detail);
            } else {
                self.note(
                    NoteKind::Pending,
                    first,
                    "records from here on are not sealed yet",
                );
            }
        }
    }
}

fn key_of(members: &Value, name: &str) -> Option<PublicKey> {
    members[name].as_str()?.parse().ok()
}
