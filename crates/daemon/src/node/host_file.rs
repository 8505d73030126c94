//! Files of the host that its admin changes while the daemon runs. They say where a node
//! is and whose containers may ask, so one that others may change says nothing.
//!
//! Landlock holds on to files, not to names. One that was written in place is read
//! as it is now; one that was replaced is another file, which the daemon may not
//! read. It then goes on with what it read last, and says so.

use pulse_core::trust::Demand;
use pulse_trust::Refused;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    last: Mutex<Last>,
}

struct Last {
    bytes: Vec<u8>,
    /// Why it is not read, if it is not.
    refusal: Option<String>,
}

impl HostFile {
    const fn new(path: &'static str) -> Self {
        Self {
            path,
            last: Mutex::new(Last {
                bytes: Vec::new(),
                refusal: None,
            }),
        }
    }

    /// What it says; nothing when there is none, or others may change it.
    pub(crate) fn read(&self) -> Vec<u8> {
        let path = Path::new(self.path);
        self.settle(pulse_trust::read_beginning(
            path,
            Demand::Unwritable,
            MAX_BYTES,
        ))
    }

    /// Why it said nothing when it was last read, although it is there.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.last().refusal.clone()
    }

    fn settle(&self, read: Result<Vec<u8>, Refused>) -> Vec<u8> {
        let mut last = self.last();
        let before = last.refusal.take();
        match read {
            Ok(bytes) => last.bytes = bytes,
            Err(Refused::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(
                    path = self.path,
                    %error,
                    "cannot be read any more, so what it said before counts; if it was replaced: it takes a restart"
                );
            }
            Err(Refused::Io(_)) => last.bytes.clear(),
            Err(Refused::Untrusted(untrusted)) => {
                last.bytes.clear();
                let refusal = untrusted.to_string();
                // It is read with each connection, and news once.
                if before.as_ref() != Some(&refusal) {
                    tracing::error!("{} is refused and counts as empty: {refusal}", self.path);
                }
                last.refusal = Some(refusal);
            }
        }
        last.bytes.clone()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
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
        let failed = |kind: io::ErrorKind| Err(Refused::Io(kind.into()));
        let denied = || failed(io::ErrorKind::PermissionDenied);
        assert_eq!(file.settle(denied()), b"a");
        assert_eq!(file.settle(failed(io::ErrorKind::NotFound)), b"");
        assert_eq!(file.settle(denied()), b"");
    }

    #[test]
    fn file_that_others_may_change_says_nothing() {
        use pulse_core::trust::{FileKind, Owners, PathEntry};
        let file = HostFile::new("/none");
        file.settle(Ok(b"a".to_vec()));
        let open = PathEntry {
            path: "/none".into(),
            uid: 0,
            mode: 0o666,
            kind: FileKind::File,
        };
        let judged = Owners::root_and([]).judge(&[open], FileKind::File, Demand::Unwritable);
        let refused = Refused::Untrusted(judged.unwrap_err());
        assert_eq!(file.settle(Err(refused)), b"");
        assert!(file.refusal().unwrap().contains("chmod"));
        assert_eq!(file.settle(Ok(b"b".to_vec())), b"b");
        assert_eq!(file.refusal(), None);
    }
}
