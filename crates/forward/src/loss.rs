//! Records that a stream can never send: removed from the log before they were delivered.
//!
//! Their numbers are kept on disk until an operator accepts the loss, because nothing else
//! shows it: the queue counts what is on disk, and the cursor moves past the gap. The file is a
//! JSON object on one line, with its [format](pulse_core::state_format), and is replaced by a
//! rename.

use crate::state_file::{self, StateFileError, StateFileKind};
use crate::status::LostRange;
use pulse_core::ordinal::Ordinal;
use pulse_core::state_format::Stamp;
use pulse_files::Durability;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

const MODE: u32 = 0o600;
/// More than a file with [`MAX_RANGES`] has.
const MAX_BYTES: usize = 16 << 10;
/// Ranges that are kept apart. A log of which every second record was removed would have any
/// number of them: those after it are part of the last one.
const MAX_RANGES: usize = 128;

/// The lost records of one stream, and their file.
#[derive(Debug)]
pub(crate) struct Loss {
    path: PathBuf,
    log_id: String,
    /// The last record that was ever acknowledged: a replay repeats records that are delivered.
    delivered: u64,
    /// Ordered, without overlaps.
    lost: Vec<LostRange>,
    /// Lost records after the last delivered one whose loss was accepted, ordered, without
    /// overlaps: when they are found missing again, they are no news.
    accepted: Vec<LostRange>,
    /// Nothing was acknowledged yet, so there is no cursor.
    is_new: bool,
    /// The file has what this has.
    is_stored: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    stamp: Stamp,
    log_id: &'a str,
    delivered: u64,
    new: bool,
    lost: Vec<(u64, u64)>,
    accepted: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct Content {
    log_id: String,
    delivered: Ordinal,
    new: bool,
    lost: Vec<(Ordinal, Ordinal)>,
    #[serde(default)]
    accepted: Vec<(Ordinal, Ordinal)>,
}

/// The content of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    delivered: u64,
    is_new: bool,
    lost: Vec<LostRange>,
    accepted: Vec<LostRange>,
}

impl Loss {
    /// Reads the file at `path`, for the log with this id.
    ///
    /// # Errors
    /// When a later release wrote it, or it exists and cannot be read. A file that cannot be
    /// parsed counts as missing.
    pub(crate) fn open(path: PathBuf, log_id: &str) -> Result<Self, StateFileError> {
        let text = state_file::read(&path, StateFileKind::Loss, MAX_BYTES)?;
        let Found {
            delivered,
            is_new,
            lost,
            accepted,
        } = parse(&text, log_id).unwrap_or_default();
        Ok(Self {
            path,
            log_id: log_id.to_owned(),
            delivered,
            lost,
            accepted,
            is_new,
            is_stored: true,
        })
    }

    /// The lost records.
    pub(crate) fn lost(&self) -> &[LostRange] {
        &self.lost
    }

    /// All records up to this one are delivered.
    pub(crate) fn deliver(&mut self, seq: u64) {
        self.delivered = self.delivered.max(seq);
        self.accepted.retain(|range| range.last > seq);
    }

    /// The log's first record has this number, and the stream has no cursor. Earlier records were
    /// removed before there was a collector to have them; those that are removed from now on,
    /// even before the first connection, are lost.
    pub(crate) fn begin_at(&mut self, first: u64) {
        if !self.is_new {
            self.deliver(first.saturating_sub(1));
            (self.is_new, self.is_stored) = (true, false);
        }
    }

    /// The log's beginning is noted, and there is no cursor yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The stream has a cursor.
    pub(crate) fn end_of_beginning(&mut self) {
        if self.is_new {
            (self.is_new, self.is_stored) = (false, false);
        }
    }

    /// Before records are sent again: the file gets the number of the last delivered record,
    /// which the cursor has no more.
    pub(crate) fn keep_delivered(&mut self) {
        self.is_stored = false;
    }

