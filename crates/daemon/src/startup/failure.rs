//! Errors that end the daemon, and their exit codes.
//!
//! The text of an error is its cause; [`Failure::remedy`] adds what to do about it. Every variant
//! has both, so that a page can list them all.

use super::key::KeyError;
use super::remedy::{self, Ownership};
use super::settings::SettingsError;
use super::socket_access::SocketError;
use crate::observe::recorder::OpenError;
use pulse_core::causes::Causes;
use pulse_forward::PrepareError;
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error that ends the daemon.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The callers' socket cannot be opened, or admits others than configured.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The key is missing or unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The audit log cannot be opened, and without a record nothing may be done.
    #[error("audit log")]
    Audit(#[from] OpenError),
    /// The first record could not be written; the text has the remedy.
    #[error("audit log unavailable: {0}")]
    Recorder(String),
    /// The disk did not take the first record in time.
    #[error("audit log unavailable: the disk did not take the first record in time")]
    RecorderTimeout,
    /// The forwarder's thread cannot be started, or its state is of a later release.
    #[error(transparent)]
    Forwarder(#[from] PrepareError),
    /// A directory is missing and cannot be made.
    #[error("{name}: cannot make the directory {}", path.display())]
    Directory {
        /// The configuration key that names it or a file in it.
        name: &'static str,
        /// The directory.
        path: PathBuf,
        /// The owner and mode that it has to have.
        owner: Ownership,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The metrics port cannot be opened.
    #[error("metrics_address {address}")]
    Metrics {
        /// The configured address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The service's user does not exist, or cannot be looked up.
    #[error("user \"{name}\"")]
    User {
        /// The user's name.
        name: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// A resource of the process cannot be had.
    #[error("cannot start {what}")]
    Resource {
        /// The resource.
        what: &'static str,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The probe needs a directory that the daemon makes at its first start.
    #[error("{} does not exist yet", .0.display())]
    NotStartedYet(PathBuf),
    /// The probe's attempts cannot be prepared.
    #[error("cannot prepare the attempts")]
    Probe(#[source] io::Error),
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
    /// The remedy, as the end of the sentence that [`Causes`] begins. `None` if the error's own
    /// text ends with it.
    pub(super) fn remedy(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Usage(_) => "see --help".into(),
            Self::Settings(error) => return error.remedy(),
            Self::Socket(error) => return error.remedy(),
            Self::Key(error) => return error.remedy(),
            Self::Audit(error) => return error.remedy(),
            Self::Recorder(_) => return None,
            Self::RecorderTimeout => {
                "is the audit log's disk overloaded or failing? The kernel's log (dmesg) may say more"
                    .into()
            }
            Self::Forwarder(PrepareError::Thread(error))
            | Self::Resource { error, .. }
            | Self::Probe(error) => remedy::of_system(error).into(),
            Self::Forwarder(PrepareError::StateFile(error)) => error.remedy().into(),
            Self::Directory {
                name,
                path,
                owner,
                error,
            } => remedy::of_directory(path, name, *owner, error),
            Self::Metrics { address, error } => metrics_remedy(*address, error),
            Self::User { error, .. } => match error.kind() {
                io::ErrorKind::NotFound => {
                    "create it with `systemd-sysusers`, as docs/install.md says, or name another \
                     in PULSE_SENSOR_PROXY_USER"
                        .into()
                }
                _ => remedy::of_system(error).into(),
            },
            Self::NotStartedYet(_) => "start the daemon once, then probe".into(),
            Self::Confinement(_) => {
                "start it on a kernel that has this layer, outside a container that forbids it, or \
                 set confinement = \"best-effort\""
                    .into()
            }
            Self::LetThrough(_) => {
                "docs/hardening.md says which layer has to stop what; a layer is missing where the \
                 kernel or a container does not permit it"
                    .into()
            }
            Self::TaskEnded(_) => {
                "this is a mistake in the program: report it with the daemon's log; the service \
                 manager starts it again"
                    .into()
            }
        })
    }

    /// The whole message: the error, its causes, and the remedy.
    pub(crate) fn message(&self) -> String {
        with_remedy(self, self.remedy())
    }

    /// The exit codes of sysexits(3), as `--help` lists them.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::LetThrough(_) => 1,
            Self::Usage(_) => 64,
            // A restart alone fixes none of them: EX_CONFIG, which the unit does not retry.
            Self::Settings(_) => 78,
            Self::Socket(error) => {
                if error.is_configuration() {
                    78
                } else {
                    73
                }
            }
            Self::Key(_)
            | Self::Directory { .. }
            | Self::Metrics { .. }
            | Self::User { .. }
            | Self::Resource { .. }
            | Self::NotStartedYet(_)
            | Self::Probe(_)
            | Self::Audit(_)
            | Self::Recorder(_)
            | Self::RecorderTimeout
            | Self::Forwarder(_) => 73,
            Self::TaskEnded(_) => 70,
            Self::Confinement(_) => 71,
        }
    }
}

/// The error with its causes and its remedy in one sentence.
pub(crate) fn with_remedy(
    error: &dyn std::error::Error,
    remedy: Option<Cow<'static, str>>,
) -> String {
    match remedy {
        Some(remedy) => format!("{}: {remedy}", Causes(error)),
        None => Causes(error).to_string(),
    }
}

fn metrics_remedy(address: SocketAddr, error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps a second daemon; `ss -ltnp 'sport = :{}'` \
             names it: stop it, or set metrics_address to another port or to \"disabled\"",
            address.port()
        )
        .into(),
        io::ErrorKind::AddrNotAvailable => {
            "this host has no such address; `ip -brief address` lists those that it has: set \
             metrics_address to one of them or to \"disabled\""
                .into()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a right that the daemon does not have: set metrics_address to a \
             higher port"
                .into()
        }
        _ => remedy::of_system(error).into(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
