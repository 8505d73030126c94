//! The attempts, by subject. Each is one system call with its arguments.

mod files;
mod kernel;
mod network;
mod privileges;
mod processes;
mod programs;

use super::fixtures::{Fixtures, c_str};
use libc::{O_CREAT, O_EXCL, O_WRONLY};

/// An attempt.
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) number: i64,
    pub(super) arguments: fn(&Fixtures) -> [u64; 6],
    pub(super) target: Target,
    pub(super) precondition: Precondition,
    pub(super) cleanup: Cleanup,
}

/// The object of an attempt, which decides who can be behind an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A file that exists for those who may see it: Landlock, the mount namespace or a
    /// read-only file system can stop the attempt.
    File,
    /// A port, a socket or a process that Landlock can refuse.
    Landlock,
    /// Memory that would become executable: `PR_SET_MDWE` can refuse it.
    Memory,
    /// Anything else.
    Other,
}

/// The condition under which the attempt is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Nothing: it does no harm.
    None,
    /// A seccomp filter or Landlock: it would disturb this process or its parent.
    FilterOrLandlock,
    /// A seccomp filter that does not permit the call.
    Filter,
    /// Such a filter, or a task limit of 0.
    FilterOrTaskLimit,
}

/// The removal of the object that the attempt created.
#[derive(Clone, Copy)]
pub(super) enum Cleanup {
    None,
    /// Close the returned descriptor.
    Close,
    /// Close it, and remove the file.
    CloseAndUnlink,
    Unlink,
    UnlinkSymlink,
    RemoveDirectory,
}

type Arguments = fn(&Fixtures) -> [u64; 6];

/// An attempt that does no harm, even if nothing stops it.
const fn attempt(name: &'static str, number: i64, arguments: Arguments) -> Attempt {
    Attempt {
        name,
        number,
        arguments,
        target: Target::Other,
        precondition: Precondition::None,
        cleanup: Cleanup::None,
    }
}

/// A call that could harm the host. It is made only under a filter that refuses it, and has
/// wrong arguments where that is possible.
const fn harmful(name: &'static str, number: i64, arguments: Arguments) -> Attempt {
    attempt(name, number, arguments).needs(Precondition::Filter)
}

/// A call that would create a process.
const fn new_task(name: &'static str, number: i64, arguments: Arguments) -> Attempt {
    attempt(name, number, arguments).needs(Precondition::FilterOrTaskLimit)
}

/// openat(2) of a file that exists.
const fn opening(name: &'static str, arguments: Arguments) -> Attempt {
    attempt(name, libc::SYS_openat, arguments)
        .on(Target::File)
        .cleanup(Cleanup::Close)
}

/// openat(2) of a new file.
const fn creating(name: &'static str, arguments: Arguments) -> Attempt {
    opening(name, arguments).cleanup(Cleanup::CloseAndUnlink)
}

/// socket(2).
const fn new_socket(name: &'static str, arguments: Arguments) -> Attempt {
    attempt(name, libc::SYS_socket, arguments).cleanup(Cleanup::Close)
}

impl Attempt {
    const fn on(self, target: Target) -> Self {
        Self { target, ..self }
    }

    const fn needs(self, precondition: Precondition) -> Self {
        Self {
            precondition,
            ..self
        }
    }

    const fn cleanup(self, cleanup: Cleanup) -> Self {
        Self { cleanup, ..self }
    }
}

/// A directory for paths that are all absolute.
const AT_FDCWD: u64 = (-100i64).cast_unsigned();
/// An address that no process can map (`vm.mmap_min_addr`).
const BAD_ADDRESS: u64 = 1;
const NULL: u64 = 0;
/// A descriptor that is never open.
const NO_DESCRIPTOR: u64 = (-1i64).cast_unsigned();
const NEW_FILE: i32 = O_WRONLY | O_CREAT | O_EXCL;

fn int(value: i32) -> u64 {
    i64::from(value).cast_unsigned()
}

pub(super) fn open(path: u64, flags: i32) -> [u64; 6] {
    [AT_FDCWD, path, int(flags), 0o600, 0, 0]
}

fn socket(family: i32, kind: i32, protocol: u64) -> [u64; 6] {
    [int(family), int(kind), protocol, 0, 0, 0]
}

/// Every attempt.
pub(super) fn all() -> impl Iterator<Item = &'static Attempt> {
    [
        programs::ATTEMPTS,
        files::ATTEMPTS,
        network::ATTEMPTS,
        processes::ATTEMPTS,
        privileges::ATTEMPTS,
        kernel::ATTEMPTS,
    ]
    .into_iter()
    .flatten()
}
