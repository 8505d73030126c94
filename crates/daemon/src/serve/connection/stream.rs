//! A caller's socket, of which the runtime hears only when there is something to
//! wait for.
//!
//! Most callers have sent their line by the time they are identified, and are
//! answered without a wait. Having epoll(7) watch such a socket, and telling it to
//! stop, would cost more than the rest of the conversation. So everything is tried
//! first; what the kernel says then is newer than any readiness that was noted.

use crate::sys::watched::watched;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{Interest, Ready};

/// What is read at a time, in bytes.
const CHUNK: usize = 4096;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(super) struct Stream {
    // Before the socket, so that it ends before the descriptor does.
    watch: Option<AsyncFd<Arc<UnixStream>>>,
    socket: Arc<UnixStream>,
}

impl Stream {
    /// Takes a socket that does not block.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            watch: None,
            socket: Arc::new(socket),
        }
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Appends what is there, which may be nothing: then it gives `WouldBlock`.
    pub(super) fn try_read(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let (chunk, _) = chunk.split_at_mut(most.min(CHUNK));
        let count = self.socket().read(chunk)?;
        buffer.extend(chunk.iter().take(count));
        Ok(count)
    }

    /// Appends what is there, or waits until something is.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        loop {
            match self.try_read(buffer, most) {
                Err(error) if is_early(&error) => self.wait(Interest::READABLE).await?,
                outcome => return outcome,
            }
        }
    }

    /// Sends all of it, waiting whenever there is no room.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.socket().write(bytes) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if is_early(&error) => self.wait(Interest::WRITABLE).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Completes when the caller has closed both directions. One that has only
    /// shut down its sending side still reads, and is waited for.
    pub(super) async fn gone(&mut self) {
        while let Ok(mut ready) = self.ready(Interest::WRITABLE).await {
            if ready.ready().is_write_closed() {
                return;
            }
            // That there is room is no news; the next readiness is.
            ready.clear_ready_matching(Ready::WRITABLE);
        }
    }

    /// Says that nothing more will be sent.
    pub(super) fn end(&self) {
        // One that is gone already needs no goodbye.
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

fn is_early(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
