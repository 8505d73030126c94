//! What an attacker would try, by what it is about.

mod files;
mod kernel;
mod network;
mod privileges;
mod processes;
mod programs;

use super::ground::Ground;
use libc::{O_CREAT, O_EXCL, O_WRONLY};
use std::ffi::CStr;

/// One attempt.
pub(super) struct Attempt {
    pub(super) what: &'static str,
    pub(super) number: i64,
    pub(super) arguments: fn(&Ground) -> [u64; 6],
    /// Whether Landlock may be what stops it.
    pub(super) landlock: bool,
    /// Whether it is about a file that is there for those who may see it.
    pub(super) of_files: bool,
    /// Whether it is about executable memory.
    pub(super) of_memory: bool,
    pub(super) care: Care,
    pub(super) undo: Undo,
}

/// What must be in force before it is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// It does no harm.
    None,
    /// A filter or Landlock: it would disturb this process or its parent.
    Either,
    /// A filter, and its table must not permit the call.
    Filter,
    /// Such a filter, or that no task may be made.
    FilterOrLimit,
}

/// What takes it back.
#[derive(Clone, Copy)]
pub(super) enum Undo {
    Nothing,
    /// Close the descriptor that it gave.
    Close,
    /// And remove the file that it made.
    CloseAndUnlink,
    /// Remove the file that it made.
    Unlink,
    /// Remove the link that it made.
    UnlinkLink,
    /// Remove the directory that it made.
    RemoveDirectory,
}

impl Attempt {
    const fn new(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Self {
        Self {
            what,
            number,
            arguments,
            landlock: false,
            of_files: false,
            of_memory: false,
            care: Care::None,
            undo: Undo::Nothing,
        }
    }

    /// One that Landlock may stop.
    const fn confined(self) -> Self {
        Self {
            landlock: true,
            ..self
        }
    }

    /// One that could do harm to the host, were it not stopped.
    const fn with_care(self) -> Self {
        Self {
            care: Care::Filter,
            ..self
        }
    }

    const fn on_files(self) -> Self {
        Self {
            of_files: true,
            ..self
        }
    }

    const fn on_memory(self) -> Self {
        Self {
            of_memory: true,
            ..self
        }
    }

    const fn undone_by(self, undo: Undo) -> Self {
        Self { undo, ..self }
    }
}

/// `AT_FDCWD`: paths are whole.
pub(super) const HERE: u64 = (-100i64).cast_unsigned();
/// No process can have this page.
const BAD: u64 = 1;
const NONE: u64 = 0;
/// No descriptor.
const CLOSED: u64 = (-1i64).cast_unsigned();

fn plain(flags: i32) -> u64 {
    i64::from(flags).cast_unsigned()
}

fn text(text: &'static CStr) -> u64 {
    text.as_ptr().addr() as u64
}

fn open(path: u64, flags: i32) -> [u64; 6] {
    [HERE, path, plain(flags), 0o600, 0, 0]
}

fn socket(family: i32, kind: i32, protocol: u64) -> [u64; 6] {
    [plain(family), plain(kind), protocol, 0, 0, 0]
}

const fn reading(what: &'static str, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, libc::SYS_openat, arguments)
        .confined()
        .on_files()
        .undone_by(Undo::Close)
}

const fn making(what: &'static str, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, libc::SYS_openat, arguments)
        .confined()
        .on_files()
        .undone_by(Undo::CloseAndUnlink)
}

const fn new_socket(what: &'static str, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, libc::SYS_socket, arguments).undone_by(Undo::Close)
}

/// A call that could do harm, with arguments that are wrong in any case.
const fn harmful(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, number, arguments).with_care()
}

/// One that would make a process.
const fn new_task(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt {
        care: Care::FilterOrLimit,
        ..Attempt::new(what, number, arguments)
    }
}

const fn harmless(what: &'static str, number: i64, arguments: fn(&Ground) -> [u64; 6]) -> Attempt {
    Attempt::new(what, number, arguments)
}

const NEW: i32 = O_WRONLY | O_CREAT | O_EXCL;

/// All of them.
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
