//! The file system operations of the log.
//!
//! A trait, so that tests can replace the disk: lose what was not synced, tear a write, or
//! fail any single operation. [`crate::Directory`] is the real implementation.

use pulse_core::ordinal::Ordinal;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// The name of the live file, to which records are written.
pub const LIVE: &str = "audit.log";
/// The prefix of segments' names. The number of the first record follows, with at least twelve
/// digits, so that names sort by age.
pub(crate) const SEGMENT: &str = "audit.log-";
/// The prefix of the names of files with torn bytes.
pub(crate) const TORN: &str = "audit.log.torn-";
/// The name of the file with the seals of removed segments.
pub const SEALS: &str = "audit.seals";
/// The name of the file that reserves space; it is removed when the disk is full.
pub(crate) const RESERVE: &str = "audit.reserve";

/// A directory of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    /// The log's directory.
    Log,
    /// The state directory, with the private key.
    State,
}

/// The state of the open live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// It has its name, and this many bytes.
    Here(u64),
    /// It was renamed.
    Renamed {
        /// The name, if it is in the directory.
        name: Option<String>,
        /// Its length in bytes.
        length: u64,
    },
    /// It is not in the directory any more, and another file has its name.
    Replaced,
    /// It was removed: what is written to it is lost.
    Gone,
}

/// A file at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Its device and inode, which a rename does not change.
    pub identity: (u64, u64),
    /// Its length in bytes.
    pub length: u64,
}

/// Storage of files. Changes are durable when a method returns, except those of
/// [`Storage::append`], which [`Storage::sync`] makes durable.
///
/// Errors are the operating system's.
#[expect(clippy::missing_errors_doc, reason = "documented once above")]
pub trait Storage {
    /// Opens the live file for appending. With `create` it must be new, else it
    /// must exist.
    fn open(&mut self, create: bool) -> io::Result<()>;

    /// Closes the live file, so that its file system can be unmounted and repaired.
    fn close(&mut self);

    /// Appends to the live file. After an error any part may have been written.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Makes appended bytes durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;

    /// The state of the live file.
    fn live(&self) -> io::Result<Live>;

    /// Gives the live file, open or not, another name, which must be free. An open one stays open.
    fn rename_live(&mut self, name: &str) -> io::Result<()>;

    /// Copies the first `length` bytes of the open live file, which may have no name any more, to a
    /// new file of this name, and syncs that. `StorageFull` when that would leave less than
    /// `reserve` bytes free.
    fn copy_live(&mut self, name: &str, length: u64, reserve: u64) -> io::Result<()>;

    /// Cuts a file of the log's directory to `length`, and syncs it.
    fn cut(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// The names of all files.
    fn list(&self, place: Dir) -> io::Result<Vec<String>>;

    /// Reads a file from its beginning.
    fn read(&self, place: Dir, name: &str) -> io::Result<Box<dyn Read + '_>>;

    /// Fills `buffer` with bytes of a log file from `offset` on. Gives their number, which is
    /// smaller at the end of the file only.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The identity and the length of a file of the log's directory.
    fn state(&self, name: &str) -> io::Result<FileState>;

    /// The length of a file of the log's directory in bytes.
    fn length(&self, name: &str) -> io::Result<u64> {
        self.state(name).map(|found| found.length)
    }

    /// Appends to a file of the log's directory other than the live one, creating it if it does
    /// not exist, and syncs it. After an error any part may have been written.
    fn append_to(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file. No error if it does not exist.
    fn remove(&mut self, place: Dir, name: &str) -> io::Result<()>;

    /// The free bytes of the log's disk.
    fn free(&self) -> io::Result<u64>;

    /// Replaces a small file atomically.
    fn store(&mut self, place: Dir, name: &str, content: &[u8]) -> io::Result<()>;

    /// Overwrites and removes a small file. No error if it does not exist. A crash in between
    /// leaves a file of zeros.
    fn erase(&mut self, place: Dir, name: &str) -> io::Result<()>;

    /// Reserves `bytes` of the log's disk.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;

    /// Frees the reserved space.
    fn release(&mut self) -> io::Result<()>;
}

/// True for the name that NFS gives to a file that was removed while it is open, until it is closed.
pub(crate) fn is_removed_on_nfs(name: &str) -> bool {
    name.starts_with(".nfs")
}

/// The name of the segment whose first record is `first`.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{SEGMENT}{first:012}")
}

/// The first record of the segment with this name; none if it is not a segment's name.
#[must_use]
pub fn segment_start(name: &str) -> Option<u64> {
    // Formatting the number again refuses signs and a wrong number of zeros.
    let first = Ordinal::new(name.strip_prefix(SEGMENT)?.parse().ok()?)?.get();
    (segment_name(first) == name).then_some(first)
}

/// The record before which the torn bytes of this file were.
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
    // By number and not by name: from the thirteenth digit on, names do not sort by age.
    found.sort_unstable();
    found.into_iter().map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_files_have_a_number() {
        assert_eq!(torn_before("audit.log.torn-17"), Some(17));
        assert_eq!(torn_before("audit.log.torn-17.2"), Some(17));
        for name in ["audit.log", "audit.log-000000000017", "audit.log.torn-x"] {
            assert_eq!(torn_before(name), None, "{name}");
        }
    }

    #[test]
    fn segments_sort_by_age() {
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
