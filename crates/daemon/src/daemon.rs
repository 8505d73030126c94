//! What the daemon's tasks share. Each part has one owner and its own lock, held
//! for a decision and never across an await.

use crate::host_file::{HostFile, SUBGID, SUBUID};
use crate::ledger::Ledger;
use crate::metrics::{self, Metrics};
use crate::node::{Access, Nodes};
use crate::readings::{ReadingSettings, Readings};
use crate::recorder::Recorder;
use pulse_core::config::Config;
use pulse_core::gate::{Gate, GateCaps};
use pulse_core::limiter::{Limiter, Refusal};
use pulse_core::peer::{AccessPolicy, Peer, PeerId};
use pulse_core::rpc::RpcError;
use pulse_core::subid::SubordinateRanges;
use pulse_core::summary::{Account, Occurrence, Tally};
use pulse_forward::Forwarder;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

/// Connections in all, of callers that may ask.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
/// Connections of callers that are being turned away.
const MAX_TURNED_AWAY: GateCaps = GateCaps {
    per_key: 64,
    total: 512,
};

/// The daemon's shared state.
pub struct Daemon {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where decisions are put on record.
    pub recorder: Arc<dyn Recorder>,
    /// Brings records elsewhere, where that is wanted.
    pub forwarder: Option<Arc<Forwarder>>,
    /// Readings under way.
    pub readings: Arc<Readings>,
    /// Our public key, as one line.
    pub public_key: String,
    access: Arc<Access>,
    snapshot: RwLock<Arc<Snapshot>>,
    limiter: Mutex<Limiter>,
    gate: Mutex<Gate<PeerId>>,
    door: Mutex<Gate<PeerId>>,
    ledger: Ledger,
}

/// What it works with that has a thread of its own.
pub struct Parts {
    /// Where decisions are put on record.
    pub recorder: Arc<dyn Recorder>,
    /// Brings records elsewhere, where that is wanted.
    pub forwarder: Option<Arc<Forwarder>>,
}

/// What a reload swaps whole.
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// Who may do what.
    pub policy: AccessPolicy,
}

impl Daemon {
    /// Puts the parts together.
    #[must_use]
    pub fn new(config: Config, access: Access, public_key: String, parts: Parts) -> Self {
        let Parts {
            recorder,
            forwarder,
        } = parts;
        let metrics = Arc::new(Metrics::new(&recorder, forwarder.as_ref()));
        let access = Arc::new(access);
        let nodes = Nodes::of(&config, &access, &Nodes::default());
        let settings = reading_settings(&config, nodes);
        Self {
            readings: Arc::new(Readings::new(settings, config.caps, Arc::clone(&metrics))),
            metrics,
            ledger: Ledger::new(Arc::clone(&recorder)),
            recorder,
            forwarder,
            public_key,
            access,
            limiter: Mutex::new(Limiter::new(config.limits)),
            gate: Mutex::new(Gate::new(gate_caps(&config))),
            door: Mutex::new(Gate::new(MAX_TURNED_AWAY)),
            snapshot: RwLock::new(Arc::new(Snapshot {
                policy: policy(&config),
                config,
            })),
        }
    }

    /// Takes a new configuration, but for the keys that need a restart: of these it returns the
    /// changed ones. Until then no part of the daemon can see their new values. What is being
    /// done goes on under the old configuration.
    pub fn reload(&self, config: Config) -> Vec<String> {
        let (config, kept) = self.config().reloaded(config);
        let nodes = Nodes::of(&config, &self.access, &self.readings.settings().nodes);
        self.readings
            .set(reading_settings(&config, nodes), config.caps);
        self.limiter().set_limits(config.limits);
        self.gate().set_caps(gate_caps(&config));
        let snapshot = Arc::new(Snapshot {
            policy: policy(&config),
            config,
        });
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = snapshot;
        kept
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> impl std::ops::Deref<Target = Config> + use<> {
        ConfigOf(self.snapshot())
    }

    /// The limiter.
    pub fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections of callers that may ask.
    pub fn gate(&self) -> MutexGuard<'_, Gate<PeerId>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections of callers that are being turned away.
    pub fn door(&self) -> MutexGuard<'_, Gate<PeerId>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refusal by the limiter and puts it on record; gives the error for
    /// the caller.
    pub fn limited(&self, peer: &Peer, refusal: Refusal) -> RpcError {
        self.metrics.refused(refusal.as_str(), &peer.id);
        self.note(Occurrence::Limited(refusal), peer);
        RpcError::RateLimited
    }

    /// Puts a caller that may not ask anything on record; gives the error for it.
    pub fn unauthorised(&self, peer: &Peer) -> RpcError {
        self.note(Occurrence::Unauthorized, peer);
        RpcError::Unauthorized
    }

    /// Puts on record what callers could bring about without end: not each time, but so
    /// that each is counted.
    pub(crate) fn note(&self, occurrence: Occurrence, peer: &Peer) {
        let account = if peer.capabilities.is_empty() {
            Account::Strangers
        } else {
            Account::Own
        };
        self.note_all(Tally::one(occurrence, peer), account);
    }

    /// Looks whether `known_hosts` has changed; connections whose host key it accepts no
    /// longer are closed then.
    pub fn look_at_pins(&self) {
        self.access.known_hosts.look();
    }

    /// As [`Daemon::note`], several at once.
    pub(crate) fn note_all(&self, tally: Tally, account: Account) {
        self.ledger.note(tally, account);
    }

    /// Puts on record what was left out and not yet accounted for. Nothing is noted
    /// afterwards.
    pub(crate) fn finish(&self) {
        self.ledger.finish();
    }

    /// Forgets callers that have nothing left to remember, and puts the sums on record
    /// whose time has come.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.ledger.catch_up(now);
        let mut limiter = self.limiter();
        limiter.sweep(now);
        self.metrics
            .active_peers
            .set(metrics::gauge(limiter.active_peers()));
    }
}

struct ConfigOf(Arc<Snapshot>);

impl std::ops::Deref for ConfigOf {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0.config
    }
}

fn reading_settings(config: &Config, nodes: Nodes) -> ReadingSettings {
    ReadingSettings {
        nodes,
        cache_ttl: config.cache_ttl,
        deadline: config.timeouts.request,
    }
}

/// A caller may have a connection for each request that it may have waiting.
fn gate_caps(config: &Config) -> GateCaps {
    let per_key = config.caps.waiting_per_peer.min(MAX_CONNECTIONS / 2);
    GateCaps {
        per_key,
        total: MAX_CONNECTIONS,
    }
}

fn policy(config: &Config) -> AccessPolicy {
    let access = config.access.clone();
    AccessPolicy {
        uids: access.uids,
        gids: access.gids,
        allow_idmapped_root: access.allow_idmapped_root,
        idmap_users: access.idmap_users,
        subuid: subordinate(&SUBUID),
        subgid: subordinate(&SUBGID),
    }
}

/// A file that is missing has no ranges.
fn subordinate(file: &HostFile) -> SubordinateRanges {
    SubordinateRanges::parse(String::from_utf8(file.read()).unwrap_or_default())
}
