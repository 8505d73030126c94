//! The TCP connection to a node, below the SSH library.
//!
//! * It bounds what a node may send in answer to one request. The bytes are counted here so
//!   that every SSH message counts, also those that the library answers or ignores by itself.
//! * It can be ended. Connecting with the library is not cancel-safe: a connect that is
//!   dropped leaves its task and socket behind for ever. So the socket is shared with a guard
//!   that shuts it down when dropped, which ends the task.
//! * It breaks soon when the node or the path to it is gone. Retransmissions come at intervals that
//!   double: after an outage of a minute the next one can be half a minute away. A connection that
//!   is broken is opened again by the request that waits on it, or by the next one.
//! * It acknowledges at once during the handshake. Delayed acknowledgements cost 40 ms there;
//!   the kernel forgets `TCP_QUICKACK` (tcp(7)), so it is set after each read.

use socket2::SockRef;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

struct Shared {
    stream: TcpStream,
    established: AtomicBool,
    /// Bytes that the node may still send.
    allowance: AtomicUsize,
    exceeded: AtomicBool,
    /// The first bytes of the node: its SSH version, or what it says instead.
    opening: Mutex<Vec<u8>>,
}

/// Bytes of the opening that are kept: an SSH version has at most 255 (RFC 4253, section 4.2).
const OPENING_BYTES: usize = 255;

/// Bytes that a node may send before the login succeeds: key exchange and host keys are a
/// few kilobytes, a banner at most some more.
const HANDSHAKE_BYTES: usize = 128 * 1024;

/// Ends the connection when dropped.
pub(super) struct ConnectionGuard(Arc<Shared>);

impl ConnectionGuard {
    /// Leaves acknowledgements to the kernel, after the handshake, and forgets the opening.
    pub(super) fn established(&self) {
        self.0.established.store(true, Ordering::Relaxed);
        let mut opening = self
            .0
            .opening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *opening = Vec::new();
    }

    /// Allows the node to send so many bytes from now on.
    pub(super) fn allow(&self, bytes: usize) {
        self.0.allowance.store(bytes, Ordering::Relaxed);
    }

    /// The first bytes that the node sent.
    pub(super) fn opening(&self) -> Vec<u8> {
        let opening = self.0.opening.lock();
        opening.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if the connection was ended because the node sent too much.
    pub(super) fn exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        // It fails when the node has closed the connection, which is as good.
        let _ = SockRef::from(&self.0.stream).shutdown(Shutdown::Both);
    }
}

/// The stream that the SSH library reads and writes.
///
/// The library reads a packet in two parts, its length and the rest. Here all that has come
/// is read in one system call, and kept until it is asked for.
pub(super) struct NodeStream {
    shared: Arc<Shared>,
    /// Read from the socket and not asked for yet.
    ahead: Vec<u8>,
}

/// Bytes that are read at a time.
const CHUNK: usize = 8192;

/// The deadline of connect(2). The kernel sends three packets in this time, after 0, 1 and 3 s, or
/// four, after 0, 1, 2 and 3 s (`tcp_syn_linear_timeouts`, Linux 6.5 and later); where the interval
/// doubles, the next one would come after 7 s, and a new attempt comes before.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(3500);
/// The time after which the kernel breaks a connection whose node acknowledges nothing
/// (`TCP_USER_TIMEOUT`): in a network of some milliseconds after four retransmissions, and early
/// enough that the same request is answered over a new connection within five seconds.
pub(super) const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to a node.
///
/// # Errors
/// Those of connect(2); `TimedOut` after [`CONNECT_TIMEOUT`].
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from_raw_os_error(nix::libc::ETIMEDOUT))??;
    // A request is one small packet, which Nagle's algorithm could hold back (tcp(7)).
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
    Ok(stream)
}

/// Wraps a connection; the guard ends it.
pub(super) fn guarded(stream: TcpStream) -> (NodeStream, ConnectionGuard) {
    let shared = Arc::new(Shared {
        stream,
        established: AtomicBool::new(false),
        allowance: AtomicUsize::new(HANDSHAKE_BYTES),
        exceeded: AtomicBool::new(false),
        opening: Mutex::default(),
    });
    let stream = NodeStream {
        shared: Arc::clone(&shared),
        ahead: Vec::new(),
    };
    (stream, ConnectionGuard(shared))
}

impl Shared {
    fn poll_receive(&self, context: &mut Context<'_>, chunk: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(chunk) {
                // The readiness was stale and is cleared now; the next poll waits.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => break outcome?,
            }
        };
        // Load and store in two steps: the runtime has one thread.
        let Some(left) = self.allowance.load(Ordering::Relaxed).checked_sub(count) else {
            self.exceeded.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("the node sent too much")));
        };
        self.allowance.store(left, Ordering::Relaxed);
        if count < chunk.len() {
            // The socket is drained (epoll(7), on edge-triggered streams): clear the
            // readiness without one more read(2) that would only return EAGAIN.
            let _ = self.stream.try_io(Interest::READABLE, || {
                Err::<(), _>(io::ErrorKind::WouldBlock.into())
            });
        }
        if !self.established.load(Ordering::Relaxed) {
            // A failure costs speed alone.
            let _ = self.stream.set_quickack(true);
            let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            let room = OPENING_BYTES.saturating_sub(opening.len());
            opening.extend(chunk.iter().take(count.min(room)));
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for NodeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let mut chunk = [0; CHUNK];
            let count = ready!(self.shared.poll_receive(context, &mut chunk))?;
            // `count` is at most the length of the chunk, so no part is left out.
            let (fitting, ahead) = chunk
                .get(..count)
                .unwrap_or(&chunk)
                .split_at(count.min(buffer.remaining()));
            buffer.put_slice(fitting);
            self.ahead.extend_from_slice(ahead);
        } else {
            let fitting = self.ahead.len().min(buffer.remaining());
            let (given, _) = self.ahead.split_at(fitting);
            buffer.put_slice(given);
            self.ahead.drain(..fitting);
        }
        if self.ahead.is_empty() {
            // Release the memory: thousands of connections are quiet most of the time.
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.shared.stream.poll_write_ready(context))?;
            match self.shared.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // By the descriptor: tokio's own shutdown needs a mutable stream, and this one is shared.
        // It fails after a reset, which is no failure: the library would not tell the handler
        // why the connection ended.
        let _ = SockRef::from(&self.shared.stream).shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}