    /// Records `first` to `last` are not on disk any more. Gives those of them that were neither
    /// delivered nor accepted as lost, where they were not known.
    pub(crate) fn miss(&mut self, first: u64, last: u64) -> Vec<LostRange> {
        let missing = LostRange {
            first: first.max(self.delivered + 1),
            last,
        };
        let mut new = without(&[missing], &self.accepted);
        let is_known = |range: &LostRange| {
            let mut lost = self.lost.iter();
            lost.any(|known| known.first <= range.first && range.last <= known.last)
        };
        new.retain(|range| !is_known(range));
        if !new.is_empty() {
            self.lost.extend(&new);
            join(&mut self.lost);
            // Those that are too many are part of the last range.
            let end = self.lost.last().map(|range| range.last);
            self.lost.truncate(MAX_RANGES);
            if let (Some(range), Some(end)) = (self.lost.last_mut(), end) {
                range.last = end;
            }
            self.is_stored = false;
        }
        new
    }

    /// Records were delivered after all: an operator has restored them and had them sent again.
    pub(crate) fn recover(&mut self, delivered: LostRange) {
        let left = without(&self.lost, &[delivered]);
        // Without room for two parts a range stays as it is, which names records too many.
        if left != self.lost && left.len() <= MAX_RANGES {
            (self.lost, self.is_stored) = (left, false);
        }
    }

    /// An operator accepts the loss of these records, as far as they are lost. False when none of
    /// them is.
    pub(crate) fn accept(&mut self, ranges: &[LostRange]) -> bool {
        let left = without(&self.lost, ranges);
        if left == self.lost || left.len() > MAX_RANGES {
            return false;
        }
        // A replay must not find them missing again. Not all records up to the last of them
        // count as dealt with: others before it may be unacknowledged.
        self.accepted.extend(without(&self.lost, &left));
        self.accepted.retain(|range| range.last > self.delivered);
        join(&mut self.accepted);
        // Those that are too many are lost again when they are found missing again.
        self.accepted.truncate(MAX_RANGES);
        (self.lost, self.is_stored) = (left, false);
        true
    }

    /// True when further ranges are not kept apart.
    pub(crate) fn is_full(&self) -> bool {
        self.lost.len() >= MAX_RANGES
    }

    /// Writes the file, if it has not what this has.
    ///
    /// # Errors
    /// The operating system's; the next call tries again.
    pub(crate) fn store(&mut self) -> io::Result<()> {
        if self.is_stored {
            return Ok(());
        }
        let content = serde_json::to_string(&Written {
            stamp: Stamp::CURRENT,
            log_id: &self.log_id,
            delivered: self.delivered,
            new: self.is_new,
            lost: pairs(&self.lost),
            accepted: pairs(&self.accepted),
        })?;
        // Synced, unlike a cursor: an older file would not repeat records but hide a loss.
        pulse_files::replace(
            &self.path,
            &self.path.with_extension("lost.new"),
            MODE,
            format!("{content}\n").as_bytes(),
            Durability::Synced,
        )?;
        self.is_stored = true;
        Ok(())
    }
}

/// The parts of `ranges` that are in none of `removed`.
fn without(ranges: &[LostRange], removed: &[LostRange]) -> Vec<LostRange> {
    let mut left = ranges.to_vec();
    for removed in removed {
        let parts = |range: LostRange| {
            let before = LostRange {
                first: range.first,
                last: range.last.min(removed.first.saturating_sub(1)),
            };
            let after = LostRange {
                first: range.first.max(removed.last.saturating_add(1)),
                last: range.last,
            };
            [before, after]
        };
        left = left.into_iter().flat_map(parts).collect();
        left.retain(|part| part.first <= part.last);
    }
    left.retain(|range| range.first <= range.last);
    left
}

