//! The TCP connection to a node, with three remedies built in.
//!
//! A node may send only so much for each question: the allowance is counted here,
//! below SSH, so that no kind of message escapes it, neither output nor messages
//! that the library answers or ignores by itself.
//! Connecting with the SSH library is not cancel-safe: a connect that is given up
//! leaves its task and socket behind for ever. So the socket is shared with a
//! guard that shuts it down when dropped, which ends the task. And the kernel's
//! delayed acknowledgements cost 40 ms in the handshake, so they are switched off
//! again after each read until the connection is established.

use socket2::SockRef;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

struct Shared {
    stream: TcpStream,
    established: AtomicBool,
    /// Bytes that the node may still send.
    allowance: AtomicUsize,
    exceeded: AtomicBool,
}

/// What a node may send until it has let us in: key exchange and host keys are a
/// few kilobytes, a banner at most some more.
const HANDSHAKE_BYTES: usize = 128 * 1024;

/// Ends the connection when dropped.
pub(super) struct ConnectionGuard(Arc<Shared>);

impl ConnectionGuard {
    /// The handshake is over: leave acknowledgements to the kernel.
    pub(super) fn established(&self) {
        self.0.established.store(true, Ordering::Relaxed);
    }

    /// Lets the node send this much from now on, and no more.
    pub(super) fn allow(&self, bytes: usize) {
        self.0.allowance.store(bytes, Ordering::Relaxed);
    }

    /// Whether the connection was ended because the node sent too much.
    pub(super) fn exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        // Already closed by the other end is as good.
        let _ = SockRef::from(&self.0.stream).shutdown(Shutdown::Both);
    }
}

/// A TCP stream that acknowledges at once while its connection is young.
pub(super) struct NodeStream(Arc<Shared>);

/// Connects to a node.
///
/// # Errors
/// Whatever connect(2) says.
pub(super) async fn connect(address: SocketAddr) -> io::Result<(NodeStream, ConnectionGuard)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let shared = Arc::new(Shared {
        stream,
        established: AtomicBool::new(false),
        allowance: AtomicUsize::new(HANDSHAKE_BYTES),
        exceeded: AtomicBool::new(false),
    });
    Ok((NodeStream(Arc::clone(&shared)), ConnectionGuard(shared)))
}

impl Shared {
    fn spend(&self, bytes: usize) -> io::Result<()> {
        match self.allowance.load(Ordering::Relaxed).checked_sub(bytes) {
            Some(left) => {
                self.allowance.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => {
                self.exceeded.store(true, Ordering::Relaxed);
                Err(io::Error::other("the node sent too much"))
            }
        }
    }
}

impl AsyncRead for NodeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    self.0.spend(count)?;
                    buffer.advance(count);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if !self.0.established.load(Ordering::Relaxed) {
            // Only a matter of speed: a kernel that refuses is slower, not wrong.
            let _ = stream.set_quickack(true);
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
            ready!(self.0.stream.poll_write_ready(context))?;
            match self.0.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&self.0.stream).shutdown(Shutdown::Write))
    }
}
