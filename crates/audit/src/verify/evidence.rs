//! After the break: what the rest of the log says of what was done.

use super::chain::Spot;
use super::report::{Attack, Finding};
use crate::key::PublicKey;
use crate::line::Line;
use crate::record::Head;
use crate::tail::members;
use crate::text::Hex;
use serde_json::Value;

/// Where and how the chain broke.
pub(super) struct Break {
    /// The last good record.
    pub(super) head: Head,
    /// The record that does not follow, and what it says it follows.
    pub(super) found: Option<(Head, Hex)>,
    pub(super) rubbish_lines: u64,
    pub(super) rubbish_ended: bool,
    pub(super) at_boundary: bool,
    pub(super) after_rotation: bool,
    /// It is a record such as segments begin with.
    pub(super) begins_segment: bool,
    /// It has been here before.
    pub(super) repeats: bool,
    /// It goes on from an earlier record.
    pub(super) branches_off: bool,
    pub(super) log_id: Option<String>,
    pub(super) epoch: Option<(u64, PublicKey)>,
    pub(super) spot: Spot,
}

struct BadSeal {
    from: u64,
    seal: u64,
    /// Good by the key it names, which is not the key it had to be.
    own: bool,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

pub(super) struct Evidence {
    at: Break,
    /// The record that was to follow comes later; in the same file.
    follows_later: bool,
    follows_here: bool,
    /// What the record that does not follow goes on from comes later.
    is_from_later: bool,
    /// The record that does not follow stands there once more.
    comes_again: bool,
    /// In another file.
    comes_again_elsewhere: bool,
    /// Whether the record after it in its file goes on from it.
    is_gone_on_from: Option<bool>,
    observed: u64,
    /// Files begun since.
    sources: u64,
    /// A later record is another log's.
    is_foreign: bool,
    /// The next seal is as it should be, or not.
    next_seal: Option<bool>,
    seal: Option<BadSeal>,
}

impl Evidence {
    pub(super) fn new(at: Break) -> Self {
        Self {
            at,
            follows_later: false,
            follows_here: false,
            is_from_later: false,
            comes_again: false,
            comes_again_elsewhere: false,
            is_gone_on_from: None,
            observed: 0,
            sources: 0,
            is_foreign: false,
            next_seal: None,
            seal: None,
        }
    }

    pub(super) fn bad_seal(
        &mut self,
        from: u64,
        seal: u64,
        own: bool,
        signed: &[u8],
        signature: &[u8],
    ) {
        self.seal = Some(BadSeal {
            from,
            seal,
            own,
            signed: signed.to_owned(),
            signature: signature.to_owned(),
        });
    }

    pub(super) fn begin_source(&mut self) {
        self.sources += 1;
    }

    pub(super) fn observe(&mut self, line: Option<&Line<'_>>, raw: &[u8]) {
        let Some(line) = line else { return };
        self.observed += 1;
        self.observe_place(line);
        if !matches!(
            line.event_type,
            b"log.open" | b"log.resumed" | b"log.sealed"
        ) {
            return;
        }
        let Some(members) = members(raw) else { return };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let (Some(ours), Some(theirs)) = (&self.at.log_id, text("log_id")) {
            self.is_foreign |= ours != theirs;
        }
        let key = |name: &str| text(name).and_then(|text| text.parse::<PublicKey>().ok());
        for key in [key("key"), key("next_key")].into_iter().flatten() {
            self.try_key(&key);
        }
        if let (Some((signed, signature)), Some((epoch, expected))) =
            (line.signature, self.at.epoch)
        {
            let right = expected.verifies(signed, signature);
            self.next_seal.get_or_insert(right);
            let is_same_epoch = members.get("epoch").and_then(Value::as_u64) == Some(epoch);
            self.is_foreign |= is_same_epoch && key("key") != Some(expected);
        }
    }

    fn observe_place(&mut self, line: &Line<'_>) {
        let (is_same_file, follows) = (self.sources == 0, line.follows(&self.at.head));
        self.follows_later |= follows;
        self.follows_here |= follows && is_same_file;
        let Some((found, prev)) = &self.at.found else {
            return;
        };
        self.is_from_later |= prev == line.event_hash;
        if self.observed > 1 && *found == line.head() {
            self.comes_again = true;
            self.comes_again_elsewhere |= !is_same_file;
        }
        if self.observed == 2 && is_same_file {
            self.is_gone_on_from = Some(line.follows(found));
        }
    }

    /// Whether the bad seal was made with a key that came later.
    fn try_key(&mut self, key: &PublicKey) {
        if let Some(seal) = &mut self.seal
            && !seal.own
        {
            seal.own = key.verifies(&seal.signed, &seal.signature);
        }
    }

