//! A lane of their own for reads that may hang.
//!
//! A failing disk can hold a read in the kernel for half a minute, and just then
//! the temperatures of the other devices must not stop. So disks are read in a
//! thread of their own. When one does not answer in time, it is left behind with
//! its thread, the others go on in a new one, and it is not asked again until
//! its old read has come back.
//!
//! A batch of reads wakes the thread once, and the thread wakes the caller once:
//! switching between the two costs more than reading.
#![expect(
    clippy::indexing_slicing,
    reason = "a place is of a list that was made here, and that does not shrink"
)]

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A read, to be done elsewhere.
pub(crate) type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// How long a lane waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without one more read being done.
    pub(crate) each: Duration,
    /// For all the reads of one call.
    pub(crate) all: Duration,
}

impl Patience {
    /// A disk at work answers in some milliseconds.
    pub(crate) const DEFAULT: Self = Self {
        each: Duration::from_millis(500),
        all: Duration::from_secs(2),
    };
}

/// Does reads one after the other, and leaves behind what hangs.
pub(crate) struct Lane<K, T> {
    patience: Patience,
    wait: Wait,
    worker: Option<Sender<Batch<T>>>,
    /// What hangs, with the progress that its thread still holds on to.
    hung: Vec<(K, Shared<T>)>,
}

/// Waits for the end of a batch, at most so long; true when it has come.
type Wait = Box<dyn Fn(&Receiver<End>, Duration) -> bool + Send>;

/// Is never sent: a batch has ended when the thread drops what would send it.
enum End {}

/// A batch as the thread has it.
struct Batch<T> {
    jobs: Vec<Job<T>>,
    progress: Shared<T>,
    _at_end: Sender<End>,
}

/// A batch as the caller has it.
struct Running<T> {
    progress: Shared<T>,
    end: Receiver<End>,
}

type Shared<T> = Arc<Mutex<Progress<T>>>;

struct Progress<T> {
    results: Vec<T>,
    /// Nobody waits for more results.
    abandoned: bool,
}

impl<K: PartialEq + Clone, T: Send + 'static> Lane<K, T> {
    /// A lane without a thread, until there is something to do.
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            wait: Box::new(has_ended),
            worker: None,
            hung: Vec::new(),
        }
    }

    /// Does one job for each key, which `make` makes of the key's place, and
    /// gives the results in the same order, `None` for what hangs. The caller
    /// does `meanwhile` while the lane is at work.
    pub(crate) fn run(
        &mut self,
        keys: &[K],
        make: impl Fn(usize) -> Job<T>,
        meanwhile: impl FnOnce(),
    ) -> Vec<Option<T>> {
        let until = Instant::now() + self.patience.all;
        let mut results: Vec<Option<T>> = keys.iter().map(|_| None).collect();
        let mut waiting = self.places_not_hung(keys);
        let mut batch = self.start(&waiting, &make);
        meanwhile();
        while let Some(running) = batch {
            for result in self.finish(&running, until) {
                results[waiting.pop_front().unwrap_or_default()] = Some(result);
            }
            let Some(stuck) = waiting.pop_front() else {
                break;
            };
            self.leave_behind(keys[stuck].clone(), running);
            let in_time = Instant::now() < until;
            batch = in_time.then(|| self.start(&waiting, &make)).flatten();
        }
        results
    }

    /// What does not hang, or no longer: a thread that came back has let go.
    fn places_not_hung(&mut self, keys: &[K]) -> VecDeque<usize> {
        self.hung
            .retain(|(_, progress)| Arc::strong_count(progress) > 1);
        let is_hung = |key: &K| self.hung.iter().any(|(hung, _)| hung == key);
        let places = 0..keys.len();
        places.filter(|place| !is_hung(&keys[*place])).collect()
    }

    /// Gives jobs to the thread, which is started if there is none; `None` when
    /// there are no jobs, or the system has no thread to give.
    fn start(
        &mut self,
        places: &VecDeque<usize>,
        make: impl Fn(usize) -> Job<T>,
    ) -> Option<Running<T>> {
        let jobs: Vec<Job<T>> = places.iter().map(|place| make(*place)).collect();
        if jobs.is_empty() {
            return None;
        }
        if self.worker.is_none() {
            self.worker = start_worker();
        }
        let progress = Arc::new(Mutex::new(Progress::new()));
        let (at_end, end) = mpsc::channel();
        let batch = Batch {
            jobs,
            progress: Arc::clone(&progress),
            _at_end: at_end,
        };
        self.worker.as_ref()?.send(batch).ok()?;
        Some(Running { progress, end })
    }

    /// Waits while there is progress, and takes what was done by then.
    fn finish(&self, running: &Running<T>, until: Instant) -> Vec<T> {
        let mut seen = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ended = (self.wait)(&running.end, self.patience.each.min(left));
            let mut progress = lock(&running.progress);
            if ended || left.is_zero() || progress.results.len() == seen {
                progress.abandoned = true;
                return mem::take(&mut progress.results);
            }
            seen = progress.results.len();
        }
    }

    /// The thread ends when it sees that nobody waits for it any more.
    fn leave_behind(&mut self, key: K, running: Running<T>) {
        self.worker = None;
        self.hung.push((key, running.progress));
    }
}

