//! The queue between callers and the writing thread.
//!
//! Records for which a caller waits, and notes for which none does, have separate bounds, so
//! that neither takes places from the other. All are written in order of arrival. When there
//! is no place for a note it is dropped, and the count is put on record (`log.dropped`).

use crate::error::LogError;
use crate::log::Rotation;
use crate::record::Body;
use crate::tail::MAX_WRITE_BYTES;
use crate::watch::ChangedFile;
use crate::writer::{Completion, Health, Incident, OnDisk, Receipt, Retention, Unavailable};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The most bytes that a line has besides its body.
const AROUND_BODY: usize = 256;
/// The most bytes of records per write, with room for a seal.
const WRITE_BYTES: usize = MAX_WRITE_BYTES - 4096;
/// The most incidents that wait to be taken. Each outage has two, and outages last a second.
const MAX_INCIDENTS: usize = 64;

/// A record and its completion.
pub(crate) struct Job {
    pub(crate) body: Body,
    /// None for a note.
    pub(crate) done: Option<Completion<Receipt>>,
}

/// The bounds of the queue, in records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Records with a completion.
    pub(crate) awaited: usize,
    /// Notes.
    pub(crate) notes: usize,
}

/// A command to the writing thread.
pub(crate) enum WriterCommand {
    Rotate(Completion<Rotation>),
    Reopen,
    Retain(Retention),
    AcceptLoss { by: String, done: Accepted },
}

/// A callback for when the loss is accepted, with the changed files, or why it is not.
pub(crate) type Accepted = Box<dyn FnOnce(Result<Vec<ChangedFile>, LogError>) + Send>;

/// Work for the writing thread.
pub(crate) struct Work {
    pub(crate) jobs: Vec<Job>,
    pub(crate) commands: Vec<WriterCommand>,
    pub(crate) stopping: bool,
}

pub(crate) struct WriterQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
    bounds: Bounds,
    /// The forwarder's callback.
    follower: OnceLock<Follower>,
    /// The callback for incidents.
    observer: OnceLock<Observer>,
}

/// A callback for incidents, which are then to be taken. It runs on the writing thread and must
/// not block.
pub(crate) type Observer = Box<dyn Fn() + Send + Sync>;

/// A callback for the records on disk. It runs on the writing thread and must not block.
pub(crate) type Follower = Box<dyn Fn(OnDisk) + Send + Sync>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// The number of notes in `jobs`.
    notes: usize,
    commands: Vec<WriterCommand>,
    stopping: bool,
    waiting: bool,
    health: Health,
    incidents: VecDeque<Incident>,
    refused: u64,
    /// Notes dropped.
    dropped: u64,
}

impl fmt::Debug for WriterQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterQueue").finish_non_exhaustive()
    }
}

