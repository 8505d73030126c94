//! The daemon's metrics: names, help texts and labels.
//!
//! The number of labels is bounded: nodes are those of the configuration, and callers beyond
//! a cap are counted as `other`.

mod labels;

use crate::node::SensorCounts;
use crate::observe::files::{FileProblem, WatchedFile};
use crate::observe::forwarding::ForwardMetrics;
use crate::observe::recorder::{AuditMetrics, Recorder};
use labels::{
    BuildLabel, ExchangeLabels, FileLabel, MethodLabel, NodeLabel, ReasonLabel, RefusalLabels,
    RpcLabels, StateLabels,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use pulse_core::callers::peer::PeerId;
use pulse_core::nodes::clock::NodeClock;
use pulse_core::nodes::name::NodeName;
use pulse_forward::Forwarder;
use pulse_sensors::document::Answering;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds in seconds: an open channel answers in 0.1 ms, a node that hangs takes until
/// its deadline.
const BUCKETS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 15.0,
];

#[derive(Clone, Copy)]
struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// Callers that have a label of their own.
const MAX_PEERS: usize = 64;

/// Every metric of the daemon.
pub(crate) struct Metrics {
    registry: Registry,
    rpc_requests: Family<RpcLabels, Counter>,
    rpc_latency: Family<MethodLabel, Histogram, Latency>,
    ssh_requests: Family<ExchangeLabels, Counter>,
    ssh_latency: Family<NodeLabel, Histogram, Latency>,
    rate_limit_hits: Counter,
    limiter_rejections: Family<RefusalLabels, Counter>,
    limiter_penalties: Family<RefusalLabels, Counter>,
    validation_failures: Family<ReasonLabel, Counter>,
    host_key_changes: Family<NodeLabel, Counter>,
    oversized: Family<NodeLabel, Counter>,
    dropped_values: Family<NodeLabel, Counter>,
    omitted_sensors: Family<NodeLabel, Gauge>,
    sensor_chips: Family<StateLabels, Gauge>,
    forced_command_missing: Family<NodeLabel, Gauge>,
    node_failing: Family<NodeLabel, Gauge>,
    clock_offset: Family<NodeLabel, Gauge>,
    clock_wrong: Family<NodeLabel, Gauge>,
    file_problem: Family<FileLabel, Gauge>,
    peers: Mutex<HashSet<PeerId>>,
    /// Connections over their user's accept budget.
    pub closed_unread: Counter,
    /// Flights that wait for a slot.
    pub queue_depth: Gauge,
    /// Callers the limiter remembers.
    pub active_peers: Gauge,
    /// Exchanges that hold a slot.
    pub inflight: Gauge,
    /// Requests that did not end in time.
    pub read_timeouts: Counter,
    /// Replies that were not taken in time.
    pub write_timeouts: Counter,
}

