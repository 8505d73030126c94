//! Opening of the files that decide whom the daemon trusts: configuration, `known_hosts`, keys,
//! certificates. A file that another user can change is refused, by the rules of
//! [`pulse_core::trust`]; this crate collects owners and modes from the file system.
//!
//! The file is opened first and judged by its descriptor, so that the judged file is the one that
//! is read, even if its path is replaced meanwhile. The directories above it are checked after
//! that: if only trusted users can change them now, no other user replaced the path before.

mod last_read;
pub mod node_files;
pub mod paths;
mod reader;

pub use last_read::{Check, LastRead, Version};
pub use reader::Reader;

use nix::unistd::User;
use pulse_core::trust::{Demand, FileKind, Owners, PathEntry, Untrusted};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// The kernel's limit of symbolic links in a path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The reason why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The operating system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another user can change the file, or read a secret.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

/// The name of the user that a daemon started as root changes to. The environment variable
/// `PULSE_SENSOR_PROXY_USER` replaces the default.
#[must_use]
pub fn service_user() -> String {
    std::env::var("PULSE_SENSOR_PROXY_USER").unwrap_or_else(|_| "pulse-sensor-proxy".to_owned())
}

/// Root and the effective user of this process (geteuid(2)); if that is root, also the service's
/// user. Determined once: a confined daemon cannot read the user database.
#[must_use]
pub fn owners() -> &'static Owners {
    static OWNERS: OnceLock<Owners> = OnceLock::new();
    OWNERS.get_or_init(|| {
        let own = nix::unistd::geteuid();
        let service = own.is_root().then(service_uid).flatten();
        Owners::root_and([own.as_raw()].into_iter().chain(service))
    })
}

/// As [`owners`], for a tool of any user that checks the daemon's files: always with the
/// service's user.
#[must_use]
pub fn owners_and_service() -> Owners {
    Owners::root_and(
        [nix::unistd::geteuid().as_raw()]
            .into_iter()
            .chain(service_uid()),
    )
}

/// `None` if the system has no such user, who then owns no file.
fn service_uid() -> Option<u32> {
    Some(User::from_name(&service_user()).ok()??.uid.as_raw())
}

/// Opens a regular file for reading if only [`owners`] can change it.
fn open(path: &Path, demand: Demand) -> Result<File, Refused> {
    let (file, judged) = examine(path, owners(), demand)?;
    judged?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes if only [`owners`] can change it.
///
/// # Errors
/// `FileTooLarge` if it has more; otherwise [`Refused`], also for a relative path.
pub fn read(path: &Path, demand: Demand, limit: usize) -> Result<Vec<u8>, Refused> {
    // Reserved, so that the buffer of a secret of usual size is not reallocated: that would
    // leave a copy in freed memory.
    let mut content = Vec::with_capacity(limit.min(4096));
    pulse_files::read_into(&mut content, open(path, demand)?, limit)?;
    Ok(content)
}

/// The lines at the beginning of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The lines, whole ones unless the file has less than one.
    pub text: Vec<u8>,
    /// False if the file has more than the limit.
    pub are_all: bool,
}

/// Reads the lines that fit into the first `limit` bytes of a file if only [`owners`] can change
/// it. A line that the limit would cut is left out, because half a line can mean something else.
///
/// # Errors
/// [`Refused`], also for a relative path.
pub fn read_lines(path: &Path, demand: Demand, limit: usize) -> Result<Lines, Refused> {
    let mut text = Vec::new();
    // One byte more tells a longer file from one of exactly the limit.
    let some = open(path, demand)?.take((limit as u64).saturating_add(1));
    pulse_files::read_into(&mut text, some, limit.saturating_add(1))?;
    let are_all = text.len() <= limit;
    if !are_all {
        text.truncate(limit);
        let end = text.iter().rposition(|byte| *byte == b'\n');
        text.truncate(end.map_or(0, |end| end + 1));
    }
    Ok(Lines { text, are_all })
}

