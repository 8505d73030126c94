//! Evidence of what was done to a log: the records after the first break of its chain.
//!
//! The break alone does not tell an edit from an insertion, a deletion or a swapped file:
//! in all of them some record does not follow the one before. So the rest of the log is
//! read, and four questions are asked of it. Does the record that should have followed
//! come later, and in which file? Does the record that came instead appear once more? Does
//! its own predecessor come later? Is the next seal good? [`Evidence::judge`] turns the
//! answers into one finding.

use super::chain::{AnnouncedKey, Location};
use super::report::{Attack, Finding};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::Head;
use crate::tail::members;
use crate::text::Hex;
use serde_json::Value;

/// The chain as it was at the break, and what broke it.
pub(super) struct Break {
    /// The last good record.
    pub(super) head: Head,
    pub(super) log_id: Option<String>,
    /// The key that the next seal has to be made with.
    pub(super) key: Option<AnnouncedKey>,
    pub(super) location: Location,
    pub(super) cause: Cause,
}

pub(super) enum Cause {
    /// Lines that are not records.
    Stray {
        lines: u64,
        /// The last of them ends with a newline.
        ended: bool,
        /// The next record begins a file.
        at_boundary: bool,
        /// The record after them.
        next: Head,
    },
    /// A record that does not follow the last good one.
    Link(BrokenLink),
    /// A seal that the current key did not make.
    Seal(BadSeal),
}

pub(super) struct BrokenLink {
    /// The record that does not follow, and the hash that it names as the one before.
    pub(super) found: Head,
    pub(super) prev: Hex,
    /// It begins a file.
    pub(super) at_boundary: bool,
    /// The last good record ended a file (`log.rotated`).
    pub(super) after_rotation: bool,
    /// It is a record such as files begin with (`log.resumed`).
    pub(super) begins_segment: bool,
    pub(super) origin: Origin,
}

/// The relation of the record that does not follow to the records before the break.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// They contain it.
    Repeated,
    /// They contain its predecessor: it is a second continuation of that.
    Branch,
    Unknown,
}

/// A seal over the records `from` to `seal`.
pub(super) struct BadSeal {
    pub(super) from: u64,
    pub(super) seal: u64,
    /// A key made it that is in the log, but not the current one.
    pub(super) by_other_key: bool,
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// A record that is looked for behind the break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    No,
    InSameFile,
    InLaterFile,
}

pub(super) struct Evidence {
    at: Break,
    /// The record that should have followed, where it was seen first.
    successor: Seen,
    /// The record of the broken link, where it was seen last once more.
    repetition: Seen,
    /// The predecessor of the broken link comes later.
    has_predecessor: bool,
    /// True if the next record of the file follows the broken link; none without one.
    is_continued: Option<bool>,
    observed: u64,
    /// Files begun since the break.
    files: u64,
    /// A later record belongs to another log.
    is_foreign: bool,
    /// True if the next seal is made with the current key; none before one is read.
    next_seal: Option<bool>,
}

impl Evidence {
    pub(super) fn new(at: Break) -> Self {
        Self {
            at,
            successor: Seen::No,
            repetition: Seen::No,
            has_predecessor: false,
            is_continued: None,
            observed: 0,
            files: 0,
            is_foreign: false,
            next_seal: None,
        }
    }

    pub(super) fn begin_source(&mut self) {
        self.files += 1;
    }

    /// Takes a line behind the break, the record of the break itself first.
    pub(super) fn observe(&mut self, line: Option<&RecordLine<'_>>, raw: &[u8]) {
        let Some(line) = line else { return };
        self.observed += 1;
        let place = if self.files == 0 {
            Seen::InSameFile
        } else {
            Seen::InLaterFile
        };
        if self.successor == Seen::No && line.follows(&self.at.head) {
            self.successor = place;
        }
        if let Cause::Link(link) = &self.at.cause {
            self.has_predecessor |= link.prev == *line.event_hash;
            // The first line observed is the broken link itself, and no repetition of it.
            if self.observed > 1 && link.found == line.head() {
                self.repetition = self.repetition.max(place);
            }
            if self.observed == 2 && place == Seen::InSameFile {
                self.is_continued = Some(line.follows(&link.found));
            }
        }
        // Only these name a log or a key; other records are not parsed.
        if !matches!(
            line.log_event(),
            Some(LogEventType::Open | LogEventType::Resumed | LogEventType::Sealed)
        ) {
            return;
        }
        let Some(members) = members(raw) else { return };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let (Some(ours), Some(theirs)) = (&self.at.log_id, text("log_id")) {
            self.is_foreign |= ours != theirs;
        }
        let key = |name: &str| text(name).and_then(|text| text.parse::<PublicKey>().ok());
        // A seal made with a key that the log names only later was made by somebody who has
        // that key; one that no key fits covers records that were changed.
        for key in [key("key"), key("next_key")].into_iter().flatten() {
            if let Cause::Seal(seal) = &mut self.at.cause
                && !seal.by_other_key
            {
                seal.by_other_key = key.verifies(&seal.signed, &seal.signature);
            }
        }
        if let (Some((signed, signature)), Some(current)) = (line.signature, self.at.key) {
            self.next_seal
                .get_or_insert_with(|| current.key.verifies(signed, signature));
            // Each epoch of a log has one key.
            self.is_foreign |= members.get("epoch").and_then(Value::as_u64) == Some(current.epoch)
                && key("key") != Some(current.key);
        }
    }

