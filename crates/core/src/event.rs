//! What is put on record: one event for each decision.
//!
//! The names are those of the audit log's specification, so that whoever keeps
//! the records (a log of the system now, a chained file later) and whoever reads
//! them speak of the same things.

use crate::name::NodeName;
use crate::peer::{Peer, PeerId};
use pulse_sensors::command::NodeCommand;
use std::time::Duration;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The daemon serves.
    ProxyStart,
    /// The daemon ends.
    ProxyStop,
    /// The daemon has confined itself, as far as the kernel could.
    Confinement,
    /// The configuration was read anew.
    ConfigReloaded,
    /// A caller was let in.
    ConnectionAccepted,
    /// A caller without any capability was turned away.
    ConnectionDenied,
    /// The limiter refused a caller.
    LimiterRejection,
    /// A node is about to be asked.
    CommandStart,
    /// The outcome of a request to a node.
    CommandFinish,
    /// A request was malformed or forbidden.
    ValidationFailed,
    /// A node showed a host key that is not the pinned one.
    HostKeyMismatch,
    /// A node's address is not one that may be connected to.
    EgressDenied,
}

impl EventType {
    /// The name on record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProxyStart => "proxy.start",
            Self::ProxyStop => "proxy.stop",
            Self::Confinement => "confinement",
            Self::ConfigReloaded => "config.reloaded",
            Self::ConnectionAccepted => "connection.accepted",
            Self::ConnectionDenied => "connection.denied",
            Self::LimiterRejection => "limiter.rejection",
            Self::CommandStart => "command.start",
            Self::CommandFinish => "command.finish",
            Self::ValidationFailed => "command.validation_failed",
            Self::HostKeyMismatch => "hostkey.mismatch",
            Self::EgressDenied => "egress.denied",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It may be done.
    Allowed,
    /// It may not.
    Denied,
    /// It was done.
    Completed,
    /// It was tried.
    Failed,
}

impl Decision {
    /// The name on record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// What an exchange with a node was and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The address that was connected to.
    pub address: String,
    /// The fingerprint of the host key that it proved to have.
    pub host_key: String,
    /// What was run.
    pub command: NodeCommand,
    /// The exit code, when the command ended.
    pub exit_code: Option<u32>,
    /// SHA-256 of what it printed.
    pub stdout_sha256: [u8; 32],
    /// How much it printed, in bytes.
    pub stdout_bytes: u64,
}

/// One event. What does not apply is absent.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventType,
    /// What was decided.
    pub decision: Decision,
    /// The request's correlation id.
    pub correlation_id: Option<&'a str>,
    /// Who asked.
    pub peer: Option<&'a Peer>,
    /// Which node.
    pub node: Option<&'a NodeName>,
    /// The exchange that the answer came from.
    pub exchange: Option<&'a Exchange>,
    /// Why, as one of the protocol's reasons.
    pub reason: Option<&'a str>,
    /// Which part of the limiter refused.
    pub limiter: Option<&'a str>,
    /// The error's text.
    pub error: Option<&'a str>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// How many like it were left out since the last one.
    pub suppressed: u64,
    /// The first and the last of those that were left out, where they need not be `peer`.
    pub suppressed_peers: Option<(&'a PeerId, &'a PeerId)>,
}

impl Event<'_> {
    /// An event with nothing but its type and decision.
    #[must_use]
    pub fn new(kind: EventType, decision: Decision) -> Self {
        Self {
            kind,
            decision,
            correlation_id: None,
            peer: None,
            node: None,
            exchange: None,
            reason: None,
            limiter: None,
            error: None,
            duration: None,
            suppressed: 0,
            suppressed_peers: None,
        }
    }
}
