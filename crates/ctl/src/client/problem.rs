//! The errors of a request, with their remedies.

use super::seconds_up;
use crate::error::{CommandError, ErrorCode};
use pulse_core::rpc::{MAX_REQUEST_BYTES, Method};
use std::borrow::Cow;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// The reason that a request has no data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The socket cannot be connected to.
    #[error("{}", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    /// The connection broke.
    #[error("{}: the connection broke", socket.display())]
    Broken { socket: PathBuf, source: io::Error },
    /// The daemon closed the connection without a response.
    #[error("{}: closed without an answer", .0.display())]
    NoAnswer(PathBuf),
    /// The deadline passed.
    #[error("{}: no answer within {} s", socket.display(), timeout.as_secs_f64())]
    Timeout { socket: PathBuf, timeout: Duration },
    /// The request does not fit in a line of the protocol.
    #[error("the request has more than {MAX_REQUEST_BYTES} bytes, which no daemon accepts")]
    TooLong,
    /// The received line is not a response of the protocol.
    #[error("{}: what answers there is no pulse-sensor-proxy", .0.display())]
    NotAResponse(PathBuf),
    /// The response's data do not have the shape that the protocol says.
    #[error("the daemon's response is not understood ({0})")]
    Data(&'static str),
    /// The daemon responded with an error. Its texts are fixed: docs/protocol.md.
    #[error("the daemon refused: {}", .0.error)]
    Refused(Refusal),
}

/// A request that the daemon did not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The text of the error.
    pub(crate) error: String,
    /// The time after which the limiter lets the caller ask again.
    pub(crate) retry_in: Option<Duration>,
    /// The cause that the text leaves out.
    pub(crate) detail: Option<String>,
    /// The control socket, if it was asked for and its file does not exist.
    pub(crate) no_control: Option<PathBuf>,
}

impl Refusal {
    /// The limiter's refusal, if it is one.
    pub(crate) fn is_limit(&self) -> bool {
        self.error == RATE_LIMITED
    }
}

impl CommandError for DaemonError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
                io::ErrorKind::WouldBlock => ErrorCode::TryAgain,
                _ => ErrorCode::DaemonUnreachable,
            },
            Self::Broken { .. } | Self::NoAnswer(_) | Self::Timeout { .. } => {
                ErrorCode::DaemonSilent
            }
            Self::TooLong => ErrorCode::Usage,
            Self::NotAResponse(_) | Self::Data(_) => ErrorCode::BadResponse,
            Self::Refused(refused) => refusal(refused).0,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        let remedy = match self {
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => return Some(without_socket(running_daemon())),
                io::ErrorKind::ConnectionRefused => {
                    "the daemon that made this socket has ended: start it (systemctl start \
                     pulse-sensor-proxy)"
                }
                io::ErrorKind::PermissionDenied => "your user cannot open it: run as root",
                io::ErrorKind::WouldBlock => "too many callers are waiting: try again",
                _ => "name the daemon's socket with --socket",
            },
            Self::Broken { .. } | Self::NoAnswer(_) => "see the daemon's log",
            Self::Timeout { .. } => "see the daemon's log, or wait longer with --timeout",
            Self::TooLong => "ask for fewer nodes at a time",
            Self::NotAResponse(_) => "name the daemon's socket with --socket",
            Self::Data(_) => {
                concat!(
                    "is the daemon of version ",
                    env!("CARGO_PKG_VERSION"),
                    ", as this program is?"
                )
            }
            Self::Refused(refused) => return refusal(refused).1,
        };
        Some(remedy.into())
    }
}

/// The daemon's error for a configuration without collectors; `forward test` has the same.
pub(crate) const NOT_FORWARDING: &str = "forwarding is not configured";

/// The remedy for [`NOT_FORWARDING`].
pub(crate) const NOT_FORWARDING_REMEDY: &str = "name a collector below [forward] in the \
    daemon's configuration and restart it (docs/operations.md)";

/// The limiter's error. Commands that need several requests wait and try again.
pub(crate) const RATE_LIMITED: &str = "rate limit exceeded";

