//! Permitted files and directories, with the rights to each.

/// A permitted path.
#[derive(Clone, Copy, Debug)]
pub struct PathRule {
    /// The path.
    pub path: ConfiguredPath,
    /// The rights to it.
    pub access: &'static [Access],
    /// Patterns (apparmor.d(5)) of the files below a directory that the rights are for. Landlock
    /// has no patterns and grants the rights to all of them.
    pub within: &'static [&'static str],
    /// Why it is permitted.
    pub reason: &'static str,
}

/// A path from the configuration, or a fixed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfiguredPath {
    /// The directory of the configuration file and of `nodes.d`; these two alone if the directory
    /// is shared.
    Configuration,
    /// `ssh_dir`.
    SshDirectory,
    /// The directory of the audit log.
    LogDirectory,
    /// `audit.state_dir`.
    StateDirectory,
    /// The directory of the callers' socket.
    SocketDirectory,
    /// The directory of the control socket.
    ControlDirectory,
    /// `forward.credentials`, if records are forwarded.
    Credentials,
    /// A path that does not depend on the configuration.
    Fixed(&'static str),
}

/// A right to a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Open a file for reading.
    ReadFile,
    /// List a directory.
    ReadDirectory,
    /// Open a file for writing.
    WriteFile,
    /// Truncate a file.
    Truncate,
    /// Create a file, or rename one to this directory.
    MakeFile,
    /// Remove a file, or rename one away.
    RemoveFile,
    /// Create the directory itself.
    MakeDirectory,
    /// Lock a file or directory (flock(2)). Landlock does not restrict it.
    Lock,
    /// Execute a program.
    Execute,
    /// Control a device (ioctl(2)).
    ControlDevice,
}

use Access::{Lock, MakeFile, ReadDirectory, ReadFile, RemoveFile, Truncate, WriteFile};

const LOG_FILES: &[Access] = &[
    ReadFile,
    ReadDirectory,
    WriteFile,
    Truncate,
    MakeFile,
    RemoveFile,
    Lock,
];

pub(super) const fn file(path: &'static str, reason: &'static str) -> PathRule {
    PathRule {
        path: ConfiguredPath::Fixed(path),
        access: &[ReadFile],
        within: &[],
        reason,
    }
}

/// The paths that the daemon needs while it serves.
pub const PATHS: &[PathRule] = &[
    PathRule {
        path: ConfiguredPath::Configuration,
        access: &[ReadFile, ReadDirectory],
        within: &["*", "nodes.d/", "nodes.d/*"],
        reason: "the configuration and the files of nodes.d are read again on SIGHUP; editors \
                 replace a file",
    },
    PathRule {
        path: ConfiguredPath::SshDirectory,
        access: &[ReadFile],
        within: &["*"],
        reason: "known_hosts and the SSH key are read again when they change",
    },
    PathRule {
        path: ConfiguredPath::LogDirectory,
        access: LOG_FILES,
        within: &["*"],
        reason: "the log is written, its segments are renamed and removed, torn tails set aside",
    },
    PathRule {
        path: ConfiguredPath::StateDirectory,
        access: LOG_FILES,
        within: &["*"],
        reason: "sealing keys are stored and erased; forwarding cursors and queued messages",
    },
    PathRule {
        path: ConfiguredPath::SocketDirectory,
        access: &[RemoveFile],
        within: &["*"],
        reason: "the callers' socket is removed at exit",
    },
    PathRule {
        path: ConfiguredPath::Credentials,
        access: &[ReadFile],
        within: &["*"],
        reason: "certificates for collectors are read again when they change",
    },
    file(
        "/etc/hosts",
        "addresses of nodes and collectors, read for each connection",
    ),
    file(
        "/etc/subuid",
        "user IDs of containers, read again when they change",
    ),
    file(
        "/etc/subgid",
        "group IDs of containers, read again when they change",
    ),
    PathRule {
        path: ConfiguredPath::Fixed("/proc"),
        access: &[ReadFile],
        within: &["@{pid}/cgroup", "@{pid}/uid_map"],
        reason: "the container and the user namespace of a caller",
    },
];
