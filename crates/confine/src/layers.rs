//! The layers that hold the daemon, and whether they do.

use crate::landlock::{self, Places};
use crate::privileges::{self, ServiceUser};
use crate::{seccomp, tables};
use std::fmt;

/// A layer of the confinement, in the order in which they are put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A user without privileges.
    Privileges,
    /// Which files and which ports.
    Landlock,
    /// Which system calls.
    Seccomp,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileges => "privileges",
            Self::Landlock => "landlock",
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

/// What puts the layers on. Tests put kernels in its place that lack some.
pub trait Layers {
    /// Becomes the service's user and gives every privilege away.
    fn drop_privileges(&self, user: &ServiceUser) -> Hold;
    /// Confines this thread, and those that it starts, to these places.
    fn restrict_access(&self, places: &Places) -> Hold;
    /// Confines every thread to the system calls of the tables.
    fn filter_calls(&self) -> Hold;
}

/// The kernel that runs us.
#[derive(Clone, Copy, Debug)]
pub struct Kernel;

impl Layers for Kernel {
    fn drop_privileges(&self, user: &ServiceUser) -> Hold {
        privileges::drop_to(user)
    }

    fn restrict_access(&self, places: &Places) -> Hold {
        landlock::permit_paths(tables::PATHS, places)
    }

    fn filter_calls(&self) -> Hold {
        seccomp::permit_only(tables::SYSCALLS)
    }
}
