//! A thread whose end is waited for, and no longer than it may take.
//!
//! A disk that does not answer keeps a thread in the kernel; a fault in our own code could
//! keep one in a loop. Neither may keep the program from ending: `exit` ends every thread.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A thread.
#[derive(Debug)]
pub struct Worker(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    thread: JoinHandle<()>,
    /// Nothing is ever sent: the thread's end, also by a panic, closes it.
    end: Receiver<Infallible>,
}

/// What became of a thread that was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadEnd {
    /// It has ended.
    Ended,
    /// It has not, and is left alone.
    StillRunning,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (sender, end) = channel();
        let thread = Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || {
            let sender: Sender<Infallible> = sender;
            work();
            drop(sender);
        })?;
        Ok(Self(Mutex::new(Some(Running { thread, end }))))
    }

    /// Waits for the end of the thread, which somebody has asked for. It can be waited for
    /// again.
    pub fn wait(&self, timeout: Duration) -> ThreadEnd {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(worker) = running.take() else {
            return ThreadEnd::Ended;
        };
        // It either closes or says nothing.
        let closed = worker.end.recv_timeout(timeout);
        if closed == Err(RecvTimeoutError::Timeout) {
            *running = Some(worker);
            return ThreadEnd::StillRunning;
        }
        // One that panicked has nothing more to say than that it ended.
        let _ = worker.thread.join();
        ThreadEnd::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_waited_for_until_its_end_or_the_timeout() {
        let (release, released) = channel::<()>();
        let work = move || {
            let _ = released.recv();
        };
        let worker = Worker::start("x", work).unwrap();
        assert_eq!(worker.wait(Duration::ZERO), ThreadEnd::StillRunning);
        assert_eq!(
            worker.wait(Duration::from_millis(1)),
            ThreadEnd::StillRunning
        );
        drop(release);
        assert_eq!(worker.wait(Duration::from_secs(60)), ThreadEnd::Ended);
        assert_eq!(worker.wait(Duration::ZERO), ThreadEnd::Ended);
    }

    #[test]
    fn a_panic_is_an_end() {
        let worker = Worker::start("x", || panic!("on purpose")).unwrap();
        assert_eq!(worker.wait(Duration::from_secs(60)), ThreadEnd::Ended);
    }
}
