//! A TCP connection that can be cut or stalled from outside.
//!
//! The SSH library owns its socket and can neither drop it at once nor stop reading from it.
//! So it gets a [`ControlledStream`], whose [`Control`] does both. A second descriptor would
//! suffice for cutting, but ten thousand nodes have none to spare.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::server::NodeState;

/// Control of one connection.
#[derive(Debug, Default)]
pub(crate) struct Control {
    cut: AtomicBool,
    cut_after_flush: AtomicBool,
    stalled: AtomicBool,
    /// The waker of the one task that reads and writes.
    waiting: Mutex<Option<Waker>>,
}

impl Control {
    /// Drops the connection; data that was written before is still delivered.
    pub(crate) fn cut(&self) {
        // The flag before the waker: the woken task must see it.
        self.cut.store(true, Ordering::Release);
        if let Some(waker) = locked(&self.waiting).take() {
            waker.wake();
        }
    }

    /// Drops the connection at the next flush, after the data written so far.
    pub(crate) fn cut_after_flush(&self) {
        self.cut_after_flush.store(true, Ordering::Release);
    }

    /// Stops reading for good; only [`Control::cut`] ends the connection then.
    pub(crate) fn stop_reading(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// An error when the connection was cut; otherwise stores the waker.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        // The lock before the flag: `cut` takes the waker after it set the flag, so a cut that
        // this check misses finds the waker that is stored here.
        let mut waiting = locked(&self.waiting);
        if self.cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match &mut *waiting {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Ok(())
    }
}

/// The open connections of a node.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    next: u64,
    live: HashMap<u64, Arc<Control>>,
    stopped: bool,
}

impl Registry {
    /// Cuts every open connection.
    pub(crate) fn cut_all(&mut self) {
        self.live.drain().for_each(|(_, control)| control.cut());
    }

    /// Cuts every open connection and accepts no further one.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.cut_all();
    }
}

/// The stream that the SSH library reads and writes.
#[derive(Debug)]
pub(crate) struct ControlledStream {
    stream: TcpStream,
    control: Arc<Control>,
    number: u64,
    shared: Arc<NodeState>,
}

impl ControlledStream {
    /// Registers a connection; none when the node is stopping.
    pub(crate) fn new(stream: TcpStream, shared: Arc<NodeState>) -> Option<Self> {
        let control = Arc::new(Control::default());
        let mut connections = locked(&shared.connections);
        // Checked under the lock: a connection is cut by `stop`, or refused here.
        if connections.stopped {
            return None;
        }
        connections.next += 1;
        let number = connections.next;
        connections.live.insert(number, Arc::clone(&control));
        drop(connections);
        shared.counters.note(|counters| {
            counters.connections += 1;
            counters.open_connections += 1;
        });
        Some(Self {
            stream,
            control,
            number,
            shared,
        })
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }
}

impl Drop for ControlledStream {
    fn drop(&mut self) {
        locked(&self.shared.connections).live.remove(&self.number);
        let counters = &self.shared.counters;
        counters.note(|counters| counters.open_connections -= 1);
    }
}

impl AsyncRead for ControlledStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.control.check(context)?;
        // No waker of the socket is registered: data that arrives stays in the kernel's buffer,
        // until the client's sending blocks. `check` has stored the waker for a cut.
        if self.control.stalled.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ControlledStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.control.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A `TcpStream` has no buffer of its own: the kernel has the data written so far, and
        // delivers it.
        if self.control.cut_after_flush.load(Ordering::Acquire) {
            self.control.cut();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Locks a mutex, also after a panic: no data in these can be inconsistent.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
