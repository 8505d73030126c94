//! Whose the files of a log are, when root makes them.
//!
//! The daemon is not root, so what root makes for it must be its user's. Files are
//! made with that user's rights from the beginning (setfsuid(2)), not given away
//! afterwards: then there is no moment in which the daemon could not use them, and
//! what would be refused to it is refused here.

use super::AuditError;
use nix::unistd::{Gid, Uid, User, setfsgid, setfsuid};
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    /// The user with this name.
    ///
    /// # Errors
    /// [`AuditError::NoUser`].
    pub(crate) fn named(name: &str) -> Result<Self, AuditError> {
        let user = User::from_name(name).ok().flatten();
        let user = user.ok_or_else(|| AuditError::NoUser(name.to_owned()))?;
        Ok(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
    }

    /// Whose the path is, or the nearest directory above it that exists.
    pub(crate) fn of_nearest(path: &Path) -> Option<Self> {
        let found = path.ancestors().find_map(|path| fs::metadata(path).ok())?;
        Some(Self {
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    /// Whether this process can make files for somebody else.
    pub(crate) fn can_be_chosen() -> bool {
        Uid::effective().is_root()
    }
}

/// Makes a directory with this mode, for its owner; fine if it is there.
///
/// # Errors
/// [`AuditError::Change`] with the directory.
pub(crate) fn make_directory(
    path: &Path,
    mode: u32,
    owner: Option<Owner>,
) -> Result<(), AuditError> {
    make(path, mode, owner).map_err(|error| AuditError::Change {
        path: path.to_owned(),
        doing: "make this directory",
        error,
    })
}

/// Where its owner may make it, it is made with the owner's rights: nothing that
/// the owner can exchange meanwhile is then given away by root.
fn make(path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)?;
    }
    let create = || DirBuilder::new().mode(mode).create(path);
    match (with_rights_of(owner, create)?, owner) {
        (Err(error), Some(owner)) if error.kind() == ErrorKind::PermissionDenied => {
            create()?;
            lchown(path, Some(owner.uid), Some(owner.gid))
        }
        (made, _) => made,
    }
}

/// Does something with the owner's rights to files, and with no others.
///
/// # Errors
/// `PermissionDenied` when the system did not lend them.
pub(crate) fn with_rights_of<T>(owner: Option<Owner>, work: impl FnOnce() -> T) -> io::Result<T> {
    let Some(owner) = owner.filter(|_| Owner::can_be_chosen()) else {
        return Ok(work());
    };
    let _lent = Lent {
        uid: setfs_user_after_group(owner),
        gid: Gid::effective(),
    };
    // Asked for nonsense, it only tells what is in force.
    if setfsuid(Uid::from_raw(u32::MAX)).as_raw() != owner.uid {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(work())
}

/// The group first: afterwards there is no right to change it.
fn setfs_user_after_group(owner: Owner) -> Uid {
    setfsgid(Gid::from_raw(owner.gid));
    setfsuid(Uid::from_raw(owner.uid))
}

/// Gives our own rights back, whatever happened.
struct Lent {
    uid: Uid,
    gid: Gid,
}

impl Drop for Lent {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_made_belongs_to_the_owner_from_the_beginning() {
        if !Owner::can_be_chosen() {
            eprintln!("skipped: only root makes files for others");
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let owner = Some(Owner {
            uid: 4711,
            gid: 4712,
        });
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let directory = home.path().join("a/b");
        make_directory(&directory, 0o750, owner).unwrap();
        let refused = with_rights_of(owner, || fs::write(home.path().join("x"), "")).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        with_rights_of(owner, || fs::write(directory.join("x"), ""))
            .unwrap()
            .unwrap();
        for (path, mode) in [("a/b", 0o750), ("a/b/x", 0o644)] {
            let made = fs::metadata(home.path().join(path)).unwrap();
            assert_eq!((made.uid(), made.gid()), (4711, 4712), "{path}");
            assert_eq!(made.mode() & 0o777 | 0o044, mode | 0o044, "{path}");
        }
        fs::write(home.path().join("ours"), "").unwrap();
        let ours = fs::metadata(home.path().join("ours")).unwrap();
        assert_eq!((ours.uid(), ours.gid()), (0, Gid::effective().as_raw()));
        assert_eq!(Owner::of_nearest(&directory.join("c/d")), owner);
    }

    #[test]
    fn a_user_that_is_not_there_is_named() {
        let error = Owner::named("no-such-user-here").unwrap_err().to_string();
        assert!(error.contains("no-such-user-here"), "{error}");
        assert_eq!(Owner::named("root").unwrap().uid, 0);
    }
}
