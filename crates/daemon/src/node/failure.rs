//! Failures to read a node: each has a sentence with its remedy, and a reason.

mod command;
#[cfg(test)]
pub(crate) mod examples;
mod host_key;
mod timing;

pub(crate) use command::CommandFault;
pub(crate) use host_key::{HostKeyFailure, RejectedCertificate, ShownKey};
pub(crate) use timing::{ConnectError, SharedStage, Stage};

use crate::node::resolve::NoAddress;
use pulse_core::event::FailureReason;
use pulse_core::nodes::backoff::FailureKind;
use pulse_files::Exhaustion;
use pulse_sensors::output::Oversized;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The command that tries nodes before their wait has ended.
const RETRY_COMMAND: &str = "pulse-sensorctl temps --retry";

/// The command that shows why sshd did something. At sshd's default `LogLevel` it says nothing of a
/// key that has no line.
const SSHD_LOG: &str = "journalctl -u ssh -n 20";

/// A reading that failed. The text follows `node "<name>" `.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NodeFailure {
    /// Neither the configuration nor `/etc/hosts` has an address.
    #[error("has no address: give one in nodes.d or allowed_nodes, or add the name to /etc/hosts")]
    NoAddress,
    /// The configuration has no address, and `/etc/hosts` cannot be used.
    #[error(
        "has no address: /etc/hosts {0}; correct that file, or give the address in nodes.d or allowed_nodes"
    )]
    HostsRefused(String),
    /// The configuration has no address, and `/etc/hosts` a link-local one alone.
    #[error(
        "has only a link-local address in /etc/hosts, which is ambiguous without a zone: give another one there, or in nodes.d or allowed_nodes"
    )]
    LinkLocal,
    /// `known_hosts` exists and cannot be used, so no host key can be checked.
    #[error("is not connected to, because known_hosts cannot be used: {0}")]
    KnownHosts(Arc<str>),
    /// The egress guard permits none of the addresses.
    #[error(
        "has no permitted address: a broadcast, multicast, unspecified or link-local address is none; give another one in nodes.d, allowed_nodes or /etc/hosts"
    )]
    AddressNotPermitted,
    /// The daemon has no descriptor or memory left for the connection.
    #[error("not read: {0}")]
    Exhausted(Exhaustion),
    /// The connection could not be made.
    #[error("cannot be reached at {address}: {error}")]
    Unreachable {
        /// The address that was tried.
        address: SocketAddr,
        /// The system's error.
        error: ConnectError,
    },
    /// Another program than an SSH server answers.
    #[error(
        "is no SSH server at {address}, which says \"{said}\": correct the port in nodes.d, allowed_nodes or [ssh]"
    )]
    NotSsh {
        /// The address that was connected to.
        address: SocketAddr,
        /// Its first line.
        said: String,
    },
    /// OpenSSH 9.8 or later drops connections from this host, before any login.
    #[error(
        "lets this host not log in at the moment (\"{NOT_ALLOWED}\"): after failed logins its sshd blocks an address for up to 10 minutes (PerSourcePenalties), or it has too many unfinished logins (MaxStartups): wait, or end it with \"systemctl restart ssh\" on the node; \"{SSHD_LOG}\" there has the reason"
    )]
    Penalised,
    /// OpenSSH before 9.8 has too many unfinished logins.
    #[error(
        "has too many unfinished logins (\"{MAX_STARTUPS}\"): find out who connects with \"{SSHD_LOG}\" on the node, or raise MaxStartups in its sshd_config"
    )]
    TooManyLogins,
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
        "refused our SSH key for user \"{user}\": its authorized_keys probably lacks the line that \"pulse-sensorctl keys show\" prints; else that file's mode, from=, expiry-time=, or the user's shell or account: \"{SSHD_LOG}\" on the node names each of them but the missing line"
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
    /// The node accepted the daemon's key and opens no session.
    #[error(
        "accepted our SSH key for user \"{user}\" and opens no session: raise MaxSessions in its sshd_config (its default is 10)"
    )]
    NoSession {
        /// The user of the login.
        user: String,
    },
    /// sshd could not start the command.
    #[error(
        "could not run the command: its sshd cannot start a process for user \"{user}\": \"{SSHD_LOG}\" on the node has the reason, such as a limit of processes"
    )]
    NotStarted {
        /// The user of the login.
        user: String,
    },
    /// The SSH connection failed.
    #[error("broke off the SSH connection: {0}; \"{SSHD_LOG}\" on the node may have the cause")]
    Ssh(String),
    /// The SSH connection was closed or reset, by the node or on the way to it.
    #[error(
        "broke off the SSH connection: closed without a message, by sshd or on the path: if it happens again, \"{SSHD_LOG}\" on the node has sshd's reason"
    )]
    Closed(Phase),
    /// No answer before the deadline.
    #[error("did not answer in time: {0}")]
    TimedOut(Stage),
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
    #[error(
        "sent no temperatures: {0}; run the forced command on the node as the same user (docs/nodes.md)"
    )]
    NoDocument(String),
    /// The helper ended after it had been started, and with it the channel.
    #[error(
        "could not run the command: the helper ended after its start, {end}{}: {fault}",
        said(stderr)
    )]
    HelperEnded {
        /// The way in which it ended.
        end: CommandEnd,
        /// The beginning of its stderr.
        stderr: String,
        /// The likely cause.
        fault: CommandFault,
    },
    /// The command failed and printed no document.
    #[error("could not run the command: {end}{}: {fault}", said(stderr))]
    Command {
        /// The way in which it ended.
        end: CommandEnd,
        /// The beginning of its stderr.
        stderr: String,
        /// The likely cause.
        fault: CommandFault,
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
    #[error(
        "is no longer on the list: add it to nodes.d or allowed_nodes again, or ask for another node"
    )]
    Removed,
    /// Too many requests are waiting already.
    #[error("not read: too many requests are waiting: ask again in some seconds")]
    QueueFull,
}

