//! The daemon's report of its health, requested and judged.

use crate::client::{Client, DaemonError};
use crate::commands::forward;
use crate::error::Outcome;
use pulse_forward::status::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The data of `get_health`, with the socket that answered.
#[derive(Serialize)]
pub(super) struct Health {
    socket: String,
    /// As the daemon sent it, with members that this tool does not know.
    #[serde(flatten)]
    raw: BTreeMap<String, Box<RawValue>>,
    #[serde(skip)]
    pub(super) report: Report,
}

/// The report, as far as the tool judges it.
// Members have defaults, so that the tool of another version than the daemon shows what there is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub(super) nodes: Vec<Node>,
    /// Absent for a caller who is no administrator, as `confinement` is.
    pub(super) audit: Option<Audit>,
    /// Absent without a collector, too.
    pub(super) forwarding: Option<Status>,
    pub(super) confinement: Option<Confinement>,
    /// The files that the daemon cannot use now.
    #[serde(default)]
    pub(super) files: Vec<FileProblem>,
}

/// A file of the daemon that cannot be used, or is not what is in force.
#[derive(Debug, Deserialize)]
pub(super) struct FileProblem {
    pub(super) file: String,
    /// A sentence with its remedy.
    pub(super) error: String,
}

/// A listed node.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) state: NodeState,
    /// The age of the last good reading.
    pub(super) age_ms: Option<u64>,
    pub(super) error: Option<String>,
    /// A fault of a node that is read all the same.
    pub(super) warning: Option<String>,
}

/// The state of a node as of its last reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NodeState {
    Answering,
    Failing,
    Waiting,
    Unread,
}

/// The state of the audit log.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Audit {
    pub(super) writable: bool,
    pub(super) problems: Vec<String>,
    pub(super) warning: Option<String>,
    pub(super) first_seq: u64,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) unsealed: u64,
    pub(super) bytes: u64,
    pub(super) has_retention: bool,
}

/// The layers of the daemon's confinement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Confinement {
    pub(super) active: Vec<String>,
    pub(super) missing: Vec<String>,
}

impl Health {
    /// Requests it.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub(super) async fn request(client: &Client) -> Result<Self, DaemonError> {
        let response = client.ask("get_health", Value::Null).await?;
        let data: Box<RawValue> = response.outcome.map_err(DaemonError::Refused)?;
        // Parsed twice: the raw members are passed on.
        let parse = || {
            let mut raw: BTreeMap<String, _> = serde_json::from_str(data.get())?;
            // In JSON output these are the tool's own.
            raw.retain(|member, _| member != "version" && member != "socket");
            Ok(Self {
                socket: response.socket.display().to_string(),
                raw,
                report: serde_json::from_str(data.get())?,
            })
        };
        parse().map_err(|_: serde_json::Error| DaemonError::Data("no report of its health"))
    }
}

impl Report {
    /// The number of nodes in this state.
    pub(super) fn count(&self, state: NodeState) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }

    /// True if an administrator has to act.
    fn has_finding(&self) -> bool {
        let audit = self.audit.as_ref();
        let confinement = self.confinement.as_ref();
        self.count(NodeState::Failing) + self.count(NodeState::Waiting) > 0
            || self.nodes.iter().any(|node| node.warning.is_some())
            || audit.is_some_and(|audit| !audit.writable || !audit.problems.is_empty())
            || confinement.is_some_and(|layers| !layers.missing.is_empty())
            || !self.files.is_empty()
    }

    /// The exit code.
    pub(super) fn outcome(&self, now: i64) -> Outcome {
        let forwarding = self.forwarding.as_ref();
        let forwarding = forwarding.map(|status| forward::outcome(status, now));
        let has_warning = self.nodes.is_empty()
            || self.count(NodeState::Unread) > 0
            || self
                .audit
                .as_ref()
                .is_some_and(|audit| audit.warning.is_some());
        if self.has_finding() || forwarding == Some(Outcome::Finding) {
            Outcome::Finding
        } else if has_warning || forwarding == Some(Outcome::Unproven) {
            Outcome::Unproven
        } else {
            Outcome::Fine
        }
    }
}
