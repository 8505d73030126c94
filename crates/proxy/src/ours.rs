//! Paths that no other user can change.
//!
//! What root does to a path that another user can exchange between two calls, it does to a
//! file of that user's choice. So every directory that the kernel passes on its way
//! (`path_resolution(7)`), those of symbolic links among them, has to be root's or ours, and
//! nobody else's to write to.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The kernel follows no more links than these in one path.
const MAX_LINKS: usize = 40;

/// Whether root and the user that this process is now are the only ones who can have the
/// path name something else, or give its directory another entry.
///
/// # Errors
/// Those of stat(2), and one for a circle of links.
pub(crate) fn is_ours_alone(path: &Path) -> io::Result<bool> {
    let mut here = PathBuf::from("/");
    let mut ahead = steps(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        if !is_unshared(&fs::symlink_metadata(&here)?) {
            return Ok(false);
        }
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(step);
        let found = fs::symlink_metadata(&next)?;
        if !found.is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other("too many symbolic links"));
        }
        if !is_ours(&found) {
            return Ok(false);
        }
        let target = fs::read_link(next)?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead.extend(steps(&target));
    }
    Ok(is_unshared(&fs::symlink_metadata(here)?))
}

/// The components below the root directory, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let named = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(named).collect()
}

fn is_ours(found: &Metadata) -> bool {
    found.uid() == 0 || found.uid() == pulse_confine::own_uid()
}

/// In a sticky directory, like `/tmp`, an entry can be changed by its owner alone
/// (inode(7)).
fn is_unshared(found: &Metadata) -> bool {
    is_ours(found) && (found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    #[test]
    fn directories_that_others_can_write_to_are_shared() {
        let home = tempfile::tempdir().unwrap();
        let below = home.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let link = home.path().join("link");
        symlink("a/../a/b", &link).unwrap();
        let open = |mode| fs::set_permissions(home.path().join("a"), Permissions::from_mode(mode));
        for (mode, expected) in [
            (0o755, true),
            (0o770, false),
            (0o707, false),
            (0o1777, true),
        ] {
            open(mode).unwrap();
            assert_eq!(is_ours_alone(&below).unwrap(), expected, "{mode:o}");
            assert_eq!(is_ours_alone(&link).unwrap(), expected, "{mode:o}");
        }
    }

    #[test]
    fn links_of_others_are_not_trusted() {
        if pulse_confine::own_uid() != 0 {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        symlink("/usr", &link).unwrap();
        assert!(is_ours_alone(&link.join("bin")).unwrap());
        lchown(&link, Some(65_534), None).unwrap();
        assert!(!is_ours_alone(&link.join("bin")).unwrap());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let home = tempfile::tempdir().unwrap();
        symlink("circle", home.path().join("circle")).unwrap();
        let error = is_ours_alone(&home.path().join("circle")).unwrap_err();
        assert!(error.to_string().contains("links"), "{error}");
    }
}
