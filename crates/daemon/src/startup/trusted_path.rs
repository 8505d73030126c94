//! Paths that no other user can change.
//!
//! What root does to a path that another user can exchange between two calls, it does to a
//! file of that user's choice. So every directory that the kernel passes on its way
//! (`path_resolution(7)`), those of symbolic links among them, has to be root's or ours, and
//! nobody else's to write to.

use pulse_core::trust::Owners;
use std::io;
use std::path::Path;

/// Whether root and the user that this process is now are the only ones who can have the
/// path name something else, or give its directory another entry.
///
/// # Errors
/// Those of stat(2), and one for a circle of links.
pub(crate) fn is_ours_alone(path: &Path) -> io::Result<bool> {
    let steps = pulse_trust::steps(&std::path::absolute(path)?)?;
    let owners = Owners::root_and([pulse_sandbox::own_uid()]);
    Ok(owners.judge_parents(&steps).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
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
        if pulse_sandbox::own_uid() != 0 {
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
