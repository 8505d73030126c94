//! Remedies for the operating system's errors about a file or directory of the daemon.
//!
//! A sentence of the operating system names the cause; what to do follows from the file that it is
//! about, so the same error has another remedy for a directory that is to be made than for a file
//! that is to be read.

use pulse_files::Exhaustion;
use std::borrow::Cow;
use std::io;
use std::path::Path;

/// The remedy for an error that says nothing about the file: no resources, or a disk that fails.
const LAST: &str = "the kernel's log (dmesg) may say more";

/// The user and group that are to own a file, and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The user ID.
    pub(crate) uid: u32,
    /// The group ID.
    pub(crate) gid: u32,
    /// The permission bits.
    pub(crate) mode: u32,
}

impl Ownership {
    /// Owned by this process, which runs as the service's user by now.
    pub(crate) fn own(mode: u32) -> Self {
        let own = crate::sys::own_credentials();
        Self {
            uid: own.uid,
            gid: own.gid,
            mode,
        }
    }

    /// The command that makes a directory so, or corrects one.
    pub(crate) fn install(self, directory: &Path) -> String {
        let Self { uid, gid, mode } = self;
        format!(
            "install -d -o {uid} -g {gid} -m {mode:04o} {}",
            directory.display()
        )
    }
}

/// The remedy for a directory that cannot be used or made.
pub(crate) fn of_directory(
    directory: &Path,
    owner: Ownership,
    error: &io::Error,
) -> Cow<'static, str> {
    use io::ErrorKind::{
        AlreadyExists, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let command = owner.install(directory);
    match error.kind() {
        NotFound | PermissionDenied => {
            format!("the daemon's user must own it; run `{command}` as root").into()
        }
        // `ProtectSystem=strict` of the unit is one, too.
        ReadOnlyFilesystem => format!(
            "run `{command}` as root where it can be written, or name another directory in the \
             configuration; the unit permits its own directories only"
        )
        .into(),
        AlreadyExists | NotADirectory => {
            format!("something else has this name: move it away, then run `{command}` as root")
                .into()
        }
        _ => of_system(error).into(),
    }
}

/// The remedy for a file that the daemon's user has to own.
pub(crate) fn of_own_file(path: &Path, mode: u32, error: &io::Error) -> Cow<'static, str> {
    let Ownership { uid, gid, .. } = Ownership::own(mode);
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            // A daemon or tool that ran as root leaves files that belong to root.
            format!(
                "this file and its directory must belong to the daemon's user, whose number is \
                 {uid}: run `chown {uid}:{gid} {} {}` as root",
                parent.display(),
                path.display()
            )
            .into()
        }
        io::ErrorKind::InvalidInput => "move it away, and put a regular file there".into(),
        io::ErrorKind::FileTooLarge => "put back the right file: no such file is so long".into(),
        _ => of_system(error).into(),
    }
}

/// The remedy for a file without secrets that the daemon's user has to be able to read.
pub(crate) fn of_shared_file(path: &Path, error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "the daemon's user must be able to read it: run `chmod 0644 {}` as root; its \
             directories need the right to enter (x)",
            path.display()
        )
        .into(),
        io::ErrorKind::InvalidInput => "move it away, and put a regular file there".into(),
        io::ErrorKind::FileTooLarge => "remove what is not needed in it".into(),
        _ => of_system(error).into(),
    }
}

/// The remedy for an error that concerns more than one file.
pub(crate) fn of_system(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::WouldBlock {
        // EAGAIN of clone(2): a limit of tasks.
        return "raise TasksMax= and LimitNPROC= of the service, or the container's limit of processes";
    }
    pulse_files::disk_remedy(error)
        .or_else(|| Exhaustion::of(error).map(Exhaustion::remedy))
        .unwrap_or(LAST)
}
