//! The client's side of the daemon's sockets: connect, one line out, one line in, within a
//! deadline.

mod problem;

pub(crate) use problem::{
    DaemonError, NOT_FORWARDING, NOT_FORWARDING_REMEDY, RATE_LIMITED, Refusal,
};

use crate::config::or_variable;
use clap::{Args, ValueHint};
use pulse_core::config::Config;
use pulse_core::rpc::MAX_REQUEST_BYTES;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
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
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && is_administrator_of(control) =>
                {
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

/// True if the missing control socket is this user's to make again: root's, where its directory is
/// there. A container that mounts the callers' directory alone has neither, whoever asks there.
fn is_administrator_of(control: &Path) -> bool {
    nix::unistd::geteuid().is_root() && control.parent().is_some_and(Path::is_dir)
}

/// A connection to the daemon.
struct Connected<'a> {
    stream: UnixStream,
    socket: &'a Path,
    /// The control socket, if root does not find its file in its directory.
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
mod tests;
