//! The state that the daemon's tasks share. Each part has a lock of its own, which is held for
//! one decision and never across an await.

use crate::node::host_file::{self, HOSTS, SUBGID, SUBUID};
use crate::node::{NodeStarter, Nodes};
use crate::observe::files::{FileProblem, WatchedFile};
use crate::observe::ledger::Ledger;
use crate::observe::metrics::{self, Metrics};
use crate::observe::recorder::Recorder;
use crate::readings::{ReadingSettings, Readings};
use crate::serve::ConfinementHealth;
use pulse_core::callers::connection_limits::{ConnectionCaps, ConnectionLimits};
use pulse_core::callers::limiter::{Limiter, Refused};
use pulse_core::callers::peer::{AccessPolicy, Peer};
use pulse_core::callers::subid::SubordinateRanges;
use pulse_core::config::Config;
use pulse_core::descriptors::{CallerDescriptors, DescriptorDemand};
use pulse_core::event::Access;
use pulse_core::metrics::scrapers::MAX_SCRAPERS;
use pulse_core::rpc::{RpcError, ServiceRefusal};
use pulse_core::summary::{Account, Tally};
use pulse_forward::Forwarder;
use pulse_trust::Check;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

/// Open connections of one rejected caller.
const REJECTIONS_PER_PEER: usize = 64;

/// The daemon's shared state.
pub(crate) struct Daemon {
    pub metrics: Arc<Metrics>,
    pub recorder: Arc<dyn Recorder>,
    /// Sends the records to collectors, where any are configured.
    pub forwarder: Option<Arc<Forwarder>>,
    pub readings: Arc<Readings>,
    node_starter: Box<dyn NodeStarter>,
    snapshot: RwLock<Arc<Snapshot>>,
    limiter: Mutex<Limiter>,
    connections: Mutex<ConnectionLimits>,
    rejections: Mutex<ConnectionLimits>,
    ledger: Ledger,
    confinement: OnceLock<ConfinementHealth>,
    /// What is wrong with the files of the sockets, as of the last check.
    socket_problems: Mutex<Vec<FileProblem>>,
    /// The reason that the configuration in force is not that of the file.
    config_problem: Mutex<Option<String>>,
    /// The limit of open files.
    max_files: u64,
}

/// Parts with threads of their own.
pub(crate) struct Parts {
    pub recorder: Arc<dyn Recorder>,
    /// Sends the records to collectors, where any are configured.
    pub forwarder: Option<Arc<Forwarder>>,
    /// The limit of open files.
    pub max_files: u64,
}

/// The configuration and the rights that follow from it, which a reload replaces whole.
pub(crate) struct Snapshot {
    pub config: Config,
    /// The rights of callers.
    pub policy: AccessPolicy,
}

impl Daemon {
    pub(crate) fn new(config: Config, node_starter: Box<dyn NodeStarter>, parts: Parts) -> Self {
        let Parts {
            recorder,
            forwarder,
            max_files,
        } = parts;
        let callers = demand(&config).callers(max_files);
        let metrics = Arc::new(Metrics::new(&recorder, forwarder.as_ref()));
        let settings = reading_settings(
            &config,
            Nodes::of(&config, &HOSTS.read(), &*node_starter, &Nodes::default()),
        );
        Self {
            readings: Arc::new(Readings::new(
                settings,
                config.caps,
                Arc::clone(&metrics),
                Arc::clone(&recorder),
            )),
            metrics,
            ledger: Ledger::new(Arc::clone(&recorder)),
            confinement: OnceLock::new(),
            socket_problems: Mutex::default(),
            config_problem: Mutex::default(),
            recorder,
            forwarder,
            node_starter,
            limiter: Mutex::new(Limiter::new(config.limits)),
            connections: Mutex::new(ConnectionLimits::new(connection_caps(&config, callers))),
            rejections: Mutex::new(ConnectionLimits::new(rejection_caps(callers))),
            max_files,
            snapshot: RwLock::new(Arc::new(Snapshot {
                policy: policy(&config),
                config,
            })),
        }
    }

    /// Takes a new configuration, except for the keys that need a restart: it returns the
    /// changed ones, whose previous values stay in force everywhere. Work under way goes on
    /// under the previous configuration.
    pub(crate) fn reload(&self, config: Config) -> Vec<String> {
        host_file::read_all();
        self.node_starter.check_files(Check::Always);
        let (config, kept) = self.config().reloaded(config);
        let nodes = Nodes::of(
            &config,
            &HOSTS.read(),
            &*self.node_starter,
            &self.readings.settings().nodes,
        );
        self.readings
            .set(reading_settings(&config, nodes), config.caps);
        self.limiter().set_limits(config.limits);
        let callers = demand(&config).callers(self.max_files);
        self.connections()
            .set_caps(connection_caps(&config, callers));
        self.rejections().set_caps(rejection_caps(callers));
        self.set_snapshot(config);
        kept
    }

