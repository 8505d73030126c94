//! A log whose beginning retention removed: whether the removal is on record, and whether the
//! kept seals lead from the first key to the current one.
//!
//! The first record that is left names its epoch. The seals of the epochs before it are in
//! `audit.seals`, and prove its key. They cannot prove the removed records, whose signed bytes
//! are gone. Which records were removed is in a `log.pruned` record, which comes later in the
//! log. Until it is read, evidence is also collected for the other case: that the beginning
//! was deleted.

use super::{Chain, CurrentKey, Location};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::MAX_LINE_BYTES;
use crate::tail::{MAX_TORN_BYTES, members, ordinal};
use crate::text::Hex;
use crate::time::Timestamp;
use crate::verify::evidence::Evidence;
use crate::verify::lines::Lines;
use crate::verify::report::{Attack, Finding, NoteKind};
use crate::verify::source::Seals;
use pulse_core::audit_log::retention::{Limits, Reason};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, Read};

/// The number of seals whose times are kept, for detecting early removals: those of six weeks
/// with one seal per minute.
const MAX_TIMES: usize = 1 << 16;

const ANOTHER_RECORD: &str = "the log has another record than this seal";

/// The reader of `audit.seals`.
pub(in crate::verify) enum KeptSeals {
    /// It is unknown whether there is such a file.
    Unknown,
    /// There is none.
    Missing(Location),
    Here {
        lines: Lines<Box<dyn Read>>,
        location: Location,
        next: NextSeal,
        /// The numbers and times of the last seals read.
        times: VecDeque<(u64, Timestamp)>,
    },
}

/// The next seal of the file.
pub(in crate::verify) enum NextSeal {
    /// It is read from the file.
    File,
    /// It was read and put back.
    PutBack(KeptSeal),
    /// There is none, or no more are read.
    None,
}

/// A seal of the file.
pub(in crate::verify) struct KeptSeal {
    seq: u64,
    ts: Timestamp,
    text: Vec<u8>,
    location: Location,
}

/// The missing part of the log.
pub(in crate::verify) struct MissingBeginning {
    /// The first record that is left, and the hash that it names as the one before.
    first: u64,
    follows: Hex,
    /// The epoch in it.
    epoch: Option<u64>,
    /// The record of the removal of exactly the missing part.
    removal: Option<u64>,
    /// The evidence for the case that there is no such record.
    evidence: Evidence,
}

/// A `log.pruned` record.
struct Removal {
    first: u64,
    last: u64,
    last_hash: String,
    epoch: u64,
    reason: Reason,
}

impl Removal {
    fn read(members: &Value) -> Option<Self> {
        let number = |name: &str| ordinal(members, name);
        let text = |name: &str| members[name].as_str();
        let removal = Self {
            first: number("first_seq")?,
            last: number("last_seq")?,
            last_hash: text("last_hash")?.to_owned(),
            epoch: number("epoch")?,
            reason: Reason::from_name(text("reason")?)?,
        };
        (0 < removal.first && removal.first <= removal.last).then_some(removal)
    }
}

impl KeptSeals {
    /// Opens the file, if there is one.
    ///
    /// # Errors
    /// The operating system's.
    pub(in crate::verify) fn open(seals: Seals) -> io::Result<Self> {
        Ok(match seals {
            Seals::Unknown => Self::Unknown,
            Seals::Missing(name) => Self::Missing(Location::start_of(&name)),
            Seals::Here(source) => Self::Here {
                location: Location::start_of(source.name()),
                lines: Lines::new(source.open()?),
                next: NextSeal::File,
                times: VecDeque::new(),
            },
        })
    }

    /// The next seal; `Err` with its position when the line is not a seal.
    fn next(&mut self) -> io::Result<Option<Result<KeptSeal, Location>>> {
        let Self::Here {
            lines,
            location,
            next,
            ..
        } = self
        else {
            return Ok(None);
        };
        match std::mem::replace(next, NextSeal::File) {
            NextSeal::File => (),
            NextSeal::PutBack(seal) => return Ok(Some(Ok(seal))),
            NextSeal::None => {
                *next = NextSeal::None;
                return Ok(None);
            }
        }
        let Some(raw) = lines.next()? else {
            return Ok(None);
        };
        location.line += 1;
        let seal = raw
            .record()
            .filter(|line| line.log_event() == Some(LogEventType::Sealed));
        Ok(Some(match seal {
            Some(line) => Ok(KeptSeal {
                seq: line.seq,
                ts: line.ts,
                text: raw.text.to_owned(),
                location: location.clone(),
            }),
            None => Err(location.clone()),
        }))
    }

