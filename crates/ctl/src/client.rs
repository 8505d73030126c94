//! The client's side of the daemon's sockets: connect, one line out, one line in, within a
//! deadline.

use crate::config::or_variable;
use crate::error::{CommandError, ErrorCode};
use clap::{Args, ValueHint};
use pulse_core::config::Config;
use pulse_core::rpc::{MAX_REQUEST_BYTES, Method};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The longest response that is accepted, in bytes: a thousand nodes are some 8 MB.
const MAX_RESPONSE_BYTES: u64 = 256 << 20;

/// A longer time is a typing mistake.
const MAX_SECONDS: Duration = Duration::from_hours(24);

/// The heading of these options in `--help`.
const DAEMON: &str = "Daemon";

/// The daemon that is asked. For commands that ask it, and no others.
#[derive(Debug, Args)]
pub(crate) struct DaemonOptions {
    /// The daemon's socket for callers [env: PULSE_SENSOR_PROXY_SOCKET] [default: the control
    /// socket where your user can open it, else the callers' socket]
    #[arg(long, help_heading = DAEMON, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,

    /// The daemon's control socket, tried first [env: PULSE_SENSOR_PROXY_CONTROL_SOCKET]
    #[arg(long, help_heading = DAEMON, value_name = "PATH", value_hint = ValueHint::FilePath)]
    control_socket: Option<PathBuf>,

    /// How long to wait for the daemon's response
    #[arg(
        long,
        help_heading = DAEMON,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds
    )]
    timeout: Duration,
}

impl DaemonOptions {
    /// A client of this daemon.
    pub(crate) fn client(self) -> Client {
        let control = or_variable(self.control_socket, "PULSE_SENSOR_PROXY_CONTROL_SOCKET");
        let callers = or_variable(self.socket, "PULSE_SENSOR_PROXY_SOCKET");
        let default = Config::default();
        Client {
            sockets: match (control, callers) {
                // A single name excludes the other socket's default, which may be another
                // daemon's.
                (Some(socket), None) | (None, Some(socket)) => Sockets {
                    control: None,
                    callers: socket,
                },
                (Some(control), Some(callers)) => Sockets {
                    control: Some(control),
                    callers,
                },
                (None, None) => Sockets {
                    control: Some(default.control_socket),
                    callers: default.socket,
                },
            },
            timeout: self.timeout,
        }
    }
}

/// A number of seconds, for `--timeout` and `--watch`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let length = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match length {
        // The lower bound keeps `--watch` from asking without a pause.
        Some(length) if (Duration::from_millis(100)..=MAX_SECONDS).contains(&length) => Ok(length),
        _ => Err("expected a number of seconds from 0.1 to 86400".to_owned()),
    }
}

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
        // Only who may enter its directory learns that it is missing: root, who would be told to
        // ask over this very socket.
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

/// A number of milliseconds that the daemon sent.
pub(crate) fn milliseconds(value: &RawValue) -> Option<Duration> {
    serde_json::from_str(value.get())
        .ok()
        .map(Duration::from_millis)
}

/// Whole seconds, rounded up: who waits so long is not refused again.
pub(crate) fn seconds_up(time: Duration) -> String {
    format!("{} s", time.as_millis().div_ceil(1000))
}

/// The remedy for a socket that has no file, given the daemon that runs.
fn without_socket(running: Option<u32>) -> Cow<'static, str> {
    match running {
        // A daemon that has lost its socket listens on, and nobody can reach it.
        Some(process) => format!(
            "pulse-sensor-proxy runs (process {process}), so its socket is elsewhere (name it with \
             --socket) or its file was removed: then run `systemctl stop \
             pulse-sensor-proxy.service`, `systemctl restart pulse-sensor-proxy.socket` and \
             `systemctl start pulse-sensor-proxy.service`"
        )
        .into(),
        None => "is pulse-sensor-proxy running? No such process is visible: start it (systemctl \
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

/// The sockets of one daemon.
#[derive(Clone, Debug)]
struct Sockets {
    /// Tried first: who can open it has every capability.
    control: Option<PathBuf>,
    /// Tried where the control socket cannot be opened.
    callers: PathBuf,
}

impl Sockets {
    /// Connects to the first that can be opened.
    async fn connect(&self) -> Result<Connected<'_>, DaemonError> {
        // An error of the control socket is not reported: most users cannot open it, and that of
        // the callers' socket has the remedy for them.
        let mut no_control = None;
        if let Some(control) = &self.control {
            match UnixStream::connect(control).await {
                Ok(stream) => {
                    return Ok(Connected {
                        stream,
                        socket: control,
                        no_control,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    no_control = Some(control.as_path());
                }
                Err(_) => {}
            }
        }
        match UnixStream::connect(&self.callers).await {
            Ok(stream) => Ok(Connected {
                stream,
                socket: &self.callers,
                no_control,
            }),
            Err(source) => Err(DaemonError::Connect {
                socket: self.callers.clone(),
                source,
            }),
        }
    }
}

/// A connection to the daemon.
struct Connected<'a> {
    stream: UnixStream,
    socket: &'a Path,
    /// The control socket, if its file does not exist.
    no_control: Option<&'a Path>,
}

/// A client of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    sockets: Sockets,
    timeout: Duration,
}

