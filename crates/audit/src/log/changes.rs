//! Stopping the log when another program has changed its files.

use super::{LiveRename, Log};
use crate::error::LogError;
use crate::inventory::SavedEnd;
use crate::log_event::LogEvent;
use crate::record::Body;
use crate::recovery::RecoveryReason;
use crate::stop::StopFile;
use crate::storage::{Dir, LIVE, Live, Storage};
use crate::time::Timestamp;
use crate::watch::{Change, ChangedFile, Found, identities};
use std::io;

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

    /// True when none of the log's files has its name.
    pub(crate) fn has_no_file(&self) -> bool {
        let names = self.storage.list(Dir::Log).unwrap_or_default();
        !names
            .iter()
            .any(|name| name == LIVE || self.watch.has(name))
    }

    /// Closes the live file until [`Log::recover`] opens it again. Not one that was removed: this
    /// descriptor may be all that is left of its records, and an operator can copy them from
    /// `/proc/<pid>/fd`.
    pub(crate) fn close(&mut self) {
        let is_gone = |one: &ChangedFile| {
            one.is_live() && matches!(one.change, Change::Removed | Change::Replaced)
        };
        if !self.stopped.iter().any(is_gone) {
            self.storage.close();
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
        for mut one in changed {
            if !self.has_stopped_for(&one.file) {
                one.found = Found::of(&self.storage, &one.file);
                one.needs_original = one.change == Change::Replaced;
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
        let is_new = self.stopped.len() > known;
        if is_new && !self.has_unfinished {
            // Nothing more is written. So a start finds a changed live file also without the reason
            // that is stored next.
            self.store_end(true);
        }
        self.is_stop_stored &= !is_new;
        self.store_stop();
        self.stopped.get(known..).unwrap_or_default()
    }

    /// Stores why the log stopped, unless it is stored. Without the file a restart finds what the
    /// files show, compared with the stored end and list, and not what was reported and has changed
    /// since, so a failure is followed by another attempt.
    pub(crate) fn store_stop(&mut self) {
        if self.is_stop_stored {
            return;
        }
        self.is_stop_stored = self.store_stop_as(false).is_ok();
    }

    fn store_stop_as(&mut self, is_accepted: bool) -> Result<(), LogError> {
        let stop = StopFile {
            end: SavedEnd::of(self),
            files: self.stopped.clone(),
            is_lower_bound: self.is_end_bound,
            is_accepted,
        };
        stop.store(&mut self.storage)
    }

    /// Continues the log although the files are changed, on record, because an operator accepts
    /// that. `refused` counts the requests since it stopped.
    pub(crate) fn accept(
        &mut self,
        now: Timestamp,
        by: &str,
        refused: u64,
    ) -> Result<(), LogError> {
        // First: a crash can leave the files in any state between this one and the next.
        self.store_stop_as(true)?;
        let own = self.live_identity;
        let outcome = self.recover(now, RecoveryReason::Acceptance { by, refused });
        if let Err(error) = &outcome {
            self.live_identity = own;
            if !matches!(error, LogError::Disturbed(_)) {
                // What this process has put in the live file's place is no other program's doing.
                for one in self.stopped.iter_mut().filter(|one| one.is_live()) {
                    one.found = Found::of(&self.storage, LIVE);
                }
            }
            self.is_stop_stored = false;
            self.store_stop();
        }
        outcome
    }

    /// Compares all files again, those for which the log has stopped with what they were when
    /// that was reported. Gives the changes since, which count as reported from then on.
    ///
    /// # Errors
    /// [`LogError`] when the files cannot be looked at.
    pub fn look_again(&mut self, now: Timestamp) -> Result<Vec<ChangedFile>, LogError> {
        let others = self.other_changes()?;
        let mut again = Vec::new();
        let mut stopped = std::mem::take(&mut self.stopped);
        for one in &mut stopped {
            let found = Found::of(&self.storage, &one.file);
            let was_seen = found.is_none() || one.found.is_none() || found == one.found;
            // What replaced a file was none of the log's.
            let is_cleared = one.change == Change::Replaced && found == Some(Found::Absent);
            if was_seen || is_cleared || self.is_undone(one) {
                continue;
            }
            one.change = self.present_change(one);
            (one.found, one.is_recorded) = (found, false);
            again.push(one.clone());
        }
        self.stopped = stopped;
        self.is_stop_stored &= again.is_empty();
        let new = self.stop(now, others).to_vec();
        Ok([again, new].concat())
    }

    /// The change of a file for which the log has stopped, as it is now.
    fn present_change(&mut self, one: &ChangedFile) -> Change {
        if !one.is_live() {
            let found = self
                .watch
                .change_of(&self.storage, self.at.first, &one.file);
            return found.ok().flatten().map_or(one.change, |now| now.change);
        }
        let own = self.live_identity;
        match self.storage.state(LIVE) {
            Ok(found) if Some(found.identity) != own => Change::Replaced,
            Ok(found) if found.length < self.at.length => Change::Cut,
            Ok(_) => Change::Extended,
            Err(error) if error.kind() != io::ErrorKind::NotFound => Change::Replaced,
            Err(_) => {
                let here = identities(&self.storage).unwrap_or_default();
                let is_here = own.is_some_and(|own| here.contains(&own));
                if is_here {
                    Change::Renamed
                } else {
                    Change::Removed
                }
            }
        }
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
    pub(crate) fn not_undone(&mut self) -> Option<ChangedFile> {
        let stopped = std::mem::take(&mut self.stopped);
        let changed = stopped.iter().find(|one| !self.is_undone(one)).cloned();
        self.stopped = stopped;
        changed
    }

    fn is_undone(&mut self, one: &ChangedFile) -> bool {
        if !one.is_live() {
            // Without it in memory, as after its list was lost, its length decides.
            return if self.watch.has(&one.file) {
                let changed = self
                    .watch
                    .change_of(&self.storage, self.at.first, &one.file);
                matches!(changed, Ok(None))
            } else {
                one.is_undone(&self.storage)
            };
        }
        if one.change == Change::Renamed && self.rename == LiveRename::Signalled {
            return true;
        }
        // A copy can have another owner, or another name besides. By the inode alone: the device
        // number can change with a mount.
        let is_it = || {
            let found = self.storage.state(LIVE).ok().map(|found| found.identity.1);
            found.is_some() && found == self.live_identity.map(|own| own.1)
        };
        (!one.needs_original || is_it()) && one.is_undone(&self.storage)
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
            needs_original: false,
            found: None,
        }
    }
}
