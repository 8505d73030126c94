//! The loop of the writing thread: writes queued records, seals and rotates when due, and
//! retries after a failure.

use super::housekeeping::Housekeeping;
use super::{Health, Incident, Receipt, Unavailable};
use crate::error::LogError;
use crate::log::{Log, Rotation};
use crate::log_event::LogEvent;
use crate::queue::{Job, Work, WriterCommand, WriterQueue};
use crate::record::Body;
use crate::recovery::RecoveryReason;
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::watch::{Change, ChangedFile};
use pulse_core::causes::Causes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The delay before the next rotation after one that was not permitted.
const ROTATION_RETRY: Duration = Duration::from_secs(3600);

/// The longest delay between two retries, in delays before the first one. Short, because a
/// failure that is over is noticed within it; longer than the first, because each retry writes.
const MAX_BACKOFF: u32 = 2;

/// The interval between records of dropped notes: when notes come faster than the disk writes
/// them, each write would have one.
const DROPPED_INTERVAL: Duration = Duration::from_secs(1);

/// The state of the writing thread.
pub(super) struct Driver<S> {
    pub(super) log: Log<S>,
    queue: Arc<WriterQueue>,
    pub(super) clock: Box<dyn Fn() -> Timestamp + Send>,
    pub(super) house: Housekeeping,
    /// When the first unsealed record was written, by the monotonic clock.
    unsealed_since: Option<Instant>,
    rotation_at: Instant,
    rotation_refused: Option<String>,
    failure: Option<Failure>,
    check_at: Instant,
    /// The time at which the live file was first found under another name, by the monotonic clock.
    renamed_since: Option<Instant>,
    failures: u64,
    changes: u64,
    /// The number of dropped notes on record, and the earliest time for the next such record.
    dropped: u64,
    dropped_at: Instant,
    commits: u64,
    last_error: Option<Arc<str>>,
}

#[derive(Clone, Copy)]
struct Failure {
    retry_at: Instant,
    /// The delay before the retry after that one.
    delay: Duration,
    /// Records refused before this failure.
    refused_before: u64,
}

impl<S: Storage> Driver<S> {
    pub(super) fn new(
        log: Log<S>,
        queue: Arc<WriterQueue>,
        clock: Box<dyn Fn() -> Timestamp + Send>,
    ) -> Self {
        let now = Instant::now();
        Self {
            house: Housekeeping::new(log.live_file(clock())),
            unsealed_since: Some(now),
            rotation_at: now,
            rotation_refused: None,
            failure: None,
            check_at: now,
            renamed_since: None,
            failures: 0,
            changes: 0,
            dropped: 0,
            dropped_at: now,
            commits: 0,
            last_error: None,
            log,
            queue,
            clock,
        }
    }

    pub(super) fn run(&mut self) {
        loop {
            let Work {
                jobs,
                commands,
                stopping,
            } = self.queue.wait(self.wake_at());
            // `stopping` does not end the loop before the queued records are written.
            let is_last = stopping && jobs.is_empty();
            self.write(jobs);
            for command in commands {
                match command {
                    WriterCommand::Rotate(done) => done(self.rotate()),
                    WriterCommand::Reopen => self.reopen(),
                    WriterCommand::AcceptLoss { by, done } => done(self.accept_loss(by)),
                    WriterCommand::Retain(retention) => self.house.retain(retention),
                }
            }
            self.run_due_work(is_last);
            self.publish();
            if is_last {
                return;
            }
        }
    }

    /// The time of the next due work.
    fn wake_at(&self) -> Option<Instant> {
        // While writing fails, nothing else is due before the retry.
        if let Some(failure) = &self.failure {
            return Some(failure.retry_at);
        }
        let times = [
            Some(self.house.wake_at()),
            Some(self.check_at),
            self.unsealed_since
                .map(|since| since + self.log.settings.seal_after),
            (self.queue.dropped() > self.dropped).then_some(self.dropped_at),
        ];
        times.into_iter().flatten().min()
    }

