//! Files of the host that its admin changes while the daemon runs.
//!
//! Landlock holds on to files, not to names. One that was written in place is read
//! as it is now; one that was replaced is another file, which the daemon may not
//! read. It then goes on with what it read last, and says so.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Addresses of nodes.
pub(crate) static HOSTS: HostFile = HostFile::new("/etc/hosts");
/// Whose containers may ask.
pub(crate) static SUBUID: HostFile = HostFile::new("/etc/subuid");
pub(crate) static SUBGID: HostFile = HostFile::new("/etc/subgid");

/// A longer file is not read on.
const MAX_BYTES: usize = 1 << 20;

/// One of them.
pub(crate) struct HostFile {
    path: &'static str,
    last: Mutex<Vec<u8>>,
}

impl HostFile {
    const fn new(path: &'static str) -> Self {
        Self {
            path,
            last: Mutex::new(Vec::new()),
        }
    }

    /// What it says; nothing when there is none.
    pub(crate) fn read(&self) -> Vec<u8> {
        self.settle(pulse_files::read_beginning(Path::new(self.path), MAX_BYTES))
    }

    fn settle(&self, read: io::Result<Vec<u8>>) -> Vec<u8> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(bytes) => last.clone_from(&bytes),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(
                    path = self.path,
                    %error,
                    "cannot be read any more, so what it said before counts; if it was replaced: it takes a restart"
                );
            }
            Err(_) => last.clear(),
        }
        last.clone()
    }
}

/// Reads each once, so that there is something to go on with.
pub(crate) fn read_all() {
    for file in [&HOSTS, &SUBUID, &SUBGID] {
        file.read();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_does_not_take_what_it_said_away() {
        let file = HostFile::new("/none");
        assert_eq!(file.settle(Ok(b"a".to_vec())), b"a");
        let denied = || Err(io::ErrorKind::PermissionDenied.into());
        assert_eq!(file.settle(denied()), b"a");
        assert_eq!(file.settle(Err(io::ErrorKind::NotFound.into())), b"");
        assert_eq!(file.settle(denied()), b"");
    }
}