/// Opens a regular file and judges it separately, for callers that report a flaw and read on.
///
/// # Errors
/// `InvalidInput` if it is not a regular file or the path is relative; otherwise the operating
/// system's.
pub fn examine(
    path: &Path,
    owners: &Owners,
    demand: Demand,
) -> io::Result<(File, Result<(), Untrusted>)> {
    let file = pulse_files::open(path)?;
    let mut steps = steps(path)?;
    if let Some(last) = steps.last_mut() {
        *last = step(std::mem::take(&mut last.path), &file.metadata()?);
    }
    Ok((file, owners.judge(&steps, FileKind::File, demand)))
}

/// Every directory and symbolic link that the kernel passes on an absolute path, from `/` on, and
/// the file at its end.
///
/// # Errors
/// The operating system's for one of them; `InvalidInput` for a relative path.
pub fn steps(path: &Path) -> io::Result<Vec<PathEntry>> {
    if !path.is_absolute() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "the path has to be absolute",
        ));
    }
    let mut at = PathBuf::from("/");
    let mut steps = vec![look(&at)?];
    // A stack: the next component is on top.
    let mut ahead = components(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            // Every link in `at` is resolved, so its parent is the directory above it.
            at.pop();
            continue;
        }
        let next = at.join(name);
        let found = look(&next)?;
        if found.kind == FileKind::Link {
            links += 1;
            if links > MAX_LINKS {
                return Err(nix::errno::Errno::ELOOP.into());
            }
            let target = std::fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(components(&target));
        } else {
            at = next;
        }
        steps.push(found);
    }
    Ok(steps)
}

/// The components of a path, in reverse.
fn components(path: &Path) -> Vec<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}

fn look(path: &Path) -> io::Result<PathEntry> {
    Ok(step(path.to_owned(), &std::fs::symlink_metadata(path)?))
}