/// The phase of a connection that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the login had succeeded: as if the node, or the path to it, were down.
    BeforeLogin,
    /// After it: the node is there, and every further attempt costs it a login.
    AfterLogin,
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
            Self::NoAddress | Self::LinkLocal => FailureReason::NoAddress,
            Self::HostsRefused(_) => FailureReason::HostsRefused,
            Self::KnownHosts(_) => FailureReason::KnownHostsUnusable,
            Self::AddressNotPermitted => FailureReason::AddressNotPermitted,
            Self::Exhausted(_) => FailureReason::OutOfDescriptors,
            Self::Unreachable { .. } | Self::TimedOut(Stage::Connecting(_)) => {
                FailureReason::Unreachable
            }
            Self::HostKey(failure) | Self::Withdrawn(Withdrawn { failure, .. }) => {
                FailureReason::HostKey(failure.reason())
            }
            Self::KeyRefused { .. } | Self::KeyNotEnough { .. } => FailureReason::KeyRefused,
            Self::NoForcedCommand { .. } => FailureReason::NoForcedCommand,
            Self::Ssh(_)
            | Self::Closed(_)
            | Self::NoHostKey
            | Self::NotSsh { .. }
            | Self::Penalised
            | Self::TooManyLogins
            | Self::NoSession { .. } => FailureReason::Ssh,
            Self::TimedOut(_) | Self::Pending => FailureReason::Timeout,
            Self::Oversized { .. } => FailureReason::Oversized,
            Self::NoDocument(_) => FailureReason::NoDocument,
            Self::Command { .. } | Self::HelperEnded { .. } | Self::NotStarted { .. } => {
                FailureReason::CommandFailed
            }
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
            | Self::LinkLocal
            | Self::HostsRefused(_)
            | Self::KnownHosts(_)
            | Self::AddressNotPermitted
            | Self::Exhausted(_) => FailureKind::Local,
            // An operator has to act before any of the others can succeed.
            Self::HostKey(_) | Self::Withdrawn(_) | Self::NoHostKey => FailureKind::HostKey,
            // sshd counts an unfinished login as a failed one.
            Self::KeyRefused { .. } | Self::KeyNotEnough { .. } => FailureKind::Refused,
            Self::Unreachable { .. }
            | Self::Closed(Phase::BeforeLogin)
            | Self::TimedOut(Stage::Connecting(_)) => FailureKind::Unreachable,
            Self::NotSsh { .. }
            | Self::Penalised
            | Self::TooManyLogins
            | Self::NoForcedCommand { .. }
            | Self::NoSession { .. }
            | Self::NotStarted { .. }
            | Self::Ssh(_)
            | Self::Closed(Phase::AfterLogin)
            | Self::TimedOut(Stage::Queued | Stage::LoggingIn(_) | Stage::Reading(_))
            | Self::Pending
            | Self::Oversized { .. }
            | Self::NoDocument(_)
            | Self::Command { .. }
            | Self::HelperEnded { .. }
            | Self::Waiting { .. }
            | Self::TriedJustNow { .. }
            | Self::Removed
            | Self::QueueFull => FailureKind::Transient,
        }
    }
}

