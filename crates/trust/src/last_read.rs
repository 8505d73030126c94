//! Files that are read again when they change.
//!
//! A change is detected with stat(2), because the daemon's filter permits no inotify(7). One rule
//! holds for all of them: only a version that was read counts as known. Most errors (no free
//! descriptor, no memory, a slow mount) end without a change of the file, so after a failure the
//! file is read again at each check, whatever its metadata.

use crate::steps;
use pulse_core::trust::PathEntry;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The identity of a version of a file: its metadata, and those of the directories and links on
/// its path, since their owners decide whether it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    steps: Vec<PathEntry>,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds. `changed` differs after chmod(2) and chown(2) too, and cannot be
    /// set back (utimensat(2)).
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Two changes within one tick of the file system's clock have the same time. A tick is 10 ms
/// at most in Linux's own file systems; network file systems may be coarser.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

impl Version {
    /// The current version of the file at an absolute path.
    ///
    /// # Errors
    /// The operating system's; `InvalidInput` for a relative path.
    pub fn at(path: &Path) -> io::Result<Self> {
        // Follows links: the file's own metadata counts, and `steps` has those of the links.
        let found = std::fs::metadata(path)?;
        Ok(Self {
            steps: steps(path)?,
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// True if a later change is certain to give another version.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        u64::try_from(self.changed.0).unwrap_or(0) + SETTLED_AFTER.as_secs() < now
    }
}

/// The thoroughness of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Reads another version, and after a failure. For checks that come in thousands: a version
    /// that is not settled is not read again by each of them.
    Quick,
    /// Reads a version that is not settled too.
    Thorough,
    /// Reads the file in any case, as an operator asks for with a reload.
    Always,
    /// Reads another version only, also after a failure. For a file whose failure lasts as long as
    /// its version and costs more than the read, such as a denial that the kernel logs.
    NewVersion,
}

/// The last read of a file.
#[derive(Debug, Default)]
pub struct LastRead {
    /// The version before the read; `None` if there was no read or no file.
    version: Option<Version>,
    succeeded: bool,
}

impl LastRead {
    /// No read yet: the first check reads the file.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            version: None,
            succeeded: false,
        }
    }

    /// Reads the file at `path` with `read` if it has changed, or if the last read failed.
    /// `None` if what was read last is still its content.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read_again<T, E>(
        &mut self,
        path: &Path,
        check: Check,
        read: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        // Before the read: after a change in between, the next check finds another version.
        let version = Version::at(path).ok();
        let is_known = version
            .as_ref()
            .is_some_and(|version| self.knows(version, check));
        if is_known {
            return None;
        }
        let outcome = read(path);
        self.version = version;
        self.succeeded = outcome.is_ok();
        Some(outcome)
    }

    fn knows(&self, version: &Version, check: Check) -> bool {
        self.version.as_ref() == Some(version)
            && match check {
                Check::Quick => self.succeeded,
                Check::Thorough => self.succeeded && version.is_settled(),
                Check::Always => false,
                Check::NewVersion => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs::{self, File, FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use tempfile::TempDir;

    struct Watched {
        home: TempDir,
        last: LastRead,
        fails: Cell<bool>,
    }

    impl Watched {
        fn new() -> Self {
            let watched = Self {
                home: tempfile::tempdir().unwrap(),
                last: LastRead::none(),
                fails: Cell::new(false),
            };
            fs::write(watched.path(), "1").unwrap();
            watched
        }

        fn path(&self) -> PathBuf {
            self.home.path().join("file")
        }

        fn check(&mut self, check: Check) -> Option<Result<Vec<u8>, io::ErrorKind>> {
            let path = self.path();
            self.last.read_again(&path, check, |path| {
                if self.fails.get() {
                    return Err(io::ErrorKind::Other);
                }
                pulse_files::read(path, 9).map_err(|error| error.kind())
            })
        }

        /// A change far enough in the past to be settled.
        fn settle(&mut self) {
            self.last.version.as_mut().unwrap().changed.0 = 0;
        }
    }

    #[test]
    fn known_version_is_not_read_again() {
        let mut watched = Watched::new();
        assert_eq!(watched.check(Check::Quick), Some(Ok(b"1".to_vec())));
        assert_eq!(watched.check(Check::Quick), None);
        fs::write(watched.path(), "23").unwrap();
        assert_eq!(watched.check(Check::Quick), Some(Ok(b"23".to_vec())));
        fs::remove_file(watched.path()).unwrap();
        for _ in 0..2 {
            let missing = Some(Err(io::ErrorKind::NotFound));
            assert_eq!(watched.check(Check::Quick), missing);
        }
    }

    #[test]
    fn failed_read_is_repeated() {
        let mut watched = Watched::new();
        watched.fails.set(true);
        for check in [Check::Quick, Check::Thorough, Check::Quick] {
            assert_eq!(watched.check(check), Some(Err(io::ErrorKind::Other)));
        }
        assert_eq!(watched.check(Check::NewVersion), None);
        // Nothing about the file changes, only its read succeeds.
        watched.fails.set(false);
        assert_eq!(watched.check(Check::NewVersion), None);
        assert_eq!(watched.check(Check::Quick), Some(Ok(b"1".to_vec())));
        assert_eq!(watched.check(Check::Quick), None);
    }

    #[test]
    fn mode_and_old_times_are_a_change() {
        let mut watched = Watched::new();
        watched.check(Check::Quick);
        fs::set_permissions(watched.path(), Permissions::from_mode(0o600)).unwrap();
        assert!(watched.check(Check::NewVersion).is_some());
        let before = fs::metadata(watched.path()).unwrap();
        fs::write(watched.path(), "2").unwrap();
        let times = FileTimes::new().set_modified(before.modified().unwrap());
        let file = File::options().write(true).open(watched.path());
        file.unwrap().set_times(times).unwrap();
        assert_eq!(watched.check(Check::Quick), Some(Ok(b"2".to_vec())));
        // The directory decides whether the file is trusted.
        fs::set_permissions(watched.home.path(), Permissions::from_mode(0o750)).unwrap();
        assert!(watched.check(Check::Quick).is_some());
    }

    #[test]
    fn recent_version_may_hide_a_change() {
        let mut watched = Watched::new();
        watched.check(Check::Quick);
        assert_eq!(watched.check(Check::Quick), None);
        assert!(watched.check(Check::Thorough).is_some());
        assert!(watched.check(Check::Always).is_some());
        let known = watched.last.version.clone().unwrap();
        watched.settle();
        let settled = watched.last.version.clone().unwrap();
        assert!(!watched.last.knows(&known, Check::Thorough));
        assert!(watched.last.knows(&settled, Check::Thorough));
        assert!(watched.check(Check::Always).is_some());
    }
}
