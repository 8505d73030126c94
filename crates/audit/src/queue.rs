//! Between the callers and the thread that writes: a bounded queue.

use crate::log::Rotation;
use crate::record::Body;
use crate::tail::MAX_WRITE_BYTES;
use crate::writer::{Completion, Health, OnDisk, Receipt, Retention, Unavailable};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// What stands around a body on its line, at most.
const AROUND_BODY: usize = 256;
/// A seal may come into the same write.
const WRITE_BYTES: usize = MAX_WRITE_BYTES - 4096;

/// A record and who waits for it.
pub(crate) struct Job {
    pub(crate) body: Body,
    pub(crate) done: Completion<Receipt>,
}

/// What is asked of the thread besides records.
pub(crate) enum Command {
    Rotate(Completion<Rotation>),
    Reopen,
    Retain(Retention),
}

/// What the thread has to do.
pub(crate) struct Work {
    pub(crate) jobs: Vec<Job>,
    pub(crate) commands: Vec<Command>,
    pub(crate) stopping: bool,
}

pub(crate) struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    limit: usize,
    /// Whoever is to know at once how far the log is on disk.
    follower: OnceLock<Follower>,
}

/// What is told which records are on disk. It runs on the writer's thread and must not
/// wait.
pub(crate) type Follower = Box<dyn Fn(OnDisk) + Send + Sync>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    commands: Vec<Command>,
    stopping: bool,
    waiting: bool,
    health: Health,
    refused: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            limit,
            follower: OnceLock::new(),
        }
    }

    /// Has somebody told how far the log is on disk; only the first who asks is.
    pub(crate) fn tell(&self, follower: Follower) {
        follower(self.lock().health.on_disk());
        let _ = self.follower.set(follower);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record, or refuses it at once.
    pub(crate) fn submit(&self, job: Job) {
        let mut queue = self.lock();
        match queue.refusal(self.limit) {
            None => {
                queue.jobs.push_back(job);
                self.wake(queue);
            }
            Some(error) => {
                queue.refused += 1;
                drop(queue);
                (job.done)(Err(error));
            }
        }
    }

    pub(crate) fn command(&self, command: Command) {
        let mut queue = self.lock();
        if !queue.stopping {
            queue.commands.push(command);
            self.wake(queue);
        } else if let Command::Rotate(done) = command {
            drop(queue);
            done(Err(Unavailable::Stopped));
        }
    }

    pub(crate) fn stop(&self) {
        let mut queue = self.lock();
        queue.stopping = true;
        self.wake(queue);
    }

    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        let is_needed = queue.waiting;
        drop(queue);
        if is_needed {
            self.filled.notify_one();
        }
    }

    /// Waits for work, until `deadline` at most.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Work {
        let mut queue = self.lock();
        while queue.is_idle() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            queue.waiting = true;
            queue = match left {
                Some(left) => {
                    let woken = self.filled.wait_timeout(queue, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
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

    /// The thread tells how the log fares.
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
            available: queue.health.available && !queue.stopping,
            ..queue.health.clone()
        }
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.commands.is_empty() && !self.stopping
    }

    fn refusal(&self, limit: usize) -> Option<Unavailable> {
        if self.stopping {
            return Some(Unavailable::Stopped);
        }
        if !self.health.available {
            let error = self.health.last_error.clone().unwrap_or_default();
            return Some(Unavailable::Failed(error));
        }
        (self.jobs.len() >= limit).then_some(Unavailable::Busy)
    }

    /// As many records as one write holds, and all else.
    fn take(&mut self) -> Work {
        let mut room = WRITE_BYTES;
        let fitting = self.jobs.iter().take_while(|job| {
            let needed = job.body.len() + AROUND_BODY;
            let fits = needed <= room;
            room = room.saturating_sub(needed);
            fits
        });
        let count = fitting.count();
        Work {
            jobs: self.jobs.drain(..count).collect(),
            commands: std::mem::take(&mut self.commands),
            stopping: self.stopping,
        }
    }
}
