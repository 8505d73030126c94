//! The latest records, for recognising repetitions.
//!
//! Half of each hash is kept, 128 bits, which cannot be matched. A shorter prefix could: a
//! forger finds a record with the same eight digits within minutes, and it would be taken for
//! a repetition.

use crate::line::RecordLine;
use crate::text::Hex;

/// The number of records that are kept.
const REMEMBERED: usize = 1 << 17;

/// The numbers and half hashes of the latest records.
pub(super) struct RecentRecords(Vec<(u64, [u8; 16])>);

impl RecentRecords {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, line: &RecordLine<'_>) {
        let entry = (line.seq, half(line.event_hash));
        let place = usize::try_from(line.seq).unwrap_or(0) % REMEMBERED;
        if let Some(found) = self.0.get_mut(place) {
            *found = entry;
        } else {
            // The buffer grows with the log, until it is used as a ring.
            self.0.resize(place, (0, [0; 16]));
            self.0.push(entry);
        }
    }

    fn get(&self, seq: u64) -> Option<[u8; 16]> {
        let (found, hash) = self.0.get(usize::try_from(seq).unwrap_or(0) % REMEMBERED)?;
        // Unused places have number 0, which no record has.
        (*found == seq && seq > 0).then_some(*hash)
    }

    /// True when it is one of them.
    pub(super) fn has(&self, line: &RecordLine<'_>) -> bool {
        self.get(line.seq) == Some(half(line.event_hash))
    }

    /// True when it follows one of them.
    pub(super) fn is_successor(&self, line: &RecordLine<'_>) -> bool {
        line.seq > 1 && self.get(line.seq - 1) == Some(half(line.prev_hash))
    }
}

fn half(hash: &Hex) -> [u8; 16] {
    // The hash has checked digits: the lower four bits of `0` to `9` are the value, those of `a`
    // to `f` are 1 to 6.
    let value = |digit: u8| (digit & 15) + if digit > b'9' { 9 } else { 0 };
    let (pairs, _) = hash.as_chunks::<2>();
    let mut half = [0; 16];
    for (byte, [high, low]) in half.iter_mut().zip(pairs) {
        *byte = value(*high) << 4 | value(*low);
    }
    half
}
