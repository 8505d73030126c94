//! `chattr +a` without the program: the mark that a file may only grow.

use pulse_audit::RegularFile;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use std::fs::File;
use std::io;
use std::path::Path;

/// A file whose mark was taken off for a while.
///
/// The mark comes back when this goes, whatever happened meanwhile and whatever
/// the file is called then.
pub(super) struct Lifted {
    file: File,
    was_set: bool,
}

impl Lifted {
    /// Takes the mark off, where there is one.
    ///
    /// # Errors
    /// The operating system's; `PermissionDenied` for anybody but root.
    pub(super) fn off(path: &Path) -> io::Result<Self> {
        // The descriptor stays open: after the rename it still names this file.
        let file = open(path)?;
        let was_set = is_set(&file);
        if was_set {
            set(&file, false)?;
        }
        Ok(Self { file, was_set })
    }

    /// True when there was a mark.
    pub(super) fn was_set(&self) -> bool {
        self.was_set
    }

    /// Puts the mark back, and on a second file too.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn also_on(&self, path: &Path) -> io::Result<()> {
        if self.was_set {
            set(&self.file, true).and_then(|()| mark(path))
        } else {
            Ok(())
        }
    }
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if self.was_set {
            // There is nobody left to be told.
            let _ = set(&self.file, true);
        }
    }
}

/// Marks a file.
fn mark(path: &Path) -> io::Result<()> {
    set(&open(path)?, true)
}

/// The file itself: the directory may be another user's, and a link of theirs must
/// not lead root elsewhere.
fn open(path: &Path) -> io::Result<File> {
    RegularFile::open(path).map(RegularFile::into_inner)
}

/// False on file systems without such marks.
fn is_set(file: &File) -> bool {
    ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::APPEND))
}

fn set(file: &File, wanted: bool) -> io::Result<()> {
    let mut flags = ioctl_getflags(file)?;
    flags.set(IFlags::APPEND, wanted);
    Ok(ioctl_setflags(file, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_mark_is_restored() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        fs::write(&old, "x").unwrap();
        if let Err(error) = mark(&old) {
            eprintln!("skipped: no file can be marked here: {error}");
            return;
        }
        assert!(fs::rename(&old, &new).is_err());
        let lifted = Lifted::off(&old).unwrap();
        fs::rename(&old, &new).unwrap();
        drop(lifted);
        assert!(is_set(&File::open(&new).unwrap()));
        assert!(fs::write(&new, "y").is_err());
        set(&File::open(&new).unwrap(), false).unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        fs::write(home.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(Lifted::off(&link).is_err() && mark(&link).is_err());
    }

    #[test]
    fn a_file_without_a_mark_gets_none() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        fs::write(&old, "x").unwrap();
        fs::write(&new, "x").unwrap();
        let lifted = Lifted::off(&old).unwrap();
        lifted.also_on(&new).unwrap();
        drop(lifted);
        assert!(!is_set(&File::open(&old).unwrap()) && !is_set(&File::open(&new).unwrap()));
    }
}
