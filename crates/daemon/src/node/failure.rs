//! Failures to read a node: each has a sentence with its remedy, and a reason.

use super::connect::is_supported;
use crate::node::resolve::NoAddress;
use pulse_core::event::{FailureReason, HostKeyReason};
use pulse_core::nodes::backoff::FailureKind;
use pulse_core::nodes::known_hosts::{CertVerdict, PinnedElsewhere, PinnedKey};
use pulse_files::Exhaustion;
use pulse_sensors::output::Oversized;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The command that tries nodes before their wait has ended.
const RETRY_COMMAND: &str = "pulse-sensorctl temps --retry";

/// A reading that failed. The text follows `node "<name>" `.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NodeFailure {
    /// Neither the configuration nor `/etc/hosts` has an address.
    #[error("has no address: give one in allowed_nodes, or add the name to /etc/hosts")]
    NoAddress,
    /// The configuration has no address, and `/etc/hosts` cannot be used.
    #[error("has no address: /etc/hosts {0}")]
    HostsRefused(String),
    /// `known_hosts` exists and cannot be used, so no host key can be checked.
    #[error("is not connected to, because known_hosts cannot be used: {0}")]
    KnownHosts(Arc<str>),
    /// The egress guard permits none of the addresses.
    #[error("has no permitted address")]
    AddressNotPermitted,
    /// The daemon has no descriptor or memory left for the connection.
    #[error("not read: {0}")]
    Exhausted(Exhaustion),
    /// The connection could not be made.
    #[error("cannot be reached at {address}: {reason}")]
    Unreachable {
        /// The address that was tried.
        address: SocketAddr,
        /// The system's error.
        reason: String,
    },
    /// The host key is not accepted.
    #[error(transparent)]
    HostKey(#[from] HostKeyFailure),
    /// The node has host keys of other kinds only.
    #[error(
        "has no host key of a supported kind: run \"ssh-keygen -A\" on the node, reload its sshd, and add the ssh-ed25519 key to known_hosts"
    )]
    NoHostKey,
    /// The host key is no longer accepted, so its connection was closed.
    #[error(transparent)]
    Withdrawn(Withdrawn),
    /// The node refused the daemon's key.
    #[error(
        "refused our SSH key for user \"{user}\": install the line that \"pulse-sensorctl keys show\" prints"
    )]
    KeyRefused {
        /// The user of the login.
        user: String,
    },
    /// The node accepted the daemon's key, and its sshd requires another login method too.
    #[error(
        "accepted our SSH key for user \"{user}\" and wants another login method too: set \"AuthenticationMethods publickey\" for that user in its sshd_config"
    )]
    KeyNotEnough {
        /// The user of the login.
        user: String,
    },
    /// The node runs any command for our key, and the configuration requires a forced command.
    #[error(
        "{}; or permit it with require_forced_command = false in [ssh]",
        no_forced_command(user)
    )]
    NoForcedCommand {
        /// The user of the login.
        user: String,
    },
    /// The SSH connection failed.
    #[error("broke off the SSH connection: {0}")]
    Ssh(String),
    /// The SSH connection was closed, by the node or on the way to it.
    #[error("broke off the SSH connection: closed without a message")]
    Closed,
    /// No answer before the deadline.
    #[error("did not answer in time")]
    TimedOut,
    /// No answer yet; the reading goes on.
    #[error("is still being read")]
    Pending,
    /// More output than `max_ssh_output_bytes`.
    #[error("sent more than {limit} bytes: raise max_ssh_output_bytes if that is right")]
    Oversized {
        /// The limit.
        limit: usize,
    },
    /// The output was not a sensor document.
    #[error("sent no temperatures: {0}")]
    NoDocument(String),
    /// The command failed and printed no document.
    #[error("could not run the command: exit code {code}{}", said(stderr))]
    Command {
        /// The exit code.
        code: u32,
        /// The end of its stderr.
        stderr: String,
    },
    /// The node is left alone for now.
    #[error("{last}; next attempt in {}, or now with \"{RETRY_COMMAND}\"", seconds(*retry_in))]
    Waiting {
        /// The previous failure.
        last: Box<NodeFailure>,
        /// The rest of the wait.
        retry_in: Duration,
    },
    /// The node may be tried before its wait has ended, but not as soon as this.
    #[error("{last}; that was just now: ask again in {}", seconds(*retry_in))]
    TriedJustNow {
        /// The previous failure.
        last: Box<NodeFailure>,
        /// The rest of the shortest wait.
        retry_in: Duration,
    },
    /// The node was taken off the list meanwhile.
    #[error("is no longer on the list")]
    Removed,
    /// Too many requests are waiting already.
    #[error("not read: too many requests are waiting")]
    QueueFull,
}

