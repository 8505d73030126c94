//! The log's end and its other files as the writer left them, in two files of the state
//! directory.
//!
//! A running writer compares the files with what it remembers. These two are its memory after it
//! has ended: without them, a start would continue in silence after whatever was done while no
//! process ran, or refuse the log for good because nothing tells its last record. A log without
//! them is one of an earlier release, or a new one.

use crate::error::LogError;
use crate::log::Log;
use crate::record::Head;
use crate::recovery::{LogEnd, Source};
use crate::storage::{Dir, LIVE, Storage};
use crate::watch::{Change, ChangedFile, Known, Watch, identities};
use pulse_core::state_format::{Stamp, parse_format};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// The name of the file with the end.
pub(crate) const END_FILE: &str = "end";
/// The name of the file with the other files.
pub(crate) const FILES_FILE: &str = "files";
/// More bytes than a state file has: [`MAX_FILES`] of at most 300 bytes each.
const MAX_BYTES: u64 = 16 << 20;
/// The most files on the list, the newest: 3 TB of segments of the default size. Without the bound
/// of both, a list could be stored that no start reads.
const MAX_FILES: usize = 50_000;

/// A record, and the live file with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedEnd {
    pub(crate) log_id: String,
    pub(crate) epoch: u64,
    /// The record.
    seq: u64,
    hash: String,
    /// The first record of the live file.
    pub(crate) first: u64,
    /// The length of the live file in bytes.
    pub(crate) length: u64,
    /// The live file's device and inode, to tell its present name.
    #[serde(default)]
    pub(crate) identity: Option<(u64, u64)>,
}

impl SavedEnd {
    pub(crate) fn of<S: Storage>(log: &Log<S>) -> Self {
        let head = log.head();
        Self {
            log_id: log.log_id().to_owned(),
            epoch: log.epoch(),
            seq: head.seq,
            hash: head.hash().to_owned(),
            first: log.at.first,
            length: log.at.length,
            identity: log.live_identity,
        }
    }

    /// The record; none when the file does not name one.
    pub(crate) fn head(&self) -> Option<Head> {
        Head::from_parts(self.seq, &self.hash)
    }
}

/// The end of the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndFile {
    #[serde(flatten)]
    pub(crate) end: SavedEnd,
    /// The writer has ended in order or stopped, and has written nothing since. Else there may be
    /// later records.
    pub(crate) is_last: bool,
}

/// The other files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FilesFile {
    log_id: String,
    files: BTreeMap<String, Known>,
}

impl EndFile {
    /// Reads the file. None when there is none.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::StateFile`] when it is not such a file.
    pub(crate) fn load(storage: &impl Storage) -> Result<Option<Self>, LogError> {
        load(storage, END_FILE)
    }

    /// The change that another program has made to the live file since, if it shows: the log ends
    /// before the record, or the file is not as it was left.
    /// `found` is the end of the log now; its other errors are the caller's.
    pub(crate) fn change(
        &self,
        storage: &impl Storage,
        found: &Result<LogEnd, LogError>,
    ) -> Result<Option<Change>, LogError> {
        let Some(head) = self.end.head() else {
            return Err(LogError::StateFile {
                file: END_FILE,
                reason: "it names no record".to_owned(),
            });
        };
        let found = match found {
            Err(LogError::Damaged { .. }) => return Ok(Some(Change::Replaced)),
            // A directory, a link or a FIFO has the file's name.
            Err(LogError::Storage { source, .. })
                if source.kind() == io::ErrorKind::InvalidInput =>
            {
                return Ok(Some(Change::Replaced));
            }
            Err(_) => return Ok(None),
            Ok(found) => found,
        };
        if found.tail.head.seq < head.seq {
            return self.loss(storage, found).map(Some);
        }
        if found.tail.head.seq == head.seq && found.tail.head != head {
            return Ok(Some(Change::Replaced));
        }
        let is_longer = || {
            storage
                .length(LIVE)
                .is_ok_and(|found| found != self.end.length)
        };
        let is_extended = self.is_last && matches!(found.source, Source::Live) && is_longer();
        Ok(is_extended.then_some(Change::Extended))
    }

