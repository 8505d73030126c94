//! Opens the files that decide whom the daemon trusts: configuration, `known_hosts`, keys,
//! certificates. What others may change is refused; the rules are those of
//! [`pulse_core::trust`], and this crate looks at the file system for them.
//!
//! A file is opened first and judged by its descriptor, so that what was judged is what is
//! read, whatever happens to its name. The directories above are looked at afterwards: if
//! only trusted users can change them now, nobody else can have been there in between.

pub mod places;

use nix::unistd::User;
use pulse_core::trust::{Demand, FileKind, Owners, PathEntry, Untrusted};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// As many links as the kernel follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Others may change it, or read a secret.
    #[error("{0}")]
    Untrusted(#[from] Untrusted),
}

impl Refused {
    /// The kind of the system's error; `None` when there is none.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Io(error) => Some(error.kind()),
            Self::Untrusted(_) => None,
        }
    }
}

/// Names the user that a daemon becomes which is started as root.
pub const USER_VARIABLE: &str = "PULSE_SENSOR_PROXY_USER";

/// That user, unless the variable names another.
const SERVICE_USER: &str = "pulse-sensor-proxy";

/// The name of the user that a daemon becomes which is started as root.
#[must_use]
pub fn service_user() -> String {
    std::env::var(USER_VARIABLE).unwrap_or_else(|_| SERVICE_USER.to_owned())
}

/// Root and the user that this process acts as (geteuid(2)); where that is root, the
/// service's user as well. Found once, since a confined daemon can look no name up.
#[must_use]
pub fn owners() -> &'static Owners {
    static OWNERS: OnceLock<Owners> = OnceLock::new();
    OWNERS.get_or_init(|| {
        let own = nix::unistd::geteuid();
        let service = own.is_root().then(service_uid).flatten();
        Owners::root_and([own.as_raw()].into_iter().chain(service))
    })
}

/// As [`owners`], for a tool that looks at the daemon's files and may be anybody's: the
/// service's user in any case.
#[must_use]
pub fn owners_and_service() -> Owners {
    let own = nix::unistd::geteuid().as_raw();
    Owners::root_and([own].into_iter().chain(service_uid()))
}

/// A user that the system does not know owns nothing.
fn service_uid() -> Option<u32> {
    let user = User::from_name(&service_user()).ok().flatten()?;
    Some(user.uid.as_raw())
}

/// Opens a regular file for reading, if nobody but its [`owners`] can change it.
///
/// # Errors
/// [`Refused`], also when the path is relative.
pub fn open(path: &Path, demand: Demand) -> Result<File, Refused> {
    let (file, judged) = examine(path, owners(), demand)?;
    judged?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes, if nobody but its [`owners`] can change it.
///
/// # Errors
/// `FileTooLarge` when it has more; else as [`open`].
pub fn read(path: &Path, demand: Demand, limit: usize) -> Result<Vec<u8>, Refused> {
    // A secret of the usual size is not copied, and left behind, while it grows.
    let mut content = Vec::with_capacity(limit.min(4096));
    pulse_files::read_into(&mut content, open(path, demand)?, limit)?;
    Ok(content)
}

/// Reads the first `limit` bytes of a file, if nobody but its [`owners`] can change it.
///
/// # Errors
/// As [`open`].
pub fn read_beginning(path: &Path, demand: Demand, limit: usize) -> Result<Vec<u8>, Refused> {
    let mut content = Vec::new();
    let file = open(path, demand)?.take(limit as u64);
    pulse_files::read_into(&mut content, file, limit)?;
    Ok(content)
}

/// Opens a regular file, and says what is wrong with who can change it.
///
/// # Errors
/// `InvalidInput` when it is no regular file, or the path is relative; else whatever the
/// system says.
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
    let judged = owners.judge(&steps, FileKind::File, demand);
    Ok((file, judged))
}

/// Whether nobody but its [`owners`] can change a directory, or exchange it.
///
/// # Errors
/// [`Refused`], also when the path is relative.
pub fn check_directory(path: &Path, demand: Demand) -> Result<(), Refused> {
    let steps = steps(path)?;
    Ok(owners().judge(&steps, FileKind::Directory, demand)?)
}

/// All that an absolute path leads through, from the root directory on, links included
/// and resolved.
///
/// # Errors
/// Whatever the system says of one of them.
pub fn steps(path: &Path) -> io::Result<Vec<PathEntry>> {
    if !path.is_absolute() {
        let reason = "the path has to be absolute";
        return Err(io::Error::new(ErrorKind::InvalidInput, reason));
    }
    let mut at = PathBuf::from("/");
    let mut steps = vec![look(&at)?];
    // The next component is the last one in here.
    let mut ahead = components(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            // Every link so far is resolved, so the directory above is the one in the name.
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

/// The components of a path, the last one first.
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

    /// A directory of ours below one that everybody may write in.
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

    fn is_trusted(path: &Path) -> bool {
        match open(path, Demand::Unwritable) {
            Ok(_) => true,
            Err(Refused::Untrusted(_)) => false,
            Err(Refused::Io(error)) => panic!("{}: {error}", path.display()),
        }
    }

    #[test]
    fn own_file_below_tmp_is_opened() {
        let home = home();
        let mut text = String::new();
        let path = make(&home, "a/file");
        let mut file = open(&path, Demand::Unwritable).unwrap();
        Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "a/file");
    }

    #[test]
    fn mode_of_the_file_and_of_each_directory_counts() {
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
    fn link_is_judged_with_its_directory_and_its_target() {
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
        // A link in place of a directory, too.
        symlink("target", home.path().join("directory")).unwrap();
        let path = home.path().join("directory/file");
        let walked = steps(&path).unwrap();
        assert_eq!(walked.last().unwrap().path, target);
        assert!(walked.iter().any(|step| step.kind == FileKind::Link));
        // Out of a directory that a link leads to, up to the one above it.
        symlink("target/../links", home.path().join("up")).unwrap();
        assert!(is_trusted(&home.path().join("up/other")));
    }

    #[test]
    fn link_and_file_of_another_user_are_refused() {
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
    fn what_is_no_file_is_neither_waited_for_nor_read() {
        let home = home();
        let pipe = home.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        for path in [&pipe, &home.path().to_owned()] {
            let refused = open(path, Demand::Unwritable).unwrap_err();
            assert_eq!(refused.kind(), Some(ErrorKind::InvalidInput));
        }
        let relative = open(Path::new("file"), Demand::Unwritable).unwrap_err();
        assert!(matches!(
            relative.kind(),
            Some(ErrorKind::NotFound | ErrorKind::InvalidInput)
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
            let is = |demand| check_directory(&path, demand).is_ok();
            assert_eq!(is(Demand::Unwritable), unwritable, "{mode:o}");
            assert_eq!(is(Demand::Private), private, "{mode:o}");
        }
        let file = make(&home, "file");
        assert!(check_directory(&file, Demand::Unwritable).is_err());
    }
}
