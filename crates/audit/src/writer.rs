//! The one thread that writes.
//!
//! Callers queue their records and are told when these are on disk. Whatever has
//! come together while the disk was busy goes out in one write and one sync (group
//! commit), so many callers wait little longer than one. When writing fails, all
//! who wait and all who come are refused at once, until the log can be written
//! again, which is tried by itself.

mod driver;
mod housekeeping;

use crate::error::LogError;
use crate::log::{Log, Rotation};
use crate::queue::{Bounds, Job, WriterCommand, WriterQueue};
use crate::record::Body;
use crate::settings::Settings;
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::worker::{ThreadEnd, Worker};
use driver::Driver;
use pulse_core::event::Event;
use pulse_core::growth::{BytesPerDay, TimeLeft};
use pulse_core::retention::{Hold, Limits, Stream};
use std::sync::Arc;
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

/// The records that a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
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
    /// Records that nobody waited for, dropped since the start because too many waited.
    pub dropped: u64,
    /// Writes, each with one sync: `seq` over this is the batch size.
    pub commits: u64,
    /// Why the file could not be rotated when it last was due.
    pub rotation_refused: Option<String>,
    /// How much there is of it, and what becomes of old segments.
    pub upkeep: Upkeep,
}

/// How much there is of the log, and what becomes of old segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// The first record that the log holds.
    pub first: u64,
    /// The bytes of all segments, the live file among them.
    pub bytes: u64,
    /// The bytes that may still be written to its disk; none before that was looked at.
    pub free: Option<u64>,
    /// The bytes that are written in a day.
    pub rate: Option<BytesPerDay>,
    /// The time until the disk is full.
    pub left: TimeLeft,
    /// Segments removed since the start.
    pub removed_segments: u64,
    /// The last record that was removed since the start; 0 is none.
    pub removed_through: u64,
    /// Why the oldest segment is still there, though it exceeds a limit.
    pub blocked: Option<Blocked>,
}

/// Why a segment that exceeds a limit of retention is not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Its records are still needed.
    Held {
        /// By whom.
        hold: Hold,
        /// Since when.
        since: Instant,
    },
    /// Its removal failed, for this reason.
    Failed(Arc<str>),
}

impl Health {
    /// The records that the log holds.
    #[must_use]
    pub fn on_disk(&self) -> OnDisk {
        OnDisk {
            first: self.upkeep.first,
            last: self.seq,
        }
    }
}

/// A collector that is behind for less time than this is none of the operator's business.
const PRESSING: Duration = Duration::from_secs(60);

impl Upkeep {
    /// What keeps the oldest segment and needs an operator: because it does not end by
    /// itself, or has not for a while.
    #[must_use]
    pub fn pressing_hold(&self) -> Option<&Hold> {
        match &self.blocked {
            Some(Blocked::Held { hold, since })
                if !hold.is_passing() || since.elapsed() >= PRESSING =>
            {
                Some(hold)
            }
            _ => None,
        }
    }

    /// Why the oldest segment could not be removed.
    #[must_use]
    pub fn failure(&self) -> Option<&Arc<str>> {
        match &self.blocked {
            Some(Blocked::Failed(reason)) => Some(reason),
            Some(Blocked::Held { .. }) | None => None,
        }
    }
}

/// What is to become of old segments.
pub struct Retention {
    /// Nothing is removed unless one of them is set.
    pub limits: Limits,
    /// Tells the streams that have to have passed a segment. It runs on the writer's
    /// thread and must not wait.
    pub streams: Box<dyn Fn() -> Vec<Stream> + Send>,
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What is called when a record is on disk, or will not be. It runs on the
/// writer's thread and must not wait.
pub type Completion<T> = Box<dyn FnOnce(Result<T, Unavailable>) + Send>;

/// The writer: hands records to its thread.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<WriterQueue>,
    thread: Worker,
    stop_timeout: Duration,
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
        let stop_timeout = log.settings.stop_timeout;
        let queue = Arc::new(WriterQueue::new(Bounds {
            awaited: log.settings.queue_records,
            notes: log.settings.queue_notes,
        }));
        let mut driver = Driver::new(log, Arc::clone(&queue), clock);
        driver.measure();
        driver.publish();
        let thread = Worker::start("audit", move || driver.run())
            .map_err(LogError::while_doing("start the audit log's thread"))?;
        Ok(Self {
            queue,
            thread,
            stop_timeout,
        })
    }

    /// Puts an event on record; `done` is called when it is on disk, or at once
    /// when it cannot be.
    pub fn submit(&self, event: &Event<'_>, done: Completion<Receipt>) {
        self.queue.submit(Job {
            body: Body::of(event),
            done: Some(done),
        });
    }

    /// Puts an event on record that nobody waits for. While too many of these wait for the
    /// disk, it is dropped and counted, and the count is put on record.
    pub fn note(&self, event: &Event<'_>) {
        self.queue.submit(Job {
            body: Body::of(event),
            done: None,
        });
    }

    /// Ends the segment and begins a new one.
    pub fn rotate(&self, done: Completion<Rotation>) {
        self.queue.command(WriterCommand::Rotate(done));
    }

    /// Follows a file that was renamed by somebody else (logrotate, `SIGUSR1`).
    pub fn reopen(&self) {
        self.queue.command(WriterCommand::Reopen);
    }

    /// Removes old segments from now on, within these limits. Until this is called,
    /// nothing is removed: the streams that need the segments must be known first.
    pub fn retain(&self, retention: Retention) {
        self.queue.command(WriterCommand::Retain(retention));
    }

    /// Has `follower` told which records are on disk, now and whenever that changes, on
    /// the writer's thread: it must not wait. There can be one follower.
    pub fn set_follower(&self, follower: impl Fn(OnDisk) + Send + Sync + 'static) {
        self.queue.set_follower(Box::new(follower));
    }

    /// Whether records can be written: the one part of [`Writer::health`] that is
    /// asked with every request.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.queue.is_available()
    }

    /// How the log fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.queue.health()
    }

    /// Writes what is queued, seals, and ends the thread. Nothing is taken
    /// afterwards. Gives how the log fared at its end.
    ///
    /// A disk that does not answer is waited for as long as
    /// [`stop_timeout`](Settings::stop_timeout) says: then the thread
    /// [still runs](Self::is_running), and the health is the last that was known.
    pub fn stop(&self) -> Health {
        self.queue.stop();
        self.thread.wait(self.stop_timeout);
        self.health()
    }

    /// Whether the thread has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.wait(Duration::ZERO) == ThreadEnd::StillRunning
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}