fn step(path: PathBuf, metadata: &Metadata) -> PathEntry {
    let kind = metadata.file_type();
    PathEntry {
        path,
        uid: metadata.uid(),
        mode: metadata.mode() & 0o7777,
        kind: if kind.is_file() {
            FileKind::File
        } else if kind.is_dir() {
            FileKind::Directory
        } else if kind.is_symlink() {
            FileKind::Link
        } else {
            FileKind::Special
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use tempfile::TempDir;

    /// A directory of our own in one that every user may write to.
    fn home() -> TempDir {
        let home = tempfile::tempdir().unwrap();
        set(home.path(), 0o755);
        home
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn make(home: &TempDir, name: &str) -> PathBuf {
        let path = home.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
            set(parent, 0o755);
        }
        fs::write(&path, name).unwrap();
        set(&path, 0o644);
        path
    }

    fn refusal(path: &Path) -> String {
        open(path, Demand::Unwritable).unwrap_err().to_string()
    }

    fn is_directory_trusted(path: &Path, demand: Demand) -> bool {
        let steps = steps(path).unwrap();
        owners().judge(&steps, FileKind::Directory, demand).is_ok()
    }

    fn error_kind(path: &Path) -> ErrorKind {
        match open(path, Demand::Unwritable) {
            Err(Refused::Io(error)) => error.kind(),
            outcome => panic!("{}: {outcome:?}", path.display()),
        }
    }

    fn is_trusted(path: &Path) -> bool {
        match open(path, Demand::Unwritable) {
            Ok(_) => true,
            Err(Refused::Untrusted(_)) => false,
            Err(Refused::Io(error)) => panic!("{}: {error}", path.display()),
        }
    }

    #[test]
    fn own_file_in_tmp_is_opened() {
        let home = home();
        let mut text = String::new();
        let path = make(&home, "a/file");
        let mut file = open(&path, Demand::Unwritable).unwrap();
        Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "a/file");
    }

    #[test]
    fn half_a_line_is_left_out() {
        let home = home();
        let path = make(&home, "file");
        for (text, expected, are_all) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("a\nb\npve1", "a\nb\npve1", true),
            ("a\nb\npve12", "a\nb\n", false),
            ("123456789", "", false),
            ("", "", true),
        ] {
            fs::write(&path, text).unwrap();
            let lines = read_lines(&path, Demand::Unwritable, 8).unwrap();
            assert_eq!(lines.text, expected.as_bytes(), "{text}");
            assert_eq!(lines.are_all, are_all, "{text}");
        }
    }

    #[test]
    fn every_mode_on_the_path_counts() {
        let home = home();
        let path = make(&home, "a/b/file");
        for below in ["a/b/file", "a/b", "a"] {
            let changed = home.path().join(below);
            let mode = fs::metadata(&changed).unwrap().mode() & 0o7777;
            for write in [0o020, 0o002] {
                set(&changed, mode | write);
                let said = refusal(&path);
                assert!(
                    said.contains(&format!("-w {}", changed.display())),
                    "{said}"
                );
            }
            set(&changed, mode);
            assert!(is_trusted(&path));
        }
    }

    #[test]
    fn link_is_judged_with_its_target() {
        let home = home();
        let target = make(&home, "target/file");
        for (name, to) in [
            ("links/absolute", target.to_str().unwrap()),
            ("links/relative", "../target/./file"),
            ("links/chain", "relative"),
        ] {
            make(&home, "links/other");
            let link = home.path().join(name);
            symlink(to, &link).unwrap();
            assert!(is_trusted(&link), "{name}");
            for directory in ["links", "target"] {
                let directory = home.path().join(directory);
                set(&directory, 0o775);
                assert!(!is_trusted(&link), "{name} through {}", directory.display());
                set(&directory, 0o755);
            }
            set(&target, 0o664);
            assert!(!is_trusted(&link), "{name}");
            set(&target, 0o644);
        }
        // A link to a directory.
        symlink("target", home.path().join("directory")).unwrap();
        let path = home.path().join("directory/file");
        let walked = steps(&path).unwrap();
        assert_eq!(walked.last().unwrap().path, target);
        assert!(walked.iter().any(|step| step.kind == FileKind::Link));
        // `..` after a link is the parent of its target.
        symlink("target/../links", home.path().join("up")).unwrap();
        assert!(is_trusted(&home.path().join("up/other")));
    }

    #[test]
    fn files_of_others_are_refused() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let home = home();
        let path = make(&home, "file");
        let link = home.path().join("link");
        symlink(&path, &link).unwrap();
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &link,
            Some(4001.into()),
            None,
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
        assert!(is_trusted(&path) && !is_trusted(&link));
        chown(&path, Some(4001), None).unwrap();
        assert!(!is_trusted(&path));
        let both = Owners::root_and([4001]);
        let (_, judged) = examine(&link, &both, Demand::Unwritable).unwrap();
        assert_eq!(judged, Ok(()));
    }

    #[test]
    fn only_regular_files_are_read() {
        let home = home();
        let pipe = home.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        for path in [&pipe, &home.path().to_owned()] {
            assert_eq!(error_kind(path), ErrorKind::InvalidInput);
        }
        assert!(matches!(
            error_kind(Path::new("file")),
            ErrorKind::NotFound | ErrorKind::InvalidInput
        ));
        let circle = home.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(steps(&circle).is_err());
    }

    #[test]
    fn directory_is_judged_like_a_file() {
        let home = home();
        let path = home.path().join("state");
        fs::create_dir(&path).unwrap();
        for (mode, unwritable, private) in [
            (0o700, true, true),
            (0o750, true, false),
            (0o770, false, false),
        ] {
            set(&path, mode);
            let is = |demand| is_directory_trusted(&path, demand);
            assert_eq!(is(Demand::Unwritable), unwritable, "{mode:o}");
            assert_eq!(is(Demand::Private), private, "{mode:o}");
        }
        let file = make(&home, "file");
        assert!(!is_directory_trusted(&file, Demand::Unwritable));
    }
}
