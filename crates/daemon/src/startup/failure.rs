//! Errors that end the daemon, and their exit codes.

use super::key::KeyError;
use super::settings::SettingsError;
use super::socket_access::SocketError;
use crate::observe::recorder::OpenError;
use std::io;

/// An error that ends the daemon.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The callers' socket admits others than configured.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The key is missing or unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The audit log cannot be opened, and without a record nothing may be done.
    #[error("audit log: {0}")]
    Audit(#[from] OpenError),
    /// The first record could not be written.
    #[error("audit log unavailable: {0}")]
    Recorder(String),
    /// Something could not be opened.
    #[error("{what}: {error}")]
    Open {
        /// Its name.
        what: String,
        /// The system's error.
        error: io::Error,
    },
    /// A layer of the confinement is required and not in force.
    #[error("confinement is required, but {0}")]
    Confinement(String),
    /// An attempt of the probe succeeded; the text lists all of them.
    #[error("the confinement let an attempt through")]
    LetThrough(String),
    /// A task that lives as long as the daemon ended.
    #[error("the {0} task ended")]
    TaskEnded(&'static str),
}

impl Failure {
    /// The exit codes of sysexits(3), as `--help` lists them.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::LetThrough(_) => 1,
            Self::Usage(_) => 64,
            // A restart alone fixes none of them: EX_CONFIG, which the unit does not retry.
            Self::Settings(_) | Self::Socket(_) => 78,
            Self::Key(_) | Self::Open { .. } | Self::Audit(_) | Self::Recorder(_) => 73,
            Self::TaskEnded(_) => 70,
            Self::Confinement(_) => 71,
        }
    }
}
