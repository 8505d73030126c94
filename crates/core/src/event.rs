//! Audit events: one for each decision of the daemon.
//!
//! An event has the fields of its kind and no others. The type, decision and reason of its
//! record follow from the kind, and are made here alone ([`Event::members`]), so a record
//! that contradicts itself cannot be written. The names are those of docs/audit-format.md.

mod event_type;

pub use event_type::EventType;

use crate::callers::limiter::Refusal;
use crate::callers::peer::{Peer, PeerId};
use crate::nodes::name::NodeName;
use crate::rpc::{Retry, RpcError, ServiceRefusal, Unlisted, Violation};
use pulse_sensors::command::NodeCommand;
use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

/// The `decision` of a record.
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

    fn of_attempt(succeeded: bool) -> Self {
        if succeeded {
            Self::Completed
        } else {
            Self::Failed
        }
    }
}

/// A decision about a caller that the caller can bring about without end, so that its
/// records are summed up ([`crate::summary`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The caller was let in.
    Accepted,
    /// The caller has no capability.
    Unauthorized,
    /// The limiter refused the caller.
    Limited(Refusal),
}

impl Access {
    /// The type of its record.
    #[must_use]
    pub fn event_type(self) -> EventType {
        match self {
            Self::Accepted => EventType::ConnectionAccepted,
            Self::Unauthorized => EventType::ConnectionDenied,
            Self::Limited(_) => EventType::LimiterRejection,
        }
    }
}

/// Earlier events like the one on record, which have no record of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppressed<'a> {
    /// Their number.
    pub count: NonZeroU64,
    /// The callers of the first and the last of them, unless both are the record's own.
    pub peers: Option<(&'a PeerId, &'a PeerId)>,
}

/// The request that an event belongs to.
#[derive(Clone, Copy, Debug)]
pub struct RequestId<'a> {
    /// The caller's UUID, or ours where it gave none.
    pub correlation_id: &'a str,
    /// The caller.
    pub peer: &'a Peer,
}

/// An exchange with a node that brought a sensor document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The address that was connected to, with its port.
    pub address: String,
    /// The fingerprint of the host key that the node proved to have.
    pub host_key: String,
    /// The command that was run.
    pub command: NodeCommand,
    /// The exit code, when the command ended.
    pub exit_code: Option<u32>,
    /// SHA-256 of the document as it was printed.
    pub stdout_sha256: [u8; 32],
    /// Its length in bytes.
    pub stdout_bytes: u64,
}

/// A host key that is not accepted, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostKeyReason {
    /// No line of `known_hosts` has the host.
    Unknown,
    /// Another key is pinned.
    Changed,
    /// The key, or the authority of its certificate, is revoked.
    Revoked,
    /// The certificate is not valid for the host now.
    Certificate,
}

/// A reading that failed, by reason: the label in records and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// Neither the configuration nor `/etc/hosts` has an address.
    NoAddress,
    /// The configuration has no address, and `/etc/hosts` is not trusted.
    HostsRefused,
    /// `known_hosts` cannot be read.
    KnownHostsUnusable,
    /// The daemon has no file descriptor left.
    OutOfDescriptors,
    /// The egress guard permits none of the addresses.
    AddressNotPermitted,
    /// TCP could not connect.
    Unreachable,
    /// The host key is not accepted.
    HostKey(HostKeyReason),
    /// The node refused our key.
    KeyRefused,
    /// The node runs any command for our key, and the configuration requires a forced command.
    NoForcedCommand,
    /// The SSH protocol broke down.
    Ssh,
    /// No answer before the deadline.
    Timeout,
    /// More output than `max_ssh_output_bytes`.
    Oversized,
    /// The output was no sensor document.
    NoDocument,
    /// The command failed.
    CommandFailed,
    /// The node is left alone after a failure.
    Backoff,
    /// The node was taken off the list meanwhile.
    Removed,
    /// The work queue is full.
    QueueFull,
    /// The caller went away.
    Abandoned,
}