    /// True while the log can be written.
    pub(super) fn is_well(&self) -> bool {
        self.failure.is_none()
    }

    fn write(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let (bodies, completions): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.body, job.done)).unzip();
        // Completions run after the sync: a caller acts on a record that is on disk.
        match self.append(&bodies) {
            Ok(first) => (first..).zip(completions).for_each(|(seq, done)| {
                if let Some(done) = done {
                    done(Ok(Receipt { seq }));
                }
            }),
            Err(error) => {
                self.queue.count_refused(completions.len() as u64);
                completions
                    .into_iter()
                    .flatten()
                    .for_each(|done| done(Err(error.clone())));
            }
        }
    }

    fn append(&mut self, bodies: &[Body]) -> Result<u64, Unavailable> {
        let outcome = self.with_log(|log, now| log.append(now, bodies));
        self.commits += u64::from(outcome.is_ok());
        self.publish();
        outcome
    }

    fn rotate(&mut self) -> Result<Rotation, Unavailable> {
        let outcome = self.with_log(Log::rotate)?;
        self.rotation_at = Instant::now() + ROTATION_RETRY;
        self.rotation_refused = match &outcome {
            Rotation::Done(_) => None,
            Rotation::NotPermitted(why) => Some(why.clone()),
        };
        if self.rotation_refused.is_none() {
            self.rotation_at = Instant::now();
            self.house.rotated();
        }
        Ok(outcome)
    }

    /// Performs the work that is due.
    fn run_due_work(&mut self, is_last: bool) {
        let now = Instant::now();
        if self
            .failure
            .as_ref()
            .is_some_and(|failure| is_last || now >= failure.retry_at)
        {
            self.resume();
        }
        // After the retry, before the seal: the last seal covers the count of dropped notes.
        let dropped = self.queue.dropped();
        if dropped > self.dropped && (is_last || now >= self.dropped_at) {
            let count = dropped - self.dropped;
            // While the log cannot be written, the count is kept.
            if self.append(&[LogEvent::Dropped { count }.body()]).is_ok() {
                self.dropped = dropped;
                self.dropped_at = now + DROPPED_INTERVAL;
            }
        }
        if is_last || now >= self.check_at {
            self.check_at = now + self.log.settings.check_interval;
            self.check_files(now, is_last);
        }
        // By both clocks: verifiers have the records' times, and a clock that is set back would
        // put the seal off.
        let is_due = self.log.seal_is_due((self.clock)())
            || self
                .unsealed_since
                .is_some_and(|since| now >= since + self.log.settings.seal_after);
        if is_due || is_last {
            // A failure is in the health.
            let _ = self.with_log(Log::seal);
        }
        if is_last && self.is_well() {
            self.log.store_end(true);
        }
        if !is_last
            && now >= self.rotation_at
            && self.log.rotation_is_due((self.clock)())
            && !self.log.is_renamed()
        {
            let _ = self.rotate();
        }
        if !is_last {
            self.run_housekeeping();
        }
        self.unsealed_since = match self.log.unsealed() {
            0 => None,
            _ => self.unsealed_since.or(Some(now)),
        };
    }

    /// Runs an operation of the log, unless it has failed, and handles its failure.
    fn with_log<T>(
        &mut self,
        work: impl FnOnce(&mut Log<S>, Timestamp) -> Result<T, LogError>,
    ) -> Result<T, Unavailable> {
        if self.failure.is_none() {
            match work(&mut self.log, (self.clock)()) {
                Ok(done) => return Ok(done),
                Err(error) => self.fail(&error),
            }
        }
        Err(Unavailable::Failed(
            self.last_error.clone().unwrap_or_default(),
        ))
    }

    /// Compares the log's files with what was written to them. At the end also a rename that
    /// could still be a rotation counts: the next process knows only what is remembered now.
    fn check_files(&mut self, now: Instant, is_last: bool) {
        if self.failure.is_some() {
            return self.check_stopped(is_last);
        }
        let mut changed = match self.log.changes() {
            Ok(changed) => changed,
            Err(error) => return self.fail(&error),
        };
        let is_rename = |one: &ChangedFile| one.is_live() && one.change == Change::Renamed;
        if !changed.iter().any(is_rename) {
            self.renamed_since = None;
        } else if self.log.is_renamed() {
            // The records are safe in the renamed file, and a signal may say that it is a rotation.
            let since = *self.renamed_since.get_or_insert(now);
            if !is_last && now < since + self.log.settings.rotation_grace {
                changed.retain(|one| !one.is_live());
            }
        }
        if !changed.is_empty() {
            self.stop_for(changed);
        }
    }

    /// Compares the files of a log that has stopped for changed ones: what is done to them now is
    /// to be told before an operator accepts the loss.
    fn check_stopped(&mut self, is_last: bool) {
        // Without any of its files, the directory is not mounted, or is another one. At the end that
        // counts, too: the next process begins with what is remembered now.
        if self.log.stopped.is_empty() || (!is_last && self.log.has_no_file()) {
            return;
        }
        // Files that cannot be looked at now are by the next check.
        let changed = self.log.look_again((self.clock)()).unwrap_or_default();
        self.tell(changed);
    }

    /// Reports changes for which the log has stopped.
    fn tell(&mut self, changed: Vec<ChangedFile>) {
        if changed.is_empty() {
            return;
        }
        self.changes += changed.len() as u64;
        self.set_error(None);
        self.publish();
        self.queue.report(Incident::Changed(changed));
    }

    /// Stops the log because other programs changed its files.
    fn stop_for(&mut self, changed: Vec<ChangedFile>) {
        let new = self.log.stop((self.clock)(), changed).to_vec();
        self.renamed_since = None;
        self.set_error(None);
        // Before the report: whoever is told finds the log unavailable.
        self.wait_to_retry();
        self.tell(new);
    }

    /// Stops the log for a change that was found on its way, and the other ones. Not for those
    /// when the live file is changed: its directory may not be mounted.
    fn stop_for_found(&mut self, changed: &ChangedFile) {
        let others = if changed.is_live() {
            Vec::new()
        } else {
            self.log.other_changes().unwrap_or_default()
        };
        self.stop_for([vec![changed.clone()], others].concat());
    }

    /// Sets the sentence of the health: the first change for which the log has stopped, then
    /// what else prevents that it continues.
    fn set_error(&mut self, cause: Option<&str>) {
        let first = self.log.stopped.first();
        let stopped = first.map(|first| LogError::Disturbed(first.clone()).to_string());
        let sentences: Vec<&str> = stopped.as_deref().into_iter().chain(cause).collect();
        self.last_error = Some(sentences.join("; ").into());
    }

    pub(super) fn fail(&mut self, error: &LogError) {
        if let LogError::Disturbed(changed) = error {
            return self.stop_for_found(changed);
        }
        let sentence = error.sentence();
        self.set_error(Some(&sentence));
        let is_new = self.failure.is_none();
        self.wait_to_retry();
        if is_new {
            self.queue.report(Incident::Failed(sentence.into()));
        }
        if error.is_full() && self.log.release().is_ok() {
            // The reserved space is for this: the record of the failure. If it does not suffice,
            // the failure is in the health only.
            let cause = Causes(error).to_string();
            let _ = self
                .log
                .recover((self.clock)(), RecoveryReason::Failure(&cause));
        }
        self.publish();
    }

    /// Closes the log until a retry succeeds.
    fn wait_to_retry(&mut self) {
        let delay = self.log.settings.retry_after;
        self.failures += u64::from(self.failure.is_none());
        self.failure.get_or_insert(Failure {
            retry_at: Instant::now() + delay,
            delay,
            refused_before: self.queue.refused(),
        });
        self.log.close();
        self.publish();
    }

    fn resume(&mut self) {
        let Some(failure) = self.failure.take() else {
            return;
        };
        self.log.store_stop();
        if self.log.not_undone().is_none() {
            let refused = self.queue.refused() - failure.refused_before;
            let now = (self.clock)();
            let resume = |log: &mut Log<S>| {
                log.reserve()?;
                log.recover(now, RecoveryReason::Resumption(refused))
            };
            let mut outcome = resume(&mut self.log);
            if outcome.as_ref().is_err_and(LogError::is_full) && self.make_room() {
                outcome = resume(&mut self.log);
            }
            match outcome {
                Ok(()) => return self.resumed(Incident::Resumed(self.log.head().seq)),
                Err(error) => {
                    self.log.close();
                    self.retry_later(failure);
                    if let LogError::Disturbed(changed) = &error {
                        self.stop_for_found(changed);
                    } else {
                        self.set_error(Some(&error.sentence()));
                    }
                }
            }
        } else {
            self.retry_later(failure);
        }
        self.unsealed_since = Some(Instant::now());
    }

    /// Tries again after twice the delay, up to [`MAX_BACKOFF`].
    fn retry_later(&mut self, failure: Failure) {
        let delay = (failure.delay * 2).min(self.log.settings.retry_after * MAX_BACKOFF);
        self.failure = Some(Failure {
            retry_at: Instant::now() + delay,
            delay,
            ..failure
        });
    }

    /// The log continues.
    fn resumed(&mut self, incident: Incident) {
        self.failure = None;
        self.renamed_since = None;
        self.unsealed_since = Some(Instant::now());
        self.publish();
        self.queue.report(incident);
    }

    /// Begins a new live file after another program renamed it. The signal is an operator's word,
    /// so it also continues a log that has stopped for the rename, and is remembered while the
    /// log cannot be written.
    fn reopen(&mut self) {
        if let Some(failure) = &mut self.failure {
            self.log.allow_rename();
            failure.retry_at = Instant::now();
        } else {
            // A failure is in the health.
            let _ = self.with_log(Log::reopen);
        }
        self.renamed_since = None;
        self.house.rotated();
    }

    /// Accepts the loss for which the log has stopped, and continues it.
    fn accept_loss(&mut self, by: String) -> Result<Vec<ChangedFile>, LogError> {
        if self.log.stopped.is_empty() {
            return Err(LogError::NothingLost);
        }
        let unseen = self.log.look_again((self.clock)())?;
        if !unseen.is_empty() {
            self.tell(unseen.clone());
            return Err(LogError::Unseen(unseen));
        }
        let refused_before = self
            .failure
            .as_ref()
            .map_or(0, |failure| failure.refused_before);
        let refused = self.queue.refused() - refused_before;
        let files = self.log.stopped.clone();
        match self.log.accept((self.clock)(), &by, refused) {
            Ok(()) => {
                self.house.rotated();
                self.resumed(Incident::Accepted {
                    by,
                    files: files.clone(),
                });
                Ok(files)
            }
            Err(error) => {
                self.log.close();
                // A change that the operator has not seen is not accepted, but told.
                Err(match error {
                    LogError::Disturbed(changed) => {
                        self.stop_for_found(&changed);
                        LogError::Unseen(vec![changed])
                    }
                    error => error,
                })
            }
        }
    }

    pub(super) fn publish(&self) {
        self.queue.publish(Health {
            available: self.failure.is_none(),
            last_error: self.last_error.clone(),
            log_id: self.log.log_id().to_owned(),
            seq: self.log.head().seq,
            epoch: self.log.epoch(),
            key: self.log.public_key().to_string(),
            unsealed: self.log.unsealed(),
            commits: self.commits,
            rotation_refused: self.rotation_refused.clone(),
            changed: self.log.stopped.as_slice().into(),
            failures: self.failures,
            changes: self.changes,
            upkeep: self.house.upkeep(self.log.written()),
            ..Health::default()
        });
    }
}
