//! Every error a caller can be given, and its words.

use crate::event::FailureReason;
use crate::nodes::name::{NameError, NodeName};
use std::time::Duration;

/// The label of a node name that is none.
const INVALID_NODE_NAME: &str = "invalid_node_name";

/// The state of `allowed_nodes` when a node is not on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unlisted {
    /// It has other nodes.
    NotAllowlisted,
    /// It is empty.
    NoValidationSources,
}

impl Unlisted {
    /// The reason as it stands in the error text, in records and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowlisted => "node_not_allowlisted",
            Self::NoValidationSources => "no_validation_sources",
        }
    }
}

/// The end of the sentence about an unlisted node: its remedy.
fn listing(meant: Option<&NodeName>) -> String {
    let remedy = "add it to nodes.d or allowed_nodes and reload the daemon";
    match meant {
        Some(meant) => format!("did you mean \"{meant}\"? Otherwise {remedy}"),
        None => remedy.to_owned(),
    }
}

/// A text that is no node name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node \"{shown}\" rejected by validator ({INVALID_NODE_NAME})")]
pub struct InvalidNodeName {
    /// The text, cut and escaped.
    pub shown: String,
    /// The rule it breaks.
    #[source]
    pub error: NameError,
}

/// A request that is malformed or forbidden. It costs its caller a penalty and leaves a
/// record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The method needs `admin`.
    #[error("method requires admin capability")]
    AdminRequired,
    /// The request was longer than [`MAX_REQUEST_BYTES`](super::MAX_REQUEST_BYTES).
    #[error("payload too large")]
    PayloadTooLarge,
    /// The line had nothing but blanks.
    #[error("empty request")]
    EmptyRequest,
    /// The line was no request.
    #[error("invalid request format")]
    InvalidRequest,
    /// `node` was not given.
    #[error("missing 'node' parameter")]
    MissingNode,
    /// `node` was something else than a string.
    #[error("'node' parameter must be a string")]
    NodeNotAString,
    /// `nodes` was something else than a list of strings.
    #[error("'nodes' parameter must be a list of strings")]
    NodesNotAList,
    /// `wait_ms` was something else than a number of milliseconds.
    #[error("'wait_ms' parameter must be a number of milliseconds")]
    WaitNotANumber,
    /// `retry` was something else than true or false.
    #[error("'retry' parameter must be true or false")]
    RetryNotABoolean,
    /// `node` was no node name.
    #[error(transparent)]
    InvalidNodeName(#[from] InvalidNodeName),
}

impl Violation {
    /// The reason in records and metric labels.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::AdminRequired => "admin_required",
            Self::PayloadTooLarge => "payload_too_large",
            Self::EmptyRequest => "empty_request",
            Self::InvalidRequest => "invalid_request",
            Self::MissingNode
            | Self::NodeNotAString
            | Self::NodesNotAList
            | Self::WaitNotANumber
            | Self::RetryNotABoolean => "invalid_parameter",
            Self::InvalidNodeName(_) => INVALID_NODE_NAME,
        }
    }
}

/// A refusal that is no matter of the node that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceRefusal {
    /// The limiter refused: no token, a penalty, too many connections.
    #[error("rate limit exceeded")]
    RateLimited {
        /// The time after which the caller may ask again; `None` where that is not a matter of
        /// time. It is no part of the text, which Pulse knows.
        retry_in: Option<Duration>,
    },
    /// The record could not be written, so nothing was done.
    #[error("audit log unavailable")]
    RecorderUnavailable,
    /// The daemon has no file descriptor left to find out who the caller is.
    #[error("out of file descriptors")]
    OutOfDescriptors,
    /// The host has none left, in any process.
    #[error("the host is out of file descriptors")]
    HostOutOfDescriptors,
    /// The kernel has no memory for what finds out who the caller is.
    #[error("out of memory")]
    OutOfMemory,
}

impl ServiceRefusal {
    fn label(self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::RecorderUnavailable => "recorder_unavailable",
            Self::OutOfDescriptors => FailureReason::OutOfDescriptors.as_str(),
            Self::HostOutOfDescriptors => "host_out_of_descriptors",
            Self::OutOfMemory => "out_of_memory",
        }
    }
}

