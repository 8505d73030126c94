//! Opening the log: at a start, or because an operator accepts a loss. The files are compared first
//! with what the last writer of the log left, so that a restart hides nothing.

use super::RecoveryReason;
use super::end::{LogEnd, find};
use super::keys::read_key;
use super::{Source, begin, go_on};
use crate::error::LogError;
use crate::inventory::EndFile;
use crate::log::{Log, Position};
use crate::log_event::{LogEvent, ResumeReason};
use crate::settings::Settings;
use crate::stop::{STOP_FILE, StopFile};
use crate::storage::{Dir, Storage};
use crate::tail::Unsealed;
use crate::time::Timestamp;
use crate::watch::{ChangedFile, Found, Watch};

/// The log's files before a start, compared with what the last writer left.
struct Compared {
    /// The end that it left, if the log can be continued there.
    end: Option<EndFile>,
    /// The live file, if it was changed; else the end of the log.
    live: Result<LogEnd, ChangedFile>,
    /// The other files as it left them.
    watch: Watch,
    /// The changed ones.
    others: Vec<ChangedFile>,
}

impl Compared {
    /// `stop` has the files for which the log stopped, with a lower bound of its end.
    fn of(storage: &impl Storage, stop: Option<&StopFile>) -> Result<Self, LogError> {
        let mut end = None;
        if let Some(file) = EndFile::load(storage)? {
            // Without that key it is the end of another log, whose keys were moved away, or one
            // that a seal has followed.
            let key = read_key(storage, file.end.epoch)?;
            end = key
                .is_some_and(|key| key.log_id == file.end.log_id)
                .then_some(file);
        }
        let found = find(storage, None, None);
        if let Some(file) = &end
            && let Some(change) = file.change(storage, &found)?
        {
            let mut changed = file.changed(change);
            changed.found = Found::of(storage, &changed.file);
            let mut watch = Watch::load(storage, &file.end.log_id)?;
            return Ok(Self {
                others: changes(&mut watch, storage, file.end.first)?,
                watch,
                live: Err(changed),
                end,
            });
        }
        let found = found?;
        let (mut watch, mut others) = (Watch::default(), Vec::new());
        if let (Some(epoch), Some((first, _))) = (&found.tail.epoch, found.tail.first) {
            watch = Watch::load(storage, &epoch.log_id)?;
            others = changes(&mut watch, storage, first)?;
        }
        // The log ends where it stopped for them, and nothing tells how that ended. Not for the live
        // file: the log has continued in it.
        let id = found.tail.epoch.as_ref().map(|epoch| &epoch.log_id);
        let stop = stop.filter(|stop| Some(&stop.end.log_id) == id);
        let stopped = stop.map_or(&[][..], |stop| &stop.files);
        let unfinished = found.tail.disturbed.iter().chain(stopped);
        for unfinished in unfinished.filter(|one| !one.is_live()) {
            match others.iter_mut().find(|one| one.file == unfinished.file) {
                Some(other) => {
                    other.is_recorded |=
                        unfinished.is_recorded && other.change == unfinished.change;
                }
                // Nobody knows what the file was, so only an operator can end it.
                None if !watch.has(&unfinished.file) => others.push(unfinished.clone()),
                // It is as it was left.
                None => (),
            }
        }
        // A new file begins with `log.resumed`, and must not end the evidence.
        if matches!(found.source, Source::Segment { .. }) {
            for one in &mut others {
                one.is_recorded = false;
            }
        }
        Ok(Self {
            end,
            live: Ok(found),
            watch,
            others,
        })
    }

    /// All changed files, the live one first.
    fn files(&self) -> Vec<ChangedFile> {
        let live = self.live.as_ref().err();
        live.into_iter().chain(&self.others).cloned().collect()
    }
}

fn changes(
    watch: &mut Watch,
    storage: &impl Storage,
    live_first: u64,
) -> Result<Vec<ChangedFile>, LogError> {
    watch
        .changes(storage, live_first)
        .map_err(LogError::while_doing("look at the audit log's segments"))
}

