//! The writing thread.
//!
//! Callers queue records and are notified when these are on disk. All records that were
//! queued while the disk was busy share one write and one sync (group commit), so many callers
//! wait little longer than one. When writing fails, queued and new records are refused at
//! once, until a retry succeeds.

mod driver;
mod housekeeping;

use crate::error::LogError;
use crate::log::{Log, Rotation};
use crate::queue::{Bounds, Job, WriterCommand, WriterQueue};
use crate::record::Body;
use crate::settings::Settings;
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::watch::ChangedFile;
use crate::worker::{ThreadEnd, Worker};
use driver::Driver;
use pulse_core::audit_log::growth::{BytesPerDay, TimeLeft};
use pulse_core::audit_log::retention::{Hold, Limits, Stream};
use pulse_core::event::Event;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The receipt of a record on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number.
    pub seq: u64,
}

/// Why a record is not on disk. The action that it records must not be performed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The log cannot be written.
    #[error("audit log unavailable: {0}")]
    Failed(Arc<str>),
    /// The queue is full.
    #[error("audit log unavailable: too many records wait for the disk")]
    Busy,
    /// The writer was stopped.
    #[error("audit log unavailable: the writer was stopped")]
    Stopped,
}

/// The records of a log that are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
}

/// The health of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Records can be written.
    pub available: bool,
    /// The last failure, also after recovery.
    pub last_error: Option<Arc<str>>,
    /// The log's id.
    pub log_id: String,
    /// The last record on disk.
    pub seq: u64,
    /// The current epoch.
    pub epoch: u64,
    /// Its public key; in epoch 0 the verification key.
    pub key: String,
    /// Records that are not sealed.
    pub unsealed: u64,
    /// Queued records.
    pub queue: usize,
    /// Records refused since the start.
    pub refused: u64,
    /// Notes dropped since the start because the queue was full.
    pub dropped: u64,
    /// Writes since the start, each with one sync.
    pub commits: u64,
    /// Why the last rotation was not permitted.
    pub rotation_refused: Option<String>,
    /// The files that another program changed, for which the log has stopped; empty while it has
    /// not.
    pub changed: Arc<[ChangedFile]>,
    /// Failures to write since the start, each until writing was possible again.
    pub failures: u64,
    /// Changes of files by other programs since the start.
    pub changes: u64,
    /// Its size and retention.
    pub upkeep: Upkeep,
}

/// An event that an operator is to be told at once, although it may be over soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// The log cannot be written, for this reason; every request is refused.
    Failed(Arc<str>),
    /// Other programs changed these files; every request is refused until they are as they were,
    /// or the loss is accepted.
    Changed(Vec<ChangedFile>),
    /// The log can be written again. This is its last record.
    Resumed(u64),
    /// An operator accepted the loss of these files, and the log continues.
    Accepted {
        /// The operator.
        by: String,
        /// The files.
        files: Vec<ChangedFile>,
    },
}

/// The size of the log, and the state of its retention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// The first record that the log holds.
    pub first: u64,
    /// The bytes of all segments and the live file.
    pub bytes: u64,
    /// The free bytes of its disk; none before they are known.
    pub free: Option<u64>,
    /// The bytes written per day.
    pub rate: Option<BytesPerDay>,
    /// The time until the disk is full.
    pub left: TimeLeft,
    /// Segments removed since the start.
    pub removed_segments: u64,
    /// The last record removed since the start; 0 for none.
    pub removed_through: u64,
    /// Records up to this one were put on record as removed since the start; 0 for none. The file of
    /// the last ones is still there while their seals are copied, or when that failed.
    pub pruned_through: u64,
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
    /// The records that the log holds. Those on record as removed are not among them: their file
    /// can vanish at any time.
    #[must_use]
    pub fn on_disk(&self) -> OnDisk {
        OnDisk {
            first: self.upkeep.first.max(self.upkeep.pruned_through + 1),
            last: self.seq,
        }
    }
}

/// A collector that is behind for less time than this is not reported.
const PRESSING: Duration = Duration::from_secs(60);

impl Upkeep {
    /// The reason for which the oldest segment is kept, if it needs an operator: it does not end
    /// by itself, or has lasted for a minute.
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

/// The retention of old segments.
pub struct Retention {
    /// The limits. Nothing is removed unless one is set.
    pub limits: Limits,
    /// Gives the streams that must have sent a segment before it is removed. It runs on the
    /// writing thread and must not block.
    pub streams: Box<dyn Fn() -> Vec<Stream> + Send>,
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A callback for when a record is on disk, or refused. It runs on the writing thread and must
/// not block.
pub(crate) type Completion<T> = Box<dyn FnOnce(Result<T, Unavailable>) + Send>;

/// The handle of the writing thread.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<WriterQueue>,
    thread: Worker,
    stop_timeout: Duration,
}

impl Writer {
    /// Opens or creates the log, and starts the thread.
    ///
    /// # Errors
    /// [`LogError`]; the program should not start then.
    pub fn start<S>(storage: S, settings: Settings) -> Result<Self, LogError>
    where
        S: Storage + Send + 'static,
    {
        Self::start_with_clock(storage, settings, Box::new(Timestamp::now))
    }