/// A host key that is not accepted. The text follows `node "<name>" `.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HostKeyFailure {
    /// The host key is in no `known_hosts` line.
    #[error(
        "showed a host key that is not in known_hosts ({}): check it on the node, then add it as \"{}\"{}",
        shown.key, shown.known_as, elsewhere(pinned.as_deref())
    )]
    Unknown {
        shown: Box<ShownKey>,
        /// Lines that do not count.
        pinned: Option<Box<PinnedElsewhere>>,
    },
    /// The pinned keys are of kinds that the daemon cannot verify, so the node was not asked for
    /// one of them.
    #[error(
        "showed its {} host key, but known_hosts pins only {}, which is not supported: check {} on the node, then add it as \"{}\"",
        shown.key.key_type, kinds(expected.iter().map(|pin| &pin.key_type)), shown.key, shown.known_as
    )]
    UnsupportedPins {
        shown: Box<ShownKey>,
        expected: Vec<PinnedKey>,
    },
    /// The node was asked for a key of a pinned kind first, and showed one of another kind.
    #[error(
        "showed its {} host key, but known_hosts pins {}: the node has no such key any more, or someone may be in between; check {} on the node, then add it as \"{}\"",
        shown.key.key_type, pinned_keys(expected), shown.key, shown.known_as
    )]
    OtherKind {
        shown: Box<ShownKey>,
        expected: Vec<PinnedKey>,
    },
    /// The host key is another than the pinned ones.
    #[error(
        "showed another host key ({fingerprint}) than the pinned {}: someone may be in between, or the node was reinstalled",
        pinned(expected)
    )]
    Changed {
        fingerprint: String,
        expected: Vec<PinnedKey>,
    },
    /// The host key, or its certificate's authority, is revoked.
    #[error("showed a revoked host key ({fingerprint})")]
    Revoked { fingerprint: String },
    /// The host certificate is not valid for this node.
    #[error("showed a host certificate that is not accepted ({})", .0.as_str())]
    Certificate(CertVerdict),
}

/// A host key that could be pinned.
#[derive(Clone, Debug)]
pub(crate) struct ShownKey {
    pub(crate) key: PinnedKey,
    /// The name to pin it under.
    pub(crate) known_as: String,
}

impl HostKeyFailure {
    pub(crate) fn reason(&self) -> HostKeyReason {
        match self {
            Self::Unknown { .. } | Self::UnsupportedPins { .. } => HostKeyReason::Unknown,
            Self::Changed { .. } | Self::OtherKind { .. } => HostKeyReason::Changed,
            Self::Revoked { .. } => HostKeyReason::Revoked,
            Self::Certificate(_) => HostKeyReason::Certificate,
        }
    }
}

/// A connection that was closed while it was open, because of its host key.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct Withdrawn {
    /// The node's end of the connection.
    pub(crate) address: SocketAddr,
    /// The judgement of the host key now.
    pub(crate) failure: HostKeyFailure,
}

