//! What the log asks of a file system, and no more.
//!
//! Some operations, so that a test can stand in for the disk: lose what was
//! not synced, tear a write, refuse any single operation, and see whether the log
//! keeps its promises. [`crate::Directory`] is the real one.

use pulse_core::ordinal::Ordinal;
use std::io::{self, Read};

/// The file that is written.
pub const LIVE: &str = "audit.log";
/// What the names of rotated segments begin with; the number of the segment's
/// first record follows, twelve digits at least, so that names sort by age.
pub(crate) const SEGMENT: &str = "audit.log-";
/// What the names of torn bytes set aside begin with.
pub(crate) const TORN: &str = "audit.log.torn-";
/// The seals of segments that were removed.
pub const SEALS: &str = "audit.seals";

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    /// The log's own directory.
    Log,
    /// The private directory that holds the seal's key.
    State,
}

/// What became of the file that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// It is where it should be, with so many bytes.
    Here(u64),
    /// Somebody gave it another name, which is known if it is in the directory.
    Renamed(Option<String>),
    /// It has no name any more: what is written to it will vanish.
    Gone,
}

/// A place that keeps files. Every change is on disk when its method returns,
/// but for [`Storage::append`], which [`Storage::sync`] completes.
///
/// Errors are the operating system's.
#[expect(clippy::missing_errors_doc, reason = "said once above")]
pub trait Storage {
    /// Opens the live file for appending. With `create` it must be new, else it
    /// must exist.
    fn open(&mut self, create: bool) -> io::Result<()>;

    /// Lets go of the open file: its file system may have to be unmounted and mended.
    fn close(&mut self);

    /// Appends to the open file. After an error any part may have been written.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;

    /// What was appended is on disk (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;

    /// Looks whether the open file is still the live one.
    fn live(&self) -> io::Result<Live>;

    /// Gives the live file another name, which must be free. It stays open.
    fn rename_live(&mut self, name: &str) -> io::Result<()>;

    /// Cuts a file of the log's directory to `length`, and syncs it.
    fn cut(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// The names of all files.
    fn list(&self, place: Dir) -> io::Result<Vec<String>>;

    /// Reads a file from its beginning.
    fn read(&self, place: Dir, name: &str) -> io::Result<Box<dyn Read + '_>>;

    /// Fills `buffer` with a log file's bytes from `offset` on, and gives how many there
    /// were: fewer at the file's end only.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The bytes of a file of the log's directory.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Appends to a file of the log's directory that is not the live one, made if need
    /// be, and syncs it. After an error any part may have been written.
    fn append_to(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file of the log's directory.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// The bytes that may still be written to the log's disk.
    fn free(&self) -> io::Result<u64>;

    /// Writes a small file, whole or not at all.
    fn store(&mut self, place: Dir, name: &str, content: &[u8]) -> io::Result<()>;

    /// Overwrites a small file, then removes it; fine if there is none.
    fn erase(&mut self, place: Dir, name: &str) -> io::Result<()>;

    /// Sees to it that `bytes` of the log's disk are kept free for us.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;

    /// Gives that space back, for the log's last words.
    fn release(&mut self) -> io::Result<()>;
}

/// The name of the segment whose first record is `first`.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{SEGMENT}{first:012}")
}

/// The number of the first record of the segment with that name; none if no segment can
/// have it.
#[must_use]
pub fn segment_start(name: &str) -> Option<u64> {
    // A name that we would have given, with a number that a record may have.
    let first = Ordinal::new(name.strip_prefix(SEGMENT)?.parse().ok()?)?.get();
    (segment_name(first) == name).then_some(first)
}

/// The number of the record that the torn bytes with that file name stand before.
pub(crate) fn torn_before(name: &str) -> Option<u64> {
    let numbers = name.strip_prefix(TORN)?;
    let seq = numbers.split_once('.').map_or(numbers, |(seq, _)| seq);
    Ordinal::parse(seq.as_bytes()).map(Ordinal::get)
}

/// The segments among `names`, oldest first.
pub(crate) fn segments(names: &[String]) -> Vec<String> {
    let mut found: Vec<(u64, &String)> = names
        .iter()
        .filter_map(|name| Some((segment_start(name)?, name)))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_files_tell_the_record_after_them() {
        assert_eq!(torn_before("audit.log.torn-17"), Some(17));
        assert_eq!(torn_before("audit.log.torn-17.2"), Some(17));
        for name in ["audit.log", "audit.log-000000000017", "audit.log.torn-x"] {
            assert_eq!(torn_before(name), None, "{name}");
        }
    }

    #[test]
    fn segments_sort_by_age_and_nothing_else_is_one() {
        let names = [
            "audit.log",
            "audit.log-000000000009",
            "audit.log-1000000000000",
            "audit.log-9",
            "audit.log.torn-3",
            "audit.log-000000000010",
            "audit.log-9007199254740992",
            "audit.log-18446744073709551615",
        ];
        let names = names.map(str::to_owned);
        assert_eq!(
            segments(&names),
            [
                "audit.log-000000000009",
                "audit.log-000000000010",
                "audit.log-1000000000000"
            ]
        );
    }
}