    fn continue_with(&mut self, following: NextSeal) {
        if let Self::Here { next, .. } = self {
            *next = following;
        }
    }
}

impl Chain<'_> {
    /// True when a pruned log may begin with this record, as a segment does.
    pub(super) fn may_be_pruned(&self, line: &RecordLine<'_>) -> bool {
        line.seq > 1 && line.log_event() == Some(LogEventType::Resumed) && self.stray.is_none()
    }

    /// Begins with this record, expecting the record of the removal later.
    pub(super) fn begin_pruned(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        let epoch = members(text).and_then(|members| ordinal(&members, "epoch"));
        self.beginning = Some(MissingBeginning {
            first: line.seq,
            follows: *line.prev_hash,
            epoch,
            removal: None,
            evidence: self.break_at(line, text),
        });
        match self.prove_key(line.seq, epoch.unwrap_or(0)) {
            Ok(None) => (),
            Ok(Some(found)) => {
                // The key to which bad seals lead proves nothing.
                self.key = CurrentKey::Unknown;
                self.report.findings.push(found);
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Follows the kept seals of the `epochs` before record `first` to the key that is current
    /// there. Gives the first defect.
    fn prove_key(&mut self, first: u64, epochs: u64) -> io::Result<Option<Finding>> {
        match &self.seals {
            KeptSeals::Unknown => return Ok(None),
            KeptSeals::Missing(_) if epochs == 0 => return Ok(None),
            KeptSeals::Missing(location) => {
                let detail = "the seals of the records that were removed are missing: keys \
                              cannot be proven from the first one on";
                return Ok(Some(finding(Attack::Deleted, 1, location, detail)));
            }
            KeptSeals::Here { .. } => (),
        }
        let mut reached: Option<(u64, PublicKey)> = None;
        let mut last_seq = 0;
        while reached.map_or(0, |(number, _)| number) < epochs {
            let wanted = reached.map_or(0, |(number, _)| number);
            let seal = match self.seals.next()? {
                Some(Ok(seal)) if seal.seq < first => seal,
                None | Some(Ok(_)) => {
                    let location = self.seals.location();
                    let detail = format!(
                        "the seals of epochs {wanted} to {} are missing, of records before \
                         {first}",
                        epochs - 1
                    );
                    let record = last_seq + 1;
                    return Ok(Some(finding(Attack::Deleted, record, &location, &detail)));
                }
                Some(Err(location)) => {
                    let detail = "this line is not a seal as it was written";
                    let record = last_seq + 1;
                    return Ok(Some(finding(Attack::Edited, record, &location, detail)));
                }
            };
            match self.check_kept(&seal, reached, last_seq)? {
                Ok((number, key)) => {
                    self.announce(number, key, seal.seq);
                    reached = Some((number, key));
                }
                Err(finding) => return Ok(Some(finding)),
            }
            // The latest times are kept: the removals that the log still has on record are of the
            // latest segments.
            if let KeptSeals::Here { times, .. } = &mut self.seals {
                if times.len() == MAX_TIMES {
                    times.pop_front();
                }
                times.push_back((seal.seq, seal.ts));
            }
            last_seq = seal.seq;
        }
        Ok(None)
    }

    /// The epoch and key after a kept seal, if it is the next one.
    fn check_kept(
        &mut self,
        seal: &KeptSeal,
        reached: Option<(u64, PublicKey)>,
        last_seq: u64,
    ) -> io::Result<Result<(u64, PublicKey), Finding>> {
        let members = members(&seal.text).unwrap_or_default();
        let key = |name: &str| -> Option<PublicKey> { members.get(name)?.as_str()?.parse().ok() };
        let wanted = reached.map_or(0, |(number, _)| number);
        let found = ordinal(&members, "epoch");
        if found != Some(wanted) {
            return self.judge_epoch(seal, found, wanted, last_seq).map(Err);
        }
        if reached.is_none() {
            match (self.options.key, key("key")) {
                (Some(pinned), Some(first)) if pinned != first => {
                    let detail = format!("the first seal is by the key {first}: another log's");
                    return Ok(Err(finding(
                        Attack::WrongKey,
                        seal.seq,
                        &seal.location,
                        &detail,
                    )));
                }
                (None, Some(first)) => {
                    self.report.key = Some(first.to_string());
                    self.note(
                        NoteKind::KeyFromLog,
                        seal.seq,
                        format!("the key {first} was taken from the first seal itself"),
                    );
                }
                _ => (),
            }
        }
        let current = reached
            .map(|(_, key)| key)
            .or(self.options.key)
            .or(key("key"));
        let line = RecordLine::parse(&seal.text);
        let signature = line.as_ref().and_then(|line| line.signature);
        let is_good = current.is_some_and(|current| {
            key("key") == Some(current)
                && signature.is_some_and(|(signed, signature)| current.verifies(signed, signature))
        });
        Ok(match key("next_key").filter(|_| is_good) {
            Some(next) if seal.seq > last_seq => Ok((wanted + 1, next)),
            Some(_) => {
                let detail = "its record's number is not above that of the seal before";
                Err(finding(Attack::Reordered, seal.seq, &seal.location, detail))
            }
            None => {
                let detail = "this seal was made with another key than it had to be";
                Err(finding(Attack::Resealed, seal.seq, &seal.location, detail))
            }
        })
    }

    /// The finding for a kept seal of another epoch than `wanted`.
    fn judge_epoch(
        &mut self,
        seal: &KeptSeal,
        found: Option<u64>,
        wanted: u64,
        last_seq: u64,
    ) -> io::Result<Finding> {
        let found = found.unwrap_or(0);
        let detail = format!("the seal of epoch {found} stands where that of {wanted} should");
        let (mut attack, mut record) = (Attack::Deleted, last_seq + 1);
        if found < wanted {
            (attack, record) = (Attack::Duplicated, seal.seq);
        } else {
            // The wanted seal may come later: the rest of the file decides.
            while let Some(line) = self.seals.next()? {
                let Ok(later) = line else { continue };
                let members = members(&later.text).unwrap_or_default();
                if ordinal(&members, "epoch") == Some(wanted) {
                    (attack, record) = (Attack::Reordered, later.seq);
                    break;
                }
            }
        }
        Ok(finding(attack, record, &seal.location, &detail))
    }

    /// Compares a seal of the log with the kept one of the same number: an interrupted removal
    /// leaves seals in both places, which must be equal.
    pub(super) fn compare_with_kept(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        // A part may begin after those that are kept.
        if self.evidence.is_some() || self.is_part() {
            return;
        }
        loop {
            match self.seals.next() {
                Ok(Some(Ok(kept))) if kept.seq > line.seq => {
                    return self.seals.continue_with(NextSeal::PutBack(kept));
                }
                Ok(Some(Ok(kept))) if kept.seq == line.seq && kept.text == text => return,
                Ok(Some(Ok(kept))) => {
                    let found = finding(Attack::Forked, kept.seq, &kept.location, ANOTHER_RECORD);
                    self.report.findings.push(found);
                }
                // Torn bytes of an interrupted removal, which the next one cuts off.
                Ok(Some(Err(_)) | None) => return self.seals.continue_with(NextSeal::None),
                Err(error) => return self.error = Some(error),
            }
        }
    }

    /// At the end of the log: every kept seal must have been compared.
    pub(in crate::verify) fn finish_kept(&mut self) {
        // After a defect the log may end before these seals because of it.
        if self.evidence.is_some()
            || self.stray.is_some()
            || !self.report.findings.is_empty()
            || self.is_part()
        {
            return;
        }
        let kept = match self.seals.next() {
            Ok(Some(Ok(kept))) => kept,
            Ok(_) => return,
            Err(error) => return self.error = Some(error),
        };
        let end = self.head.seq;
        let found = if kept.seq > end {
            let detail = format!("the log ends at record {end}, but this later seal was kept");
            finding(Attack::RolledBack, end + 1, &kept.location, &detail)
        } else {
            finding(Attack::Forked, kept.seq, &kept.location, ANOTHER_RECORD)
        };
        self.report.findings.push(found);
    }

    pub(super) fn take_pruned(&mut self, line: &RecordLine<'_>, members: &Value) {
        let removal = Removal::read(members).filter(|removal| removal.last < line.seq);
        let Some(removal) = removal else {
            return self.find_here(
                Attack::Inserted,
                line.seq,
                "it does not say what was removed",
            );
        };
        // Segments are removed oldest first, so the removals on record have no gap between them.
        if let Some(before) = self.removed_through
            && removal.first > before + 1
        {
            let detail = format!(
                "records {} to {} were removed, but nothing before says so",
                before + 1,
                removal.first - 1
            );
            self.find_here(Attack::Deleted, before + 1, detail);
        }
        self.removed_through = self.removed_through.max(Some(removal.last));
        let Some(beginning) = &mut self.beginning else {
            return;
        };
        beginning.cover(&removal, line.seq);
        let first_here = beginning.first;
        // A segment that is still here was put on record and not removed, as after a crash.
        if removal.last >= first_here {
            return;
        }
        let Some(limits) = self.options.retention else {
            return;
        };
        // The removed records are gone, but their age is at most that of their last seal, and
        // their size is bounded by their number.
        let why = match removal.reason {
            Reason::Age => self.contradicts_age(line, &removal, &limits),
            Reason::Size => self.contradicts_size(&removal, first_here, &limits),
        };
        if let Some(why) = why {
            let detail = format!(
                "records {} to {} were pruned early: {why}. If other limits applied then, \
                 give those",
                removal.first, removal.last
            );
            self.find_here(Attack::PrunedEarly, removal.first, detail);
        }
    }

    fn contradicts_age(
        &self,
        line: &RecordLine<'_>,
        removal: &Removal,
        limits: &Limits,
    ) -> Option<String> {
        let Some(limit) = limits.age else {
            return Some("retain_days is not set".to_owned());
        };
        let KeptSeals::Here { times, .. } = &self.seals else {
            return None;
        };
        // The last seal up to the last removed record; none if its time is not kept any more.
        let after = times.partition_point(|(seal, _)| *seal <= removal.last);
        let sealed = times.get(after.checked_sub(1)?)?.1;
        (line.ts.since(sealed) + super::CLOCK_TOLERANCE <= limit).then(|| {
            format!(
                "their last seal is of {sealed}, and {} days before {} is not past",
                limit.as_secs() / 86_400,
                line.ts
            )
        })
    }

    fn contradicts_size(
        &self,
        removal: &Removal,
        first_here: u64,
        limits: &Limits,
    ) -> Option<String> {
        let Some(limit) = limits.bytes else {
            return Some("retain_bytes is not set".to_owned());
        };
        // The removed records and those that were removed after them, the records from there to
        // this one, and torn bytes. If all of it is below the limit, so was the log.
        let most = (first_here - removal.first)
            .saturating_mul(MAX_LINE_BYTES as u64)
            .saturating_add(self.report.bytes)
            .saturating_add(MAX_TORN_BYTES as u64);
        (most < limit)
            .then(|| format!("the log had {most} bytes then at most, and retain_bytes is {limit}"))
    }

    /// Takes records of removals after a break.
    pub(super) fn observe_removal(&mut self, line: &RecordLine<'_>, text: &[u8]) {
        if let Some(beginning) = &mut self.beginning
            && line.log_event() == Some(LogEventType::Pruned)
            && let Some(removal) = members(text).and_then(|members| Removal::read(&members))
        {
            beginning.cover(&removal, line.seq);
        }
    }

    /// At the end of the log: the note or finding for the missing part.
    pub(super) fn judge_beginning(&mut self) {
        let Some(beginning) = self.beginning.take() else {
            return;
        };
        let last = beginning.first - 1;
        // A segment is removed after the record of its removal is sealed, so an unsealed record
        // was written by somebody without the key. After a break, the break is reported instead.
        let is_broken = !self.report.findings.is_empty();
        let is_good = |record| is_broken || record <= self.report.sealed_through;
        if beginning.removal.is_some_and(is_good) {
            self.report.pruned_through = last;
            let text = format!(
                "records 1 to {last} were removed by retention, on record: the log is complete \
                 from here on. The seals that were kept prove the keys of what was removed, and \
                 not its records"
            );
            self.note(NoteKind::Pruned, beginning.first, text);
        } else {
            // A deleted beginning also looks like a swapped segment: it is reported once.
            let findings = &mut self.report.findings;
            findings.retain(|found| found.attack != Attack::SegmentSwapped);
            findings.insert(0, beginning.evidence.judge());
        }
    }
}

impl KeptSeals {
    fn location(&self) -> Location {
        match self {
            Self::Unknown => Location::default(),
            Self::Missing(location) | Self::Here { location, .. } => location.clone(),
        }
    }
}

impl MissingBeginning {
    /// Takes the record of a removal, if it is of exactly the missing part.
    fn cover(&mut self, removal: &Removal, record: u64) {
        let is_it = removal.last + 1 == self.first
            && removal.last_hash.as_bytes() == self.follows
            && self.epoch == Some(removal.epoch);
        if is_it {
            self.removal.get_or_insert(record);
        }
    }

    pub(super) fn observe(&mut self, line: Option<&RecordLine<'_>>, text: &[u8]) {
        self.evidence.observe(line, text);
    }

    pub(super) fn begin_source(&mut self) {
        self.evidence.begin_source();
    }
}

fn finding(attack: Attack, record: u64, location: &Location, detail: &str) -> Finding {
    Finding {
        attack,
        record,
        source: location.source.clone(),
        line: location.line,
        detail: detail.to_owned(),
    }
}

const _: () = assert!(MAX_TIMES * size_of::<(u64, Timestamp)>() <= 1 << 20);
