//! `get_health`: what works and what does not, from what is known, without a connection.

use super::dispatch;
use crate::node::{NodeFailure, NodeHandle};
use crate::observe::files::FileProblem;
use crate::state::Daemon;
use pulse_audit::Health;
use pulse_core::audit_log::growth::{self, TimeLeft};
use pulse_core::nodes::name::NodeName;
use pulse_forward::status::Status;
use serde::Serialize;
use std::time::Duration;

/// A node whose last reading is older may have changed since.
const ANSWERING_FOR: Duration = Duration::from_mins(10);

/// A disk that is full sooner is worth a warning.
const FULL_SOON: Duration = Duration::from_hours(30 * 24);

/// The state of a node as of its last reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NodeState {
    /// The last reading succeeded, not long ago.
    Answering,
    /// The last reading failed; a request tries again.
    Failing,
    /// The last reading failed; the node is left alone for now.
    Waiting,
    /// There is no reading, or the last one was long ago.
    Unread,
}

/// A listed node.
#[derive(Debug, Serialize)]
pub(super) struct NodeHealth {
    pub(super) name: String,
    pub(super) state: NodeState,
    /// The age of the last good reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    /// The reason for any state but `Answering`, with its remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Faults of a node that is read all the same, with their remedies.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// The data of `get_health`.
#[derive(Serialize)]
pub(super) struct HealthReport {
    nodes: Vec<NodeHealth>,
    /// For administrators.
    #[serde(flatten)]
    daemon: Option<DaemonHealth>,
}

/// The parts that do not concern a single node.
#[derive(Serialize)]
struct DaemonHealth {
    audit: AuditHealth,
    /// `None` without a collector.
    forwarding: Option<Status>,
    confinement: ConfinementHealth,
    /// The files that cannot be used now.
    files: Vec<FileProblem>,
}

/// The state of the audit log.
#[derive(Serialize)]
struct AuditHealth {
    writable: bool,
    /// The reasons that it cannot be written, is not rotated, or keeps old segments.
    problems: Vec<String>,
    /// The days left on a disk that the log fills, if that is near.
    warning: Option<String>,
    first_seq: u64,
    seq: u64,
    epoch: u64,
    /// Records that are not sealed yet.
    unsealed: u64,
    bytes: u64,
    /// True if old segments are removed.
    has_retention: bool,
}

/// The layers of the daemon's confinement.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ConfinementHealth {
    /// Layers in force, each with its extent.
    pub(crate) active: Vec<String>,
    /// Layers that are not wholly in force.
    pub(crate) missing: Vec<String>,
}

impl HealthReport {
    /// The nodes; and the rest for an administrator.
    pub(super) fn of(daemon: &Daemon, is_administrator: bool) -> Self {
        let settings = daemon.readings.settings();
        let node = |(name, handle): (&NodeName, &NodeHandle)| {
            // Only administrators are told on which nodes the daemon's key is a shell.
            let key = handle.key_warning().filter(|_| is_administrator);
            let warnings = [key, handle.clock_warning()];
            let warnings: Vec<_> = warnings.into_iter().flatten().collect();
            NodeHealth {
                warning: (!warnings.is_empty())
                    .then(|| format!("node \"{name}\" {}", warnings.join("; it also "))),
                ..NodeHealth::of(name, handle)
            }
        };
        Self {
            nodes: settings.nodes.all().map(node).collect(),
            daemon: is_administrator.then(|| DaemonHealth {
                audit: AuditHealth::of(daemon),
                forwarding: dispatch::forwarding(daemon).ok(),
                confinement: daemon.confinement(),
                files: daemon.file_problems(),
            }),
        }
    }
}

impl NodeHealth {
    /// The state of this node, without warnings.
    pub(super) fn of(name: &NodeName, handle: &NodeHandle) -> Self {
        const REMEDY: &str = "request its temperature";
        let (state, problem) = match handle.last_outcome() {
            None => (
                NodeState::Unread,
                Some(format!("has no reading yet: {REMEDY}")),
            ),
            Some(Err(
                failure @ (NodeFailure::Waiting { .. } | NodeFailure::TriedJustNow { .. }),
            )) => (NodeState::Waiting, Some(failure.to_string())),
            Some(Err(failure)) => (NodeState::Failing, Some(failure.to_string())),
            Some(Ok(sample)) => match sample.taken.elapsed() {
                age if age < ANSWERING_FOR => (NodeState::Answering, None),
                age => (
                    NodeState::Unread,
                    Some(format!(
                        "was last read {} min ago: {REMEDY}",
                        age.as_secs() / 60
                    )),
                ),
            },
        };
        let last = handle.fresh_sample(Duration::MAX);
        Self {
            name: name.as_str().to_owned(),
            state,
            age_ms: last.and_then(|sample| u64::try_from(sample.taken.elapsed().as_millis()).ok()),
            error: problem.map(|problem| format!("node \"{name}\" {problem}")),
            warning: None,
        }
    }
}

impl AuditHealth {
    fn of(daemon: &Daemon) -> Self {
        let Health {
            available,
            last_error,
            seq,
            epoch,
            unsealed,
            rotation_refused,
            upkeep,
            ..
        } = daemon.recorder.health();
        let config = daemon.config();
        let failure = (!available).then(|| {
            last_error.map_or_else(
                || "the log cannot be written".to_owned(),
                |error| error.to_string(),
            )
        });
        let rotation = rotation_refused.map(|reason| {
            format!("not rotated: {reason}: run \"pulse-sensorctl audit rotate\" as root")
        });
        let hold = upkeep
            .pressing_hold()
            .map(|hold| format!("exceeds its retention: {hold}"));
        let removal = upkeep
            .failure()
            .map(|reason| format!("old segments cannot be removed: {reason}"));
        let has_retention = config.audit.retention.are_set();
        let directory = config.audit.directory().display().to_string();
        let warning = matches!(upkeep.left, TimeLeft::For(left) if left < FULL_SOON)
            .then(|| growth::warning(&directory, upkeep.bytes, upkeep.rate, upkeep.left))
            .flatten();
        Self {
            writable: available,
            problems: [failure, rotation, hold, removal]
                .into_iter()
                .flatten()
                .collect(),
            warning,
            first_seq: upkeep.first,
            seq,
            epoch,
            unsealed,
            bytes: upkeep.bytes,
            has_retention,
        }
    }
}
