//! Whom the daemon serves as.
//!
//! Where the tests run as root, they start every daemon as root, and it becomes a user
//! that has nothing, as one does that a package installed. Its directories are that
//! user's; what an operator writes is not, and may only be read by it. Where they
//! run as anybody else, the daemon is that user, and so are its files.

use crate::home::Home;
use crate::programs::is_root;
use crate::python::User;
use nix::unistd::{getegid, geteuid};
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Names the user that a daemon becomes which is started as root.
pub const VARIABLE: &str = "PULSE_SENSOR_PROXY_USER";

/// Every system has this user, and it has nothing.
pub(crate) const NOBODY: &str = "nobody";

/// What the environment of every daemon says, unless the test is about this.
pub const SETTING: (&str, &str) = (VARIABLE, NOBODY);

/// Who a daemon is once it serves.
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

/// Gives it a file or a directory.
pub fn own(path: &Path) {
    let User { uid, gid } = user();
    chown(path, Some(uid), Some(gid)).unwrap();
}

/// Makes a directory that nobody else may look into, unless it is there.
pub(crate) fn make_private(directory: &Path) {
    if !directory.exists() {
        DirBuilder::new().mode(0o700).create(directory).unwrap();
        own(directory);
    }
}

/// Lets the daemon of this home, and nobody else, read a secret that an operator wrote.
pub(crate) fn let_read_alone(home: &Home, file: &Path) {
    let run = home.socket();
    let run = fs::metadata(run.parent().unwrap()).unwrap();
    chown(file, None, Some(run.gid())).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o640)).unwrap();
}

/// Lets it read what an operator wrote, whatever files the tests' own user makes.
pub fn let_read(file: &Path) {
    fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
}