/// The kind of a daemon's error, and what to do about it.
fn refusal(
    Refusal {
        error,
        retry_in,
        detail,
        no_control,
    }: &Refusal,
) -> (ErrorCode, Option<Cow<'static, str>>) {
    // The protocol has no codes: its texts are fixed, and Pulse sorts errors by them too
    // (docs/protocol.md).
    let named = error.strip_prefix("node \"");
    let refusal = named.and_then(|rest| rest.split_once("\" not read: "));
    if let Some(control) = no_control
        && matches!(
            error.as_str(),
            "unauthorized" | "method requires admin capability"
        )
    {
        // Root would be told to ask over this very socket.
        return (
            ErrorCode::PermissionDenied,
            Some(
                format!(
                    "the control socket {} does not exist; the daemon makes it when it starts: run \
                     `systemctl restart pulse-sensor-proxy`",
                    control.display()
                )
                .into(),
            ),
        );
    }
    // A refusal of a request for one node has the node's name before it.
    let (code, remedy) = match refusal.map_or(error.as_str(), |(_, refusal)| refusal) {
        "unauthorized" => (
            ErrorCode::PermissionDenied,
            format!(
                "add {} to allowed_peers in the daemon's configuration, or ask as root over the \
                 control socket",
                user()
            )
            .into(),
        ),
        "method requires admin capability" => (
            ErrorCode::PermissionDenied,
            format!(
                "ask as root over the control socket, or give {} \"admin\" in allowed_peers",
                user()
            )
            .into(),
        ),
        RATE_LIMITED => (
            ErrorCode::TryAgain,
            format!(
                "the next request is possible {} (see [rate_limit] in the configuration)",
                retry_in.map_or_else(
                    || "within seconds".to_owned(),
                    |time| format!("in {}", seconds_up(time))
                )
            )
            .into(),
        ),
        // Passing: the daemon's log has a remedy for each too.
        "out of file descriptors" => (
            ErrorCode::TryAgain,
            "ask again in some seconds; if that lasts, raise LimitNOFILE= of the daemon's service"
                .into(),
        ),
        "the host is out of file descriptors" | "out of memory" => (
            ErrorCode::TryAgain,
            "ask again in some seconds; if that lasts, see the daemon's log".into(),
        ),
        "forwarding is busy" => (ErrorCode::TryAgain, "ask again in some seconds".into()),
        NOT_FORWARDING => (ErrorCode::Config, NOT_FORWARDING_REMEDY.into()),
        "unknown method" => {
            let known = Method::ALL.map(Method::as_str).join(", ");
            (
                ErrorCode::DaemonRefused,
                format!("there are {known}; an older daemon has fewer").into(),
            )
        }
        "audit log unavailable" => (
            ErrorCode::DaemonRefused,
            // With its own remedy.
            detail.clone().map_or("its log says why".into(), Cow::Owned),
        ),
        "the audit log has no loss to accept" => (
            ErrorCode::DaemonRefused,
            "if it refuses requests, its log says why".into(),
        ),
        _ => return (ErrorCode::DaemonRefused, None),
    };
    (code, Some(remedy))
}

/// The remedy for a socket that has no file, given the daemon that runs.
pub(super) fn without_socket(running: Option<u32>) -> Cow<'static, str> {
    match running {
        // A daemon that has lost its socket listens on, and nobody can reach it.
        Some(process) => format!(
            "is pulse-sensor-proxy running? Process {process} is, so its socket is elsewhere (name \
             it with --socket), or its file was removed: then run `systemctl stop \
             pulse-sensor-proxy.service`, `systemctl restart pulse-sensor-proxy.socket` and \
             `systemctl start pulse-sensor-proxy.service`"
        )
        .into(),
        None => "is pulse-sensor-proxy running? No process of it is visible: start it (systemctl \
                 start pulse-sensor-proxy), or name its socket with --socket"
            .into(),
    }
}

/// A process of the daemon, if this user can see one.
fn running_daemon() -> Option<u32> {
    // The kernel keeps 15 bytes of a program's name (proc(5), comm).
    const NAME: &[u8] = b"pulse-sensor-pr\n";
    // As many processes as a kernel has by default; more are not looked at.
    const MAX_PROCESSES: usize = 32_768;
    let entries = std::fs::read_dir("/proc").ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut ids = names
        .filter_map(|name| name.parse::<u32>().ok())
        .take(MAX_PROCESSES);
    ids.find(|id| {
        let file = PathBuf::from(format!("/proc/{id}/comm"));
        pulse_files::read(&file, NAME.len()).is_ok_and(|name| name == NAME)
    })
}

/// This process's user, as allowed_peers names it.
fn user() -> String {
    // /proc/self belongs to the effective user (proc(5)), whom the daemon sees too.
    std::fs::metadata("/proc/self").map_or_else(
        |_| "your user id".to_owned(),
        |process| format!("your user id ({})", process.uid()),
    )
}
