//! The threads that read devices, and the wait for them.
//!
//! Usually one thread reads every device that is due and the reading waits once: a context switch
//! costs more than a read. When a read takes long, another thread goes on with the rest, and the
//! reading is answered without the device.

use crate::schedule::{Found, Schedule, TAKEOVER, View};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum time that a request waits for devices.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(1);

/// The stack of a thread. The standard library's functions for paths have buffers of 4 KiB.
const STACK_BYTES: usize = 256 * 1024;

/// The threads that a request starts for reads that it does not wait for.
const BACKGROUND_THREADS: usize = 16;

/// A device that a thread can read.
pub(crate) trait Device: Send + 'static {
    /// The outcome of a read.
    type Value: Send + Sync;

    /// Reads the device, and returns the time that reading its values took. `request` is the time
    /// of the request.
    fn read(&mut self, request: Instant) -> (Self::Value, Duration);
}

/// The devices and their threads.
pub(crate) struct Pool<K, D: Device> {
    shared: Arc<Shared<K, D>>,
}

struct Shared<K, D: Device> {
    state: Mutex<State<K, D>>,
    /// A device is due.
    due: Condvar,
    /// No device is awaited any longer.
    answered: Condvar,
}

struct State<K, D: Device> {
    schedule: Schedule<K, D, D::Value>,
    /// The time of the last request.
    request: Instant,
    /// Threads that wait for a device to be due.
    idle: usize,
    /// Idle threads that were told to go on, and have not woken yet.
    woken: usize,
    /// The pool was dropped: its threads end.
    is_closed: bool,
    /// Threads that were started or told to go on, and have not taken a device yet.
    starting: usize,
}

impl<K, D> Pool<K, D>
where
    K: Eq + Hash + Send + Sync + 'static,
    D: Device,
{
    /// A pool without devices. Threads start with the first device that is due.
    pub(crate) fn new(now: Instant) -> Self {
        let state = State {
            schedule: Schedule::default(),
            request: now,
            idle: 0,
            woken: 0,
            is_closed: false,
            starting: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            due: Condvar::new(),
            answered: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Replaces the list of devices; see [`Schedule::set_devices`].
    pub(crate) fn set_devices(&mut self, keys: Vec<K>, find: impl Fn(&K) -> Found<D>) {
        self.shared.lock().schedule.set_devices(keys, find);
    }

    /// Reads the devices that are due at this time, and returns all with their last values. Waits
    /// for the quick ones, and at most [`MAX_WAIT`].
    pub(crate) fn read(&mut self, request: Instant) -> Vec<View<K, D::Value>> {
        let mut state = self.shared.lock();
        state.request = request;
        state.schedule.request(request);
        let started = Instant::now();
        loop {
            let now = Instant::now();
            let waited = now.saturating_duration_since(started);
            if !state.schedule.is_awaiting() || waited >= MAX_WAIT {
                break;
            }
            self.start_thread(&mut state, now);
            let pause = TAKEOVER.min(MAX_WAIT.saturating_sub(waited));
            (state, _) = self
                .shared
                .answered
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let now = Instant::now().max(request);
        for _ in 0..BACKGROUND_THREADS {
            self.start_thread(&mut state, now);
        }
        state.schedule.devices(now)
    }

    /// Has one more thread go on, if those that read are held up.
    fn start_thread(&self, state: &mut State<K, D>, now: Instant) {
        if !state.schedule.needs_thread(now, state.starting) {
            return;
        }
        if state.idle > state.woken {
            state.woken += 1;
            self.shared.due.notify_one();
        } else {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new()
                .name("sensors".to_owned())
                .stack_size(STACK_BYTES);
            // If none can be created, those that exist go on when their reads return.
            if thread.spawn(move || shared.work()).is_err() {
                return;
            }
        }
        state.starting += 1;
    }
}

impl<K, D: Device> Drop for Pool<K, D> {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        // A thread that reads ends when its read returns.
        self.shared.due.notify_all();
    }
}

impl<K: Eq + Hash, D: Device> Shared<K, D> {
    /// Reads devices as they become due. One thread waits for more; others end.
    fn work(&self) {
        let mut state = self.lock();
        state.starting -= 1;
        loop {
            if state.is_closed {
                return;
            }
            if let Some(mut job) = state.schedule.next(Instant::now()) {
                let request = state.request;
                // Not under the lock: the read can block for ever.
                drop(state);
                let (value, took) = job.device.read(request);
                state = self.lock();
                state.schedule.finish(job, value, took, Instant::now());
                if !state.schedule.is_awaiting() {
                    // First, or the reader would wake only to wait for the lock.
                    drop(state);
                    self.answered.notify_one();
                    state = self.lock();
                }
            } else if state.idle == 0 {
                state = self.wait(state);
            } else {
                return;
            }
        }
    }

    /// Waits until a request has a device for this thread.
    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State<K, D>>) -> MutexGuard<'a, State<K, D>> {
        state.idle += 1;
        while state.woken == 0 && !state.is_closed {
            state = self.due.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // A closed pool needs no counts any more.
        state.woken = state.woken.saturating_sub(1);
        state.idle -= 1;
        state.starting = state.starting.saturating_sub(1);
        state
    }
}

impl<K, D: Device> Shared<K, D> {
    /// A poisoned lock is used: the schedule is changed in whole steps.
    fn lock(&self) -> MutexGuard<'_, State<K, D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Freshness;
    use std::sync::mpsc;

    /// A device that answers when it is told to, and tells its end.
    struct Gate {
        open: mpsc::Receiver<()>,
        _at_end: mpsc::Sender<()>,
    }

    impl Device for Gate {
        type Value = ();

        fn read(&mut self, _: Instant) -> ((), Duration) {
            let _ = self.open.recv();
            ((), Duration::ZERO)
        }
    }

    #[test]
    fn dropped_pool_ends_its_threads() {
        let (open, opened) = mpsc::channel();
        let (at_end, end) = mpsc::channel::<()>();
        let gate = Mutex::new(Some(Gate {
            open: opened,
            _at_end: at_end,
        }));
        let mut pool = Pool::new(Instant::now());
        pool.set_devices(vec![0], |_| Found {
            device: gate.lock().unwrap().take().unwrap(),
            bus: None,
        });
        open.send(()).unwrap();
        let devices = pool.read(Instant::now());
        assert_eq!(devices[0].freshness, Freshness::Current);
        // One thread waits now; the device belongs to the pool, which is gone with its threads.
        drop(pool);
        assert!(end.recv().is_err());
    }
}