impl<S: Storage> Log<S> {
    /// Opens the log, or creates it if there is none.
    ///
    /// # Errors
    /// [`LogError`]; a log that cannot be continued is not changed. [`LogError::Disturbed`] when
    /// another program changed its files, while it was written or since.
    pub fn open(storage: S, settings: Settings, now: Timestamp) -> Result<Self, LogError> {
        match StopFile::load(&storage)? {
            Some(stop) if !stop.is_lower_bound => {
                Self::stopped(storage, settings, now, stop)?.undone(now)
            }
            stop => {
                let found = Compared::of(&storage, stop.as_ref())?;
                Self::compared(storage, settings, now, stop.as_ref(), found)
            }
        }
    }

    /// Opens a log that stopped because other programs changed its files, and accepts the loss.
    /// Gives the changed files.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::NothingLost`] when no file was changed, and [`LogError::Unseen`]
    /// for changes that were not reported before. The next call accepts those.
    pub fn accept_loss(
        storage: S,
        settings: Settings,
        now: Timestamp,
        by: &str,
    ) -> Result<(Self, Vec<ChangedFile>), LogError> {
        let stop = match StopFile::load(&storage)? {
            Some(stop) if !stop.is_lower_bound || stop.is_live_lost(&storage)? => stop,
            // No start has found it yet, or the live file was put back.
            stop => {
                let found = Compared::of(&storage, stop.as_ref())?;
                let unseen = found.files();
                // The next start puts on record what was put back.
                if unseen.is_empty() {
                    return Err(LogError::NothingLost);
                }
                return match Self::compared(storage, settings, now, stop.as_ref(), found) {
                    Err(LogError::Disturbed(_)) => Err(LogError::Unseen(unseen)),
                    Err(error) => Err(error),
                    Ok(_) => Err(LogError::NothingLost),
                };
            }
        };
        let is_repeated = stop.is_accepted;
        let mut log = Self::stopped(storage, settings, now, stop)?;
        // An acceptance that was interrupted has changed them itself.
        if !is_repeated {
            let unseen = log.look_again(now)?;
            if !unseen.is_empty() {
                return Err(LogError::Unseen(unseen));
            }
        }
        let accepted = log.stopped.clone();
        if let Err(error) = log.accept(now, by, 0) {
            // Of a file that was changed later: named now, and accepted the next time.
            return Err(match error {
                LogError::Disturbed(changed) => {
                    LogError::Unseen(log.stop(now, vec![changed]).to_vec())
                }
                error => error,
            });
        }
        log.learn_files();
        Ok((log, accepted))
    }

    /// The log as it was when it stopped.
    fn stopped(
        storage: S,
        settings: Settings,
        now: Timestamp,
        stop: StopFile,
    ) -> Result<Self, LogError> {
        let StopFile {
            end,
            files,
            is_lower_bound,
            ..
        } = stop;
        let epoch = end.epoch;
        let key = read_key(&storage, epoch)?
            .filter(|key| key.log_id == end.log_id && key.epoch == epoch)
            .ok_or(LogError::KeyMissing { epoch })?;
        let head = end.head().ok_or_else(|| LogError::StateFile {
            file: STOP_FILE,
            reason: "it names no record".to_owned(),
        })?;
        let at = Position {
            first: end.first,
            length: end.length,
            // Their number does not matter: the log is sealed as soon as it continues.
            unsealed: Some(Unsealed::with(None, 1, now)),
            ..Position::new(head, key, now)
        };
        let watch = Watch::load(&storage, &end.log_id)?;
        let mut log = Self::new(storage, settings, at);
        (log.stopped, log.watch, log.is_end_bound) = (files, watch, is_lower_bound);
        // An attempt to continue it may have failed.
        (log.live_identity, log.has_unfinished) = (end.identity, true);
        // The last writer can have ended in order.
        log.is_end_last = true;
        Ok(log)
    }