    /// The descriptors that callers may take.
    pub(crate) fn caller_descriptors(&self) -> CallerDescriptors {
        demand(&self.config()).callers(self.max_files)
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn config(&self) -> impl std::ops::Deref<Target = Config> + use<> {
        ConfigOf(self.snapshot())
    }

    /// Keeps the extent of the confinement, once its last layer is in force.
    pub(crate) fn set_confinement(&self, confinement: ConfinementHealth) {
        // It changes no more: the process cannot leave a layer.
        let _ = self.confinement.set(confinement);
    }

    pub(crate) fn confinement(&self) -> ConfinementHealth {
        self.confinement.get().cloned().unwrap_or_default()
    }

    /// Keeps what is wrong with the files of the sockets.
    pub(crate) fn set_socket_problems(&self, problems: Vec<FileProblem>) {
        *lock(&self.socket_problems) = problems;
    }

    /// The callers' socket has lost its file, so no caller can connect.
    pub(crate) fn lost_socket(&self) -> Option<String> {
        let problems = lock(&self.socket_problems);
        let mut problems = problems.iter();
        let lost = problems.find(|problem| problem.file == WatchedFile::Socket);
        lost.map(|problem| problem.error.clone())
    }

    /// Keeps the reason that the configuration in force is not that of the file; `None` if it is.
    pub(crate) fn set_config_problem(&self, problem: Option<String>) {
        *lock(&self.config_problem) = problem;
    }

    /// What is wrong with the daemon's files now, as of the last check of each.
    pub(crate) fn file_problems(&self) -> Vec<FileProblem> {
        let mut problems = lock(&self.socket_problems).clone();
        let named = [
            (
                WatchedFile::Configuration,
                lock(&self.config_problem).clone(),
            ),
            (
                WatchedFile::Hosts,
                HOSTS.sentence().filter(|_| needs_hosts(&self.config())),
            ),
            (WatchedFile::Subuid, SUBUID.sentence()),
            (WatchedFile::Subgid, SUBGID.sentence()),
            (WatchedFile::Certificates, self.certificate_problem()),
        ];
        let named = named
            .into_iter()
            .filter_map(|(file, error)| Some(FileProblem::new(file, error?)));
        problems.extend(named);
        // Without nodes there is no host key to pin.
        let has_nodes = !self.readings.settings().nodes.is_empty();
        let of_nodes = self.node_starter.file_problems().into_iter();
        problems.extend(
            of_nodes.filter(|problem| has_nodes || problem.file != WatchedFile::KnownHosts),
        );
        problems
    }

    fn certificate_problem(&self) -> Option<String> {
        let status = self.forwarder.as_ref()?.status();
        let streams = status.streams.iter();
        let mut collectors = streams.flat_map(|stream| &stream.collectors);
        // One directory for all collectors: the first problem is that of all.
        let trouble = collectors
            .find_map(|collector| collector.trouble().filter(|one| one.step == "certificates"))?;
        Some(format!("{}: {}", trouble.error, trouble.remedy))
    }

    pub(crate) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.limiter)
    }

    /// Open connections of callers with a capability.
    pub(crate) fn connections(&self) -> MutexGuard<'_, ConnectionLimits> {
        lock(&self.connections)
    }

    /// Open connections of rejected callers.
    pub(crate) fn rejections(&self) -> MutexGuard<'_, ConnectionLimits> {
        lock(&self.rejections)
    }

    /// Decides with the limiter; a refusal is counted and recorded.
    pub(crate) fn limit(
        &self,
        peer: &Peer,
        decide: impl FnOnce(&mut Limiter, Instant) -> Result<(), Refused>,
    ) -> Result<(), RpcError> {
        // A statement of its own, so that the lock is free again while the record is written.
        let decision = decide(&mut self.limiter(), crate::sys::now());
        decision.map_err(|refused| self.limited(peer, refused))
    }

    /// Counts and records a refusal; gives the error for the caller.
    pub(crate) fn limited(&self, peer: &Peer, refused: Refused) -> RpcError {
        let Refused { limit, retry_in } = refused;
        self.metrics.refused(limit.as_str(), &peer.id);
        self.note(Access::Limited(limit), peer);
        ServiceRefusal::RateLimited { retry_in }.into()
    }

    /// Records a caller without a capability; gives the error for it.
    pub(crate) fn unauthorised(&self, peer: &Peer) -> RpcError {
        self.note(Access::Unauthorized, peer);
        RpcError::Unauthorized
    }

    /// Records a decision about a caller, or counts it for the next record.
    pub(crate) fn note(&self, access: Access, peer: &Peer) {
        // Callers without a capability share one account, so they cannot use up the accounts of
        // the others.
        let account = if peer.capabilities.is_empty() {
            Account::Strangers
        } else {
            Account::Own
        };
        self.note_all(Tally::one(access, peer), account);
    }

    /// The daemon's public SSH key, as a line of `authorized_keys`.
    pub(crate) fn public_key(&self) -> String {
        self.node_starter.public_key()
    }

    /// Reads the files again that have changed since the last check or could not be read.
    /// Connections whose host key is no longer accepted are closed then.
    pub(crate) fn check_files(&self) {
        self.node_starter.check_files(Check::Thorough);
        HOSTS.poll();
        let (subuid, subgid) = (SUBUID.poll(), SUBGID.poll());
        let snapshot = self.snapshot();
        // By their content, which is a few lines: both are the same when nothing has changed.
        if snapshot.policy.subuid != *subuid || snapshot.policy.subgid != *subgid {
            tracing::info!("the ranges of /etc/subuid and /etc/subgid have changed");
            self.set_snapshot(snapshot.config.clone());
        }
    }

    /// Reads the files again on which a node may wait, for a request that finds it waiting.
    pub(crate) fn check_node_files(&self) {
        self.node_starter.check_files(Check::Quick);
    }

    fn set_snapshot(&self, config: Config) {
        let snapshot = Arc::new(Snapshot {
            policy: policy(&config),
            config,
        });
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// As [`Daemon::note`], several at once.
    pub(crate) fn note_all(&self, tally: Tally, account: Account) {
        self.ledger.note(tally, account);
    }

    /// Records the sums that are left, at the end.
    pub(crate) fn finish(&self) {
        self.ledger.finish();
    }

    /// Records the sums that are due, and forgets callers whose buckets are full.
    pub(crate) fn sweep(&self) {
        let now = crate::sys::now();
        self.ledger.catch_up(now);
        let mut limiter = self.limiter();
        limiter.sweep(now);
        self.metrics
            .active_peers
            .set(metrics::gauge(limiter.active_peers()));
    }
}

