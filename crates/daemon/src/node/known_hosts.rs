//! The daemon's `known_hosts`, read again when it changes, so that pinning or revoking a host
//! key needs no restart.
//!
//! Changes are found with stat(2), since the filter allows no inotify(7). That costs a few
//! microseconds each time, whatever the number of nodes.

use pulse_core::nodes::known_hosts::pins::{FileState, Pins, PinsChange, WatchedPins};
use pulse_core::nodes::known_hosts::{BadLine, KnownHosts, MAX_BYTES};
use pulse_core::trust::{Demand, PathEntry};
use pulse_trust::Refused;
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// A `known_hosts` file with the pins that it last had.
pub(crate) struct KnownHostsFile {
    path: PathBuf,
    state: Mutex<State>,
    pins: watch::Sender<Pins>,
}

#[derive(Default)]
struct State {
    version: Option<Result<Version, ErrorKind>>,
    /// SHA-256 of the text that the pins come from; `None` when the file was not usable.
    digest: Option<[u8; 32]>,
    watched: WatchedPins,
}

/// The identity of a version of the file: its metadata, and those of the
/// directories and links on its path, since their owners decide whether it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    steps: Vec<PathEntry>,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds. `changed` cannot be set back (utimensat(2)).
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Two changes within one tick of the file system's clock have the same time. A tick is 10 ms
/// at most in Linux's own file systems; network file systems may be coarser.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

impl Version {
    fn at(path: &std::path::Path) -> io::Result<Self> {
        // Follows links: the file's own metadata counts, and `steps` has those of the links.
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

    /// True if a later change is certain to give another version.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        u64::try_from(self.changed.0).unwrap_or(0) + SETTLED_AFTER.as_secs() < now
    }
}

/// The reason to check the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// A connection is to be opened; there may be thousands at once.
    Connection,
    /// The supervisor's tick.
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

    /// Receives the pins whenever they change.
    #[must_use]
    pub(crate) fn subscribe(&self) -> watch::Receiver<Pins> {
        self.pins.subscribe()
    }

    /// The pins for a new connection: those of the file as it is now, none if it does not
    /// exist.
    ///
    /// # Errors
    /// The reason that the file cannot be used, although it exists.
    pub(crate) fn current(&self) -> Result<Arc<KnownHosts>, Arc<str>> {
        self.refresh(Occasion::Connection).for_new
    }

    /// Reads the file again if it has changed.
    pub(crate) fn check(&self) {
        self.refresh(Occasion::Tick);
    }

    fn refresh(&self, occasion: Occasion) -> Pins {
        let mut state = self.state();
        let version = Version::at(&self.path).map_err(|error| error.kind());
        let is_same = state.version.as_ref() == Some(&version);
        // Only on a tick: otherwise each connection would read a file that was just edited.
        let may_hide_a_change = match &version {
            Ok(version) => occasion == Occasion::Tick && !version.is_settled(),
            // The time for which it is absent counts, and an error may be transient.
            Err(_) => true,
        };
        if !is_same || may_hide_a_change {
            state.version = Some(version);
            self.load(&mut state);
        }
        state.watched.pins().clone()
    }

    fn load(&self, state: &mut State) {
        let path = self.path.display();
        let found = match pulse_trust::read(&self.path, Demand::Unwritable, MAX_BYTES) {
            Ok(text) => {
                // Touched but not changed: nothing to log, and no connection to judge again.
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
        let Some(change) = state.watched.update(found, Instant::now()) else {
            return;
        };
        let pins = state.watched.pins();
        match (change, &pins.for_new) {
            (PinsChange::Read, _) => {
                tracing::info!("read known_hosts {path}: {} keys", pins.for_open.len());
            }
            (PinsChange::Missing, _) => {
                tracing::warn!("{path} does not exist: no host key is pinned");
            }
            (PinsChange::Gone, _) => {
                tracing::warn!("{path} still does not exist: connections to nodes are closed");
            }
            (PinsChange::Unusable, Err(reason)) => tracing::error!(
                "cannot use known_hosts: no connection to a node is opened, open ones are judged by its previous content: {reason}"
            ),
            (PinsChange::Unusable, Ok(_)) => {}
        }
        self.pins.send_replace(pins.clone());
    }

    /// Logs bad lines. A revocation that cannot be read is an error and never left out.
    fn report(&self, problems: &[BadLine]) {
        let path = self.path.display();
        let (lost, bad): (Vec<_>, Vec<_>) = problems.iter().partition(|p| p.revocation);
        for problem in lost {
            tracing::error!("{path}: cannot read a revocation: {problem}");
        }
        for problem in bad.iter().take(MAX_REPORTED) {
            tracing::warn!("{path}: {problem}");
        }
        if let Some(more @ 1..) = bad.len().checked_sub(MAX_REPORTED) {
            tracing::warn!("{path}: {more} further lines cannot be read");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bad lines that are logged one by one.
const MAX_REPORTED: usize = 20;
