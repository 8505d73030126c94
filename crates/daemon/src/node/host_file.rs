//! Files of the host that an administrator edits while the daemon runs: `/etc/hosts`,
//! `/etc/subuid` and `/etc/subgid`. They decide where a node is and which containers are
//! callers, so a file that other users may change counts as empty.
//!
//! A file that cannot be read keeps its last content: it was trusted when it was read, and an
//! error (no free descriptor, say) says nothing about it. A missing file counts as empty, since
//! removing it is how an administrator empties it.
//!
//! A Landlock rule is bound to the file, not to its name (landlock(7)). A file that is
//! written in place is read as it is; one that is replaced is another file, which the daemon
//! may not read. Such a denial lasts, and recent kernels log each one, so checks that come with
//! the clock try it once for each version.

use crate::startup::remedy;
use pulse_core::callers::subid::{self, SubordinateRanges};
use pulse_core::nodes::hosts::{self, Hosts};
use pulse_core::trust::{Demand, FileKind};
use pulse_trust::{Check, LastRead, Lines, Refused};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Addresses of nodes (hosts(5)).
pub(crate) static HOSTS: HostFile<Hosts> = HostFile::new(
    "/etc/hosts",
    hosts::MAX_BYTES,
    |text| Hosts::parse(text),
    |_, _| (),
);
/// The subordinate ids of users (subuid(5), subgid(5)).
pub(crate) static SUBUID: HostFile<SubordinateRanges> = HostFile::new(
    "/etc/subuid",
    subid::MAX_BYTES,
    |text| SubordinateRanges::parse(text),
    warn_of_bad_lines,
);
pub(crate) static SUBGID: HostFile<SubordinateRanges> = HostFile::new(
    "/etc/subgid",
    subid::MAX_BYTES,
    |text| SubordinateRanges::parse(text),
    warn_of_bad_lines,
);

fn warn_of_bad_lines(path: &str, ranges: &SubordinateRanges) {
    if let Some(left_out) = ranges.left_out() {
        tracing::warn!(
            "{path}: {} lines give no range of ids and are left out, the first is line {}: write NAME:FIRST:COUNT",
            left_out.count,
            left_out.first
        );
    }
}

/// One of the files, with its last content.
pub(crate) struct HostFile<T> {
    path: &'static str,
    /// Bytes that are read of it.
    limit: usize,
    parse: fn(&[u8]) -> T,
    /// Logs the faults of a new content.
    report: fn(&str, &T),
    last: Mutex<Last<T>>,
}

struct Last<T> {
    read: LastRead,
    /// `None` before the first read, and while it counts as empty.
    content: Option<Arc<T>>,
    state: FileState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FileState {
    /// It does not exist, or was not read yet.
    Missing,
    /// It was read whole.
    Read,
    /// It was read up to the limit.
    Cut,
    /// Another file has its name, which Landlock refuses, or its mode does.
    Denied,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// Other users may change it, so it counts as empty.
    Refused(String),
}

impl<T: Default + PartialEq> HostFile<T> {
    const fn new(
        path: &'static str,
        limit: usize,
        parse: fn(&[u8]) -> T,
        report: fn(&str, &T),
    ) -> Self {
        Self {
            path,
            limit,
            parse,
            report,
            last: Mutex::new(Last {
                read: LastRead::none(),
                content: None,
                state: FileState::Missing,
            }),
        }
    }

    /// Its content, read again if it has changed or could not be read; empty when it does not
    /// exist or other users may change it.
    pub(crate) fn read(&self) -> Arc<T> {
        self.check(Check::Quick)
    }

    /// As [`HostFile::read`], for checks that come with the clock.
    pub(crate) fn poll(&self) -> Arc<T> {
        let check = match self.last().state {
            FileState::Denied => Check::NewVersion,
            _ => Check::Thorough,
        };
        self.check(check)
    }

    /// The reason that its content is not in force, although it exists.
    pub(crate) fn problem(&self) -> Option<String> {
        match &self.last().state {
            FileState::Refused(refusal) => Some(format!("is refused: {refusal}")),
            FileState::Unreadable(error) => Some(format!("cannot be read: {error}")),
            FileState::Denied => Some("was replaced or cannot be read".to_owned()),
            FileState::Missing | FileState::Read | FileState::Cut => None,
        }
    }