    /// The first record that may be bad.
    pub(super) fn begins_at(&self) -> u64 {
        match &self.at.cause {
            Cause::Seal(seal) => seal.from,
            Cause::Stray { .. } | Cause::Link(_) => self.at.head.seq + 1,
        }
    }

    pub(super) fn judge(self) -> Finding {
        let wanted = self.at.head.seq + 1;
        let (attack, record, detail) = match &self.at.cause {
            Cause::Seal(seal) => {
                let (attack, what) = if seal.by_other_key {
                    (Attack::Resealed, "were sealed with another key than theirs")
                } else {
                    (Attack::Rewritten, "are not what was sealed")
                };
                let detail = format!("records {} to {} {what}", seal.from, seal.seal);
                (attack, seal.from, detail)
            }
            Cause::Link(link) => self.judge_link(link),
            Cause::Stray {
                lines,
                ended,
                at_boundary,
                next,
            } => {
                let attack = if !ended && *at_boundary {
                    Attack::Truncated
                } else if next.seq == wanted && self.successor != Seen::No {
                    Attack::Inserted
                // A lost newline makes one line of two records, so as many records as lines, and
                // one more, may have been in their place.
                } else if next.seq < wanted || next.seq > wanted + lines + 1 {
                    Attack::Spliced
                } else {
                    Attack::Edited
                };
                let detail = "this line is not a record as it was written".to_owned();
                (attack, wanted, detail)
            }
        };
        Finding {
            attack,
            record,
            source: self.at.location.source,
            line: self.at.location.line,
            detail,
        }
    }

    fn judge_link(&self, link: &BrokenLink) -> (Attack, u64, String) {
        let (head, wanted) = (&self.at.head, self.at.head.seq + 1);
        let numbers = format!(
            "record {} stands where record {wanted} should",
            link.found.seq
        );
        if self.is_about_a_segment(link) {
            return self.judge_segment(link, &numbers);
        }
        let has_successor = self.successor != Seen::No;
        if self.is_foreign && !has_successor {
            return (
                Attack::Spliced,
                wanted,
                format!("{numbers}, from another log"),
            );
        }
        match link.found.seq {
            // Two records that changed places: each is there once, and the one that came too
            // early has its predecessor behind it. A copy that was put in has its own record
            // behind it instead.
            seq if seq > wanted && has_successor => {
                if self.has_predecessor && self.repetition == Seen::No {
                    (Attack::Reordered, wanted, numbers)
                } else {
                    (Attack::Inserted, wanted, numbers)
                }
            }
            seq if seq > wanted => (Attack::Deleted, wanted, numbers),
            seq if seq < wanted && link.origin == Origin::Repeated => {
                (Attack::Duplicated, seq, numbers)
            }
            seq if seq < wanted && has_successor => (Attack::Inserted, seq, numbers),
            // The log continues from an earlier record and its next seal is good: so the records
            // that were verified since that one are the ones that were inserted.
            seq if seq < wanted
                && link.origin == Origin::Branch
                && self.next_seal == Some(true) =>
            {
                let detail = format!("{numbers}: something was inserted before it");
                (Attack::Inserted, seq, detail)
            }
            seq if seq < wanted => (Attack::Forked, seq, numbers),
            _ if has_successor => (
                Attack::Inserted,
                wanted,
                "it does not follow the record before it".to_owned(),
            ),
            // The right number after the wrong hash: the record before it was changed, with
            // its own hash recomputed.
            _ => {
                debug_assert!(link.prev != head.hash);
                let detail = "the next record follows another one than this".to_owned();
                (Attack::Edited, head.seq.max(1), detail)
            }
        }
    }

    /// True when a whole file is out of place: it begins with the broken link and continues from
    /// there. Otherwise a record was inserted before the file's first one.
    fn is_about_a_segment(&self, link: &BrokenLink) -> bool {
        // The log's first file has no boundary before it.
        let is_first_file = self.at.head.seq == 0 && self.repetition == Seen::InLaterFile;
        (link.at_boundary || is_first_file)
            && self.is_continued != Some(false)
            && self.successor != Seen::InSameFile
    }

    fn judge_segment(&self, link: &BrokenLink, numbers: &str) -> (Attack, u64, String) {
        let wanted = self.at.head.seq + 1;
        let is_elsewhere =
            self.successor != Seen::No || self.is_foreign || self.repetition == Seen::InLaterFile;
        let (attack, why) = match (link.after_rotation, link.begins_segment) {
            _ if link.found.seq <= wanted || is_elsewhere => (Attack::SegmentSwapped, ""),
            (true, true) => (Attack::Deleted, ": a segment is missing"),
            (false, true) => (Attack::Truncated, ": the segment before was cut"),
            (_, false) => (Attack::Deleted, ": the segment's beginning is missing"),
        };
        (attack, wanted, format!("{numbers}{why}"))
    }
}
