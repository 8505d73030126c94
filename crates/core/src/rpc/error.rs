//! Every error a caller can be given, and its words.

use crate::name::{NameError, NodeName};

/// Why the validator refused a node: the reasons of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// There is a list, and the node is not on it.
    NotAllowlisted,
    /// There is no list: nothing may be read.
    NoValidationSources,
    /// The node's address is not one that may be connected to.
    AddressNotPermitted,
    /// The name is no node name.
    InvalidNodeName,
}

impl Rejection {
    /// The reason as it stands in the error text and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowlisted => "node_not_allowlisted",
            Self::NoValidationSources => "no_validation_sources",
            Self::AddressNotPermitted => "address_not_permitted",
            Self::InvalidNodeName => "invalid_node_name",
        }
    }
}

/// Every error a caller can be given. Its text is part of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The caller has no capability at all.
    #[error("unauthorized")]
    Unauthorized,
    /// The limiter refused: no token, a penalty, too many connections.
    #[error("rate limit exceeded")]
    RateLimited,
    /// No method of that name.
    #[error("unknown method")]
    UnknownMethod,
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
    /// The line did not end within `read_timeout`.
    #[error("read timeout")]
    ReadTimeout,
    /// `node` was not given.
    #[error("missing 'node' parameter")]
    MissingNode,
    /// `node` was something else than a string.
    #[error("'node' parameter must be a string")]
    NodeNotAString,
    /// `nodes` was something else than a list of strings.
    #[error("'nodes' parameter must be a list of strings")]
    NodesNotAList,
    /// The name is no node name; `shown` is fit to be shown.
    #[error("node \"{shown}\" rejected by validator ({})", Rejection::InvalidNodeName.as_str())]
    InvalidNodeName {
        /// The name, cut and escaped.
        shown: String,
        /// The rule it breaks.
        error: NameError,
    },
    /// The node may not be read.
    #[error("node \"{node}\" rejected by validator ({})", reason.as_str())]
    Rejected {
        /// The node.
        node: NodeName,
        /// Why.
        reason: Rejection,
    },
    /// The limiter refused this one node of several.
    #[error("node \"{node}\" not read: rate limit exceeded")]
    NodeRateLimited {
        /// The node.
        node: NodeName,
    },
    /// The node could not be read.
    #[error("node \"{node}\" {failure}")]
    Failed {
        /// The node.
        node: NodeName,
        /// What went wrong, as a sentence with its remedy.
        failure: String,
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
    /// There is no collector.
    #[error("forwarding is not configured")]
    NotForwarding,
    /// Too much is asked of it at once.
    #[error("forwarding is busy")]
    ForwardingBusy,
    /// The record could not be written, so nothing was done.
    #[error("audit log unavailable")]
    RecorderUnavailable,
}

impl RpcError {
    /// The label of this outcome in metrics and records.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::RateLimited | Self::NodeRateLimited { .. } => "rate_limited",
            Self::UnknownMethod => "unknown_method",
            Self::AdminRequired => "admin_required",
            Self::PayloadTooLarge => "payload_too_large",
            Self::EmptyRequest => "empty_request",
            Self::InvalidRequest => "invalid_request",
            Self::ReadTimeout => "read_timeout",
            Self::MissingNode
            | Self::NodeNotAString
            | Self::NodesNotAList
            | Self::NoSuchRecord
            | Self::RecordRemoved { .. } => "invalid_parameter",
            Self::InvalidNodeName { .. } => Rejection::InvalidNodeName.as_str(),
            Self::Rejected { reason, .. } => reason.as_str(),
            Self::Failed { .. } => "failed",
            Self::RecorderUnavailable => "recorder_unavailable",
            Self::NotForwarding => "not_forwarding",
            Self::ForwardingBusy => "forwarding_busy",
        }
    }

    /// Whether the caller is penalised: the request was malformed or forbidden.
    ///
    /// A name that is merely not on the list, or a method of another version,
    /// is an honest mistake of configuration and costs a token only: a penalty
    /// would silence the rest of a poller's nodes.
    #[must_use]
    pub fn is_penalised(&self) -> bool {
        matches!(
            self,
            Self::PayloadTooLarge
                | Self::EmptyRequest
                | Self::InvalidRequest
                | Self::MissingNode
                | Self::NodeNotAString
                | Self::NodesNotAList
                | Self::InvalidNodeName { .. }
                | Self::AdminRequired
        )
    }
}