impl NodeFailure {
    /// The reason in records and metrics.
    #[must_use]
    pub(crate) fn reason(&self) -> FailureReason {
        match self {
            Self::NoAddress => FailureReason::NoAddress,
            Self::HostsRefused(_) => FailureReason::HostsRefused,
            Self::KnownHosts(_) => FailureReason::KnownHostsUnusable,
            Self::AddressNotPermitted => FailureReason::AddressNotPermitted,
            Self::Exhausted(_) => FailureReason::OutOfDescriptors,
            Self::Unreachable { .. } => FailureReason::Unreachable,
            Self::HostKey(failure) | Self::Withdrawn(Withdrawn { failure, .. }) => {
                FailureReason::HostKey(failure.reason())
            }
            Self::KeyRefused { .. } | Self::KeyNotEnough { .. } => FailureReason::KeyRefused,
            Self::NoForcedCommand { .. } => FailureReason::NoForcedCommand,
            Self::Ssh(_) | Self::Closed | Self::NoHostKey => FailureReason::Ssh,
            Self::TimedOut | Self::Pending => FailureReason::Timeout,
            Self::Oversized { .. } => FailureReason::Oversized,
            Self::NoDocument(_) => FailureReason::NoDocument,
            Self::Command { .. } => FailureReason::CommandFailed,
            Self::Waiting { .. } | Self::TriedJustNow { .. } => FailureReason::Backoff,
            Self::Removed => FailureReason::Removed,
            Self::QueueFull => FailureReason::QueueFull,
        }
    }

    /// Its kind, which decides for how long the node is left alone.
    #[must_use]
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            // These come before a connection.
            Self::NoAddress
            | Self::HostsRefused(_)
            | Self::KnownHosts(_)
            | Self::AddressNotPermitted
            | Self::Exhausted(_) => FailureKind::Local,
            // An operator has to act before any of the others can succeed.
            Self::HostKey(_) | Self::Withdrawn(_) | Self::NoHostKey => FailureKind::HostKey,
            // sshd counts an unfinished login as a failed one.
            Self::KeyRefused { .. } | Self::KeyNotEnough { .. } => FailureKind::Refused,
            Self::Unreachable { .. } | Self::Closed => FailureKind::Unreachable,
            _ => FailureKind::Transient,
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
        match error {
            russh::Error::NoCommonAlgo {
                kind: russh::AlgorithmKind::Key,
                ..
            } => return Self::NoHostKey,
            russh::Error::Disconnect
            | russh::Error::HUP
            | russh::Error::SendError
            | russh::Error::RecvError => return Self::Closed,
            russh::Error::IO(ref error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Self::Closed;
            }
            _ => {}
        }
        Self::Ssh(harmless(&error.to_string()))
    }
}

/// A text that may quote the node, cut and in printable ASCII.
pub(super) fn harmless(text: &str) -> String {
    let is_harmless = |c: char| c == ' ' || c.is_ascii_graphic();
    text.chars()
        .take(MAX_CHARS)
        .map(|c| if is_harmless(c) { c } else { '?' })
        .collect()
}

/// The sentence about a key without its forced command, after the node's name.
pub(super) fn no_forced_command(user: &str) -> String {
    format!(
        "runs any command for our SSH key, since its line for user \"{user}\" has no forced command: replace it there by the line that \"pulse-sensorctl keys show\" prints"
    )
}

/// Characters that are kept of a text that may quote the node.
const MAX_CHARS: usize = 200;

/// A command's stderr as the end of a sentence.
pub(super) fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(", \"{stderr}\"")
    }
}

/// The end of the sentence about an unknown key: lines for the node that do not count.
fn elsewhere(pinned: Option<&PinnedElsewhere>) -> String {
    let Some(PinnedElsewhere { name, key_types }) = pinned else {
        return String::new();
    };
    let line = format!("; the line for \"{name}\" is not one for this node and port");
    let unsupported = || key_types.iter().filter(|kind| !is_supported(kind));
    match unsupported().next() {
        Some(_) => format!("{line}, and {} is not supported", kinds(unsupported())),
        None => line,
    }
}

