//! The files that the daemon depends on while it runs, and what is wrong with them now.
//!
//! Each file is read, or compared with what is open, every few seconds; so a problem is found
//! without a request, and ends when its cause does.

use serde::{Serialize, Serializer};

/// A file that is checked while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchedFile {
    /// The callers' socket.
    Socket,
    /// The administrators' socket.
    ControlSocket,
    /// The configuration, compared with what was loaded.
    Configuration,
    /// The pinned host keys.
    KnownHosts,
    /// The private key for the nodes.
    SshKey,
    /// `/etc/hosts`.
    Hosts,
    /// `/etc/subuid`.
    Subuid,
    /// `/etc/subgid`.
    Subgid,
    /// Certificate, key and authority for the collectors.
    Certificates,
}

impl WatchedFile {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Socket,
        Self::ControlSocket,
        Self::Configuration,
        Self::KnownHosts,
        Self::SshKey,
        Self::Hosts,
        Self::Subuid,
        Self::Subgid,
        Self::Certificates,
    ];

    /// Its name in JSON and in metric labels.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::ControlSocket => "control_socket",
            Self::Configuration => "configuration",
            Self::KnownHosts => "known_hosts",
            Self::SshKey => "ssh_key",
            Self::Hosts => "hosts",
            Self::Subuid => "subuid",
            Self::Subgid => "subgid",
            Self::Certificates => "certificates",
        }
    }
}

impl Serialize for WatchedFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is wrong with a file now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileProblem {
    pub(crate) file: WatchedFile,
    /// A sentence with its path, the cause and the remedy.
    pub(crate) error: String,
}

impl FileProblem {
    pub(crate) fn new(file: WatchedFile, error: impl Into<String>) -> Self {
        Self {
            file,
            error: error.into(),
        }
    }
}