    /// Its problem now, with the remedy.
    pub(crate) fn sentence(&self) -> Option<String> {
        let last = self.last();
        self.describe(&last.state, last.content.is_some())
    }

    fn describe(&self, state: &FileState, has_content: bool) -> Option<String> {
        let path = self.path;
        let in_force = if has_content {
            "its previous content stays in force"
        } else {
            "it counts as empty"
        };
        Some(match state {
            FileState::Cut => format!(
                "{path} has more than {} bytes, and the rest is left out: shorten it",
                self.limit
            ),
            FileState::Denied => format!(
                "{path} was replaced or cannot be read, {in_force}: write it in place, with mode \
                 0644, or restart the daemon"
            ),
            FileState::Unreadable(error) => format!("cannot read {path}, {in_force}: {error}"),
            FileState::Refused(refusal) => {
                format!("{path} is refused and counts as empty: {refusal}")
            }
            FileState::Missing | FileState::Read => return None,
        })
    }

    fn check(&self, check: Check) -> Arc<T> {
        let mut last = self.last();
        let read = last.read.read_again(Path::new(self.path), check, |path| {
            pulse_trust::read_lines(path, Demand::Unwritable, self.limit)
        });
        if let Some(read) = read {
            self.update(&mut last, read);
        }
        last.content.clone().unwrap_or_default()
    }

    fn update(&self, last: &mut Last<T>, read: Result<Lines, Refused>) {
        let state = match read {
            Ok(lines) => {
                let content = (self.parse)(&lines.text);
                // Whether it has changed, the metadata do not always tell: while the clock is
                // behind the file's times, each check reads it.
                if last.content.as_deref() != Some(&content) {
                    (self.report)(self.path, &content);
                    last.content = Some(Arc::new(content));
                }
                if lines.are_all {
                    FileState::Read
                } else {
                    FileState::Cut
                }
            }
            Err(Refused::Io(error)) => match error.kind() {
                io::ErrorKind::NotFound => {
                    last.content = None;
                    FileState::Missing
                }
                io::ErrorKind::PermissionDenied => FileState::Denied,
                _ => {
                    let remedy = remedy::of_shared(Path::new(self.path), FileKind::File, &error);
                    FileState::Unreadable(format!("{error}: {remedy}"))
                }
            },
            Err(Refused::Untrusted(untrusted)) => {
                last.content = None;
                FileState::Refused(untrusted.to_string())
            }
        };
        let before = std::mem::replace(&mut last.state, state.clone());
        // Each connection reads it, so only a change of its state is logged.
        if before != state {
            self.log(&before, &state, last.content.is_some());
        }
    }

    fn log(&self, before: &FileState, state: &FileState, has_content: bool) {
        let path = self.path;
        if let Some(sentence) = self.describe(state, has_content) {
            match state {
                FileState::Refused(_) => tracing::error!("{sentence}"),
                _ => tracing::warn!("{sentence}"),
            }
            return;
        }
        match (before, state) {
            (_, FileState::Missing) => {
                tracing::warn!("{path} does not exist any more and counts as empty");
            }
            (
                FileState::Denied | FileState::Unreadable(_) | FileState::Refused(_),
                FileState::Read,
            ) => tracing::info!("{path} can be read again"),
            _ => {}
        }
    }

