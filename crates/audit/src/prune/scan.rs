//! Reading a segment in slices, and checking its chain.

use super::PruneError;
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::{Head, MAX_LINE_BYTES};
use crate::storage::{Storage, segment_start};
use crate::tail::{Epoch, Tail, members, ordinal};
use crate::time::Timestamp;

/// Bytes per slice, about a millisecond of work.
const SLICE: usize = 256 * 1024;

/// A seal of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) head: Head,
    pub(super) epoch: u64,
    /// The key that made it, and the key that it announces.
    pub(super) key: PublicKey,
    pub(super) next_key: PublicKey,
}

/// A segment that is being read.
pub(super) struct Scan {
    pub(super) segment: String,
    pub(super) first: u64,
    /// The number that its last record must have.
    last: u64,
    length: u64,
    /// The offset of the next line.
    offset: u64,
    tail: Tail,
    ts: Timestamp,
    /// Its first seal, and the bytes of all seals so far.
    pub(super) first_seal: Option<Seal>,
    pub(super) seal_bytes: u64,
}

/// The outcome of a step.
pub(super) enum Slice {
    More,
    End(End),
}

/// The end of an unbroken segment.
pub(super) struct End {
    pub(super) head: Head,
    pub(super) ts: Timestamp,
    pub(super) epoch: u64,
}

impl Scan {
    pub(super) fn of(segment: &str, length: u64, last: u64) -> Self {
        Self {
            segment: segment.to_owned(),
            first: segment_start(segment).unwrap_or(0),
            last,
            length,
            offset: 0,
            tail: Tail::empty(),
            ts: Timestamp::default(),
            first_seal: None,
            seal_bytes: 0,
        }
    }

    /// Reads a slice and gives each seal in it with its line.
    ///
    /// # Errors
    /// [`PruneError::Damaged`] when the chain is broken.
    pub(super) fn step(
        &mut self,
        storage: &impl Storage,
        give: &mut dyn FnMut(&Seal, &[u8]),
    ) -> Result<Slice, PruneError> {
        let mut buffer = vec![0; SLICE];
        let read = storage
            .read_at(&self.segment, self.offset, &mut buffer)
            .map_err(PruneError::while_doing("read the oldest segment"))?;
        // Fewer bytes than a slice before the known length: the file was cut meanwhile.
        let is_last = self.offset + read as u64 >= self.length || read < SLICE;
        let mut rest = buffer.get(..read).unwrap_or_default();
        while let Some(line) = next(rest, is_last) {
            rest = rest.get(line.len()..).unwrap_or_default();
            self.offset += line.len() as u64;
            self.take(line, give)?;
        }
        if !is_last {
            return Ok(Slice::More);
        }
        // The segment's name and the next file's say with which records it begins and ends. A chain
        // that was cut at either end is unbroken as well.
        let first = self.tail.first.map(|(first, _)| first);
        let is_complete = first == Some(self.first)
            && self.tail.torn.is_empty()
            && self.tail.head.seq == self.last;
        match &self.tail.epoch {
            Some(epoch) if is_complete => Ok(Slice::End(End {
                head: self.tail.head,
                ts: self.ts,
                epoch: epoch.number,
            })),
            _ => Err(self.damaged()),
        }
    }

    fn take(&mut self, line: &[u8], give: &mut dyn FnMut(&Seal, &[u8])) -> Result<(), PruneError> {
        // `Tail::take` goes on to the epoch after a seal; the seal is of the one before.
        let before = self.tail.epoch.clone();
        if !self.tail.take(line, self.offset) {
            // Torn bytes that could not be cut off, if the record after them accounts for them.
            self.tail.torn.push(line);
            return if self.tail.torn.is_too_much() {
                Err(self.damaged())
            } else {
                Ok(())
            };
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(record) = RecordLine::parse(text) else {
            return Err(self.damaged());
        };
        self.ts = record.ts;
        if record.log_event() == Some(LogEventType::Sealed) {
            let seal = Seal::of(&record, text, before.as_ref()).ok_or_else(|| self.damaged())?;
            self.first_seal.get_or_insert(seal);
            self.seal_bytes += line.len() as u64;
            give(&seal, line);
        }
        Ok(())
    }

    fn damaged(&self) -> PruneError {
        PruneError::Damaged {
            segment: self.segment.clone(),
            seq: self.tail.head.seq,
        }
    }
}

impl Seal {
    /// The seal in a line, if the key of the current epoch made it. Every segment begins with a
    /// record that names that key.
    fn of(record: &RecordLine<'_>, text: &[u8], epoch: Option<&Epoch>) -> Option<Self> {
        let seal = Self::read(record, text)?;
        let epoch = epoch?;
        let (signed, signature) = record.signature?;
        let is_made_well = seal.key == epoch.key
            && seal.epoch == epoch.number
            && seal.key.verifies(signed, signature);
        is_made_well.then_some(seal)
    }

    /// The seal in a line, without verifying it.
    pub(super) fn read(record: &RecordLine<'_>, text: &[u8]) -> Option<Self> {
        record.signature?;
        let members = members(text)?;
        let key = |name: &str| members.get(name)?.as_str()?.parse().ok();
        Some(Self {
            head: record.head(),
            epoch: ordinal(&members, "epoch")?,
            key: key("key")?,
            next_key: key("next_key")?,
        })
    }
}

/// The next line with its newline, or its first [`MAX_LINE_BYTES`]; at the file's end also an
/// unfinished line.
fn next(rest: &[u8], is_last: bool) -> Option<&[u8]> {
    let window = rest.get(..MAX_LINE_BYTES).unwrap_or(rest);
    match memchr::memchr(b'\n', window) {
        Some(end) => window.get(..=end),
        None if window.len() == MAX_LINE_BYTES || (is_last && !window.is_empty()) => Some(window),
        None => None,
    }
}

/// The first line of a file, with its newline if there is one.
pub(super) fn first_line(storage: &impl Storage, name: &str) -> Result<Vec<u8>, PruneError> {
    let mut buffer = vec![0; MAX_LINE_BYTES];
    let read = storage
        .read_at(name, 0, &mut buffer)
        .map_err(PruneError::while_doing("read the segment after the oldest"))?;
    let line = next(buffer.get(..read).unwrap_or_default(), true).map_or(0, <[u8]>::len);
    buffer.truncate(line);
    Ok(buffer)
}