impl FailureReason {
    /// The name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::HostsRefused => "hosts_refused",
            Self::KnownHostsUnusable => "known_hosts_unusable",
            Self::OutOfDescriptors => "out_of_descriptors",
            Self::AddressNotPermitted => "address_not_permitted",
            Self::Unreachable => "unreachable",
            Self::HostKey(HostKeyReason::Unknown) => "host_key_unknown",
            Self::HostKey(HostKeyReason::Changed) => "host_key_changed",
            Self::HostKey(HostKeyReason::Revoked) => "host_key_revoked",
            Self::HostKey(HostKeyReason::Certificate) => "host_certificate",
            Self::KeyRefused => "key_refused",
            Self::NoForcedCommand => "no_forced_command",
            Self::Ssh => "ssh_error",
            Self::Timeout => "timeout",
            Self::Oversized => "oversized",
            Self::NoDocument => "no_document",
            Self::CommandFailed => "command_failed",
            Self::Backoff => "backoff",
            Self::Removed => "removed",
            Self::QueueFull => "queue_full",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A decision of the daemon, as it goes on record.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The daemon serves.
    ProxyStart,
    /// The daemon ends in order.
    ProxyStop,
    /// The daemon has confined itself.
    Confinement {
        /// The layers in force; empty when there are none.
        active: &'a str,
        /// The layers that the kernel or the configuration leaves out; empty when all are
        /// in force.
        missing: &'a str,
    },
    /// The configuration was read again.
    ConfigReloaded {
        /// The mistake that leaves the previous one in force.
        error: Option<&'a str>,
    },
    /// A caller was let in or refused.
    Access {
        /// The decision.
        access: Access,
        /// The caller.
        peer: &'a Peer,
        /// Decisions like it that were left out before this one.
        suppressed: Option<Suppressed<'a>>,
    },
    /// A request is malformed or forbidden.
    Violation {
        /// The request.
        request: RequestId<'a>,
        /// The rule that it breaks.
        violation: &'a Violation,
    },
    /// A request names a node that is not listed.
    Unlisted {
        /// The request.
        request: RequestId<'a>,
        /// The node, as it was asked for.
        node: &'a NodeName,
        /// The state of the list.
        reason: Unlisted,
    },
    /// A node is about to be asked.
    CommandStart {
        /// The request.
        request: RequestId<'a>,
        /// The node.
        node: &'a NodeName,
        /// The time of the attempt, if the node has failed.
        retry: Retry,
    },
    /// A reading has ended.
    CommandFinish {
        /// The request.
        request: RequestId<'a>,
        /// The node.
        node: &'a NodeName,
        /// The time since the start was on record.
        duration: Duration,
        /// The exchange that the sample came from, or the failure.
        outcome: Result<&'a Exchange, ReadingFailure<'a>>,
    },
    /// A reading was refused for security after all its callers had left. No request's record
    /// has that outcome.
    LateRefusal {
        /// The node.
        node: &'a NodeName,
        /// The refusal.
        failure: ReadingFailure<'a>,
    },
    /// A node runs any command for our key. It is read all the same, and a warning is logged.
    ForcedCommandMissing {
        /// The node.
        node: &'a NodeName,
        /// The same as a sentence.
        error: &'a str,
    },
    /// An open connection was closed, because its host key is no longer accepted.
    HostKeyWithdrawn {
        /// The node.
        node: &'a NodeName,
        /// The reason.
        reason: HostKeyReason,
        /// The same as a sentence.
        error: &'a str,
    },
    /// An operator accepts that records, removed from the log before they were delivered, are
    /// lost to a collector.
    ForwardingLossAccepted {
        /// The request.
        request: RequestId<'a>,
        /// The streams with the numbers of their records.
        lost: &'a str,
    },
}

/// A reading that failed.
#[derive(Clone, Copy, Debug)]
pub struct ReadingFailure<'a> {
    /// The reason.
    pub reason: FailureReason,
    /// The same as a sentence, with its remedy.
    pub error: &'a str,
}

/// The members of an event's record, without its place in the chain. Only events make
/// them; a member that the kind does not have is absent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Members<'a> {
    /// `event_type`.
    pub event_type: EventType,
    /// `correlation_id`.
    pub correlation_id: Option<&'a str>,
    /// `peer`, `container` and the kernel's credentials.
    pub peer: Option<&'a Peer>,
    /// `node`.
    pub node: Option<&'a NodeName>,
    /// `address`, `host_key`, `command`, `exit_code` and `stdout_*`.
    pub exchange: Option<&'a Exchange>,
    /// `decision`.
    pub decision: Decision,
    /// `reason`.
    pub reason: Option<&'a str>,
    /// `limiter`.
    pub limiter: Option<&'static str>,
    /// `duration_ms`.
    pub duration: Option<Duration>,
    /// `error`.
    pub error: Option<Cow<'a, str>>,
    /// `suppressed`, `first_peer` and `last_peer`.
    pub suppressed: Option<Suppressed<'a>>,
}

impl<'a> Members<'a> {
    fn new(event_type: EventType, decision: Decision) -> Self {
        Self {
            event_type,
            correlation_id: None,
            peer: None,
            node: None,
            exchange: None,
            decision,
            reason: None,
            limiter: None,
            duration: None,
            error: None,
            suppressed: None,
        }
    }

    fn of_request(event_type: EventType, decision: Decision, request: RequestId<'a>) -> Self {
        Self {
            correlation_id: Some(request.correlation_id),
            peer: Some(request.peer),
            ..Self::new(event_type, decision)
        }
    }
}

