//! The one thread that writes.
//!
//! Callers queue their records and are told when these are on disk. Whatever has
//! come together while the disk was busy goes out in one write and one sync (group
//! commit), so many callers wait little longer than one. When writing fails, all
//! who wait and all who come are refused at once, until the log can be written
//! again, which is tried by itself.

use crate::error::LogError;
use crate::log::{Log, Rotation, Settings};
use crate::queue::{Command, Job, Shared, Work};
use crate::record::Body;
use crate::recovery::Occasion;
use crate::storage::Storage;
use crate::time::Timestamp;
use pulse_core::event::Event;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A record is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number.
    pub seq: u64,
}

/// A record is not on disk, and what it was for must not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The log cannot be written.
    #[error("audit log unavailable: {0}")]
    Failed(Arc<str>),
    /// Too many records wait for the disk.
    #[error("audit log unavailable: too many records wait for the disk")]
    Busy,
    /// The writer was stopped.
    #[error("audit log unavailable: the writer was stopped")]
    Stopped,
}

/// How the log fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Records can be written.
    pub available: bool,
    /// The last failure, also when it is over.
    pub last_error: Option<Arc<str>>,
    /// The log's own name.
    pub log_id: String,
    /// The last record on disk.
    pub seq: u64,
    /// The current epoch, and its public key.
    pub epoch: u64,
    /// In epoch 0 the verification key.
    pub key: String,
    /// Records that are not sealed.
    pub unsealed: u64,
    /// Records that wait for the disk.
    pub queue: usize,
    /// Records refused since the start.
    pub refused: u64,
    /// Writes, each with one sync: `seq` over this is the batch size.
    pub commits: u64,
    /// Why the file could not be rotated when it last was due.
    pub rotation_refused: Option<String>,
}

/// What is called when a record is on disk, or will not be. It runs on the
/// writer's thread and must not wait.
pub type Completion<T> = Box<dyn FnOnce(Result<T, Unavailable>) + Send>;

/// After a rotation that was not permitted, the next comes no sooner.
const ROTATION_RETRY: Duration = Duration::from_secs(3600);

/// The writer: hands records to its thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the log, or begins it where there is none, and starts the thread.
    ///
    /// # Errors
    /// [`LogError`]: the program should not start then.
    pub fn start<S>(storage: S, settings: Settings) -> Result<Self, LogError>
    where
        S: Storage + Send + 'static,
    {
        Self::start_with_clock(storage, settings, Box::new(Timestamp::now))
    }

    /// As [`Writer::start`], with another clock on the records.
    ///
    /// # Errors
    /// As [`Writer::start`].
    pub fn start_with_clock<S>(
        storage: S,
        settings: Settings,
        clock: Box<dyn Fn() -> Timestamp + Send>,
    ) -> Result<Self, LogError>
    where
        S: Storage + Send + 'static,
    {
        let mut log = Log::open(storage, settings, clock())?;
        log.reserve()?;
        let shared = Arc::new(Shared::new(log.settings.queue_records));
        let mut driver = Driver::new(log, Arc::clone(&shared), clock);
        driver.publish();
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || driver.run())
            .map_err(LogError::while_doing("start the audit log's thread"))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Puts an event on record; `done` is called when it is on disk, or at once
    /// when it cannot be.
    pub fn submit(&self, event: &Event<'_>, done: Completion<Receipt>) {
        let body = Body::of(event);
        self.shared.submit(Job { body, done });
    }

    /// Ends the segment and begins a new one.
    pub fn rotate(&self, done: Completion<Rotation>) {
        self.shared.command(Command::Rotate(done));
    }

    /// Follows a file that was renamed by somebody else (logrotate, `SIGUSR1`).
    pub fn reopen(&self) {
        self.shared.command(Command::Reopen);
    }

    /// How the log fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Writes what is queued, seals, and ends the thread. Nothing is taken
    /// afterwards. Gives how the log fared at its end.
    pub fn stop(&self) -> Health {
        self.shared.stop();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It ends by itself; if it panicked, the health says nothing new.
            let _ = thread.join();
        }
        self.health()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread does.
struct Driver<S> {
    log: Log<S>,
    shared: Arc<Shared>,
    clock: Box<dyn Fn() -> Timestamp + Send>,
    /// When the first unsealed record was written, by the clock that never steps.
    unsealed_since: Option<Instant>,
    rotation_at: Instant,
    rotation_refused: Option<String>,
    failure: Option<Failure>,
    commits: u64,
    last_error: Option<Arc<str>>,
}

struct Failure {
    retry_at: Instant,
    /// Refused before this failure.
    refused_before: u64,
}

