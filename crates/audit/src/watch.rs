//! Changes that other programs make to the log's files.
//!
//! A write to an open file also succeeds when the file was renamed, removed or cut, so the
//! writer compares names, identities and lengths with what it has written itself. There is one
//! policy for all such changes, small or large: the log stops, until the files are as they were,
//! or an operator accepts the loss on record. It never continues in silence, because a program
//! that could remove a few records unnoticed could remove those that name it.

use crate::regular::is_out_of_descriptors;
use crate::storage::{
    Dir, FileState, LIVE, SEALS, Storage, is_removed_on_nfs, segment_start, segments,
};
use crate::text::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

/// The most files in one report. A log of a year has about 500.
const MAX_REPORTED: usize = 1000;
/// The bytes at the end of a file by which it is known when its inode number is another: more
/// than the hash with which each record ends.
const TAIL_BYTES: u64 = 160;

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
    /// Only the file itself undoes the change, and no copy of it.
    #[serde(default)]
    pub(crate) needs_original: bool,
    /// The file that had its name when the change was reported; none if that is not known.
    #[serde(default)]
    pub(crate) found: Option<Found>,
}

/// The file behind a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// A directory, a link or a FIFO, or a file that cannot be read.
    Other,
    /// A file of this length, and the hash of its last bytes.
    File { length: u64, tail: String },
}

impl Found {
    /// The file that has the name now. None when that cannot be found out.
    pub(crate) fn of(storage: &impl Storage, name: &str) -> Option<Self> {
        use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
        match Known::of(storage, name) {
            Ok(Known { state, tail }) => Some(Self::File {
                length: state.length,
                tail,
            }),
            Err(error) if error.kind() == NotFound => Some(Self::Absent),
            Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied) => {
                Some(Self::Other)
            }
            Err(_) => None,
        }
    }
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

    /// True when the file has its name and its length again, as far as the length tells. The live
    /// file's content is compared when the log continues.
    pub(crate) fn is_undone(&self, storage: &impl Storage) -> bool {
        storage.state(&self.file).is_ok_and(|found| {
            match (self.is_live(), self.change) {
                (false, Change::Replaced) => false,
                // After its records it may have the bytes of a write that failed.
                (true, change) if change != Change::Extended => found.length >= self.length,
                _ => found.length == self.length,
            }
        })
    }
}

/// A file as the writer left it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) state: FileState,
    /// The hash of its last bytes, with that of the last record, which covers all records before.
    pub(crate) tail: String,
}

impl Known {
    fn of(storage: &impl Storage, name: &str) -> io::Result<Self> {
        let state = storage.state(name)?;
        let from = state.length.saturating_sub(TAIL_BYTES);
        let mut tail = vec![0; usize::try_from(state.length - from).unwrap_or(0)];
        let read = storage.read_at(name, from, &mut tail)?;
        tail.truncate(read);
        let tail = String::from_utf8_lossy(&hex(&Sha256::digest(&tail))).into_owned();
        Ok(Self { state, tail })
    }

    /// The change of the file that has the name now. [`Change::Removed`] when none has it.
    fn change(&mut self, storage: &impl Storage, name: &str) -> io::Result<Option<Change>> {
        use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
        let found = match storage.state(name) {
            Ok(found) if found == self.state => return Ok(None),
            Ok(found) => found,
            Err(error) if error.kind() == NotFound => return Ok(Some(Change::Removed)),
            // A directory, a link or a FIFO has its name.
            Err(error) if error.kind() == InvalidInput => return Ok(Some(Change::Replaced)),
            Err(error) => return Err(error),
        };
        if found.identity == self.state.identity {
            let is_cut = found.length < self.state.length;
            return Ok(Some(if is_cut {
                Change::Cut
            } else {
                Change::Extended
            }));
        }
        if found.length != self.state.length {
            return Ok(Some(Change::Replaced));
        }
        // The inode number of a file can change without any other program's doing: on FUSE, vfat
        // and CIFS, and the device number with each mount. The content decides then.
        match Self::of(storage, name) {
            Ok(now) if now.state.length == self.state.length && now.tail == self.tail => {
                *self = now;
                Ok(None)
            }
            // Without a descriptor the file cannot be read; the next check compares it again.
            Err(error) if is_out_of_descriptors(&error) => Ok(None),
            Ok(_) => Ok(Some(Change::Replaced)),
            // The file that has its name now is another user's, or none.
            Err(error) if matches!(error.kind(), InvalidInput | NotFound | PermissionDenied) => {
                Ok(Some(Change::Replaced))
            }
            Err(error) => Err(error),
        }
    }
}