/// A response of the daemon.
#[derive(Debug)]
pub(crate) struct Response {
    /// The whole line.
    pub(crate) line: Box<RawValue>,
    /// The socket that it was received on.
    pub(crate) socket: PathBuf,
    /// Its data, or its error.
    pub(crate) outcome: Result<Box<RawValue>, Refusal>,
}

impl Client {
    /// The timeout of a response.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// This client with another timeout.
    pub(crate) fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// Sends one request, on a connection of its own, and returns the data of its response.
    ///
    /// # Errors
    /// [`DaemonError`], also when the response says that the request failed.
    pub(crate) async fn data(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Box<RawValue>, DaemonError> {
        self.ask(method, params)
            .await?
            .outcome
            .map_err(DaemonError::Refused)
    }

    /// Sends one request, on a connection of its own, and returns its response.
    ///
    /// # Errors
    /// [`DaemonError`] when there is none. A response that says that the request failed is
    /// no error here.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Result<Response, DaemonError> {
        let mut line = json!({"method": method, "params": params}).to_string();
        line.push('\n');
        // The daemon would refuse it and record an oversized request.
        if line.len() > MAX_REQUEST_BYTES {
            return Err(DaemonError::TooLong);
        }
        // One deadline for the whole exchange: a daemon that sends byte by byte would extend a
        // deadline of each read.
        let answer = timeout(self.timeout, self.exchange(line.as_bytes())).await;
        let (answer, socket, no_control) = answer.unwrap_or_else(|_| {
            Err(DaemonError::Timeout {
                socket: self.sockets.callers.clone(),
                timeout: self.timeout,
            })
        })?;
        let mut response = Response::parse(&answer, socket)
            .ok_or_else(|| DaemonError::NotAResponse(socket.to_owned()))?;
        if let Err(refusal) = &mut response.outcome {
            refusal.no_control = no_control.map(Path::to_owned);
        }
        Ok(response)
    }

    async fn exchange(
        &self,
        request: &[u8],
    ) -> Result<(Vec<u8>, &Path, Option<&Path>), DaemonError> {
        let Connected {
            mut stream,
            socket,
            no_control,
        } = self.sockets.connect().await?;
        let sent = stream.write_all(request).await;
        let mut answer = Vec::new();
        // The options can name the socket of any program, so the length of the response is bounded.
        let received = BufReader::new(stream)
            .take(MAX_RESPONSE_BYTES)
            .read_until(b'\n', &mut answer)
            .await;
        // A daemon that refuses a caller may close the connection before it reads the request:
        // then sending fails, and the response has the reason.
        match received.and(sent) {
            _ if !answer.is_empty() => Ok((answer, socket, no_control)),
            Ok(()) => Err(DaemonError::NoAnswer(socket.to_owned())),
            Err(source) => Err(DaemonError::Broken {
                socket: socket.to_owned(),
                source,
            }),
        }
    }
}

