//! Why the daemon ended, and its exit code.

use super::key::KeyError;
use super::settings::SettingsError;
use super::socket_access::SocketError;
use crate::observe::recorder::OpenError;
use std::io;

/// Why the daemon ended, other than in order.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// Others may connect than were configured.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// The key is missing or unusable.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The audit log cannot be opened, so nothing may be done.
    #[error("audit log: {0}")]
    Audit(#[from] OpenError),
    /// The first record could not be written.
    #[error("audit log unavailable: {0}")]
    Recorder(String),
    /// Something could not be opened.
    #[error("{what}: {error}")]
    Open {
        /// What it is.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// A layer of the confinement is required and does not hold.
    #[error("confinement is required, but {0}")]
    Confinement(String),
    /// The probe's attempts were not all stopped: the text says which.
    #[error("the confinement is not tight")]
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
            // None of them becomes right by itself.
            Self::Settings(_) | Self::Socket(_) => 78,
            Self::Key(_) | Self::Open { .. } | Self::Audit(_) | Self::Recorder(_) => 73,
            Self::TaskEnded(_) => 70,
            Self::Confinement(_) => 71,
        }
    }
}
