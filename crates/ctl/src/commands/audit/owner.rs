//! The owner of a log's files, when root creates them.
//!
//! The daemon is not root, so files that root creates for it must belong to its user. They are
//! created with that user's rights (setfsuid(2)), not given away afterwards: so they are never
//! unusable for the daemon, and what the kernel would refuse to the daemon it refuses here.

use super::change::ChangeError;
use nix::unistd::{Gid, Uid, User, setfsgid, setfsuid};
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// The user with this name, if there is one.
    pub(super) fn named(name: &str) -> Option<Self> {
        let user = User::from_name(name).ok().flatten()?;
        Some(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
    }

    /// The owner of the path, or of the nearest directory above it that exists.
    pub(super) fn of_nearest(path: &Path) -> Option<Self> {
        let found = path.ancestors().find_map(|path| fs::metadata(path).ok())?;
        Some(Self {
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    /// True when this process can create files for another user.
    pub(super) fn can_be_chosen() -> bool {
        Uid::effective().is_root()
    }
}

/// Creates a directory with this mode, for its owner, unless it exists.
///
/// # Errors
/// [`ChangeError`] with the directory.
pub(super) fn make_directory(
    path: &Path,
    mode: u32,
    owner: Option<Owner>,
) -> Result<(), ChangeError> {
    let make = || {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)?;
        }
        // With the owner's rights if the owner may create it: else root could give away what the
        // owner put in its place meanwhile.
        let create = || DirBuilder::new().mode(mode).create(path);
        match (with_rights_of(owner, create)?, owner) {
            // The owner may not write to the directory above, and so cannot put a link in the
            // place of the new one before lchown(2).
            (Err(error), Some(owner)) if error.kind() == ErrorKind::PermissionDenied => {
                create()?;
                lchown(path, Some(owner.uid), Some(owner.gid))
            }
            (made, _) => made,
        }
    };
    make().map_err(ChangeError::of(path, "create this directory"))
}

/// Does `work` with the owner's rights to files, and with no others.
///
/// # Errors
/// `PermissionDenied` when the kernel did not change them.
pub(super) fn with_rights_of<T>(owner: Option<Owner>, work: impl FnOnce() -> T) -> io::Result<T> {
    let Some(owner) = owner.filter(|_| Owner::can_be_chosen()) else {
        return Ok(work());
    };
    // The group first, as with setuid(2). Unlike that, setfsuid(2) drops only the capabilities
    // for files (capabilities(7)), so both IDs can be restored.
    setfsgid(Gid::from_raw(owner.gid));
    let _own = OwnRights {
        uid: setfsuid(Uid::from_raw(owner.uid)),
        gid: Gid::effective(),
    };
    // setfsuid(2) reports no errors. With an invalid id it returns the one in force.
    if setfsuid(Uid::from_raw(u32::MAX)).as_raw() != owner.uid {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(work())
}

/// Restores this process's own rights when dropped.
struct OwnRights {
    uid: Uid,
    gid: Gid,
}

impl Drop for OwnRights {
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
    fn new_files_belong_to_the_owner() {
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
    fn users_are_found_by_name() {
        assert_eq!(Owner::named("no-such-user-here"), None);
        assert_eq!(Owner::named("root").unwrap().uid, 0);
    }
}
