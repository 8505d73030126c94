//! The confinement layers and the status of each after it was applied.

use crate::privileges::{self, ServiceUser};
use crate::rules::LandlockRules;
use crate::tables::Syscall;
use crate::{landlock, limits, seccomp};
use std::fmt;

/// A confinement layer. The variants are in the order in which the layers are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Unprivileged user, no capabilities.
    Privileges,
    /// Files and TCP ports.
    Landlock,
    /// No new tasks, no executable memory.
    Limits,
    /// System calls.
    Seccomp,
}

impl Layer {
    /// Every layer, in the order in which they are applied.
    pub const ALL: [Self; 4] = [
        Self::Privileges,
        Self::Landlock,
        Self::Limits,
        Self::Seccomp,
    ];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileges => "privileges",
            Self::Landlock => "landlock",
            Self::Limits => "limits",
            Self::Seccomp => "seccomp",
        })
    }
}

/// The status of a layer after it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerStatus {
    /// The layer is in force completely; the text describes it.
    Full(String),
    /// The layer is in force in part; the text says which part is missing.
    Partial(String),
    /// The layer is not in force; the text says why.
    Missing(String),
}

impl LayerStatus {
    /// A description of the missing part of this layer; `None` if it is complete.
    #[must_use]
    pub fn problem(&self, layer: Layer) -> Option<String> {
        match self {
            Self::Full(_) => None,
            Self::Partial(detail) => Some(format!("{layer} only in part: {detail}")),
            Self::Missing(detail) => Some(format!("{layer} missing: {detail}")),
        }
    }
}

/// The operations that apply the layers. Tests replace [`Kernel`] with one that lacks a layer.
pub trait Layers {
    /// Changes to the service's user and drops every privilege.
    fn drop_privileges(&self, user: &ServiceUser) -> LayerStatus;
    /// Sets `no_new_privs` and clears the dumpable flag: no program can raise the privileges
    /// of this process, and other processes of the same user cannot ptrace it.
    fn forbid_new_privileges(&self) -> LayerStatus;
    /// Restricts this thread, and threads that it starts later, to these paths and ports.
    fn restrict_access(&self, rules: &LandlockRules) -> LayerStatus;
    /// Sets `RLIMIT_NPROC` to 0 and `PR_SET_MDWE`. Every thread has to run by then.
    fn set_limits(&self) -> LayerStatus;
    /// Restricts every thread to these system calls.
    fn filter_calls(&self, calls: &[Syscall]) -> LayerStatus;
}

/// The running kernel.
#[derive(Clone, Copy, Debug)]
pub struct Kernel;

impl Layers for Kernel {
    fn drop_privileges(&self, user: &ServiceUser) -> LayerStatus {
        privileges::drop_to(user)
    }

    fn forbid_new_privileges(&self) -> LayerStatus {
        privileges::forbid_new()
    }

    fn restrict_access(&self, rules: &LandlockRules) -> LayerStatus {
        landlock::enforce(rules)
    }

    fn set_limits(&self) -> LayerStatus {
        limits::set()
    }

    fn filter_calls(&self, calls: &[Syscall]) -> LayerStatus {
        seccomp::permit_only(calls)
    }
}