    /// Continues a log that stopped, if its files are as they were.
    fn undone(mut self, now: Timestamp) -> Result<Self, LogError> {
        if let Some(changed) = self.not_undone() {
            return Err(LogError::Disturbed(changed));
        }
        // Changes since the last writer has ended.
        let others = self.other_changes()?;
        if let Some(first) = others.first().cloned() {
            self.stop(now, others);
            return Err(LogError::Disturbed(first));
        }
        self.recover(now, RecoveryReason::Start)?;
        self.learn_files();
        Ok(self)
    }

    /// Opens a log that did not stop before its last writer ended, or for which `stop` has a lower
    /// bound of its end only.
    fn compared(
        mut storage: S,
        settings: Settings,
        now: Timestamp,
        stop: Option<&StopFile>,
        found: Compared,
    ) -> Result<Self, LogError> {
        let files = found.files();
        let Compared {
            end,
            live,
            watch,
            others,
        } = found;
        let live = match (live, end) {
            (Err(changed), Some(end)) => {
                let stop = StopFile {
                    is_lower_bound: !end.is_last,
                    is_accepted: false,
                    end: end.end,
                    files,
                };
                // The next start finds the same again, so a failure costs nothing.
                let _ = stop.store(&mut storage);
                return Err(LogError::Disturbed(changed));
            }
            (Err(changed), None) => return Err(LogError::Disturbed(changed)),
            (Ok(live), end) => {
                // Before the first record is written.
                if let Some(end) = end {
                    end.reopen(&mut storage)?;
                }
                live
            }
        };
        let is_refused = !others.is_empty();
        let mut log = Self::open_unstopped(storage, settings, now, live, is_refused)?;
        // Not the one of another log, whose state directory this was.
        let stop_of_this = stop.filter(|stop| stop.end.log_id == log.log_id());
        if let Some(stop) = stop_of_this {
            let is_put_back = |one: &&ChangedFile| {
                !one.is_recorded && !others.iter().any(|other| other.file == one.file)
            };
            let put_back = stop.files.iter().filter(is_put_back);
            let mut bodies: Vec<_> = put_back
                .map(|one| LogEvent::Disturbed(one).body())
                .collect();
            // Last what says that the log continues: from the records alone, a start would find a
            // reason to stop.
            if !is_refused {
                bodies.push(log.resumed(ResumeReason::Start, None));
            }
            log.append(now, &bodies)?;
        }
        if let Some(first) = others.first().cloned() {
            log.watch = watch;
            log.stop(now, others);
            return Err(LogError::Disturbed(first));
        }
        if stop.is_some() {
            log.storage
                .remove(Dir::State, STOP_FILE)
                .map_err(LogError::while_doing("remove why the audit log stopped"))?;
            log.seal(now)?;
        }
        log.learn_files();
        Ok(log)
    }

    /// Takes the files besides the live one as they are.
    fn learn_files(&mut self) {
        // What cannot be looked at now is taken as it is by the next check.
        self.watch = Watch::of(&self.storage).unwrap_or_default();
        self.remember_files();
        self.store_end(false);
    }

    fn open_unstopped(
        mut storage: S,
        settings: Settings,
        now: Timestamp,
        found: LogEnd,
        is_refused: bool,
    ) -> Result<Self, LogError> {
        if found.tail.first.is_none() {
            return begin(storage, settings, now, &found);
        }
        let (position, torn, continuation) = go_on(&mut storage, found, now, &[])?;
        let mut log = Self::new(storage, settings, position);
        log.learn_live();
        // Without `log.resumed`: from the records alone, the start after a crash finds that the log
        // has stopped.
        let reason = if is_refused {
            RecoveryReason::Refusal
        } else {
            RecoveryReason::Start
        };
        log.account_for(now, reason, &torn, &continuation)?;
        Ok(log)
    }
}
