//! The recorder of the daemon: the audit log's writer, awaited.

use super::{Health, Recorder, Recording, RecordingFailed};
use pulse_audit::{Directory, LogError, Settings, Writer};
use pulse_core::config::Audit;
use pulse_core::event::Event;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A disk that has not written a record by then counts as one that cannot.
const PATIENCE: Duration = Duration::from_secs(5);

/// The directory of the log may be read by a group, that of its keys may not.
const LOG_MODE: u32 = 0o750;
const STATE_MODE: u32 = 0o700;

/// The log cannot be opened, and so nothing may be done.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory cannot be used.
    #[error("{}: {error}{}", path.display(), remedy(error))]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The log cannot be gone on with.
    #[error("{}: {error}", path.display())]
    Log {
        /// The log's file.
        path: PathBuf,
        /// Why.
        error: LogError,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": the daemon's user must be able to write here"
        }
        io::ErrorKind::WouldBlock => ": stop the other daemon, or give this one a log of its own",
        _ => "",
    }
}

/// The audit log, open for writing.
pub struct AuditLog(Writer);

impl AuditLog {
    /// Opens the log, or begins it where there is none; directories are made.
    ///
    /// # Errors
    /// [`OpenError`] says which directory or log, and what to do.
    pub fn open(audit: &Audit) -> Result<Self, OpenError> {
        let directory = audit.directory();
        make(directory, LOG_MODE)?;
        make(&audit.state_dir, STATE_MODE)?;
        let storage = Directory::lock(directory, &audit.state_dir);
        let storage = storage.map_err(failed(&audit.state_dir))?;
        let writer = Writer::start(storage, settings(audit));
        writer.map(Self).map_err(|error| OpenError::Log {
            path: audit.log.clone(),
            error,
        })
    }

    /// The verification key of a log that has only just begun: nobody may have it
    /// yet.
    #[must_use]
    pub fn new_key(&self) -> Option<String> {
        let health = self.0.health();
        (health.epoch == 0 && health.seq == 1).then_some(health.key)
    }
}

impl Recorder for AuditLog {
    fn record<'a>(&'a self, event: &Event<'_>) -> Recording<'a> {
        let (sender, outcome) = oneshot::channel();
        self.0.submit(
            event,
            Box::new(move |written| {
                // One that gave up waiting does not listen any more.
                let _ = sender.send(written.is_ok());
            }),
        );
        Box::pin(async {
            match timeout(PATIENCE, outcome).await {
                Ok(Ok(true)) => Ok(()),
                _ => Err(RecordingFailed),
            }
        })
    }

    fn note(&self, event: &Event<'_>) {
        self.0.submit(event, Box::new(drop));
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn is_available(&self) -> bool {
        self.0.is_available()
    }

    fn reopen(&self) {
        self.0.reopen();
    }

    fn stop(&self) {
        let health = self.0.stop();
        if let (false, Some(error)) = (health.unsealed == 0, health.last_error) {
            tracing::error!(%error, unsealed = health.unsealed, "the audit log's end is not sealed");
        }
    }
}

fn settings(audit: &Audit) -> Settings {
    Settings {
        host: host(),
        segment_bytes: audit.segment_bytes,
        segment_age: audit.segment_age,
        reserve_bytes: audit.reserve_bytes,
        ..Settings::default()
    }
}

/// The host's name, as the kernel has it (`proc_sys_kernel(5)`).
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim_end().to_owned()
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
