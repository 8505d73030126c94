//! `audit.seals`: the seals of segments that were removed, line by line as they stood.
//!
//! The file only grows, and its end tells where to go on. A crash may leave a part of
//! what was appended, with anything behind it; the segment whose seals these were is
//! still there then, so what is no whole line is cut off and appended again. Anything
//! else that does not lead to the segment's seals is no crash: nothing is removed then.

use super::scan::Seal;
use super::{PruneError, ScannedSegment};
use crate::line::RecordLine;
use crate::storage::{SEALS, Storage};
use std::io;

/// More than one slice of a segment has of seals, and a torn line: no crash leaves more
/// at the end that is no line.
const END: u64 = 512 * 1024;

/// The seals that are kept already, as far as one segment has to know.
pub(super) struct SealsFile {
    overlap: Overlap,
    /// The file's length, all of it on disk.
    pub(super) length: u64,
}

/// How the last seal that is kept and the segment belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// The segment's seals come after it.
    Before,
    /// It is this one, which is the segment's and has not come yet: those up to it are kept
    /// already.
    Within(Seal),
    /// It was the segment's, and has come.
    LogItem,
}

impl SealsFile {
    /// Looks at the file's end before a segment's seals are appended, and cuts off what
    /// is no whole line. What stands behind `synced` could not be synced: it may look
    /// well and be gone after a power cut, so it goes first.
    ///
    /// # Errors
    /// [`PruneError`], also when the file's end does not lead to the segment.
    pub(super) fn before(
        storage: &mut impl Storage,
        segment: &ScannedSegment,
        synced: Option<u64>,
    ) -> Result<Self, PruneError> {
        if let Some(synced) = synced
            && length(storage)? > synced
        {
            cut(storage, synced)?;
        }
        let end = End::read(storage)?;
        let (first, Some(last)) = (segment.first_seal, end.last) else {
            // Nothing is kept yet: whatever stands here was torn when that was begun.
            let is_new = segment.first == 1 || end.whole == end.length;
            return if segment.first_seal.is_none() || (is_new && end.whole == 0) {
                end.cut(storage, segment.first_seal.is_some(), Overlap::Before)
            } else {
                Err(segment.other_seals())
            };
        };
        let overlap = match last.head.seq {
            seq if seq > segment.end.seq => None,
            seq if seq >= segment.first => Some(Overlap::Within(last)),
            _ => first
                .is_none_or(|first| last.leads_to(&first, end.whole == end.length))
                .then_some(Overlap::Before),
        };
        match overlap {
            Some(overlap) => end.cut(storage, first.is_some(), overlap),
            None => Err(segment.other_seals()),
        }
    }

    /// Takes the segment's next seal: adds its line to `lines` unless it is kept already.
    /// False when another one is kept in its place.
    pub(super) fn take(&mut self, seal: &Seal, line: &[u8], lines: &mut Vec<u8>) -> bool {
        match self.overlap {
            Overlap::Within(last) if *seal == last => self.overlap = Overlap::LogItem,
            Overlap::Within(last) => return seal.head.seq < last.head.seq,
            Overlap::Before | Overlap::LogItem => lines.extend_from_slice(line),
        }
        true
    }

    /// Whether the last seal that was kept was among those that were taken, if it had to.
    pub(super) fn is_met(&self) -> bool {
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

impl Seal {
    /// Whether `next`, a later one, may stand behind this. Between the two some are missing
    /// where somebody moved a segment away: a verifier asks for these. But where bytes
    /// were torn as well, they may have been just those.
    fn leads_to(&self, next: &Self, is_whole: bool) -> bool {
        match next.epoch.checked_sub(self.epoch) {
            Some(1) => next.key == self.next_key,
            Some(2..) => is_whole,
            _ => false,
        }
    }
}

/// The end of the file.
struct End {
    /// The last whole line.
    last: Option<Seal>,
    /// Where it ends.
    whole: u64,
    length: u64,
}

impl End {
    fn read(storage: &impl Storage) -> Result<Self, PruneError> {
        let length = length(storage)?;
        let from = length.saturating_sub(END);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
        if length > 0 {
            let read = storage.read_at(SEALS, from, &mut bytes);
            bytes.truncate(read.map_err(PruneError::while_doing("read audit.seals"))?);
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
        is_wanted: bool,
        overlap: Overlap,
    ) -> Result<SealsFile, PruneError> {
        if is_wanted && self.whole < self.length {
            cut(storage, self.whole)?;
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

fn cut(storage: &mut impl Storage, length: u64) -> Result<(), PruneError> {
    let cut = storage.cut(SEALS, length);
    cut.map_err(PruneError::while_doing("cut torn bytes off audit.seals"))
}

/// The last line that is a seal, and where it ends; what stands behind it is no line.
fn last_seal(bytes: &[u8]) -> (Option<Seal>, usize) {
    let mut rest = bytes;
    while let Some(newline) = memchr::memrchr(b'\n', rest) {
        rest = rest.get(..newline).unwrap_or_default();
        let start = memchr::memrchr(b'\n', rest).map_or(0, |before| before + 1);
        let text = rest.get(start..).unwrap_or_default();
        let record = RecordLine::parse(text).filter(RecordLine::is_whole);
        if let Some(seal) = record.and_then(|record| Seal::read(&record, text)) {
            return (Some(seal), newline + 1);
        }
    }
    (None, 0)
}