fn has_ended(end: &Receiver<End>, time: Duration) -> bool {
    !matches!(end.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}

fn start_worker<T: Send + 'static>() -> Option<Sender<Batch<T>>> {
    let (sender, batches) = mpsc::channel();
    let work = move || batches.into_iter().all(Batch::work);
    let thread = thread::Builder::new().name("disks".to_owned());
    thread.spawn(work).ok().map(|_| sender)
}

impl<T> Batch<T> {
    /// Does the jobs; false when the batch was abandoned meanwhile.
    fn work(self) -> bool {
        self.jobs.into_iter().all(|job| {
            let result = job();
            let mut progress = lock(&self.progress);
            progress.results.push(result);
            !progress.abandoned
        })
    }
}

impl<T> Progress<T> {
    fn new() -> Self {
        Self {
            results: Vec::new(),
            abandoned: false,
        }
    }
}

/// A thread that panicked left no half-made result behind.
fn lock<T>(progress: &Mutex<Progress<T>>) -> MutexGuard<'_, Progress<T>> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const KEYS: [u32; 3] = [1, 2, 3];

    /// Reads of which the second hangs while its gate is closed, and says so.
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

        /// A lane whose patience ends when a read hangs, without a clock.
        fn lane(&self) -> Lane<u32, u32> {
            let mut lane = Lane::new(Patience {
                each: Duration::MAX,
                all: Duration::from_hours(1),
            });
            let stuck = Arc::clone(&self.stuck);
            lane.wait = Box::new(move |end, _| {
                while !stuck.load(Ordering::SeqCst) {
                    if has_ended(end, Duration::from_millis(1)) {
                        return true;
                    }
                }
                false
            });
            lane
        }
    }

    #[test]
    fn a_read_that_hangs_costs_no_other_until_it_comes_back() {
        let disks = Disks::default();
        let mut lane = disks.lane();
        let mut run = || lane.run(&KEYS, |place| disks.job(KEYS[place]), || {});
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
    fn what_hangs_is_not_asked_again() {
        let disks = Disks::default();
        let mut lane = disks.lane();
        let _closed = disks.gate.lock();
        lane.run(&KEYS, |place| disks.job(KEYS[place]), || {});
        let job = |place| {
            assert_ne!(KEYS[place], 2);
            disks.job(KEYS[place])
        };
        assert_eq!(lane.run(&KEYS, job, || {}), [Some(10), None, Some(30)]);
        assert_eq!(lane.hung.len(), 1);
    }

    #[test]
    fn when_everything_hangs_the_whole_wait_is_bounded() {
        let disks = Disks::default();
        let _closed = disks.gate.lock();
        let mut lane = Lane::new(Patience {
            each: Duration::from_millis(5),
            all: Duration::from_millis(20),
        });
        let keys: Vec<usize> = (0..1000).collect();
        let results = lane.run(&keys, |_| disks.job(2), || {});
        assert!(results.iter().all(Option::is_none));
        assert!((1..10).contains(&lane.hung.len()));
    }

    #[test]
    fn nothing_to_read_starts_no_thread() {
        let disks = Disks::default();
        let mut lane = disks.lane();
        let mut called = false;
        let results = lane.run(&[], |_| disks.job(1), || called = true);
        assert!(results.is_empty() && lane.worker.is_none() && called);
    }
}
