//! `audit.seals`: the lines of the seals of removed segments, unchanged.
//!
//! The file only grows, and its last seal says where to continue. A crash may leave a part of
//! an append, with garbage after it; the segment is still there then, so incomplete lines are
//! cut off and appended again. If the last seal does not lead to those of the segment for
//! another reason, nothing is removed.

use super::scan::Seal;
use super::{PruneError, ScannedSegment};
use crate::line::RecordLine;
use crate::storage::{SEALS, Storage};
use crate::watch::Watch;
use std::io;

/// More bytes than a crash can leave incomplete at the end: the seals of one slice, and a torn
/// line.
const END: u64 = 512 * 1024;

/// The end of the file, in relation to the segment whose seals are appended.
pub(super) struct SealsFile {
    overlap: Overlap,
    /// The length of the file that is on disk.
    pub(super) length: u64,
}

/// The relation between the last seal in the file and the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// It is before the segment.
    Before,
    /// It is this one of the segment, which is not reached yet: an interrupted removal has
    /// appended the seals up to it.
    Within(Seal),
    /// It is one of the segment, and was passed.
    Passed,
}

impl SealsFile {
    /// Prepares the file for a segment's seals: cuts off incomplete lines. Bytes after `synced`
    /// were appended without a successful sync and may vanish in a power failure even if they
    /// can be read now, so they are cut off as well.
    ///
    /// # Errors
    /// [`PruneError`], also when the last seal does not lead to the segment.
    pub(super) fn before(
        storage: &mut impl Storage,
        watch: &mut Watch,
        segment: &ScannedSegment,
        synced: Option<u64>,
    ) -> Result<Self, PruneError> {
        if let Some(synced) = synced
            && length(storage)? > synced
        {
            cut(storage, watch, synced)?;
        }
        let end = End::read(storage)?;
        let (first, Some(last)) = (segment.first_seal, end.last) else {
            // The file has no seal: its bytes are of an interrupted first append, which was for the
            // segment that begins with record 1.
            let is_new = segment.first == 1 || end.whole == end.length;
            return if segment.first_seal.is_none() || (is_new && end.whole == 0) {
                end.cut(
                    storage,
                    watch,
                    segment.first_seal.is_some(),
                    Overlap::Before,
                )
            } else {
                Err(segment.other_seals())
            };
        };
        let overlap = match last.head.seq {
            // Segments are removed oldest first, so the file cannot have a later seal.
            seq if seq > segment.end.seq => None,
            seq if seq >= segment.first => Some(Overlap::Within(last)),
            _ => first
                .is_none_or(|first| match first.epoch.checked_sub(last.epoch) {
                    Some(1) => first.key == last.next_key,
                    // A segment was moved away by hand: seals are missing in between, which
                    // verifiers report. But if the file also has incomplete lines, these may have
                    // been the missing seals, so the append must be repeated from an earlier
                    // segment.
                    Some(2..) => end.whole == end.length,
                    _ => false,
                })
                .then_some(Overlap::Before),
        };
        match overlap {
            Some(overlap) => end.cut(storage, watch, first.is_some(), overlap),
            None => Err(segment.other_seals()),
        }
    }

    /// Takes the segment's next seal: adds its line to `lines` unless the file has it. False when
    /// the file has another seal in its place.
    pub(super) fn take(&mut self, seal: &Seal, line: &[u8], lines: &mut Vec<u8>) -> bool {
        match self.overlap {
            Overlap::Within(last) if *seal == last => self.overlap = Overlap::Passed,
            Overlap::Within(last) => return seal.head.seq < last.head.seq,
            Overlap::Before | Overlap::Passed => lines.extend_from_slice(line),
        }
        true
    }

    /// True when the file's last seal was passed, or is not one of the segment.
    pub(super) fn is_passed(&self) -> bool {
        !matches!(self.overlap, Overlap::Within(_))
    }
}

impl ScannedSegment {
    fn other_seals(&self) -> PruneError {
        PruneError::OtherSeals {
            segment: self.name.clone(),
        }
    }
}

/// The end of the file.
struct End {
    /// The last complete seal.
    last: Option<Seal>,
    /// The offset of its end.
    whole: u64,
    length: u64,
}

impl End {
    fn read(storage: &impl Storage) -> Result<Self, PruneError> {
        let length = length(storage)?;
        let from = length.saturating_sub(END);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
        if length > 0 {
            let read = storage
                .read_at(SEALS, from, &mut bytes)
                .map_err(PruneError::while_doing("read audit.seals"))?;
            bytes.truncate(read);
        }
        let (last, end) = last_seal(&bytes);
        Ok(Self {
            last,
            whole: from + end as u64,
            length,
        })
    }

    fn cut(
        self,
        storage: &mut impl Storage,
        watch: &mut Watch,
        is_wanted: bool,
        overlap: Overlap,
    ) -> Result<SealsFile, PruneError> {
        // Without a seal to append, incomplete lines are left to the next removal.
        if is_wanted && self.whole < self.length {
            cut(storage, watch, self.whole)?;
        }
        Ok(SealsFile {
            overlap,
            length: self.whole,
        })
    }
}

fn length(storage: &impl Storage) -> Result<u64, PruneError> {
    match storage.length(SEALS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        length => length.map_err(PruneError::while_doing("look at audit.seals")),
    }
}

fn cut(storage: &mut impl Storage, watch: &mut Watch, length: u64) -> Result<(), PruneError> {
    let outcome = storage.cut(SEALS, length);
    watch.learn(storage, SEALS);
    outcome.map_err(PruneError::while_doing("cut torn bytes off audit.seals"))
}

/// The last line that is a seal, and the offset of its end.
fn last_seal(bytes: &[u8]) -> (Option<Seal>, usize) {
    let mut rest = bytes;
    while let Some(newline) = memchr::memrchr(b'\n', rest) {
        rest = rest.get(..newline).unwrap_or_default();
        let text = rest
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        // The hash distinguishes a complete line from one with garbage in it. The signature is not
        // verified: it was, when the segment was read.
        let record = RecordLine::parse(text).filter(RecordLine::is_whole);
        if let Some(seal) = record.and_then(|record| Seal::read(&record, text)) {
            return (Some(seal), newline + 1);
        }
    }
    (None, 0)
}
