//! The daemon's `known_hosts`: read again when it has changed on disk, so that
//! an operator who pins a host key need not restart anything.

use pulse_core::known_hosts::{KnownHosts, MAX_BYTES, Problem};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A `known_hosts` file and what it last said.
pub struct KnownHostsFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stamp: Option<Stamp>,
    known: Arc<KnownHosts>,
}

/// What tells one version of the file from another.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl KnownHostsFile {
    /// The file at this path, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::default(),
        }
    }

    /// What the file says now. When it cannot be read, nothing is pinned and so
    /// nothing is trusted.
    #[must_use]
    pub fn current(&self) -> Arc<KnownHosts> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = std::fs::metadata(&self.path).ok().map(|m| Stamp::of(&m));
        if stamp.is_none() || stamp != state.stamp {
            state.known = Arc::new(self.load());
            state.stamp = stamp;
        }
        Arc::clone(&state.known)
    }

    fn load(&self) -> KnownHosts {
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot read known_hosts: no node is trusted");
                return KnownHosts::default();
            }
        };
        let (known, problems) = KnownHosts::parse(&text);
        self.report(&problems);
        tracing::info!(path = %self.path.display(), keys = known.len(), "read known_hosts");
        known
    }

    /// A revocation that could not be read is an alarm, and never left out.
    fn report(&self, problems: &[Problem]) {
        let path = self.path.display();
        let (lost, bad): (Vec<_>, Vec<_>) = problems.iter().partition(|p| p.revocation);
        for problem in lost {
            tracing::error!(%path, "known_hosts: a revocation cannot be read: {problem}");
        }
        for problem in bad.iter().take(MAX_REPORTED) {
            tracing::warn!(%path, "known_hosts: {problem}");
        }
        if let Some(more @ 1..) = bad.len().checked_sub(MAX_REPORTED) {
            tracing::warn!(%path, more, "known_hosts: further lines cannot be read");
        }
    }
}

/// Bad lines that are reported one by one.
const MAX_REPORTED: usize = 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // One byte more than is taken: the parser says what it does with a file that is too long.
    pulse_files::read_beginning(path, MAX_BYTES + 1)
}
