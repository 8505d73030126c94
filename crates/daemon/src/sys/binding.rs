//! Unix sockets that are bound with their final mode.

use nix::sys::stat::{Mode, umask};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Binds a Unix socket and listens on it. The kernel makes the file with every
/// permission that the umask leaves (unix(7), umask(2)), so the umask sets the mode. A
/// chmod(2) afterwards would leave the file open to others for an instant, and would act on
/// whatever file has the name by then.
///
/// The umask belongs to the whole process: no other thread may create files meanwhile.
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
    fn socket_has_its_mode() {
        let home = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666] {
            let path = home.path().join(mode.to_string());
            let _listener = bind_unix(&path, mode).unwrap();
            let found = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode);
        }
    }
}
