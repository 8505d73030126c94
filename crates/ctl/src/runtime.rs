//! The event loop, and the signals that end a command that runs on: Ctrl-C, `kill` and a
//! closed terminal.

use crate::error::{CommandError, ErrorCode};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The operating system provides no signals, or no event loop.
#[derive(Debug, thiserror::Error)]
#[error("the system refuses resources that every program needs")]
pub(crate) struct SystemError(#[from] io::Error);

impl CommandError for SystemError {
    fn code(&self) -> ErrorCode {
        ErrorCode::Internal
    }
}

/// Runs a command's asynchronous part to its end, on this thread.
///
/// # Errors
/// The command's, or [`SystemError`].
pub(crate) fn block_on<T, E: Into<Box<dyn CommandError>>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Box<dyn CommandError>> {
    // A command has one connection at a time, so one thread is enough.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SystemError)?
        .block_on(work)
        .map_err(Into::into)
}

/// The signals that end a command that would run on for ever.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on, none of them ends the process by itself.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new() -> Result<Self, SystemError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Completes when one was received.
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