/// Types of keys, each once.
fn kinds<'a>(types: impl Iterator<Item = &'a String>) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for kind in types.map(String::as_str) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" and ")
}

/// Keys with their types.
fn pinned_keys(expected: &[PinnedKey]) -> String {
    let keys: Vec<_> = expected.iter().map(ToString::to_string).collect();
    keys.join(" and ")
}

fn pinned(expected: &[PinnedKey]) -> String {
    expected
        .iter()
        .map(|key| key.fingerprint.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whole seconds, rounded up, since "next attempt in 0 s" is never true.
fn seconds(length: Duration) -> String {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::NodeFailure;
    use crate::node::host_key::Identity;
    use pulse_core::nodes::backoff::FailureKind;
    use pulse_core::nodes::known_hosts::{HostQuery, KnownHosts};
    use pulse_core::nodes::name::NodeName;
    use std::time::Duration;

    /// A node on port 22022 that shows its Ed25519 key.
    fn judged(known_hosts: &str) -> String {
        let name = NodeName::parse("pve1").unwrap();
        let host = HostQuery::new(&name, "192.0.2.11".parse().ok(), 22022);
        let identity = Identity::plain(host, "ssh-ed25519", b"key".to_vec());
        let (known, bad) = KnownHosts::parse(known_hosts).unwrap();
        assert!(bad.is_empty(), "{bad:?}");
        identity.judge(&known).unwrap_err().to_string()
    }

    /// An RSA key of Proxmox VE's, shortened.
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQU=";

    #[test]
    fn unknown_key_names_its_pin() {
        let text = judged("");
        assert!(text.ends_with("then add it as \"[pve1]:22022\""), "{text}");
        // As a Proxmox cluster keeps it: the plain name, for every port.
        let text = judged(&format!("pve1 {RSA}\n192.0.2.11 {RSA}"));
        for part in [
            "not in known_hosts (ssh-ed25519 SHA256:",
            "add it as \"[pve1]:22022\"",
            "the line for \"pve1\"",
            "ssh-rsa is not supported",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn node_without_usable_key_is_explained() {
        let failure = NodeFailure::from(russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Key,
            ours: vec!["ssh-ed25519".to_owned()],
            theirs: vec!["rsa-sha2-512".to_owned()],
        });
        assert!(failure.to_string().contains("ssh-keygen -A"), "{failure}");
        // Asking again helps as little as with a key that is not pinned.
        assert_eq!(failure.kind(), FailureKind::HostKey);
    }

    #[test]
    fn wait_is_rounded_up() {
        let text = |nanoseconds| super::seconds(Duration::from_nanos(nanoseconds));
        assert_eq!([text(1), text(1_000_000_000)], ["1 s", "1 s"]);
        assert_eq!(text(1_000_000_001), "2 s");
    }

    #[test]
    fn kind_of_the_pin_is_the_matter() {
        let text = judged(&format!("[pve1]:22022 {RSA}"));
        for part in [
            "pins only ssh-rsa, which is not supported",
            "add it as \"[pve1]:22022\"",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains("in between"), "{text}");
        // With a pin of a supported kind another key is another key.
        let ed25519 =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER";
        let text = judged(&format!("[pve1]:22022 {RSA}\n[pve1]:22022 {ed25519}"));
        assert!(text.contains("in between"), "{text}");
    }

    #[test]
    fn other_kind_is_named() {
        let ecdsa =
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAEAAAAAA==";
        let text = judged(&format!("[pve1]:22022 {ecdsa}"));
        for part in [
            "showed its ssh-ed25519 host key, but known_hosts pins ecdsa-sha2-nistp256 SHA256:",
            "the node has no such key any more, or someone may be in between",
            "add it as \"[pve1]:22022\"",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
