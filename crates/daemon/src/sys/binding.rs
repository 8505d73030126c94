//! Listening sockets that are files, with their mode from the first instant.

use nix::sys::stat::{Mode, umask};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Binds a Unix socket and listens on it. The kernel makes the file with every
/// permission that the umask leaves (unix(7), umask(2)), so the umask says the mode: a
/// chmod(2) afterwards would come too late, and would follow whatever has the name by then.
///
/// The umask is the whole process's: no other thread may make files meanwhile.
///
/// # Errors
/// Those of bind(2) and listen(2).
pub(crate) fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_socket_has_its_mode() {
        let home = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666] {
            let path = home.path().join(mode.to_string());
            let _listener = bind_unix(&path, mode).unwrap();
            let found = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode);
        }
    }
}