impl WriterQueue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            bounds,
            follower: OnceLock::new(),
            observer: OnceLock::new(),
        }
    }

    /// Sets the callback for incidents, and calls it if there are any. Only the first call has an
    /// effect.
    pub(crate) fn set_observer(&self, observer: Observer) {
        if !self.lock().incidents.is_empty() {
            observer();
        }
        let _ = self.observer.set(observer);
    }

    /// Keeps an incident until it is taken, and calls the callback.
    pub(crate) fn report(&self, incident: Incident) {
        let mut queue = self.lock();
        // The oldest are those that an operator needs: how it began.
        if queue.incidents.len() < MAX_INCIDENTS {
            queue.incidents.push_back(incident);
        }
        drop(queue);
        if let Some(observer) = self.observer.get() {
            observer();
        }
    }

    pub(crate) fn take_incidents(&self) -> Vec<Incident> {
        self.lock().incidents.drain(..).collect()
    }

    /// Sets the callback, and calls it. Only the first call has an effect.
    pub(crate) fn set_follower(&self, follower: Follower) {
        follower(self.lock().health.on_disk());
        let _ = self.follower.set(follower);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A caller that panics must not stop the log: a poisoned lock is used as it is.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record, or refuses it at once.
    pub(crate) fn submit(&self, job: Job) {
        let mut queue = self.lock();
        let is_note = job.done.is_none();
        match queue.refusal(is_note, self.bounds) {
            None => {
                queue.notes += usize::from(is_note);
                queue.jobs.push_back(job);
                self.wake(queue);
            }
            // The queue is full, so the thread is writing: it accounts for dropped notes after
            // that, without being woken.
            Some(Unavailable::Busy) if is_note => queue.dropped += 1,
            Some(error) => {
                queue.refused += 1;
                // The completion runs without the lock: it may use the queue.
                drop(queue);
                if let Some(done) = job.done {
                    done(Err(error));
                }
            }
        }
    }

    pub(crate) fn command(&self, command: WriterCommand) {
        let mut queue = self.lock();
        if !queue.stopping {
            queue.commands.push(command);
            self.wake(queue);
            return;
        }
        drop(queue);
        match command {
            WriterCommand::Rotate(done) => done(Err(Unavailable::Stopped)),
            WriterCommand::AcceptLoss { done, .. } => done(Err(LogError::NothingLost)),
            WriterCommand::Reopen | WriterCommand::Retain(_) => (),
        }
    }

    pub(crate) fn stop(&self) {
        let mut queue = self.lock();
        queue.stopping = true;
        self.wake(queue);
    }

    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        let is_needed = queue.waiting;
        // Unlocked first, or the thread would wake only to wait for the lock.
        drop(queue);
        if is_needed {
            self.filled.notify_one();
        }
    }

    /// Waits for work, until `deadline` at most.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Work {
        let mut queue = self.lock();
        // `Condvar` may also wake without a notification.
        while queue.jobs.is_empty() && queue.commands.is_empty() && !queue.stopping {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            queue.waiting = true;
            queue = match left {
                Some(left) => {
                    self.filled
                        .wait_timeout(queue, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .filled
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
            };
            queue.waiting = false;
        }
        queue.take()
    }

    pub(crate) fn count_refused(&self, count: u64) {
        self.lock().refused += count;
    }

    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Notes dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Publishes the health of the log, and calls the callback.
    pub(crate) fn publish(&self, health: Health) {
        let on_disk = health.on_disk();
        self.lock().health = health;
        if let Some(follower) = self.follower.get() {
            follower(on_disk);
        }
    }

    pub(crate) fn is_available(&self) -> bool {
        let queue = self.lock();
        queue.health.available && !queue.stopping
    }

    pub(crate) fn health(&self) -> Health {
        let queue = self.lock();
        Health {
            queue: queue.jobs.len(),
            refused: queue.refused,
            dropped: queue.dropped,
            available: queue.health.available && !queue.stopping,
            ..queue.health.clone()
        }
    }
}

impl Queue {
    fn refusal(&self, is_note: bool, bounds: Bounds) -> Option<Unavailable> {
        if self.stopping {
            return Some(Unavailable::Stopped);
        }
        if !self.health.available {
            return Some(Unavailable::Failed(
                self.health.last_error.clone().unwrap_or_default(),
            ));
        }
        // Each kind against its own bound, so that neither takes places from the other.
        let is_full = if is_note {
            self.notes >= bounds.notes
        } else {
            self.jobs.len() - self.notes >= bounds.awaited
        };
        is_full.then_some(Unavailable::Busy)
    }

    /// Takes as many records as fit one write, and all commands.
    fn take(&mut self) -> Work {
        let mut room = WRITE_BYTES;
        let fitting = self.jobs.iter().take_while(|job| {
            let needed = job.body.len() + AROUND_BODY;
            let fits = needed <= room;
            room = room.saturating_sub(needed);
            fits
        });
        let fitting = fitting.count();
        // The rest stays: after a crash, more torn bytes than one write has count as damage.
        let jobs: Vec<Job> = self.jobs.drain(..fitting).collect();
        self.notes -= jobs.iter().filter(|job| job.done.is_none()).count();
        Work {
            jobs,
            commands: std::mem::take(&mut self.commands),
            stopping: self.stopping,
        }
    }
}