/// Sorts ranges, and joins those that overlap or follow each other.
fn join(ranges: &mut Vec<LostRange>) {
    ranges.sort_by_key(|range| range.first);
    let mut joined: Vec<LostRange> = Vec::new();
    for range in ranges.drain(..) {
        match joined.last_mut() {
            Some(before) if range.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    *ranges = joined;
}

fn pairs(ranges: &[LostRange]) -> Vec<(u64, u64)> {
    ranges
        .iter()
        .map(|range| (range.first, range.last))
        .collect()
}

#[cfg(fuzzing)]
impl Found {
    /// The last delivered record, and the lost ones.
    pub(crate) fn numbers(self) -> (u64, Vec<LostRange>) {
        (self.delivered, self.lost)
    }
}

/// The content of a file's text; none when it is invalid, or of another log. The format is the
/// caller's matter.
pub(crate) fn parse(text: &[u8], log_id: &str) -> Option<Found> {
    let content: Content = serde_json::from_slice(text).ok()?;
    if content.log_id != log_id {
        return None;
    }
    Some(Found {
        delivered: content.delivered.get(),
        is_new: content.new,
        lost: parse_ranges(&content.lost)?,
        accepted: parse_ranges(&content.accepted)?,
    })
}

/// Ranges as they are written: from 1 on, in order, without overlaps, and not too many.
fn parse_ranges(pairs: &[(Ordinal, Ordinal)]) -> Option<Vec<LostRange>> {
    let mut ranges: Vec<LostRange> = Vec::new();
    for (first, last) in pairs {
        let (first, last) = (first.get(), last.get());
        let after = ranges.last().map_or(0, |range| range.last);
        if first <= after || last < first {
            return None;
        }
        ranges.push(LostRange { first, last });
    }
    (ranges.len() <= MAX_RANGES).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::state_format::RELEASE;
    use std::fs;

    fn range(first: u64, last: u64) -> LostRange {
        LostRange { first, last }
    }

    fn ranges(loss: &Loss) -> Vec<(u64, u64)> {
        loss.lost()
            .iter()
            .map(|range| (range.first, range.last))
            .collect()
    }

    fn opened(home: &tempfile::TempDir) -> Loss {
        Loss::open(home.path().join("forward-a.lost"), "one").unwrap()
    }

    #[test]
    fn losses_survive_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        loss.deliver(5);
        assert_eq!(loss.miss(6, 10), [range(6, 10)]);
        loss.store().unwrap();
        let mut loss = opened(&home);
        assert_eq!(ranges(&loss), [(6, 10)]);
        // Found again, they are no news.
        assert_eq!(loss.miss(6, 10), []);
        assert_eq!(loss.miss(2, 5), [], "delivered before");
        let accepted = [range(6, 10)];
        assert!(loss.accept(&accepted) && !loss.accept(&accepted));
        loss.store().unwrap();
        let mut loss = opened(&home);
        assert!(loss.lost().is_empty());
        assert_eq!(loss.miss(3, 10), [], "accepted before");
        let other = Loss::open(home.path().join("forward-a.lost"), "two").unwrap();
        assert_eq!(other.delivered, 0);
    }

    #[test]
    fn delivered_records_are_not_lost() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        loss.deliver(7);
        assert_eq!(loss.miss(1, 7), []);
        let new = loss.miss(1, 9)[0];
        assert_eq!((new.first, new.last, new.count()), (8, 9, 2));
        assert_eq!(new.to_string(), "8 to 9");
    }

    #[test]
    fn new_stream_has_a_beginning() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        loss.begin_at(5);
        loss.store().unwrap();
        // The next start is still the same beginning, whatever was removed meanwhile.
        let mut loss = opened(&home);
        loss.begin_at(8);
        assert_eq!(loss.miss(1, 7), [range(5, 7)]);
        loss.end_of_beginning();
        loss.store().unwrap();
        // A cursor that was moved away is another beginning.
        let mut loss = opened(&home);
        loss.begin_at(20);
        assert_eq!(loss.miss(1, 19), []);
        assert_eq!(ranges(&loss), [(5, 7)]);
    }

    #[test]
    fn neighbours_are_joined() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        for (first, last) in [(20, 30), (5, 6), (7, 9), (25, 40), (12, 12)] {
            loss.miss(first, last);
        }
        assert_eq!(ranges(&loss), [(5, 9), (12, 12), (20, 40)]);
    }

    #[test]
    fn only_accepted_records_are_dealt_with() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        loss.deliver(5);
        for (first, last) in [(8, 9), (20, 40)] {
            loss.miss(first, last);
        }
        // A loss that came after the operator looked stays.
        assert!(loss.accept(&[range(1, 9), range(20, 22)]));
        assert_eq!(ranges(&loss), [(23, 40)]);
        loss.store().unwrap();
        let mut loss = opened(&home);
        // Records that were in flight before the accepted ones, and are removed before they are
        // sent again.
        assert_eq!(loss.miss(6, 22), [range(6, 7), range(10, 19)]);
        assert_eq!(ranges(&loss), [(6, 7), (10, 19), (23, 40)]);
        assert!(loss.accept(&[range(1, Ordinal::MAX)]));
        assert_eq!(loss.miss(6, 50), [range(41, 50)]);
        // Delivered records need no range.
        loss.deliver(40);
        assert_eq!(loss.accepted, []);
    }

    #[test]
    fn restored_records_are_not_lost() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        loss.miss(6, 10);
        for (seq, left) in [
            (5, vec![(6, 10)]),
            (6, vec![(7, 10)]),
            (8, vec![(7, 7), (9, 10)]),
            (10, vec![(7, 7), (9, 9)]),
            (7, vec![(9, 9)]),
            (9, vec![]),
        ] {
            loss.recover(range(seq, seq));
            assert_eq!(ranges(&loss), left, "{seq}");
        }
        loss.store().unwrap();
        let mut loss = opened(&home);
        assert!(loss.lost().is_empty());
        for (first, last) in [(1, 100), (200, 300), (400, 400)] {
            loss.miss(first, last);
        }
        loss.recover(range(90, 250));
        assert_eq!(ranges(&loss), [(1, 89), (251, 300), (400, 400)]);
        loss.recover(range(1, 1000));
        assert_eq!(ranges(&loss), []);
    }

    #[test]
    fn ranges_are_bounded() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        for seq in 1..=1_000 {
            loss.miss(seq * (Ordinal::MAX / 2_000), seq * (Ordinal::MAX / 2_000));
        }
        let middle = loss.lost()[MAX_RANGES - 1].first + 1;
        loss.recover(range(middle, middle));
        assert_eq!(loss.lost().len(), MAX_RANGES);
        let last = loss.lost().last().copied();
        loss.store().unwrap();
        let loss = opened(&home);
        assert_eq!(loss.lost().len(), MAX_RANGES);
        assert_eq!(loss.lost().last().copied(), last);
    }

    #[test]
    fn invalid_files_count_as_missing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.lost");
        for lost in [
            "[[0,1]]",
            "[[5,4]]",
            "[[1,3],[3,4]]",
            "[[1,9007199254740992]]",
            "{}",
        ] {
            let text = format!(
                "{{\"format\":1,\"log_id\":\"one\",\"delivered\":2,\"new\":false,\"lost\":{lost}}}"
            );
            fs::write(&path, text).unwrap();
            assert!(opened(&home).lost().is_empty(), "{lost}");
        }
        let later = "{\"format\":2,\"release\":\"0.4.0\"}\n";
        fs::write(&path, later).unwrap();
        let error = Loss::open(path.clone(), "one").unwrap_err();
        assert!(error.remedy().contains("no longer shown"), "{error}");
        fs::remove_file(&path).unwrap();
        // Root may read every file, so a loop stands for one that cannot be read.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(Loss::open(path, "one").is_err());
    }

    #[test]
    fn file_names_its_format() {
        let home = tempfile::tempdir().unwrap();
        let mut loss = opened(&home);
        loss.miss(1, 2);
        loss.store().unwrap();
        assert_eq!(
            fs::read_to_string(home.path().join("forward-a.lost")).unwrap(),
            format!(
                "{{\"format\":1,\"release\":\"{RELEASE}\",\"log_id\":\"one\",\"delivered\":0,\"new\":false,\"lost\":[[1,2]],\"accepted\":[]}}\n"
            )
        );
    }
}
