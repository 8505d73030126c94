//! Errors that end the daemon, and their exit codes.

use super::key::KeyError;
use super::settings::SettingsError;
use super::socket_access::SocketError;
use crate::observe::recorder::OpenError;
use pulse_core::causes::Causes;
use pulse_forward::PrepareError;
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
    #[error("audit log")]
    Audit(#[from] OpenError),
    /// The first record could not be written.
    #[error("audit log unavailable: {0}")]
    Recorder(String),
    /// The forwarder's thread cannot be started, or its state is of a later release.
    #[error(transparent)]
    Forwarder(#[from] PrepareError),
    /// Something could not be opened.
    #[error("{what}")]
    Open {
        /// Its name.
        what: String,
        /// The system's error.
        #[source]
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
    /// The whole message: the error, its causes, and the remedy if there is one.
    pub(super) fn message(&self) -> String {
        let remedy = match self {
            Self::Settings(error) => error.remedy(),
            Self::Socket(error) => error.remedy(),
            Self::Key(error) => error.remedy(),
            Self::Audit(error) => error.remedy(),
            Self::Forwarder(PrepareError::StateFile(error)) => Some(error.remedy()),
            _ => None,
        };
        match remedy {
            Some(remedy) => format!("{}: {remedy}", Causes(self)),
            None => Causes(self).to_string(),
        }
    }

    /// The exit codes of sysexits(3), as `--help` lists them.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::LetThrough(_) => 1,
            Self::Usage(_) => 64,
            // A restart alone fixes none of them: EX_CONFIG, which the unit does not retry.
            Self::Settings(_) | Self::Socket(_) => 78,
            Self::Key(_)
            | Self::Open { .. }
            | Self::Audit(_)
            | Self::Recorder(_)
            | Self::Forwarder(_) => 73,
            Self::TaskEnded(_) => 70,
            Self::Confinement(_) => 71,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn cause_is_printed_once() {
        let path = PathBuf::from("/a");
        let error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let storage = pulse_audit::LogError::Storage {
            doing: "append to the log",
            source: error(),
        };
        for failure in [
            SettingsError::Unreadable {
                path: path.clone(),
                error: error(),
            }
            .into(),
            KeyError::Io {
                path: path.clone(),
                error: error(),
            }
            .into(),
            SocketError::Unseen {
                mode: "0600".to_owned(),
                path: Some(path.clone()),
                error: error(),
            }
            .into(),
            OpenError::Directory {
                path: path.clone(),
                error: error(),
            }
            .into(),
            OpenError::Log {
                path,
                error: storage,
            }
            .into(),
        ] {
            let failure: Failure = failure;
            let message = failure.message();
            let cause = error().to_string();
            assert_eq!(message.matches(&cause).count(), 1, "{message}");
            let (_, remedy) = message.split_once(&cause).unwrap();
            assert!(remedy.starts_with(": "), "{message}");
        }
    }
}
