//! Files and directories, with what may be done to them and below them.

/// One path that is permitted.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Which one.
    pub whose: Whose,
    /// What may be done.
    pub access: &'static [Access],
    /// Which files below a directory, as patterns of `AppArmor`: where an enforcer can
    /// tell them apart. Landlock cannot.
    pub within: &'static [&'static str],
    /// Why.
    pub reason: &'static str,
}

/// Which path: one of the configuration's, or one that is everywhere the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The configuration, with the directory that it has to itself.
    Configuration,
    /// `ssh_dir`.
    SshDirectory,
    /// The directory of the audit log.
    LogDirectory,
    /// `audit.state_dir`.
    StateDirectory,
    /// The directory of the Unix socket.
    SocketDirectory,
    /// The directory of the control socket.
    ControlDirectory,
    /// The directory of the certificates for forwarding, where something is forwarded.
    Credentials,
    /// This one.
    Fixed(&'static str),
}

/// What may be done. The daemon executes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Open a file and read it.
    ReadFile,
    /// List a directory.
    ReadDirectory,
    /// Open a file and write it.
    WriteFile,
    /// Cut a file off.
    Truncate,
    /// Make a file, or give one a name.
    MakeFile,
    /// Take a file's name away.
    RemoveFile,
    /// Make the directory itself.
    MakeDirectory,
    /// Lock a file or directory (flock(2)): Landlock leaves that alone.
    Lock,
    /// Start a program.
    Execute,
    /// Control a device (ioctl(2)).
    ControlDevice,
}

use Access::{Lock, MakeFile, ReadDirectory, ReadFile, RemoveFile, Truncate, WriteFile};

const RECORDS: &[Access] = &[
    ReadFile,
    ReadDirectory,
    WriteFile,
    Truncate,
    MakeFile,
    RemoveFile,
    Lock,
];

pub(super) const fn file(path: &'static str, reason: &'static str) -> Path {
    Path {
        whose: Whose::Fixed(path),
        access: &[ReadFile],
        within: &[],
        reason,
    }
}

/// Every path that is permitted.
pub const PATHS: &[Path] = &[
    Path {
        whose: Whose::Configuration,
        access: &[ReadFile],
        within: &["*"],
        reason: "it is read again on SIGHUP, and editors replace it",
    },
    Path {
        whose: Whose::SshDirectory,
        access: &[ReadFile],
        within: &["*"],
        reason: "known_hosts is read again when it has changed",
    },
    Path {
        whose: Whose::LogDirectory,
        access: RECORDS,
        within: &["*"],
        reason: "records are written, segments renamed and removed, torn ends set aside",
    },
    Path {
        whose: Whose::StateDirectory,
        access: RECORDS,
        within: &["*"],
        reason: "seals store and erase keys; how far forwarding is, and what waits for it",
    },
    Path {
        whose: Whose::SocketDirectory,
        access: &[RemoveFile],
        within: &["*"],
        reason: "the socket is taken away at the end",
    },
    Path {
        whose: Whose::Credentials,
        access: &[ReadFile],
        within: &["*"],
        reason: "certificates for the collector, read again when they have changed",
    },
    file(
        "/etc/hosts",
        "addresses of nodes and collectors, read with each connection",
    ),
    file("/etc/subuid", "whose containers may ask, read on SIGHUP"),
    file("/etc/subgid", "whose containers may ask, read on SIGHUP"),
    Path {
        whose: Whose::Fixed("/proc"),
        access: &[ReadFile],
        within: &["@{pid}/cgroup", "@{pid}/uid_map"],
        reason: "the container and the user namespace of a caller",
    },
];
