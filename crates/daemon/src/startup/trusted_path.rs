//! Paths that no other user can change.
//!
//! When root acts on a path that another user can change between two system calls, it acts
//! on a file of that user's choice. So every directory that path resolution passes through
//! (`path_resolution(7)`), those of symbolic links included, must belong to root or to this
//! user, and must be writable for nobody else.

use pulse_core::trust::Owners;
use std::io;
use std::path::Path;

/// True if root and the current user are the only ones who can change what the path leads
/// to, or the entries of its directory.
///
/// # Errors
/// Those of stat(2), and `ELOOP` for a loop of links.
pub(crate) fn is_ours_alone(path: &Path) -> io::Result<bool> {
    let steps = pulse_trust::steps(&std::path::absolute(path)?)?;
    Ok(Owners::root_and([pulse_sandbox::own_uid()])
        .judge_parents(&steps)
        .is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    #[test]
    fn writable_directories_are_shared() {
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
    fn link_of_another_user_is_untrusted() {
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
    fn loop_of_links_ends() {
        let home = tempfile::tempdir().unwrap();
        symlink("circle", home.path().join("circle")).unwrap();
        let error = is_ours_alone(&home.path().join("circle")).unwrap_err();
        assert!(error.to_string().contains("links"), "{error}");
    }
}
