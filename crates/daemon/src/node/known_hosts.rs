//! The daemon's `known_hosts`, read again when it changes, so that pinning or revoking a host
//! key needs no restart.
//!
//! A check costs a few microseconds, whatever the number of nodes. A file that cannot be read is
//! read again by each check, and meanwhile admits no new connection: it may have a revocation.

use crate::startup::remedy;
use pulse_core::nodes::known_hosts::pins::{FileState, Pins, PinsChange, WatchedPins};
use pulse_core::nodes::known_hosts::{BadLine, KnownHosts, MAX_BYTES, has_byte_order_mark};
use pulse_core::trust::{Demand, FileKind};
use pulse_trust::{Check, LastRead, Refused};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// A `known_hosts` file with the pins that it last had.
pub(crate) struct KnownHostsFile {
    path: PathBuf,
    state: Mutex<State>,
    pins: watch::Sender<Pins>,
}

#[derive(Default)]
struct State {
    last: LastRead,
    /// SHA-256 of the text that the pins come from; `None` when the file was not usable.
    digest: Option<[u8; 32]>,
    /// True if there was no file at the last check.
    is_missing: bool,
    watched: WatchedPins,
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
        self.refresh(Check::Quick).for_new
    }

    /// The reason that no host key can be checked, with its remedy.
    pub(crate) fn problem(&self) -> Option<String> {
        let state = self.state();
        let path = self.path.display();
        match &state.watched.pins().for_new {
            Err(reason) => Some(format!(
                "known_hosts cannot be used, no node can be connected to: {reason}"
            )),
            Ok(_) if state.is_missing => Some(format!(
                "{path} does not exist, so no host key is pinned: add those of the nodes, as \
                 docs/nodes.md says"
            )),
            Ok(_) => None,
        }
    }

    /// Reads the file again if it has changed or could not be read.
    pub(crate) fn check(&self, check: Check) {
        self.refresh(check);
    }

    fn refresh(&self, check: Check) -> Pins {
        let mut state = self.state();
        let read = state.last.read_again(&self.path, check, |path| {
            pulse_trust::read(path, Demand::Unwritable, MAX_BYTES)
        });
        if let Some(read) = read {
            self.load(&mut state, read);
        }
        state.watched.pins().clone()
    }

    fn load(&self, state: &mut State, read: Result<Vec<u8>, Refused>) {
        let path = self.path.display();
        let found = match read {
            Ok(text) => {
                // Touched but not changed: nothing to log, and no connection to judge again.
                let digest = Some(Sha256::digest(&text).into());
                if state.digest == digest {
                    return;
                }
                match KnownHosts::parse(&text) {
                    Ok((known, bad)) => {
                        if has_byte_order_mark(&text) {
                            tracing::warn!(
                                "{path} begins with a byte-order mark, because of which ssh(1) ignores its first line: save it as UTF-8 without one"
                            );
                        }
                        self.report(&bad);
                        state.digest = digest;
                        FileState::Read(known)
                    }
                    Err(error) => FileState::Unusable(format!("{path}: {error}")),
                }
            }
            Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => FileState::Missing,
            Err(Refused::Io(error)) => {
                let remedy = remedy::of_shared(&self.path, FileKind::File, &error);
                FileState::Unusable(format!("{path}: {error}: {remedy}"))
            }
            Err(Refused::Untrusted(untrusted)) => FileState::Unusable(untrusted.to_string()),
        };
        if !matches!(found, FileState::Read(_)) {
            state.digest = None;
        }
        state.is_missing = matches!(found, FileState::Missing);
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