impl<'a> Event<'a> {
    /// The members of its record.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        match *self {
            Self::ProxyStart => Members::new(EventType::ProxyStart, Decision::Allowed),
            Self::ProxyStop => Members::new(EventType::ProxyStop, Decision::Completed),
            Self::Confinement { active, missing } => {
                let present = |text: &'a str| Some(text).filter(|text| !text.is_empty());
                // A missing layer makes it a failure, also where the configuration permits that.
                let decision = Decision::of_attempt(missing.is_empty());
                Members {
                    reason: present(active),
                    error: present(missing).map(Cow::Borrowed),
                    ..Members::new(EventType::Confinement, decision)
                }
            }
            Self::ConfigReloaded { error } => Members {
                error: error.map(Cow::Borrowed),
                ..Members::new(
                    EventType::ConfigReloaded,
                    Decision::of_attempt(error.is_none()),
                )
            },
            Self::Access {
                access,
                peer,
                suppressed,
            } => {
                // The reason of a refusal is the error that the caller is given.
                let (decision, reason, limiter) = match access {
                    Access::Accepted => (Decision::Allowed, None, None),
                    Access::Unauthorized => (Decision::Denied, Some(RpcError::Unauthorized), None),
                    Access::Limited(refusal) => (
                        Decision::Denied,
                        Some(RpcError::from(ServiceRefusal::RateLimited {
                            retry_in: None,
                        })),
                        Some(refusal.as_str()),
                    ),
                };
                Members {
                    peer: Some(peer),
                    reason: reason.map(|error| error.label()),
                    limiter,
                    suppressed,
                    ..Members::new(access.event_type(), decision)
                }
            }
            Self::Violation { request, violation } => Members {
                reason: Some(violation.label()),
                error: Some(violation.to_string().into()),
                ..Members::of_request(EventType::ValidationFailed, Decision::Denied, request)
            },
            Self::Unlisted {
                request,
                node,
                reason,
            } => Members {
                node: Some(node),
                reason: Some(reason.as_str()),
                ..Members::of_request(EventType::ValidationFailed, Decision::Denied, request)
            },
            Self::CommandStart {
                request,
                node,
                retry,
            } => Members {
                node: Some(node),
                reason: match retry {
                    Retry::WhenDue => None,
                    Retry::Now => Some("retry"),
                },
                ..Members::of_request(EventType::CommandStart, Decision::Allowed, request)
            },
            Self::CommandFinish {
                request,
                node,
                duration,
                outcome,
            } => {
                let failure = outcome.err();
                let (event_type, decision) = failure
                    .map_or((EventType::CommandFinish, Decision::Completed), |failure| {
                        failed(failure.reason)
                    });
                Members {
                    node: Some(node),
                    exchange: outcome.ok(),
                    reason: failure.map(|failure| failure.reason.as_str()),
                    error: failure.map(|failure| failure.error.into()),
                    duration: Some(duration),
                    ..Members::of_request(event_type, decision, request)
                }
            }
            Self::LateRefusal { node, failure } => {
                let (event_type, decision) = failed(failure.reason);
                Members {
                    node: Some(node),
                    reason: Some(failure.reason.as_str()),
                    error: Some(failure.error.into()),
                    ..Members::new(event_type, decision)
                }
            }
            Self::ForcedCommandMissing { node, error } => Members {
                node: Some(node),
                reason: Some(FailureReason::NoForcedCommand.as_str()),
                error: Some(error.into()),
                ..Members::new(EventType::ForcedCommandMissing, Decision::Allowed)
            },
            Self::HostKeyWithdrawn {
                node,
                reason,
                error,
            } => Members {
                node: Some(node),
                reason: Some(FailureReason::HostKey(reason).as_str()),
                error: Some(error.into()),
                ..Members::new(EventType::HostKeyMismatch, Decision::Denied)
            },
            Self::ForwardingLossAccepted { request, lost } => Members {
                reason: Some(lost),
                ..Members::of_request(
                    EventType::ForwardingLossAccepted,
                    Decision::Completed,
                    request,
                )
            },
        }
    }
}

/// The record of a reading that failed. One that was refused for security has a type of its own,
/// so that whoever watches the log need not know every reason.
fn failed(reason: FailureReason) -> (EventType, Decision) {
    match reason {
        FailureReason::AddressNotPermitted => (EventType::EgressDenied, Decision::Denied),
        FailureReason::HostKey(_) => (EventType::HostKeyMismatch, Decision::Failed),
        FailureReason::NoForcedCommand => (EventType::ForcedCommandMissing, Decision::Failed),
        _ => (EventType::CommandFinish, Decision::Failed),
    }
}
