//! Changes that other programs make to the log's files.
//!
//! A write to an open file also succeeds when the file was renamed, removed or cut, so the
//! writer compares names, identities and lengths with what it has written itself. There is one
//! policy for all such changes, small or large: the log stops, until the files are as they were,
//! or an operator accepts the loss on record. It never continues in silence, because a program
//! that could remove a few records unnoticed could remove those that name it.

use crate::storage::{Dir, FileState, LIVE, SEALS, Storage, segment_start, segments};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// The most files in one report. A log of a year has about 500.
const MAX_REPORTED: usize = 1000;

/// The change of a file by another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It has another name, or is in another directory.
    Renamed,
    /// It does not exist any more.
    Removed,
    /// It is shorter.
    Cut,
    /// It is longer.
    Extended,
    /// Another file has its name, or other content is in it.
    Replaced,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 5] = [
        Self::Renamed,
        Self::Removed,
        Self::Cut,
        Self::Extended,
        Self::Replaced,
    ];

    /// The name on record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::Removed => "removed",
            Self::Cut => "cut",
            Self::Extended => "extended",
            Self::Replaced => "replaced",
        }
    }
}

/// A file of the log that another program changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// Its name in the log's directory.
    pub file: String,
    /// The change.
    pub change: Change,
    /// The first and the last record that it has to have; none for a file without records.
    pub records: Option<(u64, u64)>,
    /// Its length in bytes before the change.
    pub(crate) length: u64,
    /// The change is on record.
    #[serde(default)]
    pub(crate) is_recorded: bool,
}

impl fmt::Display for ChangedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, change, .. } = self;
        write!(f, "{file} was {} by another program", change.as_str())?;
        match self.records {
            Some((first, last)) => write!(f, " (records {first} to {last})"),
            None => Ok(()),
        }
    }
}

impl ChangedFile {
    /// True for the live file.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.file == LIVE
    }

    /// True when the file has its name and its length again. Of a file that was replaced, the
    /// length says nothing; the live file's content is compared when the log continues.
    pub(crate) fn is_undone(&self, storage: &impl Storage) -> bool {
        storage.state(&self.file).is_ok_and(|found| {
            match self.change {
                Change::Replaced if !self.is_live() => false,
                // After its records it may have the bytes of a write that failed.
                Change::Renamed | Change::Removed | Change::Cut | Change::Replaced
                    if self.is_live() =>
                {
                    found.length >= self.length
                }
                _ => found.length == self.length,
            }
        })
    }
}

/// The files of the log besides the live one, as the writer left them.
#[derive(Debug, Default)]
pub(crate) struct Watch(BTreeMap<String, FileState>);

impl Watch {
    /// The segments and kept seals that are there now.
    pub(crate) fn of(storage: &impl Storage) -> io::Result<Self> {
        let mut watch = Self::default();
        for name in segments(&storage.list(Dir::Log)?) {
            watch.learn(storage, &name);
        }
        watch.learn(storage, SEALS);
        Ok(watch)
    }

    /// Takes a file as it is now, after this process has changed it.
    pub(crate) fn learn(&mut self, storage: &impl Storage, name: &str) {
        match storage.state(name) {
            Ok(found) => drop(self.0.insert(name.to_owned(), found)),
            Err(_) => drop(self.0.remove(name)),
        }
    }

    /// Takes the files that have the length that they had: after a failure the file system may
    /// have been mounted again, with another device number.
    pub(crate) fn remounted(&mut self, storage: &impl Storage) {
        for (name, known) in &mut self.0 {
            if let Ok(found) = storage.state(name)
                && found.length == known.length
            {
                *known = found;
            }
        }
    }

    /// The files that are not as they were left. `live_first` is the live file's first record.
    ///
    /// Errors are the operating system's.
    pub(crate) fn changes(
        &self,
        storage: &impl Storage,
        live_first: u64,
    ) -> io::Result<Vec<ChangedFile>> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let names = storage.list(Dir::Log)?;
        let mut changed = Vec::new();
        for (name, known) in &self.0 {
            let change = match storage.state(name) {
                Ok(found) if found == *known => continue,
                Ok(found) if found.identity != known.identity => Change::Replaced,
                Ok(found) if found.length < known.length => Change::Cut,
                Ok(_) => Change::Extended,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Only here all files are looked at: the inode tells the present name.
                    let is_it = |name: &String| {
                        storage
                            .state(name)
                            .is_ok_and(|found| found.identity == known.identity)
                    };
                    if names.iter().any(is_it) {
                        Change::Renamed
                    } else {
                        Change::Removed
                    }
                }
                // A directory, a link or a FIFO has its name.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Change::Replaced,
                Err(error) => return Err(error),
            };
            if changed.len() < MAX_REPORTED {
                changed.push(ChangedFile {
                    file: name.clone(),
                    change,
                    records: self.records(name, live_first),
                    length: known.length,
                    is_recorded: false,
                });
            }
        }
        Ok(changed)
    }

    /// The records of a segment: it ends before the next one.
    fn records(&self, name: &str, live_first: u64) -> Option<(u64, u64)> {
        let first = segment_start(name)?;
        let others = self.0.keys().filter_map(|other| segment_start(other));
        let next = others.filter(|other| *other > first).min();
        Some((first, next.unwrap_or(live_first).saturating_sub(1)))
    }
}
