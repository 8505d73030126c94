//! The audit log as the daemon's recorder.

use super::{Health, OnDisk, RECORD_TIMEOUT, Recorder, Recording, RecordingFailed, Retention};
use pulse_audit::{Directory, LogError, Receipt, Settings, Unavailable, Writer};
use pulse_core::config::Audit;
use pulse_core::event::Event;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Members of the log's group may read the log; its keys are private.
const LOG_MODE: u32 = 0o750;
const STATE_MODE: u32 = 0o700;

/// The audit log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory cannot be used.
    #[error("{}: {error}{}", path.display(), remedy(error))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The log cannot be continued.
    #[error("{}: {error}{}", path.display(), remedy_of_log(error))]
    Log {
        /// The log's file.
        path: PathBuf,
        /// The reason.
        error: LogError,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": the daemon's user must be able to write here"
        }
        io::ErrorKind::WouldBlock => {
            ": stop the other daemon, or configure another log for this one"
        }
        _ => "",
    }
}

fn remedy_of_log(error: &LogError) -> &'static str {
    match error {
        LogError::Storage { source, .. } => remedy(source),
        // The others have a remedy of their own.
        _ => "",
    }
}

/// The audit log, open for writing.
pub(crate) struct AuditLog {
    writer: Writer,
    /// Places in the writer's queue, which refuses records when it is full: a request waits
    /// for a place instead. Records that nothing waits for have places of their own.
    room: Semaphore,
}

impl AuditLog {
    /// Opens the log, or creates it and its directories.
    ///
    /// # Errors
    /// [`OpenError`] says which directory or log, and what to do.
    pub(crate) fn open(audit: &Audit) -> Result<Self, OpenError> {
        let directory = audit.directory();
        make(directory, LOG_MODE)?;
        make(&audit.state_dir, STATE_MODE)?;
        let storage = Directory::lock(directory, &audit.state_dir);
        let storage = storage.map_err(failed(&audit.state_dir))?;
        let settings = settings(audit);
        let room = Semaphore::new(settings.queue_records);
        let writer = Writer::start(storage, settings).map_err(|error| OpenError::Log {
            path: audit.log.clone(),
            error,
        })?;
        Ok(Self { writer, room })
    }

    async fn write(&self, event: &Event<'_>) -> bool {
        // The semaphore is never closed.
        let _room = self.room.acquire().await;
        let (sender, outcome) = oneshot::channel();
        let done = move |written: Result<Receipt, Unavailable>| {
            // The request may have given up.
            let _ = sender.send(written.is_ok());
        };
        self.writer.submit(event, Box::new(done));
        outcome.await.unwrap_or(false)
    }

    /// The verification key of a log that was created now.
    #[must_use]
    pub(crate) fn new_key(&self) -> Option<String> {
        let health = self.writer.health();
        (health.epoch == 0 && health.seq == 1).then_some(health.key)
    }
}

impl Recorder for AuditLog {
    fn record<'a>(&'a self, event: &'a Event<'a>) -> Recording<'a> {
        Box::pin(async {
            match timeout(RECORD_TIMEOUT, self.write(event)).await {
                Ok(true) => Ok(()),
                _ => Err(RecordingFailed),
            }
        })
    }

    fn note(&self, event: &Event<'_>) {
        self.writer.note(event);
    }

    fn health(&self) -> Health {
        self.writer.health()
    }

    fn is_available(&self) -> bool {
        self.writer.is_available()
    }

    fn tell(&self, follower: Box<dyn Fn(OnDisk) + Send + Sync>) {
        self.writer.tell(follower);
    }

    fn retain(&self, retention: Retention) {
        self.writer.retain(retention);
    }

    fn reopen(&self) {
        self.writer.reopen();
    }

    fn stop(&self) {
        let health = self.writer.stop();
        if self.writer.is_running() {
            tracing::error!(
                queue = health.queue,
                "the audit log's thread did not end in time, because its disk does not respond: the end of the log is not sealed, and queued records may be lost"
            );
            return;
        }
        if let (false, Some(error)) = (health.unsealed == 0, health.last_error) {
            tracing::error!(%error, unsealed = health.unsealed, "the audit log's end is not sealed");
        }
    }
}

fn settings(audit: &Audit) -> Settings {
    Settings {
        host: pulse_sandbox::host_name(),
        segment_bytes: audit.segment_bytes,
        segment_age: audit.segment_age,
        reserve_bytes: audit.reserve_bytes,
        ..Settings::default()
    }
}

fn make(directory: &Path, mode: u32) -> Result<(), OpenError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory);
    made.map_err(failed(directory))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Directory { path, error }
}
