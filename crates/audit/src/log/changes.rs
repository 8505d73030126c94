//! Stopping the log when another program has changed its files.

use super::Log;
use crate::error::LogError;
use crate::log_event::LogEvent;
use crate::record::Body;
use crate::stop::StopFile;
use crate::storage::{LIVE, Live, Storage};
use crate::time::Timestamp;
use crate::watch::{Change, ChangedFile};

impl<S: Storage> Log<S> {
    /// The files that another program changed, the live one first.
    ///
    /// # Errors
    /// [`LogError`] when they cannot be looked at.
    pub fn changes(&mut self) -> Result<Vec<ChangedFile>, LogError> {
        let live = self.change_of(&self.live()?, self.at.length);
        let others = self
            .watch
            .changes(&self.storage, self.at.first)
            .map_err(LogError::while_doing("look at the audit log's segments"))?;
        Ok(live.into_iter().chain(others).collect())
    }

    /// True while the live file has another name in its directory: the records are safe in it,
    /// and a rotation by another program (`SIGUSR1`) may follow.
    pub(crate) fn is_renamed(&self) -> bool {
        matches!(self.storage.live(), Ok(Live::Renamed(Some(_))))
    }

    /// Stops the log because of changed files: puts them on record if the live file is not among
    /// them, and remembers them for the next start. Gives those that were not known.
    pub(crate) fn stop(&mut self, now: Timestamp, changed: Vec<ChangedFile>) -> &[ChangedFile] {
        let known = self.stopped.len();
        for one in changed {
            if self.stopped.iter().all(|known| known.file != one.file) {
                self.stopped.push(one);
            }
        }
        if !self.stopped.iter().any(ChangedFile::is_live) && self.record_changes(now).is_ok() {
            self.stopped
                .iter_mut()
                .for_each(|one| one.is_recorded = true);
        }
        if self.stopped.len() > known {
            let mut stop = StopFile::new(self.log_id(), self.epoch(), &self.head());
            (stop.first, stop.length) = (self.at.first, self.at.length);
            stop.files.clone_from(&self.stopped);
            // Without the file a restart finds what the live file shows, and no changed segments.
            let _ = stop.store(&mut self.storage);
        }
        self.stopped.get(known..).unwrap_or_default()
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

    /// True when each changed file has its name and length again.
    pub(crate) fn is_undone(&self) -> bool {
        self.stopped.iter().all(|one| one.is_undone(&self.storage))
    }

    /// Checks that the live file has this length, under its name or, after a rename that a
    /// rotation by another program may follow, in the directory under another.
    pub(super) fn check(&self, live: &Live, length: u64) -> Result<(), LogError> {
        match self.change_of(live, length) {
            Some(changed) if !matches!(live, Live::Renamed(Some(_))) => {
                Err(LogError::Disturbed(changed))
            }
            _ => Ok(()),
        }
    }

    fn change_of(&self, live: &Live, length: u64) -> Option<ChangedFile> {
        Some(self.live_change(match live {
            Live::Here(found) if *found == length => return None,
            Live::Here(found) if *found < length => Change::Cut,
            Live::Here(_) => Change::Extended,
            Live::Renamed(_) => Change::Renamed,
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