impl<S: Storage> Driver<S> {
    fn new(log: Log<S>, shared: Arc<Shared>, clock: Box<dyn Fn() -> Timestamp + Send>) -> Self {
        let now = Instant::now();
        Self {
            unsealed_since: Some(now),
            rotation_at: now,
            rotation_refused: None,
            failure: None,
            commits: 0,
            last_error: None,
            log,
            shared,
            clock,
        }
    }

    fn run(&mut self) {
        loop {
            let Work {
                jobs,
                commands,
                stopping,
            } = self.shared.wait(self.wake_at());
            let is_last = stopping && jobs.is_empty();
            self.write(jobs);
            for command in commands {
                self.obey(command);
            }
            self.attend(is_last);
            self.publish();
            if is_last {
                return;
            }
        }
    }

    /// When there is something to do though nobody asks.
    fn wake_at(&self) -> Option<Instant> {
        match &self.failure {
            Some(failure) => Some(failure.retry_at),
            None => self
                .unsealed_since
                .map(|since| since + self.log.settings.seal_after),
        }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let (bodies, completions): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.body, job.done)).unzip();
        let outcome = self.guarded(|log, now| log.append(now, &bodies));
        self.commits += u64::from(outcome.is_ok());
        self.publish();
        match outcome {
            Ok(first) => (first..)
                .zip(completions)
                .for_each(|(seq, done)| done(Ok(Receipt { seq }))),
            Err(error) => {
                self.shared.count_refused(completions.len() as u64);
                completions
                    .into_iter()
                    .for_each(|done| done(Err(error.clone())));
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Rotate(done) => done(self.rotate()),
            Command::Reopen => {
                // Its failure is the log's, and shows in the health.
                let _ = self.guarded(Log::reopen);
            }
        }
    }

    fn rotate(&mut self) -> Result<Rotation, Unavailable> {
        let outcome = self.guarded(Log::rotate)?;
        self.rotation_refused = match &outcome {
            Rotation::Done(_) => None,
            Rotation::NotPermitted(why) => Some(why.clone()),
        };
        self.rotation_at = Instant::now() + ROTATION_RETRY;
        if self.rotation_refused.is_none() {
            self.rotation_at = Instant::now();
        }
        Ok(outcome)
    }

    /// What the time asks for.
    fn attend(&mut self, is_last: bool) {
        let now = Instant::now();
        if self
            .failure
            .as_ref()
            .is_some_and(|failure| is_last || now >= failure.retry_at)
        {
            self.resume();
        }
        let is_due = self
            .unsealed_since
            .is_some_and(|since| now >= since + self.log.settings.seal_after);
        if is_due || is_last {
            // Its failure is the log's, and shows in the health.
            let _ = self.guarded(Log::seal);
        }
        if !is_last && now >= self.rotation_at && self.log.rotation_is_due((self.clock)()) {
            let _ = self.rotate();
        }
        self.unsealed_since = match self.log.unsealed() {
            0 => None,
            _ => self.unsealed_since.or(Some(now)),
        };
    }

    /// Does something with the log, and sees to its failure.
    fn guarded<T>(
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

    fn fail(&mut self, error: &LogError) {
        let text = error.to_string();
        self.last_error = Some(text.as_str().into());
        self.failure = Some(Failure {
            retry_at: Instant::now() + self.log.settings.retry_after,
            refused_before: self.shared.refused(),
        });
        self.log.close();
        if error.is_full() && self.log.release().is_ok() {
            // The log's last words: that it refuses, and why. Without room even
            // for them, what the health says has to do.
            let _ = self.log.recover((self.clock)(), Occasion::Failure(&text));
        }
        self.publish();
    }

    fn resume(&mut self) {
        let Some(failure) = self.failure.take() else {
            return;
        };
        let refused = self.shared.refused() - failure.refused_before;
        let now = (self.clock)();
        let outcome = self
            .log
            .reserve()
            .and_then(|()| self.log.recover(now, Occasion::Resumption(refused)));
        if let Err(error) = outcome {
            self.log.close();
            self.last_error = Some(error.to_string().into());
            self.failure = Some(Failure {
                retry_at: Instant::now() + self.log.settings.retry_after,
                ..failure
            });
        }
        self.unsealed_since = Some(Instant::now());
    }

    fn publish(&self) {
        self.shared.publish(Health {
            available: self.failure.is_none(),
            last_error: self.last_error.clone(),
            log_id: self.log.log_id().to_owned(),
            seq: self.log.head().seq,
            epoch: self.log.epoch(),
            key: self.log.public_key().to_string(),
            unsealed: self.log.unsealed(),
            commits: self.commits,
            rotation_refused: self.rotation_refused.clone(),
            ..Health::default()
        });
    }
}