/// True if a node or a collector has no address but that in `/etc/hosts`.
fn needs_hosts(config: &Config) -> bool {
    let mut collectors = config.forward.collectors.iter();
    config.nodes.values().any(|node| node.address.is_none())
        || collectors.any(|collector| collector.address.is_none())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
fn connection_caps(config: &Config, callers: CallerDescriptors) -> ConnectionCaps {
    ConnectionCaps {
        // Half of all at most, so that one caller cannot take every connection.
        per_peer: config.caps.waiting_per_peer.min(callers.connections / 2),
        total: callers.connections,
    }
}

fn rejection_caps(callers: CallerDescriptors) -> ConnectionCaps {
    ConnectionCaps {
        per_peer: REJECTIONS_PER_PEER.min(callers.rejections / 2),
        total: callers.rejections,
    }
}

/// The descriptors that a configuration needs.
pub(crate) fn demand(config: &Config) -> DescriptorDemand {
    DescriptorDemand {
        nodes: config.nodes.len(),
        collectors: config.forward.collectors.len(),
        scrapers: config.metrics_address.map_or(0, |_| MAX_SCRAPERS),
    }
}

fn policy(config: &Config) -> AccessPolicy {
    let access = config.access.clone();
    AccessPolicy {
        uids: access.uids,
        gids: access.gids,
        container_owners: if access.allow_idmapped_root {
            access.idmap_users
        } else {
            Vec::new()
        },
        subuid: SubordinateRanges::clone(&SUBUID.read()),
        subgid: SubordinateRanges::clone(&SUBGID.read()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_counts_where_a_name_needs_it() {
        for (text, expected) in [
            ("", false),
            ("allowed_nodes = ['192.0.2.1']", false),
            (
                "allowed_nodes = [{name = 'a', address = '192.0.2.1'}]",
                false,
            ),
            (
                "allowed_nodes = [{name = 'a', address = '192.0.2.1'}, 'b']",
                true,
            ),
        ] {
            let config = Config::parse(text).unwrap();
            assert_eq!(needs_hosts(&config), expected, "{text}");
        }
    }
}
