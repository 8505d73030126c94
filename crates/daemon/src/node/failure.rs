//! Why a node could not be read: a sentence with its remedy, and a metric label.

use crate::node::resolve::NoAddress;
use pulse_core::backoff::FailureKind;
use pulse_core::known_hosts::{CertVerdict, PinnedKey};
use pulse_sensors::printed::Oversized;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Every way in which reading a node can fail. The text follows `node "<name>" `.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NodeFailure {
    /// Neither the configuration nor `/etc/hosts` has an address.
    #[error("has no address: give one in allowed_nodes, or add the name to /etc/hosts")]
    NoAddress,
    /// The configuration has no address, and `/etc/hosts` is not read.
    #[error("has no address: /etc/hosts is refused: {0}")]
    HostsRefused(String),
    /// `known_hosts` is there and cannot be used, so no host key can be checked.
    #[error("is not connected to, because known_hosts cannot be used: {0}")]
    KnownHosts(Arc<str>),
    /// Every address is outside what may be connected to.
    #[error("has no permitted address")]
    AddressNotPermitted,
    /// The connection could not be made.
    #[error("cannot be reached at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The host key is in no `known_hosts` line.
    #[error(
        "showed a host key that is not in known_hosts ({fingerprint}): check it on the node, then add it"
    )]
    HostKeyUnknown {
        /// The key it showed.
        fingerprint: String,
    },
    /// The host key is another than the pinned one.
    #[error(
        "showed another host key ({fingerprint}) than the pinned {}: someone may be in between, or the node was reinstalled",
        pinned(expected)
    )]
    HostKeyChanged {
        /// The key it showed.
        fingerprint: String,
        /// What is pinned.
        expected: Vec<PinnedKey>,
    },
    /// The host key, or its certificate's, is revoked.
    #[error("showed a revoked host key ({fingerprint})")]
    HostKeyRevoked {
        /// The key it showed.
        fingerprint: String,
    },
    /// The host certificate is not valid for this node.
    #[error("showed a host certificate that is not accepted ({})", .0.as_str())]
    HostCertificate(CertVerdict),
    /// The host key is no longer accepted, so its connection was closed.
    #[error("{failure}")]
    Withdrawn {
        /// Where the connection led.
        address: SocketAddr,
        /// What is said of the host key now.
        failure: Box<NodeFailure>,
    },
    /// Our key was refused.
    #[error(
        "refused our SSH key for user \"{user}\": install the line that \"pulse-sensorctl keys show\" prints"
    )]
    KeyRefused {
        /// The user we tried to log in as.
        user: String,
    },
    /// The SSH protocol broke down.
    #[error("broke off the SSH connection: {0}")]
    Ssh(String),
    /// No answer before the deadline.
    #[error("did not answer in time")]
    TimedOut,
    /// More output than `max_ssh_output_bytes`.
    #[error("sent more than {limit} bytes: raise max_ssh_output_bytes if that is right")]
    Oversized {
        /// The limit.
        limit: usize,
    },
    /// The output was no sensor document.
    #[error("sent no temperatures: {0}")]
    NoDocument(String),
    /// The command failed and printed nothing of use.
    #[error("could not run the command: exit code {code}{}", said(stderr))]
    Command {
        /// The exit code.
        code: u32,
        /// The last of what it printed on stderr.
        stderr: String,
    },
    /// The node is left alone for now.
    #[error("{last}; next attempt in {}", seconds(*retry_in))]
    Waiting {
        /// The failure before.
        last: Box<NodeFailure>,
        /// How long still.
        retry_in: Duration,
    },
    /// The node was taken off the list meanwhile.
    #[error("is no longer on the list")]
    Removed,
    /// Too many requests are waiting already.
    #[error("not read: too many requests are waiting")]
    QueueFull,
}

impl NodeFailure {
    /// The label in metrics and records.
    #[must_use]
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::HostsRefused(_) => "hosts_refused",
            Self::KnownHosts(_) => "known_hosts_unusable",
            Self::AddressNotPermitted => "address_not_permitted",
            Self::Unreachable { .. } => "unreachable",
            Self::HostKeyUnknown { .. } => "host_key_unknown",
            Self::HostKeyChanged { .. } => "host_key_changed",
            Self::HostKeyRevoked { .. } => "host_key_revoked",
            Self::HostCertificate(_) => "host_certificate",
            Self::Withdrawn { failure, .. } => failure.label(),
            Self::KeyRefused { .. } => "key_refused",
            Self::Ssh(_) => "ssh_error",
            Self::TimedOut => "timeout",
            Self::Oversized { .. } => "oversized",
            Self::NoDocument(_) => "no_document",
            Self::Command { .. } => "command_failed",
            Self::Waiting { .. } => "backoff",
            Self::Removed => "removed",
            Self::QueueFull => "queue_full",
        }
    }

    /// Whether the node's host key was not the one we trust.
    #[must_use]
    pub(crate) fn is_host_key(&self) -> bool {
        matches!(
            self,
            Self::HostKeyUnknown { .. }
                | Self::HostKeyChanged { .. }
                | Self::HostKeyRevoked { .. }
                | Self::HostCertificate(_)
                | Self::Withdrawn { .. }
        )
    }

    /// How the node is to be left alone after it.
    #[must_use]
    pub(crate) fn kind(&self) -> FailureKind {
        if self.is_host_key() || matches!(self, Self::KeyRefused { .. }) {
            FailureKind::Refused
        } else {
            FailureKind::Transient
        }
    }
}

impl From<Oversized> for NodeFailure {
    fn from(Oversized { limit }: Oversized) -> Self {
        Self::Oversized { limit }
    }
}

impl From<NoAddress> for NodeFailure {
    fn from(error: NoAddress) -> Self {
        match error {
            NoAddress::Unknown => Self::NoAddress,
            NoAddress::HostsRefused(reason) => Self::HostsRefused(reason),
            NoAddress::NotPermitted => Self::AddressNotPermitted,
        }
    }
}

impl From<russh::Error> for NodeFailure {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(bounded(&error.to_string()))
    }
}

/// How much of the library's words is kept, in characters: some of them quote
/// what the node said.
const MAX_WORDS: usize = 200;

fn bounded(text: &str) -> String {
    let harmless = |c: char| c == ' ' || c.is_ascii_graphic();
    let kept = text.chars().take(MAX_WORDS);
    kept.map(|c| if harmless(c) { c } else { '?' }).collect()
}

/// What a command said, if it said anything.
pub(super) fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(", \"{stderr}\"")
    }
}

fn pinned(expected: &[PinnedKey]) -> String {
    let fingerprints: Vec<&str> = expected
        .iter()
        .map(|key| key.fingerprint.as_str())
        .collect();
    fingerprints.join(", ")
}

/// Whole seconds, rounded up: "next attempt in 0 s" would be a lie.
fn seconds(length: Duration) -> String {
    format!("{} s", length.as_millis().div_ceil(1000))
}
