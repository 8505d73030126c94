//! A log whose beginning retention removed: whether the removal is on record.
//!
//! The first record that is left names its epoch, whose key [`super::kept_seals`] proves. Which
//! records were removed is in a `log.pruned` record, which comes later in the log. Until it is
//! read, evidence is also collected for the other case: that the beginning was deleted.

use super::kept_seals::KeptSeals;
use super::{Chain, CurrentKey};
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::MAX_LINE_BYTES;
use crate::tail::{MAX_TORN_BYTES, members, ordinal};
use crate::text::Hex;
use crate::verify::evidence::Evidence;
use crate::verify::report::{Attack, NoteKind};
use pulse_core::audit_log::retention::{Limits, Reason};
use serde_json::Value;

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
