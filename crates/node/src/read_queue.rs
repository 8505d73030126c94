//! A queue for reads that can block.
//!
//! A failing disk can block a read in the kernel for half a minute, and the temperatures of other
//! devices are needed then too. So disks are read in a thread of their own. If a read does not
//! return in time, it is abandoned together with its thread, the others continue in a new thread,
//! and the disk is not read again until the old read has returned.
//!
//! A batch of reads wakes the thread once, and the thread wakes the caller once: a context switch
//! costs more than a read.
#![expect(
    clippy::indexing_slicing,
    reason = "the indices are of a list that this module builds and never shrinks"
)]

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A read to run in the queue's thread.
pub(crate) type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// The timeouts of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The maximum time without another completed read.
    pub(crate) each: Duration,
    /// The maximum time of a batch.
    pub(crate) all: Duration,
}

impl Timeouts {
    /// A working disk responds within milliseconds.
    pub(crate) const DEFAULT: Self = Self {
        each: Duration::from_millis(500),
        all: Duration::from_secs(2),
    };
}

/// Runs reads in sequence and abandons those that block.
pub(crate) struct ReadQueue<K, T> {
    timeouts: Timeouts,
    wait: Wait,
    worker: Option<Sender<Batch<T>>>,
    /// The keys of blocked reads. The thread of each still owns a reference to the progress.
    blocked: Vec<(K, SharedProgress<T>)>,
}

/// Waits for the end of a batch for a limited time; true if it has ended. Tests replace the clock.
type Wait = Box<dyn Fn(&Receiver<End>, Duration) -> bool + Send>;

/// A message that is never sent: dropping its sender marks the end of a batch, even if the thread
/// panics.
enum End {}

/// A batch in the thread.
struct Batch<T> {
    jobs: Vec<Job<T>>,
    progress: SharedProgress<T>,
    _at_end: Sender<End>,
}

/// A batch in the caller.
struct PendingBatch<T> {
    progress: SharedProgress<T>,
    end: Receiver<End>,
}

type SharedProgress<T> = Arc<Mutex<Progress<T>>>;

struct Progress<T> {
    results: Vec<T>,
    /// The caller has stopped waiting.
    is_abandoned: bool,
}

impl<K: PartialEq + Clone, T: Send + 'static> ReadQueue<K, T> {
    /// An empty queue. Its thread starts with the first job.
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            wait: Box::new(has_ended),
            worker: None,
            blocked: Vec::new(),
        }
    }

    /// Runs one job for each key, which `make` creates from the key's index. Returns the results in
    /// the same order, `None` for a blocked read. `meanwhile` runs in the calling thread.
    pub(crate) fn run(
        &mut self,
        keys: &[K],
        make: impl Fn(usize) -> Job<T>,
        meanwhile: impl FnOnce(),
    ) -> Vec<Option<T>> {
        let until = Instant::now() + self.timeouts.all;
        let mut results: Vec<Option<T>> = keys.iter().map(|_| None).collect();
        // A thread whose read has returned drops its reference to the progress, so the key is
        // read again.
        self.blocked
            .retain(|(_, progress)| Arc::strong_count(progress) > 1);
        let mut waiting: VecDeque<usize> = (0..keys.len())
            .filter(|index| !self.blocked.iter().any(|(key, _)| *key == keys[*index]))
            .collect();
        let mut batch = self.start(&waiting, &make);
        meanwhile();
        while let Some(pending) = batch {
            // Results come in the order of the jobs, so the first job without one is blocked.
            for result in self.finish(&pending, until) {
                results[waiting.pop_front().unwrap_or_default()] = Some(result);
            }
            let Some(blocked) = waiting.pop_front() else {
                break;
            };
            // Without its sender the thread ends as soon as its read returns.
            self.worker = None;
            self.blocked.push((keys[blocked].clone(), pending.progress));
            // The rest continues in a new thread, as far as there is time.
            batch = if Instant::now() < until {
                self.start(&waiting, &make)
            } else {
                None
            };
        }
        results
    }

    /// Sends jobs to the thread, which is started if there is none; `None` if there are no jobs or
    /// the thread cannot be created.
    fn start(
        &mut self,
        indices: &VecDeque<usize>,
        make: impl Fn(usize) -> Job<T>,
    ) -> Option<PendingBatch<T>> {
        let jobs: Vec<Job<T>> = indices.iter().map(|index| make(*index)).collect();
        if jobs.is_empty() {
            return None;
        }
        if self.worker.is_none() {
            let (sender, batches) = mpsc::channel::<Batch<T>>();
            // The thread ends with its sender, or after an abandoned batch.
            self.worker = thread::Builder::new()
                .name("disks".to_owned())
                .spawn(move || batches.into_iter().all(Batch::work))
                .ok()
                .map(|_| sender);
        }
        let progress = Arc::new(Mutex::new(Progress {
            results: Vec::new(),
            is_abandoned: false,
        }));
        let (at_end, end) = mpsc::channel();
        let batch = Batch {
            jobs,
            progress: Arc::clone(&progress),
            _at_end: at_end,
        };
        self.worker.as_ref()?.send(batch).ok()?;
        Some(PendingBatch { progress, end })
    }

    /// Waits as long as there is progress, then takes the results.
    fn finish(&self, pending: &PendingBatch<T>, until: Instant) -> Vec<T> {
        let mut seen = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ended = (self.wait)(&pending.end, self.timeouts.each.min(left));
            let mut progress = lock(&pending.progress);
            // No result since the last wait: the read under way is blocked.
            if ended || left.is_zero() || progress.results.len() == seen {
                progress.is_abandoned = true;
                return mem::take(&mut progress.results);
            }
            seen = progress.results.len();
        }
    }
}

