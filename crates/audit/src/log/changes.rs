//! Stopping the log when another program has changed its files.

use super::{LiveRename, Log};
use crate::error::LogError;
use crate::log_event::LogEvent;
use crate::record::Body;
use crate::stop::StopFile;
use crate::storage::{Dir, LIVE, Live, Storage};
use crate::time::Timestamp;
use crate::watch::{Change, ChangedFile};

impl<S: Storage> Log<S> {
    /// The files that another program changed, the live one first.
    ///
    /// # Errors
    /// [`LogError`] when they cannot be looked at.
    pub fn changes(&mut self) -> Result<Vec<ChangedFile>, LogError> {
        let live = self.change_of(&self.live()?, self.at.length);
        Ok(live.into_iter().chain(self.other_changes()?).collect())
    }

    /// The other files that another program changed, without those for which the log has stopped.
    pub(crate) fn other_changes(&mut self) -> Result<Vec<ChangedFile>, LogError> {
        let mut changed = self
            .watch
            .changes(&self.storage, self.at.first)
            .map_err(LogError::while_doing("look at the audit log's segments"))?;
        changed.retain(|one| !self.has_stopped_for(&one.file));
        Ok(changed)
    }

    /// Checks that no other file was changed while the log was not written, besides those for
    /// which it has stopped: a loss ends only when an operator has seen it.
    pub(crate) fn check_others(&mut self) -> Result<(), LogError> {
        match self.other_changes()?.into_iter().next() {
            Some(changed) => Err(LogError::Disturbed(changed)),
            None => Ok(()),
        }
    }

    /// True when the log has stopped because of this file.
    pub(crate) fn has_stopped_for(&self, file: &str) -> bool {
        self.stopped.iter().any(|known| known.file == file)
    }

    /// The new name of a live file whose rename an operator has allowed.
    pub(crate) fn find_renamed(&self) -> Result<Option<String>, LogError> {
        let names = self
            .storage
            .list(Dir::Log)
            .map_err(LogError::while_doing("list the audit log's directory"))?;
        let is_it = |name: &String| match &self.rename {
            LiveRename::None => false,
            LiveRename::To(to) => name == to,
            LiveRename::Signalled => {
                let found = self.storage.state(name).ok();
                name != LIVE
                    && found.is_some_and(|found| Some(found.identity) == self.live_identity)
                    // After a failed write it may be longer.
                    && (self.stopped.is_empty()
                        || found.is_some_and(|found| found.length == self.at.length))
            }
        };
        Ok(names.into_iter().find(is_it))
    }

    /// True while the live file has another name in its directory: the records are safe in it,
    /// and a rotation by another program (`SIGUSR1`) may follow.
    pub(crate) fn is_renamed(&self) -> bool {
        matches!(self.storage.live(), Ok(Live::Renamed { name: Some(_), .. }))
    }

    /// Stops the log because of changed files: puts them on record if the live file is not among
    /// them, and remembers them for the next start. Gives those that were not known.
    pub fn stop(&mut self, now: Timestamp, changed: Vec<ChangedFile>) -> &[ChangedFile] {
        let known = self.stopped.len();
        for one in changed {
            if !self.has_stopped_for(&one.file) {
                self.stopped.push(one);
            }
        }
        // A closed log has the records when it continues.
        if self.storage.live().is_ok()
            && !self.stopped.iter().any(ChangedFile::is_live)
            && self.record_changes(now).is_ok()
        {
            self.stopped
                .iter_mut()
                .for_each(|one| one.is_recorded = true);
        }
        if self.stopped.len() > known {
            self.is_stop_stored = false;
            self.store_stop();
        }
        self.stopped.get(known..).unwrap_or_default()
    }

    /// Stores why the log stopped, unless it is stored. Without the file a restart finds what the
    /// live file shows, and no changed segments, so a failure is followed by another attempt.
    pub(crate) fn store_stop(&mut self) {
        if self.is_stop_stored {
            return;
        }
        let mut stop = StopFile::new(self.log_id(), self.epoch(), &self.head());
        (stop.first, stop.length) = (self.at.first, self.at.length);
        stop.files.clone_from(&self.stopped);
        self.is_stop_stored = stop.store(&mut self.storage).is_ok();
    }

    fn record_changes(&mut self, now: Timestamp) -> Result<(), LogError> {
        let bodies = self.bodies_of_changes();
        self.append(now, &bodies)?;
        // Nothing else seals it: writing ends here.
        self.seal(now).map(drop)
    }

    /// The records of changed files that have none yet.
    pub(crate) fn bodies_of_changes(&self) -> Vec<Body> {
        let unrecorded = self.stopped.iter().filter(|one| !one.is_recorded);
        unrecorded
            .map(|one| LogEvent::Disturbed(one).body())
            .collect()
    }

    /// The first changed file that is not as it was, with its name and length. The live file
    /// need not have its name when its rename is allowed.
    pub(crate) fn not_undone(&self) -> Option<&ChangedFile> {
        let is_undone = |one: &ChangedFile| match (one.is_live(), one.change) {
            (true, Change::Renamed) if self.rename == LiveRename::Signalled => true,
            // Only the file itself: a copy can have another owner, or another name besides.
            (true, Change::Replaced) => {
                let found = self.storage.state(LIVE).ok();
                found.is_some_and(|found| Some(found.identity) == self.live_identity)
            }
            _ => one.is_undone(&self.storage),
        };
        self.stopped.iter().find(|one| !is_undone(one))
    }

    /// Checks that the live file has this length, under its name or, after a rename that a
    /// rotation by another program may follow, in the directory under another.
    pub(super) fn check(&self, live: &Live, length: u64) -> Result<(), LogError> {
        let is_in_directory = matches!(live, Live::Renamed { name: Some(_), .. });
        match self.change_of(live, length) {
            None => Ok(()),
            Some(changed) if changed.change == Change::Renamed && is_in_directory => Ok(()),
            Some(changed) => Err(LogError::Disturbed(changed)),
        }
    }

    fn change_of(&self, live: &Live, length: u64) -> Option<ChangedFile> {
        Some(self.live_change(match live {
            Live::Here(found) if *found == length => return None,
            // Of a file that was renamed and changed, the change is what cannot be undone.
            Live::Here(found) | Live::Renamed { length: found, .. } if *found < length => {
                Change::Cut
            }
            Live::Here(found) | Live::Renamed { length: found, .. } if *found > length => {
                Change::Extended
            }
            Live::Here(_) | Live::Renamed { .. } => Change::Renamed,
            Live::Replaced => Change::Replaced,
            Live::Gone => Change::Removed,
        }))
    }

    /// The live file, changed.
    pub(crate) fn live_change(&self, change: Change) -> ChangedFile {
        ChangedFile {
            file: LIVE.to_owned(),
            change,
            records: (self.at.first <= self.at.head.seq)
                .then_some((self.at.first, self.at.head.seq)),
            length: self.at.length,
            is_recorded: false,
        }
    }
}
