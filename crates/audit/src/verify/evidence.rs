//! After the break: what the rest of the log says of what was done.

use super::chain::Spot;
use super::report::{Attack, Finding};
use crate::key::PublicKey;
use crate::line::Line;
use crate::record::Head;
use crate::tail::members;
use crate::text::Hex;

/// How many records' hashes are remembered.
const REMEMBERED: usize = 1 << 17;

/// The last records' numbers and hashes, by the first eight digits.
pub(super) struct Recent(Vec<(u64, [u8; 8])>);

impl Recent {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, line: &Line<'_>) {
        let entry = (line.seq, digits(line.event_hash));
        match usize::try_from(line.seq).unwrap_or(0) % REMEMBERED {
            // Grows as the log does, until it goes round.
            place if place < self.0.len() => self.0[place] = entry,
            place => {
                self.0.resize(place, (0, [0; 8]));
                self.0.push(entry);
            }
        }
    }

    fn get(&self, seq: u64) -> Option<[u8; 8]> {
        let place = usize::try_from(seq).unwrap_or(0) % REMEMBERED;
        let (found, hash) = self.0.get(place)?;
        (*found == seq && seq > 0).then_some(*hash)
    }

    /// Whether it has been here before.
    pub(super) fn has(&self, line: &Line<'_>) -> bool {
        self.get(line.seq) == Some(digits(line.event_hash))
    }

    /// Whether it goes on from a record that something else went on from.
    pub(super) fn is_successor(&self, line: &Line<'_>) -> bool {
        line.seq > 1 && self.get(line.seq - 1) == Some(digits(line.prev_hash))
    }
}

fn digits(hash: &Hex) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    first
}

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
    /// The record that was to follow comes later.
    follows_later: bool,
    /// What the record that does not follow goes on from comes later.
    is_from_later: bool,
    /// The record that does not follow stands there once more.
    comes_again: bool,
    observed: u64,
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
            is_from_later: false,
            comes_again: false,
            observed: 0,
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

    pub(super) fn observe(&mut self, line: Option<&Line<'_>>, text: &[u8]) {
        let Some(line) = line else { return };
        self.observed += 1;
        self.follows_later |= line.follows(&self.at.head);
        if let Some((found, prev)) = &self.at.found {
            self.is_from_later |= prev == line.event_hash;
            self.comes_again |= self.observed > 1 && *found == line.head();
        }
        if !matches!(
            line.event_type,
            b"log.open" | b"log.resumed" | b"log.sealed"
        ) {
            return;
        }
        let Some(members) = members(text) else { return };
        if let (Some(ours), Some(theirs)) = (&self.at.log_id, members["log_id"].as_str()) {
            self.is_foreign |= ours != theirs;
        }
        let key = |name: &str| {
            members[name]
                .as_str()
                .and_then(|text| text.parse::<PublicKey>().ok())
        };
        for key in [key("key"), key("next_key")].into_iter().flatten() {
            self.try_key(&key);
        }
        if let (Some((signed, signature)), Some((epoch, expected))) =
            (line.signature, self.at.epoch)
        {
            let right = expected.verifies(signed, signature);
            self.next_seal.get_or_insert(right);
            self.is_foreign |=
                members["epoch"].as_u64() == Some(epoch) && key("key") != Some(expected);
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
        if self.at.at_boundary {
            return self.judge_segment(found, numbers);
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
                match self.is_from_later && !self.comes_again {
                    true => (Attack::Reordered, wanted, numbers),
                    false => (Attack::Inserted, wanted, numbers),
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

    fn judge_segment(&self, found: &Head, numbers: String) -> (Attack, u64, String) {
        let wanted = self.at.head.seq + 1;
        let is_gap = found.seq > wanted && !self.follows_later && !self.is_foreign;
        match (is_gap, self.at.after_rotation) {
            (true, true) => (
                Attack::Deleted,
                wanted,
                format!("{numbers}: a segment is missing"),
            ),
            (true, false) => (
                Attack::Truncated,
                wanted,
                format!("{numbers}: the segment before was cut"),
            ),
            (false, _) => (Attack::SegmentSwapped, wanted, numbers),
        }
    }
}

fn judge_seal(seal: &BadSeal) -> (Attack, u64, String) {
    let range = format!("records {} to {}", seal.from, seal.seal);
    match seal.own {
        true => (
            Attack::Resealed,
            seal.from,
            format!("{range} were sealed with another key than theirs"),
        ),
        false => (
            Attack::Rewritten,
            seal.from,
            format!("{range} are not what was sealed"),
        ),
    }
}