    /// Which record of the log is the first that may be bad.
    pub(super) fn begins_at(&self) -> u64 {
        let bad_seal = self.seal.as_ref().map(|seal| seal.from);
        bad_seal.unwrap_or(self.at.head.seq + 1)
    }

    pub(super) fn judge(self) -> Finding {
        let (attack, record, detail) = match (&self.seal, self.at.found) {
            (Some(seal), _) => judge_seal(seal),
            (None, Some((found, prev))) if self.at.rubbish_lines == 0 => {
                self.judge_link(&found, &prev)
            }
            (None, found) => self.judge_rubbish(found.map(|(head, _)| head)),
        };
        Finding {
            attack,
            record,
            source: self.at.spot.source,
            line: self.at.spot.line,
            detail,
        }
    }

    fn judge_rubbish(&self, next: Option<Head>) -> (Attack, u64, String) {
        let wanted = self.at.head.seq + 1;
        // A lost newline makes one line of two: one more may be missing than there
        // are lines.
        let attack = match next.map(|head| head.seq) {
            _ if !self.at.rubbish_ended && self.at.at_boundary => Attack::Truncated,
            Some(seq) if seq == wanted && self.follows_later => Attack::Inserted,
            Some(seq) if seq < wanted || seq > wanted + self.at.rubbish_lines + 1 => {
                Attack::Spliced
            }
            _ => Attack::Edited,
        };
        (
            attack,
            wanted,
            "this line is not a record as it was written".to_owned(),
        )
    }

    fn judge_link(&self, found: &Head, prev: &Hex) -> (Attack, u64, String) {
        let (head, wanted) = (&self.at.head, self.at.head.seq + 1);
        let numbers = format!("record {} stands where record {wanted} should", found.seq);
        if self.is_about_a_segment() {
            return self.judge_segment(found, &numbers);
        }
        if self.is_foreign && !self.follows_later {
            return (
                Attack::Spliced,
                wanted,
                format!("{numbers}, from another log"),
            );
        }
        match found.seq {
            seq if seq > wanted && self.follows_later => {
                if self.is_from_later && !self.comes_again {
                    (Attack::Reordered, wanted, numbers)
                } else {
                    (Attack::Inserted, wanted, numbers)
                }
            }
            seq if seq > wanted => (Attack::Deleted, wanted, numbers),
            seq if seq < wanted && self.at.repeats => (Attack::Duplicated, seq, numbers),
            seq if seq < wanted && self.follows_later => (Attack::Inserted, seq, numbers),
            seq if seq < wanted && self.at.branches_off && self.next_seal == Some(true) => (
                Attack::Inserted,
                seq,
                format!("{numbers}: something was put before it"),
            ),
            seq if seq < wanted => (Attack::Forked, seq, numbers),
            _ if self.follows_later => (
                Attack::Inserted,
                wanted,
                "it does not follow the record before it".to_owned(),
            ),
            _ => {
                debug_assert!(prev != &head.hash);
                let detail = "the next record follows another one than this".to_owned();
                (Attack::Edited, head.seq.max(1), detail)
            }
        }
    }

    /// Whether a file begins with what does not follow, and goes on from that: then
    /// it is all of the file, and not a record that was put before it.
    fn is_about_a_segment(&self) -> bool {
        let is_first_file = self.at.head.seq == 0 && self.comes_again_elsewhere;
        let is_put_before = self.is_gone_on_from == Some(false) || self.follows_here;
        (self.at.at_boundary || is_first_file) && !is_put_before
    }

    fn judge_segment(&self, found: &Head, numbers: &str) -> (Attack, u64, String) {
        let wanted = self.at.head.seq + 1;
        let is_elsewhere = self.follows_later || self.is_foreign || self.comes_again_elsewhere;
        let (attack, why) = match (self.at.after_rotation, self.at.begins_segment) {
            _ if found.seq <= wanted || is_elsewhere => (Attack::SegmentSwapped, ""),
            (true, true) => (Attack::Deleted, ": a segment is missing"),
            (false, true) => (Attack::Truncated, ": the segment before was cut"),
            (_, false) => (Attack::Deleted, ": the segment's beginning is missing"),
        };
        (attack, wanted, format!("{numbers}{why}"))
    }
}

fn judge_seal(seal: &BadSeal) -> (Attack, u64, String) {
    let range = format!("records {} to {}", seal.from, seal.seal);
    if seal.own {
        (
            Attack::Resealed,
            seal.from,
            format!("{range} were sealed with another key than theirs"),
        )
    } else {
        (
            Attack::Rewritten,
            seal.from,
            format!("{range} are not what was sealed"),
        )
    }
}