impl Metrics {
    /// Registers everything, at zero.
    #[must_use]
    pub(crate) fn new(recorder: &Arc<dyn Recorder>, forwarder: Option<&Arc<Forwarder>>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("pulse_proxy"),
            rpc_requests: Family::default(),
            rpc_latency: Family::new_with_constructor(Latency),
            ssh_requests: Family::default(),
            ssh_latency: Family::new_with_constructor(Latency),
            rate_limit_hits: Counter::default(),
            limiter_rejections: Family::default(),
            limiter_penalties: Family::default(),
            validation_failures: Family::default(),
            host_key_changes: Family::default(),
            oversized: Family::default(),
            dropped_values: Family::default(),
            omitted_sensors: Family::default(),
            sensor_chips: Family::default(),
            forced_command_missing: Family::default(),
            node_failing: Family::default(),
            clock_offset: Family::default(),
            clock_wrong: Family::default(),
            file_problem: Family::default(),
            peers: Mutex::default(),
            closed_unread: Counter::default(),
            queue_depth: Gauge::default(),
            active_peers: Gauge::default(),
            inflight: Gauge::default(),
            read_timeouts: Counter::default(),
            write_timeouts: Counter::default(),
        };
        metrics.register_requests();
        metrics.register_nodes();
        metrics.set_file_problems(&[]);
        // Collectors are read at each scrape: the log and the forwarder count by themselves.
        let registry = &mut metrics.registry;
        registry.register_collector(Box::new(AuditMetrics(Arc::clone(recorder))));
        if let Some(forwarder) = forwarder {
            registry.register_collector(Box::new(ForwardMetrics(Arc::clone(forwarder))));
        }
        metrics
    }

    fn register_requests(&mut self) {
        let r = &mut self.registry;
        r.register(
            "rpc_requests",
            "Requests over the socket",
            self.rpc_requests.clone(),
        );
        r.register(
            "rpc_latency_seconds",
            "Time from a parsed request to its outcome",
            self.rpc_latency.clone(),
        );
        r.register(
            "connections_closed_unread",
            "Connections over their user's accept budget, closed without an answer",
            self.closed_unread.clone(),
        );
        r.register(
            "queue_depth",
            "Exchanges that wait for a slot",
            self.queue_depth.clone(),
        );
        r.register(
            "rate_limit_hits",
            "Requests refused by the limiter",
            self.rate_limit_hits.clone(),
        );
        r.register(
            "limiter_rejections",
            "Requests refused by the limiter, by reason and caller",
            self.limiter_rejections.clone(),
        );
        r.register(
            "limiter_penalties",
            "Penalties for malformed or forbidden requests",
            self.limiter_penalties.clone(),
        );
        r.register(
            "limiter_active_peers",
            "Callers the limiter remembers",
            self.active_peers.clone(),
        );
        r.register(
            "global_concurrency_inflight",
            "Exchanges that hold a slot",
            self.inflight.clone(),
        );
        r.register(
            "node_validation_failures",
            "Nodes refused by the validator",
            self.validation_failures.clone(),
        );
        r.register(
            "read_timeouts",
            "Requests that did not end in time",
            self.read_timeouts.clone(),
        );
        r.register(
            "write_timeouts",
            "Replies that were not taken in time",
            self.write_timeouts.clone(),
        );
        // A gauge rather than an info: the older text format has no such type.
        let version = env!("CARGO_PKG_VERSION");
        let build = Family::<BuildLabel, Gauge>::default();
        build.get_or_create(&BuildLabel { version }).set(1);
        r.register("build_info", "The daemon's version", build);
    }

    fn register_nodes(&mut self) {
        let r = &mut self.registry;
        r.register(
            "ssh_requests",
            "Exchanges with nodes",
            self.ssh_requests.clone(),
        );
        r.register(
            "ssh_latency_seconds",
            "Time of an exchange with a node",
            self.ssh_latency.clone(),
        );
        r.register(
            "hostkey_changes",
            "Nodes that showed another host key than the pinned one",
            self.host_key_changes.clone(),
        );
        r.register(
            "ssh_output_oversized",
            "Answers over max_ssh_output_bytes",
            self.oversized.clone(),
        );
        r.register(
            "implausible_values",
            "Values left out of documents because they cannot be true",
            self.dropped_values.clone(),
        );
        r.register(
            "omitted_sensors",
            "Sensors that exceed a limit of documents, in the last successful reading",
            self.omitted_sensors.clone(),
        );
        r.register(
            "sensor_chips",
            "Chips that do not answer at once, in the last successful reading, by state",
            self.sensor_chips.clone(),
        );
        r.register(
            "forced_command_missing",
            "Whether the node runs any command for the daemon's key",
            self.forced_command_missing.clone(),
        );
        r.register(
            "node_failing",
            "Whether the node's last reading failed",
            self.node_failing.clone(),
        );
        r.register(
            "node_clock_offset_seconds",
            "Seconds by which the node's clock is ahead of this host's, in the helper's last reading",
            self.clock_offset.clone(),
        );
        r.register(
            "node_clock_wrong",
            "Whether the clocks of the node and of this host differ by more than a minute",
            self.clock_wrong.clone(),
        );
        r.register(
            "file_problem",
            "Whether a file of the daemon cannot be used now, or is not what is in force",
            self.file_problem.clone(),
        );
    }

    /// Sets the files with a problem; all others have none.
    pub(crate) fn set_file_problems(&self, problems: &[FileProblem]) {
        for file in WatchedFile::ALL {
            let has_problem = problems.iter().any(|problem| problem.file == file);
            self.file_problem
                .get_or_create(&FileLabel {
                    file: file.as_str(),
                })
                .set(i64::from(has_problem));
        }
    }

    /// A request has its outcome.
    pub(crate) fn rpc(&self, method: &'static str, result: &'static str, took: Duration) {
        self.rpc_requests
            .get_or_create(&RpcLabels { method, result })
            .inc();
        self.rpc_latency
            .get_or_create(&MethodLabel { method })
            .observe(took.as_secs_f64());
    }

    /// A caller was turned away before it had asked anything.
    pub(crate) fn turned_away(&self, result: &'static str) {
        self.rpc_requests
            .get_or_create(&RpcLabels {
                method: "none",
                result,
            })
            .inc();
    }

    /// An exchange with a node ended.
    pub(crate) fn exchange(&self, node: &NodeName, result: &'static str, took: Duration) {
        let node = node.to_string();
        self.ssh_latency
            .get_or_create(&NodeLabel { node: node.clone() })
            .observe(took.as_secs_f64());
        self.ssh_requests
            .get_or_create(&ExchangeLabels { node, result })
            .inc();
    }

    /// Values were left out of a node's document.
    pub(crate) fn dropped(&self, node: &NodeName, values: u64) {
        if values > 0 {
            self.dropped_values
                .get_or_create(&label(node))
                .inc_by(values);
        }
    }

    /// A reading had sensors that were omitted or did not answer at once.
    pub(crate) fn sensors(&self, node: &NodeName, counts: SensorCounts) {
        let omitted = i64::try_from(counts.omitted).unwrap_or(i64::MAX);
        self.omitted_sensors
            .get_or_create(&label(node))
            .set(omitted);
        for (answering, chips) in Answering::ALL.iter().zip(counts.answering) {
            self.sensor_chips
                .get_or_create(&StateLabels::of(node, *answering))
                .set(gauge(chips));
        }
    }

    /// A node was found to run any command for our key, or the forced command alone.
    pub(crate) fn forced_command_missing(&self, node: &NodeName, is_missing: bool) {
        self.forced_command_missing
            .get_or_create(&label(node))
            .set(i64::from(is_missing));
    }

    /// A node's last reading failed, or did not.
    pub(crate) fn node_failing(&self, node: &NodeName, is_failing: bool) {
        self.node_failing
            .get_or_create(&label(node))
            .set(i64::from(is_failing));
    }

    /// A reading had the time of the node's clock, or none; `is_wrong` is the judgement of it, which
    /// has a hysteresis.
    pub(crate) fn clock(&self, node: &NodeName, clock: Option<NodeClock>, is_wrong: bool) {
        match clock {
            Some(clock) => {
                let offset = clock.offset();
                self.clock_offset.get_or_create(&label(node)).set(offset);
                self.clock_wrong
                    .get_or_create(&label(node))
                    .set(i64::from(is_wrong));
            }
            None => {
                self.clock_offset.remove(&label(node));
                self.clock_wrong.remove(&label(node));
            }
        }
    }

    /// A node is no longer listed under this name: what was true in its last reading is not now.
    pub(crate) fn forget_node(&self, node: &NodeName) {
        self.forced_command_missing.remove(&label(node));
        self.node_failing.remove(&label(node));
        self.clock_offset.remove(&label(node));
        self.clock_wrong.remove(&label(node));
        self.omitted_sensors.remove(&label(node));
        for answering in Answering::ALL {
            self.sensor_chips.remove(&StateLabels::of(node, answering));
        }
    }

    /// A node showed another host key than the pinned one.
    pub(crate) fn host_key_changed(&self, node: &NodeName) {
        self.host_key_changes.get_or_create(&label(node)).inc();
    }

    /// A node sent too much.
    pub(crate) fn oversized(&self, node: &NodeName) {
        self.oversized.get_or_create(&label(node)).inc();
    }

    /// The limiter refused a request.
    pub(crate) fn refused(&self, reason: &'static str, peer: &PeerId) {
        self.rate_limit_hits.inc();
        let peer = self.peer_label(peer);
        self.limiter_rejections
            .get_or_create(&RefusalLabels { reason, peer })
            .inc();
    }

    /// The limiter penalised a caller.
    pub(crate) fn penalised(&self, reason: &'static str, peer: &PeerId) {
        let peer = self.peer_label(peer);
        self.limiter_penalties
            .get_or_create(&RefusalLabels { reason, peer })
            .inc();
    }

    /// The validator refused a node.
    pub(crate) fn node_refused(&self, reason: &'static str) {
        self.validation_failures
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// All metrics, as `OpenMetrics` text.
    #[must_use]
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn peer_label(&self, peer: &PeerId) -> String {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, since a label makes a time series that stays until the daemon ends.
        if peers.contains(peer) || peers.len() < MAX_PEERS {
            peers.insert(peer.clone());
            return peer.to_string();
        }
        "other".to_owned()
    }
}

/// A count, for a gauge.
pub(crate) fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn label(node: &NodeName) -> NodeLabel {
    NodeLabel {
        node: node.to_string(),
    }
}

#[cfg(test)]
mod tests;