    fn last(&self) -> MutexGuard<'_, Last<T>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads each file, whether it has changed or not: at the start, while the daemon may still read
/// all, so that there is a content to keep; and when an operator reloads.
pub(crate) fn read_all() {
    HOSTS.check(Check::Always);
    SUBUID.check(Check::Always);
    SUBGID.check(Check::Always);
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn file() -> HostFile<Vec<u8>> {
        HostFile::new("/none", 8, <[u8]>::to_vec, |_, _| ())
    }

    impl HostFile<Vec<u8>> {
        /// The content and state after this outcome of a read.
        fn after(&self, read: Result<&[u8], ErrorKind>) -> (Vec<u8>, FileState) {
            let mut last = self.last();
            let read = read.map(|text| Lines {
                text: text.to_vec(),
                are_all: true,
            });
            self.update(&mut last, read.map_err(|kind| Refused::Io(kind.into())));
            let content = last.content.as_deref().cloned().unwrap_or_default();
            (content, last.state.clone())
        }
    }

    /// Otherwise permitted containers would be denied after a reload.
    #[test]
    fn exhaustion_keeps_the_content() {
        let file = file();
        file.after(Ok(b"a"));
        for errno in [nix::errno::Errno::EMFILE, nix::errno::Errno::ENFILE] {
            file.update(&mut file.last(), Err(Refused::Io(errno.into())));
            assert_eq!(file.last().content.as_deref(), Some(&b"a".to_vec()));
        }
    }

    #[test]
    fn errors_keep_the_content() {
        let file = file();
        assert_eq!(file.after(Ok(b"a")), (b"a".to_vec(), FileState::Read));
        for kind in [
            ErrorKind::PermissionDenied,
            ErrorKind::Other,
            ErrorKind::InvalidInput,
            ErrorKind::OutOfMemory,
        ] {
            let (content, state) = file.after(Err(kind));
            assert_eq!(content, b"a", "{kind:?}");
            assert_ne!(state, FileState::Read, "{kind:?}");
            assert!(file.problem().is_some(), "{kind:?}");
            let sentence = file.sentence().unwrap();
            for part in ["/none", "its previous content stays in force: "] {
                assert!(sentence.contains(part), "{kind:?}: {sentence}");
            }
        }
        let missing = (Vec::new(), FileState::Missing);
        assert_eq!(file.after(Err(ErrorKind::NotFound)), missing);
        assert_eq!((file.problem(), file.sentence()), (None, None));
        assert_eq!(file.after(Err(ErrorKind::PermissionDenied)).0, b"");
        assert_eq!(file.after(Ok(b"b")), (b"b".to_vec(), FileState::Read));
    }

    #[test]
    fn promised_size_is_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("hosts");
        // As large as `/etc/hosts` may be, the last line at its end.
        let name = "\n192.0.2.1 pve1\n";
        let text = "#".repeat(hosts::MAX_BYTES - name.len()) + name;
        fs::write(&path, text).unwrap();
        let file = HostFile::new(
            Box::leak(path.to_str().unwrap().into()),
            HOSTS.limit,
            HOSTS.parse,
            HOSTS.report,
        );
        let pve1 = crate::testing::name("pve1");
        assert_eq!(file.read().lookup(&pve1).len(), 1);
        assert_eq!(file.last().state, FileState::Read);
    }

    #[test]
    fn same_content_is_reported_once() {
        static REPORTS: AtomicUsize = AtomicUsize::new(0);
        let file = HostFile::new("/none", 8, <[u8]>::to_vec, |_, _| {
            REPORTS.fetch_add(1, Ordering::Relaxed);
        });
        for (text, reports) in [(b"a", 1), (b"a", 1), (b"b", 2), (b"a", 3)] {
            file.after(Ok(text));
            assert_eq!(REPORTS.load(Ordering::Relaxed), reports);
        }
    }

    #[test]
    fn cut_file_is_a_problem() {
        let file = file();
        let cut = Lines {
            text: b"a".to_vec(),
            are_all: false,
        };
        file.update(&mut file.last(), Ok(cut));
        let sentence = file.sentence().unwrap();
        assert!(
            sentence.contains("/none has more than 8 bytes"),
            "{sentence}"
        );
        file.after(Ok(b"a"));
        assert_eq!(file.sentence(), None);
    }

    #[test]
    fn one_bad_byte_costs_one_line() {
        let text = b"caf\xe9:100000:65536\nroot:165536:65536\n";
        let ranges = (SUBUID.parse)(text);
        assert_eq!(ranges.as_slice().len(), 1);
        assert_eq!(ranges.left_out().map(|left_out| left_out.first), Some(1));
    }

    #[test]
    fn untrusted_file_counts_as_empty() {
        use pulse_core::trust::{FileKind, Owners, PathEntry};
        let file = file();
        file.after(Ok(b"a"));
        let open = PathEntry {
            path: "/none".into(),
            uid: 0,
            mode: 0o666,
            kind: FileKind::File,
        };
        let judged = Owners::root_and([]).judge(&[open], FileKind::File, Demand::Unwritable);
        let refused = Refused::Untrusted(judged.unwrap_err());
        file.update(&mut file.last(), Err(refused));
        assert_eq!(file.last().content, None);
        assert!(file.problem().unwrap().contains("chmod"));
        assert_eq!(file.after(Ok(b"b")).0, b"b");
        assert_eq!(file.problem(), None);
    }
}
