//! Files of the host that an administrator edits while the daemon runs: `/etc/hosts`,
//! `/etc/subuid` and `/etc/subgid`. They decide where a node is and which containers are
//! callers, so a file that other users may change counts as empty.
//!
//! A Landlock rule is bound to the file, not to its name (landlock(7)). A file that is
//! written in place is read as it is; one that is replaced is another file, which the daemon
//! may not read. It then keeps the content that it read last, and logs that.

use pulse_core::trust::Demand;
use pulse_trust::Refused;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Addresses of nodes (hosts(5)).
pub(crate) static HOSTS: HostFile = HostFile::new("/etc/hosts");
/// The subordinate ids of users (subuid(5), subgid(5)).
pub(crate) static SUBUID: HostFile = HostFile::new("/etc/subuid");
pub(crate) static SUBGID: HostFile = HostFile::new("/etc/subgid");

/// Bytes that are read of a file.
const MAX_BYTES: usize = 1 << 20;

/// One of the files, with its last content.
pub(crate) struct HostFile {
    path: &'static str,
    last: Mutex<Last>,
}

struct Last {
    bytes: Vec<u8>,
    state: FileState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FileState {
    /// It was read, or does not exist.
    Read,
    /// Another file has its name, which Landlock refuses.
    Replaced,
    /// Other users may change it, so it counts as empty.
    Refused(String),
}

impl HostFile {
    const fn new(path: &'static str) -> Self {
        Self {
            path,
            last: Mutex::new(Last {
                bytes: Vec::new(),
                state: FileState::Read,
            }),
        }
    }

    /// Its content; empty when it does not exist or other users may change it.
    pub(crate) fn read(&self) -> Vec<u8> {
        let path = Path::new(self.path);
        self.update(pulse_trust::read_beginning(
            path,
            Demand::Unwritable,
            MAX_BYTES,
        ))
    }

    /// The reason that it counted as empty when it was last read, although it exists.
    pub(crate) fn refusal(&self) -> Option<String> {
        match &self.last().state {
            FileState::Refused(refusal) => Some(refusal.clone()),
            FileState::Read | FileState::Replaced => None,
        }
    }

    fn update(&self, read: Result<Vec<u8>, Refused>) -> Vec<u8> {
        let mut last = self.last();
        // Each connection reads it, so only a change of its state is logged.
        match last.update(read) {
            Some(FileState::Replaced) => tracing::warn!(
                "{} was replaced or cannot be read, its previous content stays in force: write it in place, or restart the daemon",
                self.path
            ),
            Some(FileState::Refused(refusal)) => {
                tracing::error!("{} is refused and counts as empty: {refusal}", self.path);
            }
            Some(FileState::Read) | None => {}
        }
        last.bytes.clone()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    /// Takes what was read; returns the state if it is another one than before.
    fn update(&mut self, read: Result<Vec<u8>, Refused>) -> Option<FileState> {
        let state = match read {
            Ok(bytes) => {
                self.bytes = bytes;
                FileState::Read
            }
            Err(Refused::Io(error))
                if error.kind() == io::ErrorKind::PermissionDenied
                    || pulse_files::is_exhausted(&error) =>
            {
                FileState::Replaced
            }
            Err(Refused::Io(_)) => {
                self.bytes.clear();
                FileState::Read
            }
            Err(Refused::Untrusted(untrusted)) => {
                self.bytes.clear();
                FileState::Refused(untrusted.to_string())
            }
        };
        let is_news = state != self.state;
        self.state = state.clone();
        is_news.then_some(state)
    }
}

/// Reads each file while the daemon may still read all, so that there is a content to keep.
pub(crate) fn read_all() {
    for file in [&HOSTS, &SUBUID, &SUBGID] {
        file.read();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_file_keeps_its_content() {
        let file = HostFile::new("/none");
        assert_eq!(file.update(Ok(b"a".to_vec())), b"a");
        let failed = |kind: io::ErrorKind| Err(Refused::Io(kind.into()));
        let denied = || failed(io::ErrorKind::PermissionDenied);
        assert_eq!(file.update(denied()), b"a");
        assert_eq!(file.update(failed(io::ErrorKind::NotFound)), b"");
        assert_eq!(file.update(denied()), b"");
    }

    /// Otherwise permitted containers would be denied after a reload.
    #[test]
    fn exhaustion_keeps_the_content() {
        let file = HostFile::new("/none");
        file.update(Ok(b"a".to_vec()));
        for errno in [nix::errno::Errno::EMFILE, nix::errno::Errno::ENFILE] {
            assert_eq!(file.update(Err(Refused::Io(errno.into()))), b"a");
        }
    }

    #[test]
    fn replaced_file_is_logged_once() {
        let mut last = Last {
            bytes: Vec::new(),
            state: FileState::Read,
        };
        let denied = || Err(Refused::Io(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(last.update(denied()), Some(FileState::Replaced));
        assert_eq!(last.update(denied()), None);
        assert_eq!(last.update(Ok(b"a".to_vec())), Some(FileState::Read));
        assert_eq!(last.update(denied()), Some(FileState::Replaced));
    }

    #[test]
    fn untrusted_file_counts_as_empty() {
        use pulse_core::trust::{FileKind, Owners, PathEntry};
        let file = HostFile::new("/none");
        file.update(Ok(b"a".to_vec()));
        let open = PathEntry {
            path: "/none".into(),
            uid: 0,
            mode: 0o666,
            kind: FileKind::File,
        };
        let judged = Owners::root_and([]).judge(&[open], FileKind::File, Demand::Unwritable);
        let refused = Refused::Untrusted(judged.unwrap_err());
        assert_eq!(file.update(Err(refused)), b"");
        assert!(file.refusal().unwrap().contains("chmod"));
        assert_eq!(file.update(Ok(b"b".to_vec())), b"b");
        assert_eq!(file.refusal(), None);
    }
}