impl NodeFailure {
    /// The failure of a connection over which the login had succeeded.
    pub(super) fn after_login(self) -> Self {
        match self {
            Self::Closed(_) => Self::Closed(Phase::AfterLogin),
            other => other,
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
            NoAddress::LinkLocal => Self::LinkLocal,
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
            | russh::Error::RecvError => return Self::Closed(Phase::BeforeLogin),
            russh::Error::IO(ref error) if is_broken(error.kind()) => {
                return Self::Closed(Phase::BeforeLogin);
            }
            _ => {}
        }
        Self::Ssh(harmless(&error.to_string()))
    }
}

/// True for the errors of a TCP connection that has ended: by a FIN or a reset, or because nothing
/// was acknowledged in time, for which the kernel gives the last ICMP error, if it got one (tcp(7)).
fn is_broken(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
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

/// The way in which a command ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandEnd {
    /// With this exit code.
    #[error("exit code {0}")]
    Exit(u32),
    /// By this signal, such as `KILL`.
    #[error("killed by signal {0}")]
    Signal(String),
    /// The node did not say.
    #[error("its channel was closed")]
    Unknown,
}

/// The line with which OpenSSH 9.8 and later drop a connection (`drop_connection` in sshd.c).
const NOT_ALLOWED: &str = "Not allowed at this time";
/// The same of earlier versions.
const MAX_STARTUPS: &str = "Exceeded MaxStartups";

impl NodeFailure {
    /// The failure of a node that speaks and then closes the connection, or speaks on, without an SSH
    /// version.
    pub(super) fn no_version(address: SocketAddr, said: &[u8]) -> Self {
        let line = said.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match String::from_utf8_lossy(line).trim_end() {
            NOT_ALLOWED => Self::Penalised,
            MAX_STARTUPS => Self::TooManyLogins,
            line => Self::NotSsh {
                address,
                said: harmless(line),
            },
        }
    }
}

/// A command's stderr as the end of a sentence.
pub(super) fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(", \"{stderr}\"")
    }
}

/// Whole seconds, rounded up, since "next attempt in 0 s" is never true.
fn seconds(length: Duration) -> String {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn silence_is_no_answer_of_the_node() {
        let address = "192.0.2.1:22".parse().unwrap();
        for (stage, reason, kind) in [
            (
                Stage::Connecting(address),
                FailureReason::Unreachable,
                FailureKind::Unreachable,
            ),
            (
                Stage::LoggingIn(address),
                FailureReason::Timeout,
                FailureKind::Transient,
            ),
        ] {
            let failure = NodeFailure::TimedOut(stage);
            assert_eq!((failure.reason(), failure.kind()), (reason, kind));
        }
    }

    #[test]
    fn broken_connection_is_closed() {
        for number in [
            nix::libc::ECONNRESET,
            nix::libc::EPIPE,
            nix::libc::ETIMEDOUT,
            nix::libc::ECONNABORTED,
            nix::libc::EHOSTUNREACH,
        ] {
            let error = std::io::Error::from_raw_os_error(number);
            let failure = NodeFailure::from(russh::Error::IO(error));
            assert!(matches!(failure, NodeFailure::Closed(_)), "{failure}");
            assert_eq!(failure.kind(), FailureKind::Unreachable);
            // Each further attempt would be a login.
            assert_eq!(failure.after_login().kind(), FailureKind::Transient);
        }
    }

    #[test]
    fn wait_is_rounded_up() {
        let text = |nanoseconds| seconds(Duration::from_nanos(nanoseconds));
        assert_eq!([text(1), text(1_000_000_000)], ["1 s", "1 s"]);
        assert_eq!(text(1_000_000_001), "2 s");
    }
}