/// The files of the log besides the live one, as the writer left them. None for a file that this
/// process has changed and could not look at since: the next check takes it as it is.
#[derive(Debug, Default)]
pub(crate) struct Watch(pub(crate) BTreeMap<String, Option<Known>>);

impl Watch {
    /// The segments and kept seals that are there now.
    pub(crate) fn of(storage: &impl Storage) -> io::Result<Self> {
        use io::ErrorKind::{InvalidInput, NotFound};
        let mut watch = Self::default();
        let mut names = segments(&storage.list(Dir::Log)?);
        names.push(SEALS.to_owned());
        for name in names {
            let known = Known::of(storage, &name);
            // What is no file was none of ours when the log was opened.
            if !matches!(&known, Err(error) if matches!(error.kind(), InvalidInput | NotFound)) {
                watch.0.insert(name, known.ok());
            }
        }
        Ok(watch)
    }

    /// True for a file that is compared.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Takes a file as it is now, after this process has changed it.
    pub(crate) fn learn(&mut self, storage: &impl Storage, name: &str) {
        self.0
            .insert(name.to_owned(), Known::of(storage, name).ok());
    }

    /// Takes a file as it is now, after its change was accepted or undone. One that is gone stays
    /// so: what gets its name later is another file.
    pub(crate) fn relearn(&mut self, storage: &impl Storage, name: &str) {
        self.removed(storage, name);
        if self.0.contains_key(name) {
            self.learn(storage, name);
        }
    }

    /// Forgets a file that this process has removed, or tried to: a removal can fail after the
    /// name is gone.
    pub(crate) fn removed(&mut self, storage: &impl Storage, name: &str) {
        match storage.state(name) {
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(self.0.remove(name)),
            Err(_) => drop(self.0.insert(name.to_owned(), None)),
        }
    }

    /// The files that are not as they were left. `live_first` is the live file's first record.
    ///
    /// Errors are the operating system's.
    pub(crate) fn changes(
        &mut self,
        storage: &impl Storage,
        live_first: u64,
    ) -> io::Result<Vec<ChangedFile>> {
        self.changes_among(storage, live_first, |_| true)
    }

    /// As [`Watch::changes`], of one file.
    pub(crate) fn change_of(
        &mut self,
        storage: &impl Storage,
        live_first: u64,
        name: &str,
    ) -> io::Result<Option<ChangedFile>> {
        let changed = self.changes_among(storage, live_first, |other| other == name)?;
        Ok(changed.into_iter().next())
    }

    fn changes_among(
        &mut self,
        storage: &impl Storage,
        live_first: u64,
        is_wanted: impl Fn(&str) -> bool,
    ) -> io::Result<Vec<ChangedFile>> {
        let mut changes = Vec::new();
        // Only a missing file needs the directory's list, and so a descriptor.
        let mut present = None;
        for (name, entry) in self.0.iter_mut().filter(|(name, _)| is_wanted(name)) {
            let Some(known) = entry else {
                *entry = Known::of(storage, name).ok();
                continue;
            };
            let Some(mut change) = known.change(storage, name)? else {
                continue;
            };
            if change == Change::Removed {
                if present.is_none() {
                    present = Some(identities(storage)?);
                }
                let identity = &known.state.identity;
                if present.as_ref().is_some_and(|all| all.contains(identity)) {
                    change = Change::Renamed;
                }
            }
            if changes.len() < MAX_REPORTED {
                changes.push((name.clone(), change, known.state.length));
            }
        }
        let changed = changes
            .into_iter()
            .map(|(file, change, length)| ChangedFile {
                records: self.records(&file, live_first),
                file,
                change,
                length,
                is_recorded: false,
                needs_original: false,
                found: None,
            });
        Ok(changed.collect())
    }

    /// The records of a segment: it ends before the next one.
    fn records(&self, name: &str, live_first: u64) -> Option<(u64, u64)> {
        let first = segment_start(name)?;
        let others = self.0.keys().filter_map(|other| segment_start(other));
        let next = others.filter(|other| *other > first).min();
        Some((first, next.unwrap_or(live_first).saturating_sub(1)))
    }
}

/// The identities of all files in the log's directory: they tell a file's present name.
pub(crate) fn identities(storage: &impl Storage) -> io::Result<BTreeSet<(u64, u64)>> {
    let names = match storage.list(Dir::Log) {
        // The file is missing in any case; only its new name is not known.
        Err(error) if is_out_of_descriptors(&error) => Vec::new(),
        names => names?,
    };
    let named = names.iter().filter(|name| !is_removed_on_nfs(name));
    let found = named.filter_map(|name| storage.state(name).ok());
    Ok(found.map(|found| found.identity).collect())
}
