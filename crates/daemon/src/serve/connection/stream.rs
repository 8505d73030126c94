//! A caller's socket, which is registered with epoll(7) only when a call would block.
//!
//! Most callers have sent their line by the time they are identified, and are answered without
//! a wait. Registering and removing such a socket would cost more than the rest of the
//! exchange. So each operation is tried first, and the runtime waits after `EAGAIN` alone.

use crate::sys::watched::watched;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{Interest, Ready};

/// Bytes that are read at a time.
const CHUNK: usize = 4096;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(super) struct Stream {
    // Dropped before the socket, so that epoll forgets the descriptor while it is open.
    watch: Option<AsyncFd<Arc<UnixStream>>>,
    socket: Arc<UnixStream>,
}

impl Stream {
    /// Takes a non-blocking socket.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            watch: None,
            socket: Arc::new(socket),
        }
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Appends what is there, `most` bytes at most; `WouldBlock` when there is nothing.
    pub(super) fn try_read(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let (chunk, _) = chunk.split_at_mut(most.min(CHUNK));
        let count = self.socket().read(chunk)?;
        buffer.extend(chunk.iter().take(count));
        Ok(count)
    }

    /// Appends what is there, or waits for it.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        loop {
            match self.try_read(buffer, most) {
                Err(error) if would_block(&error) => self.wait(Interest::READABLE).await?,
                outcome => return outcome,
            }
        }
    }

    /// Sends all bytes.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.socket().write(bytes) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if would_block(&error) => self.wait(Interest::WRITABLE).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Completes when the caller has closed both directions. One that has only shut down its
    /// sending side still reads.
    pub(super) async fn gone(&mut self) {
        while let Ok(mut ready) = self.ready(Interest::WRITABLE).await {
            if ready.ready().is_write_closed() {
                return;
            }
            // It is only writable; wait for the next event.
            ready.clear_ready_matching(Ready::WRITABLE);
        }
    }

    /// Shuts down the sending side.
    pub(super) fn end(&self) {
        // It fails when the caller has closed the connection, which is as good.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    async fn wait(&mut self, interest: Interest) -> io::Result<()> {
        self.ready(interest).await?.clear_ready();
        Ok(())
    }

    async fn ready(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyGuard<'_, Arc<UnixStream>>> {
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => watched(Arc::clone(&self.socket), BOTH)?,
        };
        self.watch.insert(watch).ready(interest).await
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