    /// The change after which the log ends too early.
    fn loss(&self, storage: &impl Storage, found: &LogEnd) -> Result<Change, LogError> {
        if found.has_live {
            let now = storage.state(LIVE).ok().map(|state| state.identity);
            let begins_as_before = match found.source {
                Source::Live => found.tail.first.map(|(first, _)| first) == Some(self.end.first),
                Source::Segment { .. } | Source::Memory => false,
            };
            return Ok(if begins_as_before || now == self.end.identity {
                Change::Cut
            } else {
                Change::Replaced
            });
        }
        let present =
            identities(storage).map_err(LogError::while_doing("list the audit log's directory"))?;
        let is_here = self.end.identity.is_some_and(|own| present.contains(&own));
        Ok(if is_here {
            Change::Renamed
        } else {
            Change::Removed
        })
    }

    /// The end that is known from elsewhere.
    pub(crate) fn at_least(end: &SavedEnd) -> Self {
        Self {
            end: end.clone(),
            is_last: false,
        }
    }

    /// The live file with this change.
    pub(crate) fn changed(&self, change: Change) -> ChangedFile {
        let SavedEnd {
            first, seq, length, ..
        } = self.end;
        ChangedFile {
            file: LIVE.to_owned(),
            change,
            records: (first <= seq).then_some((first, seq)),
            length,
            is_recorded: false,
            needs_original: false,
            found: None,
        }
    }

    /// Says that records may follow, before the first one is written.
    ///
    /// # Errors
    /// [`LogError`].
    pub(crate) fn reopen(mut self, storage: &mut impl Storage) -> Result<(), LogError> {
        if !self.is_last {
            return Ok(());
        }
        self.is_last = false;
        store(storage, END_FILE, &self)
            // Without space for it. Without the file a start finds less, and accuses nobody.
            .or_else(|_| storage.remove(Dir::State, END_FILE))
            .map_err(LogError::while_doing(
                "store the audit log's end in the state directory",
            ))
    }
}

impl Watch {
    /// The files as the last writer of this log left them. Empty when it has left no list.
    ///
    /// # Errors
    /// As [`EndFile::load`].
    pub(crate) fn load(storage: &impl Storage, log_id: &str) -> Result<Self, LogError> {
        let listed = load::<FilesFile>(storage, FILES_FILE)?;
        let files = listed.filter(|listed| listed.log_id == log_id);
        let known = files.map_or_else(BTreeMap::new, |listed| listed.files);
        let entries = known.into_iter().map(|(name, known)| (name, Some(known)));
        Ok(Self(entries.collect()))
    }
}

impl<S: Storage> Log<S> {
    /// Stores the end of the log: with `is_last` if nothing more is written for now.
    ///
    /// An error is no failure of the log: without the file, and with an older one, a start still
    /// finds the changes that it found before.
    pub(crate) fn store_end(&mut self, is_last: bool) {
        let file = EndFile {
            end: SavedEnd::of(self),
            is_last,
        };
        // Also after an error: the file may have been replaced.
        self.is_end_last |= is_last;
        if store(&mut self.storage, END_FILE, &file).is_ok() {
            self.is_end_last = is_last;
        }
    }

    /// Says in the stored end that records may follow, before the first one is written.
    ///
    /// # Errors
    /// [`LogError`].
    pub(crate) fn reopen_end(&mut self) -> Result<(), LogError> {
        if !self.is_end_last {
            return Ok(());
        }
        if let Some(end) = EndFile::load(&self.storage)?
            && end.end.log_id == self.log_id()
        {
            end.reopen(&mut self.storage)?;
        }
        self.is_end_last = false;
        Ok(())
    }

    /// Stores the other files as they are known now. A failure leaves an older list, in which only
    /// files are missing.
    pub(crate) fn remember_files(&mut self) {
        let _ = self.store_files();
    }

    /// Takes files off the stored list before this process changes them: a start after a crash must
    /// not take that for another program's doing. They stay off it, whatever else is stored
    /// meanwhile, until [`Log::files_are_changed`].
    ///
    /// # Errors
    /// The operating system's; the files must not be changed then.
    pub(crate) fn forget_files(&mut self, changing: &[&str]) -> io::Result<()> {
        self.changing = changing.iter().map(|name| (*name).to_owned()).collect();
        self.store_or_remove_files()
    }

