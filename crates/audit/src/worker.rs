//! A thread that is joined with a timeout.
//!
//! A disk that does not respond blocks a thread in the kernel, and a bug could keep one in a
//! loop. Neither may keep the program from exiting: `exit` ends every thread.

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
    /// Closed when the thread ends, also by a panic. Nothing is sent on it.
    end: Receiver<Infallible>,
}

/// The state of a thread at the end of the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadEnd {
    /// It has ended.
    Ended,
    /// It has not, and keeps running.
    StillRunning,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (sender, end) = channel();
        // `JoinHandle` has no join with a timeout. The thread owns the sender, so the channel closes
        // when the thread ends, by a panic as well.
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let sender: Sender<Infallible> = sender;
            work();
            drop(sender);
        })?;
        Ok(Self(Mutex::new(Some(Running { thread, end }))))
    }

    /// Waits for the end of the thread. Can be called again.
    pub fn wait(&self, timeout: Duration) -> ThreadEnd {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(worker) = running.take() else {
            return ThreadEnd::Ended;
        };
        // Either the channel closes, or the timeout expires.
        if worker.end.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            *running = Some(worker);
            return ThreadEnd::StillRunning;
        }
        // A panic is an end, too; its message was printed by the panic hook.
        let _ = worker.thread.join();
        ThreadEnd::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_ends_with_thread_or_timeout() {
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
