//! Further permissions for confinement from outside. It is in force from the start, so it has
//! to permit what the daemon, and whoever starts it, does before the daemon serves.
//!
//! systemd and container runtimes normally start the daemon as its own user. If it is started
//! as root, it needs [`ROOT_PATHS`] and [`CAPABILITIES`] too.

use super::paths::{Access, ConfiguredPath, PathRule, file};
use super::syscalls::call;
use super::{Need, Syscall};

/// System calls of a container's runtime after it has installed the filter and before it
/// starts the daemon, in addition to those of [`super::startup`].
pub(crate) const RUNTIME_SYSCALLS: &[Syscall] = &[call!(
    SYS_fstatfs,
    "runc 1.1.12 and later check that /proc is procfs"
)];

/// Paths that are used before the daemon serves, in addition to [`super::PATHS`].
pub(crate) const PATHS: &[PathRule] = &[
    PathRule {
        path: ConfiguredPath::SshDirectory,
        access: &[
            Access::WriteFile,
            Access::MakeFile,
            Access::ReadDirectory,
            Access::MakeDirectory,
        ],
        within: &["*"],
        reason: "the SSH key is created at the first start, and its directory synced",
    },
    PathRule {
        path: ConfiguredPath::LogDirectory,
        access: &[Access::MakeDirectory],
        within: &[],
        reason: "the directory is created if it is missing",
    },
    PathRule {
        path: ConfiguredPath::StateDirectory,
        access: &[Access::MakeDirectory],
        within: &[],
        reason: "the directory is created if it is missing",
    },
    PathRule {
        path: ConfiguredPath::SocketDirectory,
        access: &[Access::WriteFile, Access::MakeFile, Access::MakeDirectory],
        within: &["*"],
        reason: "the callers' socket is created",
    },
    file("/etc/group", "the group of the callers' socket"),
    file("/etc/ld.so.cache", "the libraries of the dynamic build"),
    file("/etc/ld.so.preload", "the libraries of the dynamic build"),
    PathRule {
        path: ConfiguredPath::Fixed("/proc"),
        access: &[Access::ReadFile],
        within: &["@{pid}/maps"],
        reason: "the C library finds the end of the stack",
    },
    PathRule {
        path: ConfiguredPath::Fixed("/proc"),
        access: &[Access::ReadFile],
        within: &["@{pid}/attr/current", "@{pid}/attr/apparmor/current"],
        reason: "the AppArmor profile of this process, for the log",
    },
    PathRule {
        path: ConfiguredPath::Fixed("/run/credentials"),
        access: &[Access::ReadFile],
        within: &["pulse-sensor-proxy.service/*"],
        reason: "the SSH key, if systemd stores it as a credential",
    },
    PathRule {
        path: ConfiguredPath::Fixed("/run/systemd"),
        access: &[Access::WriteFile],
        within: &["notify", "journal/socket", "journal/stdout"],
        reason: "notifications to systemd, messages to the journal",
    },
];

/// Paths that a daemon started as root uses in addition.
pub(crate) const ROOT_PATHS: &[PathRule] = &[
    PathRule {
        path: ConfiguredPath::ControlDirectory,
        access: &[
            Access::WriteFile,
            Access::MakeFile,
            Access::RemoveFile,
            Access::MakeDirectory,
        ],
        within: &["*"],
        reason: "the control socket is created; a stale one is replaced",
    },
    file("/etc/passwd", "the service's user"),
    file(
        "/etc/nsswitch.conf",
        "user database of the dynamic build, for the service's user",
    ),
];

/// A capability.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capability {
    /// Its name in capabilities(7), in lower case and without `CAP_`.
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
}

/// Capabilities that a daemon started as root uses before it changes to the service's user.
pub(crate) const CAPABILITIES: &[Capability] = &[
    Capability {
        name: "chown",
        reason: "gives new directories to the service's user",
    },
    Capability {
        name: "dac_override",
        reason: "reads a configuration that only the service's user can read",
    },
    Capability {
        name: "setgid",
        reason: "changes to the service's group and drops all others",
    },
    Capability {
        name: "setuid",
        reason: "changes to the service's user",
    },
    Capability {
        name: "sys_nice",
        reason: "raises the priority, so that busy processes do not delay callers",
    },
    Capability {
        name: "setpcap",
        reason: "empties the capability bounding set and locks the securebits",
    },
];

/// Capabilities that the kernel checks before one that is enough. They are refused without a
/// message in the kernel's log.
pub(crate) const SILENTLY_DENIED: &[Capability] = &[Capability {
    name: "dac_read_search",
    reason: "the kernel checks it before dac_override, which is enough",
}];
