//! The layers that hold a program, and whether they do.

use crate::privileges::{self, ServiceUser};
use crate::rules::Rules;
use crate::tables::Syscall;
use crate::{landlock, limits, seccomp};
use std::fmt;

/// A layer of the confinement, in the order in which they are put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A user without privileges.
    Privileges,
    /// Which files and which ports.
    Landlock,
    /// No more processes, threads or executable memory.
    Limits,
    /// Which system calls.
    Seccomp,
}

impl Layer {
    /// All of them, in the order in which they are put on.
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

/// How far a layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// All of it, and what it is here.
    Whole(String),
    /// Some of it, and what is missing.
    Partly(String),
    /// Nothing of it, and why.
    Missing(String),
}

impl Hold {
    /// What is lacking of this layer; `None` when it holds whole.
    #[must_use]
    pub fn lacking(&self, layer: Layer) -> Option<String> {
        match self {
            Self::Whole(_) => None,
            Self::Partly(detail) => Some(format!("{layer} only in part: {detail}")),
            Self::Missing(detail) => Some(format!("{layer} missing: {detail}")),
        }
    }
}

/// What puts the layers on. Tests put kernels in its place that lack some.
pub trait Layers {
    /// Becomes the service's user and gives every privilege away.
    fn drop_privileges(&self, user: &ServiceUser) -> Hold;
    /// Gains no privilege any more, and cannot be traced by its own user.
    fn refuse_privileges(&self) -> Hold;
    /// Confines this thread, and those that it starts, to these paths and ports.
    fn restrict_access(&self, rules: &Rules) -> Hold;
    /// Takes from this process the means to grow, once all its threads run.
    fn limit(&self) -> Hold;
    /// Confines every thread to these system calls.
    fn filter_calls(&self, calls: &[Syscall]) -> Hold;
}

/// The kernel that runs us.
#[derive(Clone, Copy, Debug)]
pub struct Kernel;

impl Layers for Kernel {
    fn drop_privileges(&self, user: &ServiceUser) -> Hold {
        privileges::drop_to(user)
    }

    fn refuse_privileges(&self) -> Hold {
        privileges::refuse_new()
    }

    fn restrict_access(&self, rules: &Rules) -> Hold {
        landlock::enforce(rules)
    }

    fn limit(&self) -> Hold {
        limits::put_on()
    }

    fn filter_calls(&self, calls: &[Syscall]) -> Hold {
        seccomp::permit_only(calls)
    }
}