impl Response {
    fn parse(line: &[u8], socket: &Path) -> Option<Self> {
        // Raw values keep the digits of numbers, which JSON output passes on.
        let line: Box<RawValue> = serde_json::from_slice(line).ok()?;
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line.get()).ok()?;
        let outcome = if serde_json::from_str(members.get("success")?.get()).ok()? {
            Ok(members
                .remove("data")
                .unwrap_or_else(|| RawValue::NULL.to_owned()))
        } else {
            let error = members.get("error").map_or("\"\"", |text| text.get());
            let retry_in = members.get("retry_in_ms");
            Err(Refusal {
                error: serde_json::from_str(error).ok()?,
                retry_in: retry_in.and_then(|ms| milliseconds(ms)),
                // An older daemon has none.
                detail: members
                    .get("detail")
                    .and_then(|detail| serde_json::from_str(detail.get()).ok()),
                no_control: None,
            })
        };
        Some(Self {
            line,
            socket: socket.to_owned(),
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_remedy() {
        for (error, code, part) in [
            ("unauthorized", ErrorCode::PermissionDenied, "allowed_peers"),
            (
                "method requires admin capability",
                ErrorCode::PermissionDenied,
                "\"admin\" in allowed_peers",
            ),
            (RATE_LIMITED, ErrorCode::TryAgain, "within seconds"),
            (
                "node \"pve1\" not read: out of file descriptors",
                ErrorCode::TryAgain,
                "LimitNOFILE=",
            ),
            (
                "node \"pve1\" not read: out of memory",
                ErrorCode::TryAgain,
                "log",
            ),
            (NOT_FORWARDING, ErrorCode::Config, "[forward]"),
        ] {
            let refused = DaemonError::Refused(Refusal {
                error: error.to_owned(),
                retry_in: None,
                detail: None,
                no_control: None,
            });
            let remedy = refused.remedy().unwrap();
            assert!(remedy.contains(part), "{remedy}");
            assert_eq!(refused.code(), code, "{error}");
        }
    }

    #[test]
    fn missing_socket_names_the_daemon() {
        let gone = without_socket(Some(42));
        for part in [
            "runs (process 42)",
            "pulse-sensor-proxy.socket`",
            "--socket",
        ] {
            assert!(gone.contains(part), "{gone}");
        }
        let ended = without_socket(None);
        assert!(
            ended.contains("systemctl start pulse-sensor-proxy"),
            "{ended}"
        );
    }

    #[test]
    fn root_learns_of_a_missing_control_socket() {
        let refused = |no_control: Option<&str>| {
            let refused = DaemonError::Refused(Refusal {
                error: "unauthorized".to_owned(),
                retry_in: None,
                detail: None,
                no_control: no_control.map(PathBuf::from),
            });
            refused.remedy().unwrap().into_owned()
        };
        assert!(refused(Some("/run/c.sock")).contains("/run/c.sock does not exist"));
        assert!(refused(None).contains("allowed_peers"));
    }

    #[test]
    fn limiters_refusal_says_when() {
        let line = r#"{"success":false,"error":"rate limit exceeded","retry_in_ms":2001}"#;
        let refusal = Response::parse(line.as_bytes(), Path::new("s")).unwrap();
        let refused = DaemonError::Refused(refusal.outcome.unwrap_err());
        assert!(refused.remedy().unwrap().contains("possible in 3 s"));
    }

    #[test]
    fn unavailable_log_has_its_cause() {
        let remedy = |detail: &str| {
            let line = format!(r#"{{"success":false,"error":"audit log unavailable"{detail}}}"#);
            let refusal = Response::parse(line.as_bytes(), Path::new("s")).unwrap();
            let refused = DaemonError::Refused(refusal.outcome.unwrap_err());
            refused.remedy().unwrap().into_owned()
        };
        let full = "cannot write the audit log: No space left on device: free space";
        assert_eq!(remedy(&format!(r#","detail":"{full}""#)), full);
        assert_eq!(remedy(""), "its log says why");
    }

    fn outcome(line: &str) -> Option<Result<String, String>> {
        let response = Response::parse(line.as_bytes(), Path::new("s"))?;
        let outcome = response.outcome.map(|data| data.get().to_owned());
        Some(outcome.map_err(|refusal| refusal.error))
    }

    #[test]
    fn responses_are_data_or_errors() {
        let data = r#"{"correlation_id":"i","success":true,"data":{"b":1.0,"a":2}}"#;
        let data_text = r#"{"b":1.0,"a":2}"#.to_owned();
        assert_eq!(outcome(data), Some(Ok(data_text)));
        let error = "{\"success\":false,\"error\":\"no\"}\n";
        assert_eq!(outcome(error), Some(Err("no".into())));
        assert_eq!(outcome("{\"success\":true}"), Some(Ok("null".into())));
        for line in [
            "",
            "HTTP/1.1 400",
            "[]",
            "{}",
            "{\"success\":1}",
            "{\"success\":false,\"error\":1}",
        ] {
            assert_eq!(outcome(line), None, "{line}");
        }
    }
}
