//! The audit log as the daemon's recorder.

use super::{
    AcceptError, Accepting, Health, Incident, OnDisk, RECORD_TIMEOUT, Recorder, Recording,
    RecordingFailed, Retention,
};
use crate::startup::remedy::{self, Ownership};
use pulse_audit::{Directory, LogError, Receipt, Settings, Unavailable, Writer};
use pulse_core::config::Audit;
use pulse_core::event::Event;
use std::borrow::Cow;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Members of the log's group may read the log; its keys are private.
const LOG_MODE: u32 = 0o750;
const STATE_MODE: u32 = 0o700;

/// The keys that name the directories.
const LOG_KEY: &str = "log of [audit]";
const STATE_KEY: &str = "state_dir of [audit]";

/// The audit log cannot be opened. The path names what could not be opened, the source the
/// reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory of the log is missing or cannot be used.
    #[error("{}", path.display())]
    Directory {
        path: PathBuf,
        /// The key that names it or a file in it.
        key: &'static str,
        /// The mode that it has to have.
        mode: u32,
        #[source]
        error: io::Error,
    },
    /// Another daemon writes the log.
    #[error("{}: another daemon writes this log", state_dir.display())]
    InUse { state_dir: PathBuf },
    /// The log cannot be continued.
    #[error("{}", path.display())]
    Log {
        path: PathBuf,
        state_dir: PathBuf,
        #[source]
        error: Box<LogError>,
    },
}

impl OpenError {
    /// The remedy; `None` if the error's own text ends with it.
    pub(crate) fn remedy(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Directory {
                path,
                key,
                mode,
                error,
            } => remedy::of_directory(path, key, Ownership::own(*mode), error),
            Self::InUse { .. } => {
                "`systemctl status pulse-sensor-proxy` shows the service, and `lslocks` which \
                 process has locked this directory: stop that one, or set `log` and `state_dir` of \
                 [audit] to others for this one"
                    .into()
            }
            Self::Log {
                path,
                state_dir,
                error,
            } => {
                // A file of either directory: the log, a segment, a key, a state.
                let of_files = match &**error {
                    LogError::Storage { source, .. }
                        if source.kind() == io::ErrorKind::PermissionDenied =>
                    {
                        let directory = path.parent().unwrap_or(Path::new("/"));
                        remedy::of_own_files([directory, state_dir])
                    }
                    _ => None,
                };
                return of_files.or_else(|| error.remedy().map(Cow::Borrowed));
            }
        })
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
        make(directory, LOG_KEY, LOG_MODE)?;
        make(&audit.state_dir, STATE_KEY, STATE_MODE)?;
        // The lock comes before the log is read: two writers would continue the same chain.
        let storage =
            Directory::lock(directory, &audit.state_dir).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => OpenError::InUse {
                    state_dir: audit.state_dir.clone(),
                },
                _ => failed(&audit.state_dir, STATE_KEY, STATE_MODE)(error),
            })?;
        let settings = settings(audit);
        let room = Semaphore::new(settings.queue_records);
        let writer = Writer::start(storage, settings).map_err(|error| OpenError::Log {
            path: audit.log.clone(),
            state_dir: audit.state_dir.clone(),
            error: Box::new(error),
        })?;
        Ok(Self { writer, room })
    }

    /// The verification key of a log that was created now.
    #[must_use]
    pub(crate) fn new_key(&self) -> Option<String> {
        let health = self.writer.health();
        // The first record of a log is its opening; no seal has been made yet.
        (health.epoch == 0 && health.seq == 1).then_some(health.key)
    }
}

impl Recorder for AuditLog {
    fn record<'a>(&'a self, event: &'a Event<'a>) -> Recording<'a> {
        let written = async {
            // The semaphore is never closed.
            let _room = self.room.acquire().await;
            let (sender, outcome) = oneshot::channel();
            let done = move |written: Result<Receipt, Unavailable>| {
                // The request may have given up.
                let _ = sender.send(written.is_ok());
            };
            self.writer.submit(event, Box::new(done));
            outcome.await.unwrap_or(false)
        };
        Box::pin(async {
            // The time covers the wait for a place too.
            match timeout(RECORD_TIMEOUT, written).await {
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
        self.writer.set_follower(follower);
    }

    fn retain(&self, retention: Retention) {
        self.writer.retain(retention);
    }

    fn reopen(&self) {
        self.writer.reopen();
    }

    fn accept_loss(&self, by: String) -> Accepting<'_> {
        let (sender, outcome) = oneshot::channel();
        let done = move |accepted| {
            // The request may have given up.
            let _ = sender.send(accepted);
        };
        self.writer.accept_loss(by, Box::new(done));
        Box::pin(async {
            match timeout(RECORD_TIMEOUT, outcome).await {
                Ok(Ok(Ok(files))) => Ok(files),
                Ok(Ok(Err(LogError::NothingLost))) => Err(AcceptError::NothingLost),
                Ok(Ok(Err(error))) => Err(AcceptError::Log(error)),
                // The thread has ended, or has not answered.
                Ok(Err(_)) | Err(_) => Err(AcceptError::Timeout),
            }
        })
    }

    fn observe(&self, observer: Box<dyn Fn() + Send + Sync>) {
        self.writer.set_observer(observer);
    }

    fn take_incidents(&self) -> Vec<Incident> {
        self.writer.take_incidents()
    }

    fn stop(&self) {
        let health = self.writer.stop();
        if self.writer.is_running() {
            let queue = health.queue;
            tracing::error!(
                queue,
                "the audit log's thread did not end in time, because its disk does not respond: the end of the log is not sealed, and {queue} queued records may be lost"
            );
            return;
        }
        if let (false, Some(error)) = (health.unsealed == 0, health.last_error) {
            let unsealed = health.unsealed;
            tracing::error!(
                %error,
                unsealed,
                "the audit log's last {unsealed} records are not sealed: {error}"
            );
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

fn make(directory: &Path, key: &'static str, mode: u32) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)
        .map_err(failed(directory, key, mode))
}

fn failed(path: &Path, key: &'static str, mode: u32) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Directory {
        path,
        key,
        mode,
        error,
    }
}