    /// As [`Writer::start`], with another clock for the records' times.
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
        // A disk without this space is reported at the start, not by the first failed write.
        log.reserve()?;
        let stop_timeout = log.settings.stop_timeout;
        let queue = Arc::new(WriterQueue::new(Bounds {
            awaited: log.settings.queue_records,
            notes: log.settings.queue_notes,
        }));
        let mut driver = Driver::new(log, Arc::clone(&queue), clock);
        // Before the thread starts, so that callers never see the default health.
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

    /// Queues the record of an event. `done` is called when it is on disk, or when it is refused.
    pub fn submit(&self, event: &Event<'_>, done: Completion<Receipt>) {
        self.queue.submit(Job {
            body: Body::of(event),
            done: Some(done),
        });
    }

    /// Queues the record of an event for which nobody waits. When the queue is full it is
    /// dropped, and the count of dropped ones is put on record.
    pub fn note(&self, event: &Event<'_>) {
        self.queue.submit(Job {
            body: Body::of(event),
            done: None,
        });
    }

    /// Rotates the live file.
    pub fn rotate(&self, done: Completion<Rotation>) {
        self.queue.command(WriterCommand::Rotate(done));
    }

    /// Accepts the loss of what other programs changed, on record, and continues the log. `by` is
    /// the operator, as records name a peer. `done` gets the changed files, or
    /// [`LogError::NothingLost`] when the log did not stop for that.
    pub fn accept_loss(
        &self,
        by: String,
        done: Box<dyn FnOnce(Result<Vec<ChangedFile>, LogError>) + Send>,
    ) {
        self.queue.command(WriterCommand::AcceptLoss { by, done });
    }

    /// Sets a callback for incidents, which [`Writer::take_incidents`] then gives. It runs on the
    /// writing thread and must not block. Only the first call has an effect.
    pub fn set_observer(&self, observer: impl Fn() + Send + Sync + 'static) {
        self.queue.set_observer(Box::new(observer));
    }

    /// The incidents since the last call, oldest first.
    #[must_use]
    pub fn take_incidents(&self) -> Vec<Incident> {
        self.queue.take_incidents()
    }

    /// Begins a new live file after another program renamed it (logrotate, `SIGUSR1`).
    pub fn reopen(&self) {
        self.queue.command(WriterCommand::Reopen);
    }

    /// Sets the retention. Until the first call nothing is removed, because the streams that
    /// need old segments must be known first.
    pub fn retain(&self, retention: Retention) {
        self.queue.command(WriterCommand::Retain(retention));
    }

    /// Sets a callback for the records on disk, which is called now and on every change. It runs
    /// on the writing thread and must not block. Only the first call has an effect.
    pub fn set_follower(&self, follower: impl Fn(OnDisk) + Send + Sync + 'static) {
        self.queue.set_follower(Box::new(follower));
    }

    /// True while records can be written, as [`Health::available`].
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.queue.is_available()
    }

    /// The health of the log.
    #[must_use]
    pub fn health(&self) -> Health {
        self.queue.health()
    }

    /// Writes queued records, seals, and ends the thread. New records are refused. Gives the
    /// health of the log.
    ///
    /// When the disk does not respond within [`stop_timeout`](Settings::stop_timeout), the
    /// thread [keeps running](Self::is_running), and the health is the last one published.
    pub fn stop(&self) -> Health {
        self.queue.stop();
        self.thread.wait(self.stop_timeout);
        self.health()
    }

    /// True until the thread has ended.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_records_are_not_on_disk() {
        let on_disk = |first, pruned_through| {
            let upkeep = Upkeep {
                first,
                pruned_through,
                ..Upkeep::default()
            };
            let health = Health {
                seq: 200,
                upkeep,
                ..Health::default()
            };
            health.on_disk()
        };
        let wanted = |first| OnDisk { first, last: 200 };
        assert_eq!(on_disk(1, 0), wanted(1));
        // The file of records 1 to 100 is there, and on record as removed.
        assert_eq!(on_disk(1, 100), wanted(101));
        assert_eq!(on_disk(101, 100), wanted(101));
    }
}