    /// Stores the other files when the list on disk would accuse another program.
    pub(crate) fn replace_files(&mut self) {
        let _ = self.store_or_remove_files();
    }

    fn store_or_remove_files(&mut self) -> io::Result<()> {
        self.store_files()
            // Without space for a new list, as when a segment is removed because the disk is full.
            .or_else(|_| self.storage.remove(Dir::State, FILES_FILE))
    }

    /// Puts the files that [`Log::forget_files`] has named on the list again: their changes are on
    /// disk.
    pub(crate) fn files_are_changed(&mut self) {
        self.changing.clear();
        self.remember_files();
    }

    fn store_files(&mut self) -> io::Result<()> {
        let known = self.watch.0.iter();
        let files: Vec<_> = known
            .filter(|(name, _)| !self.changing.contains(name))
            .filter_map(|(name, known)| Some((name.clone(), known.clone()?)))
            .collect();
        let oldest = files.len().saturating_sub(MAX_FILES);
        let files = files.into_iter().skip(oldest);
        let file = FilesFile {
            log_id: self.log_id().to_owned(),
            files: files.collect(),
        };
        store(&mut self.storage, FILES_FILE, &file)
    }
}

/// A state file with its format.
#[derive(Serialize)]
struct Stamped<'a, T> {
    #[serde(flatten)]
    stamp: Stamp,
    #[serde(flatten)]
    content: &'a T,
}

/// The content of a state file.
pub(crate) fn to_file(content: &impl Serialize) -> Vec<u8> {
    let stamp = Stamp::CURRENT;
    // Numbers and strings cannot fail to serialise into memory.
    let mut text = serde_json::to_vec(&Stamped { stamp, content }).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Parses the content of a state file.
///
/// # Errors
/// [`LogError::StateFile`].
pub(crate) fn parse<T: DeserializeOwned>(file: &'static str, text: &[u8]) -> Result<T, LogError> {
    let error = |reason: String| LogError::StateFile { file, reason };
    parse_format(text).map_err(|unknown| error(unknown.to_string()))?;
    serde_json::from_slice(text).map_err(|invalid| error(invalid.to_string()))
}

/// Reads a state file. None when there is none.
///
/// # Errors
/// [`LogError`]; [`LogError::StateFile`] when it is not such a file.
pub(crate) fn load<T: DeserializeOwned>(
    storage: &impl Storage,
    name: &'static str,
) -> Result<Option<T>, LogError> {
    let doing = LogError::while_doing("read what the state directory says of the audit log");
    let file = match storage.read(Dir::State, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file,
    };
    let mut text = Vec::new();
    file.and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text))
        .map_err(doing)?;
    parse(name, &text).map(Some)
}

/// Writes a state file.
///
/// # Errors
/// The operating system's.
pub(crate) fn store(
    storage: &mut impl Storage,
    name: &str,
    content: &impl Serialize,
) -> io::Result<()> {
    storage.store(Dir::State, name, &to_file(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileState;
    use crate::watch::Found;
    use pulse_core::ordinal::Ordinal;

    #[test]
    fn a_full_list_can_be_read() {
        let name = |number: usize| format!("audit.log-{:016}", u64::MAX / 4096 - number as u64);
        let tail = "0".repeat(64);
        let state = FileState {
            identity: (u64::MAX, u64::MAX),
            length: u64::MAX,
        };
        let known = Known {
            state,
            tail: tail.clone(),
        };
        let files = (0..MAX_FILES).map(|number| (name(number), known.clone()));
        let list = FilesFile {
            log_id: tail.clone(),
            files: files.collect(),
        };
        let changed = ChangedFile {
            file: name(0),
            change: Change::Extended,
            records: Some((Ordinal::MAX, Ordinal::MAX)),
            length: u64::MAX,
            is_recorded: false,
            needs_original: false,
            found: Some(Found::File {
                length: u64::MAX,
                tail,
            }),
        };
        let bytes = [to_file(&list).len(), to_file(&changed).len() * MAX_FILES];
        for bytes in bytes {
            assert!((bytes as u64) < MAX_BYTES, "{bytes}");
        }
    }
}