/// Every error a caller can be given. Its text is part of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The caller has no capability at all.
    #[error("unauthorized")]
    Unauthorized,
    /// A request that names no node was refused.
    #[error(transparent)]
    Refused(#[from] ServiceRefusal),
    /// The request is malformed or forbidden.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// No method of that name. It costs a token and no penalty: another version may have
    /// the method, and a penalty would silence the rest of a poller's nodes.
    #[error("unknown method")]
    UnknownMethod,
    /// The line did not end within `read_timeout`.
    #[error("read timeout")]
    ReadTimeout,
    /// The node is not listed. It costs a token and no penalty, as an unknown method does:
    /// most often two lists differ by mistake.
    #[error(
        "node \"{}\" rejected by validator ({}): {}",
        node.as_written(), reason.as_str(), listing(meant.as_deref())
    )]
    Unlisted {
        /// The node.
        node: NodeName,
        /// The state of the list.
        reason: Unlisted,
        /// The listed node that was probably meant.
        meant: Option<Box<NodeName>>,
    },
    /// The node's address is not one that may be connected to.
    #[error(
        "node \"{}\" rejected by validator ({})",
        node.as_written(), FailureReason::AddressNotPermitted.as_str()
    )]
    AddressNotPermitted {
        /// The node.
        node: NodeName,
    },
    /// A request for this node, or this node of several, was refused.
    #[error("node \"{node}\" not read: {refusal}")]
    NodeRefused {
        /// The node, as it was asked for and may be shown.
        node: String,
        /// The refusal.
        refusal: ServiceRefusal,
    },
    /// The node could not be read.
    #[error("node \"{}\" {failure}", node.as_written())]
    Failed {
        /// The node.
        node: NodeName,
        /// The failure, as a sentence with its remedy.
        failure: String,
    },
    /// The node has not answered yet; its reading goes on.
    #[error("node \"{}\" is still being read: ask again in some seconds", node.as_written())]
    Pending {
        /// The node.
        node: NodeName,
    },
    /// `from` is not the number of a record in the log.
    #[error("'from' parameter must be the number of a record")]
    NoSuchRecord,
    /// `from` is the number of a record that the log does not hold any more.
    #[error("'from' parameter must be {first} or more: earlier records were removed from the log")]
    RecordRemoved {
        /// The first that it holds.
        first: u64,
    },
    /// `through` is not the number of a record that is shown as lost.
    #[error("'through' parameter must be the number of a lost record")]
    NoSuchLoss,
    /// There is no collector.
    #[error("forwarding is not configured")]
    NotForwarding,
    /// Too much is asked of it at once.
    #[error("forwarding is busy")]
    ForwardingBusy,
    /// The audit log has not stopped because of changed files.
    #[error("the audit log has no loss to accept")]
    NothingLost,
    /// The log cannot continue, for this reason.
    #[error("the audit log cannot continue: {0}")]
    LossNotAccepted(String),
}

impl RpcError {
    /// This error as the answer to a request for one node: Pulse counts a refusal that does not
    /// name the node against the whole proxy, and gives up all nodes after three of them.
    #[must_use]
    pub fn for_node(self, node: &str) -> Self {
        match self {
            Self::Refused(refusal) => Self::NodeRefused {
                node: node.to_owned(),
                refusal,
            },
            // The others name the node, or are no matter of the node.
            error => error,
        }
    }

    /// The time after which the caller may ask again, if the limiter refused.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        match self.refusal()? {
            ServiceRefusal::RateLimited { retry_in } => retry_in,
            ServiceRefusal::RecorderUnavailable
            | ServiceRefusal::OutOfDescriptors
            | ServiceRefusal::HostOutOfDescriptors
            | ServiceRefusal::OutOfMemory => None,
        }
    }

    /// The refusal, if it is one that is no matter of the node.
    #[must_use]
    pub fn refusal(&self) -> Option<ServiceRefusal> {
        match self {
            Self::Refused(refusal) | Self::NodeRefused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// The time to the next request as a sentence, if the limiter refused and that is known.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let time = self.retry_in()?;
        // Rounded up: who waits so long is not refused again.
        let seconds = time.as_millis().div_ceil(1000);
        Some(format!("the next request is served in {seconds} s"))
    }

    /// The label of this outcome in metrics and records.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Refused(refusal) | Self::NodeRefused { refusal, .. } => refusal.label(),
            Self::Violation(violation) => violation.label(),
            Self::UnknownMethod => "unknown_method",
            Self::ReadTimeout => "read_timeout",
            Self::NoSuchRecord | Self::RecordRemoved { .. } | Self::NoSuchLoss => {
                "invalid_parameter"
            }
            Self::Unlisted { reason, .. } => reason.as_str(),
            Self::AddressNotPermitted { .. } => FailureReason::AddressNotPermitted.as_str(),
            Self::Failed { .. } => "failed",
            Self::Pending { .. } => "pending",
            Self::NotForwarding => "not_forwarding",
            Self::ForwardingBusy => "forwarding_busy",
            Self::NothingLost => "nothing_lost",
            Self::LossNotAccepted(_) => "recorder_unavailable",
        }
    }
}
