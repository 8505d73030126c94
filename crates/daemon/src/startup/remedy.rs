//! Remedies for the operating system's errors about a file or directory of the daemon.
//!
//! A sentence of the operating system names the cause; what to do follows from the file that it is
//! about, so the same error has another remedy for a directory that is to be made than for a file
//! that is to be read.

use pulse_core::config::Config;
use pulse_core::trust::FileKind;
use pulse_files::Exhaustion;
use std::borrow::Cow;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
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

/// True if a command may make the directory the daemon's: it is a default one, it belongs to that
/// user already, or it is missing at a place that the user reaches. Any other directory may be one
/// that the system or other users need, such as `/var/log` or root's home.
fn may_be_given(directory: &Path, uid: u32) -> bool {
    let default = Config::default();
    let defaults = [
        default.socket.parent(),
        Some(default.ssh_dir.as_path()),
        Some(default.audit.directory()),
        Some(default.audit.state_dir.as_path()),
    ];
    if defaults.contains(&Some(directory)) {
        return true;
    }
    // Root owns the system's directories.
    let belongs = |found: &Metadata| uid != 0 && found.uid() == uid;
    match fs::metadata(directory) {
        Ok(found) => belongs(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory
            .ancestors()
            .find_map(|above| fs::metadata(above).ok())
            .is_some_and(|found| found.mode() & 0o001 != 0 || belongs(&found)),
        Err(_) => false,
    }
}

/// The remedy where no command may be given.
fn another(key: &str, uid: u32) -> String {
    format!(
        "name in {key} a directory that is the daemon's alone, and belongs to its user, whose number \
         is {uid}"
    )
}

/// The remedy for a directory that cannot be used or made; `key` is the one that names it or a file
/// in it.
pub(crate) fn of_directory(
    directory: &Path,
    key: &str,
    owner: Ownership,
    error: &io::Error,
) -> Cow<'static, str> {
    use io::ErrorKind::{
        AlreadyExists, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let command = owner.install(directory);
    match error.kind() {
        NotFound | PermissionDenied | ReadOnlyFilesystem | AlreadyExists | NotADirectory
            if !may_be_given(directory, owner.uid) =>
        {
            another(key, owner.uid).into()
        }
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

/// The remedy for a file that the daemon's user has to own; `key` is the one that names its
/// directory.
pub(crate) fn of_own_file(path: &Path, key: &str, error: &io::Error) -> Cow<'static, str> {
    let own = crate::sys::own_credentials();
    let (uid, gid) = (own.uid, own.gid);
    let parent = path.parent().unwrap_or(Path::new("/"));
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if !may_be_given(parent, uid) => {
            another(key, uid).into()
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
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

/// The remedy for files in two directories, of which the error does not say which one it is about.
/// `None` if a command may give none of them to the daemon's user.
pub(crate) fn of_own_files(directories: [&Path; 2]) -> Option<Cow<'static, str>> {
    let own = crate::sys::own_credentials();
    let (uid, gid) = (own.uid, own.gid);
    let given = directories.map(|directory| may_be_given(directory, uid));
    // Not one alone: the error may be about the other.
    (given == [true, true]).then(|| {
        let [first, second] = directories.map(Path::display);
        format!(
            "these directories and their files must belong to the daemon's user, whose number is \
             {uid}: run `chown -R {uid}:{gid} {first} {second}` as root"
        )
        .into()
    })
}

/// The remedy for a file or directory without secrets that the daemon's user has to be able to read.
pub(crate) fn of_shared(path: &Path, kind: FileKind, error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let mode = match kind {
                FileKind::File | FileKind::Link | FileKind::Special => "0644",
                // A directory that may not be entered (x) is of no use.
                FileKind::Directory => "0755",
            };
            format!(
                "the daemon's user must be able to read it: run `chmod {mode} {}` as root; the \
                 directories above it need the right to enter (x)",
                path.display()
            )
            .into()
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const UID: u32 = 995;

    fn denied() -> io::Error {
        io::ErrorKind::PermissionDenied.into()
    }

    #[test]
    fn shared_directory_is_not_given_away() {
        let owner = Ownership {
            uid: UID,
            gid: UID,
            mode: 0o755,
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        for directory in [
            "/",
            "/var/log",
            "/var/run",
            "/etc",
            "/root/.ssh",
            "/etc/passwd",
        ]
        .map(Path::new)
        .into_iter()
        .chain([file.path()])
        {
            for kind in [
                io::ErrorKind::PermissionDenied,
                io::ErrorKind::ReadOnlyFilesystem,
                io::ErrorKind::AlreadyExists,
            ] {
                let remedy = of_directory(directory, "the_key", owner, &kind.into());
                assert!(!remedy.contains('`'), "{remedy}");
                assert!(remedy.contains("name in the_key a directory"), "{remedy}");
            }
        }
        for (path, key) in [
            ("/var/log/audit.log", "log"),
            ("/root/.ssh/id_ed25519", "ssh_dir"),
        ] {
            let remedy = of_own_file(Path::new(path), key, &denied());
            assert!(!remedy.contains('`'), "{remedy}");
            let parent = Path::new(path).parent().unwrap();
            let state_dir = Path::new("/var/lib/pulse-sensor-proxy/audit");
            assert_eq!(of_own_files([parent, state_dir]), None);
            assert_eq!(of_own_files([state_dir, parent]), None);
        }
    }

    #[test]
    fn own_and_missing_directories_have_their_command() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let uid = fs::metadata(home.path()).unwrap().uid();
        assert_eq!(may_be_given(home.path(), uid), uid != 0);
        let missing = home.path().join("a/b");
        // The user could not get there.
        assert!(!may_be_given(&missing, uid + 1));
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(may_be_given(&missing, uid + 1));
        assert!(!may_be_given(home.path(), uid + 1));
        let default = Path::new("/var/lib/pulse-sensor-proxy/ssh");
        assert!(may_be_given(default, UID));
    }
}
