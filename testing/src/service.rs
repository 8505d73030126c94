//! The user that the daemon runs as, and ownership of its files.
//!
//! When the tests run as root they start every daemon as root, and it drops to an
//! unprivileged user, as an installed daemon does. Its directories belong to that user; files
//! that an operator writes belong to root, and the user may only read them. When the tests run
//! as another user, the daemon and its files are that user's.

use crate::home::Home;
use crate::programs::is_root;
use crate::python::User;
use nix::unistd::{getegid, geteuid};
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// The variable that names the user to which a daemon drops from root.
pub const VARIABLE: &str = "PULSE_SENSOR_PROXY_USER";

/// An unprivileged user that every system has.
pub(crate) const NOBODY: &str = "nobody";

/// The variable in the environment of every daemon whose test is not about it.
pub const SETTING: (&str, &str) = (VARIABLE, NOBODY);

/// The user and group of a daemon that serves.
///
/// # Panics
/// When the system does not know the user.
#[must_use]
pub fn user() -> User {
    if !is_root() {
        return User {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
        };
    }
    let user = nix::unistd::User::from_name(NOBODY).unwrap();
    let user = user.expect("every system has this user");
    User {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    }
}

/// Changes the owner of a file or a directory to the service's user.
pub fn give(path: &Path) {
    let User { uid, gid } = user();
    chown(path, Some(uid), Some(gid)).unwrap();
}

/// Makes a directory of mode 0700 that belongs to the service, unless it exists.
pub(crate) fn make_private(directory: &Path) {
    if !directory.exists() {
        DirBuilder::new().mode(0o700).create(directory).unwrap();
        give(directory);
    }
}

/// Makes a secret that an operator wrote readable by the service's group only.
pub(crate) fn make_service_readable(home: &Home, file: &Path) {
    // The group of the socket's directory is that of the service's user, whatever its name is.
    let run = home.socket();
    let run = fs::metadata(run.parent().unwrap()).unwrap();
    chown(file, None, Some(run.gid())).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o640)).unwrap();
}

/// Makes a file that an operator wrote readable by all, whatever the umask.
pub fn make_readable(file: &Path) {
    fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
}