fn has_ended(end: &Receiver<End>, time: Duration) -> bool {
    !matches!(end.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}

impl<T> Batch<T> {
    /// Runs the jobs; false if the batch was abandoned meanwhile.
    fn work(self) -> bool {
        self.jobs.into_iter().all(|job| {
            // Not under the lock: the job can block for long.
            let result = job();
            let mut progress = lock(&self.progress);
            progress.results.push(result);
            !progress.is_abandoned
        })
    }
}

/// A poisoned lock is used: results are pushed whole, so a panic leaves none incomplete.
fn lock<T>(progress: &Mutex<Progress<T>>) -> MutexGuard<'_, Progress<T>> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const KEYS: [u32; 3] = [1, 2, 3];

    /// Simulated disks. A read of the second one blocks while the gate is locked, and reports it.
    #[derive(Clone, Default)]
    struct Disks {
        gate: Arc<Mutex<()>>,
        stuck: Arc<AtomicBool>,
    }

    impl Disks {
        fn job(&self, key: u32) -> Job<u32> {
            self.stuck.store(false, Ordering::SeqCst);
            let disks = self.clone();
            Box::new(move || {
                if key == 2 && disks.gate.try_lock().is_err() {
                    disks.stuck.store(true, Ordering::SeqCst);
                    drop(disks.gate.lock());
                }
                key * 10
            })
        }

        /// A queue whose timeout expires when a read blocks, without a clock.
        fn queue(&self) -> ReadQueue<u32, u32> {
            let mut queue = ReadQueue::new(Timeouts {
                each: Duration::MAX,
                all: Duration::from_hours(1),
            });
            let stuck = Arc::clone(&self.stuck);
            queue.wait = Box::new(move |end, _| {
                while !stuck.load(Ordering::SeqCst) {
                    if has_ended(end, Duration::from_millis(1)) {
                        return true;
                    }
                }
                false
            });
            queue
        }
    }

    #[test]
    fn other_reads_continue() {
        let disks = Disks::default();
        let mut queue = disks.queue();
        let mut run = || queue.run(&KEYS, |index| disks.job(KEYS[index]), || {});
        assert_eq!(run(), [Some(10), Some(20), Some(30)]);
        let closed = disks.gate.lock();
        for _ in 0..3 {
            assert_eq!(run(), [Some(10), None, Some(30)]);
        }
        drop(closed);
        while run() != [Some(10), Some(20), Some(30)] {
            thread::yield_now();
        }
    }

    #[test]
    fn blocked_disk_is_not_read_again() {
        let disks = Disks::default();
        let mut queue = disks.queue();
        let _closed = disks.gate.lock();
        queue.run(&KEYS, |index| disks.job(KEYS[index]), || {});
        let job = |index| {
            assert_ne!(KEYS[index], 2);
            disks.job(KEYS[index])
        };
        assert_eq!(queue.run(&KEYS, job, || {}), [Some(10), None, Some(30)]);
        assert_eq!(queue.blocked.len(), 1);
    }

    #[test]
    fn total_wait_is_bounded() {
        let disks = Disks::default();
        let _closed = disks.gate.lock();
        let mut queue = ReadQueue::new(Timeouts {
            each: Duration::from_millis(5),
            all: Duration::from_millis(20),
        });
        let keys: Vec<usize> = (0..1000).collect();
        let results = queue.run(&keys, |_| disks.job(2), || {});
        assert!(results.iter().all(Option::is_none));
        assert!((1..10).contains(&queue.blocked.len()));
    }

    #[test]
    fn nothing_to_read_starts_no_thread() {
        let disks = Disks::default();
        let mut queue = disks.queue();
        let mut called = false;
        let results = queue.run(&[], |_| disks.job(1), || called = true);
        assert!(results.is_empty() && queue.worker.is_none() && called);
    }
}
