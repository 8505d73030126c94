//! The daemon's `known_hosts`: read again when it has changed on disk, so that an operator
//! who pins or revokes a host key need not restart anything.
//!
//! Whether it has changed is told by stat(2): the filter of system calls has no inotify,
//! and needs none. One look costs a few microseconds, whatever the number of nodes.

use pulse_core::known_hosts::pins::{FileState, Pins, PinsChange, WatchedPins};
use pulse_core::known_hosts::{BadLine, KnownHosts, MAX_BYTES};
use pulse_core::trust::{Demand, PathEntry};
use pulse_trust::Refused;
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// A `known_hosts` file and what it last said.
pub(crate) struct KnownHostsFile {
    path: PathBuf,
    state: Mutex<State>,
    pins: watch::Sender<Pins>,
}

#[derive(Default)]
struct State {
    look: Option<Result<Look, ErrorKind>>,
    /// Of the text that the pins are from; `None` when the file could not be used.
    digest: Option<[u8; 32]>,
    watched: WatchedPins,
}

/// What tells one version of the file from another: itself and, because who may change
/// them decides whether it counts, what its path leads through.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    steps: Vec<PathEntry>,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds. The second one cannot be set back (utimensat(2)).
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Two changes within the clock that a file system keeps may look alike. Ten milliseconds
/// is the coarsest that Linux has; of file systems over a network nobody knows.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

impl Look {
    fn at(path: &std::path::Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self {
            steps: pulse_trust::steps(path)?,
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Whether a change after this look cannot look the same.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let settled = u64::try_from(self.changed.0).unwrap_or(0) + SETTLED_AFTER.as_secs();
        settled < now
    }
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// A connection is to be opened: thousands may be.
    Connection,
    /// Some time has passed.
    Tick,
}

impl KnownHostsFile {
    /// The file at this path, which need not exist yet.
    #[must_use]
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::default(),
            pins: watch::Sender::new(WatchedPins::default().pins().clone()),
        }
    }

    /// Tells when other pins are in force.
    #[must_use]
    pub(crate) fn subscribe(&self) -> watch::Receiver<Pins> {
        self.pins.subscribe()
    }

    /// The pins for a new connection: what the file says now, and nothing when there is
    /// none.
    ///
    /// # Errors
    /// Why it cannot be used, although it is there.
    pub(crate) fn current(&self) -> Result<Arc<KnownHosts>, Arc<str>> {
        self.refresh(Occasion::Connection).for_new
    }

    /// Looks whether the file has changed.
    pub(crate) fn look(&self) {
        self.refresh(Occasion::Tick);
    }

    fn refresh(&self, occasion: Occasion) -> Pins {
        let mut state = self.state();
        let look = Look::at(&self.path).map_err(|error| error.kind());
        let is_same = state.look.as_ref() == Some(&look);
        let may_hide_a_change = match &look {
            Ok(look) => occasion == Occasion::Tick && !look.is_settled(),
            // Time passes while it is away, and an error may be gone.
            Err(_) => true,
        };
        if !is_same || may_hide_a_change {
            state.look = Some(look);
            self.load(&mut state);
        }
        state.watched.pins().clone()
    }

    fn load(&self, state: &mut State) {
        let path = self.path.display();
        let found = match pulse_trust::read(&self.path, Demand::Unwritable, MAX_BYTES) {
            Ok(text) => {
                let digest = Some(Sha256::digest(&text).into());
                if state.digest == digest {
                    return;
                }
                match KnownHosts::parse(&text) {
                    Ok((known, bad)) => {
                        self.report(&bad);
                        state.digest = digest;
                        FileState::Read(known)
                    }
                    Err(error) => FileState::Unusable(format!("{path}: {error}")),
                }
            }
            Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => FileState::Missing,
            Err(Refused::Io(error)) => FileState::Unusable(format!("{path}: {error}")),
            Err(Refused::Untrusted(untrusted)) => FileState::Unusable(untrusted.to_string()),
        };
        if !matches!(found, FileState::Read(_)) {
            state.digest = None;
        }
        if let Some(change) = state.watched.update(found, Instant::now()) {
            self.tell(change, state.watched.pins());
            self.pins.send_replace(state.watched.pins().clone());
        }
    }

    fn tell(&self, change: PinsChange, pins: &Pins) {
        let path = self.path.display();
        match (change, &pins.for_new) {
            (PinsChange::Read, _) => {
                tracing::info!(%path, keys = pins.for_open.len(), "read known_hosts");
            }
            (PinsChange::Missing, _) => {
                tracing::warn!("{path} is not there: no host key is pinned");
            }
            (PinsChange::Gone, _) => {
                tracing::warn!("{path} stays away: connections to nodes are closed");
            }
            (PinsChange::Unusable, Err(reason)) => tracing::error!(
                "known_hosts cannot be used: no connection to a node is opened, open ones are judged by what it said before: {reason}"
            ),
            (PinsChange::Unusable, Ok(_)) => {}
        }
    }

    /// A revocation that could not be read is an alarm, and never left out.
    fn report(&self, bad: &[BadLine]) {
        let path = self.path.display();
        let (lost, bad): (Vec<_>, Vec<_>) = bad.iter().partition(|line| line.revocation);
        for line in lost {
            tracing::error!(%path, "known_hosts: a revocation cannot be read: {line}");
        }
        for line in bad.iter().take(MAX_REPORTED) {
            tracing::warn!(%path, "known_hosts: {line}");
        }
        if let Some(more @ 1..) = bad.len().checked_sub(MAX_REPORTED) {
            tracing::warn!(%path, more, "known_hosts: further lines cannot be read");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bad lines that are reported one by one.
const MAX_REPORTED: usize = 20;
