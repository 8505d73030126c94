//! The client's side of the sockets: connect, one line out, one line in, within a
//! deadline.

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

/// The longest response that is taken, in bytes: a thousand nodes are some 8 MB.
const MAX_RESPONSE_BYTES: u64 = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The socket cannot be connected to.
    #[error("{}: {error}: {}", socket.display(), remedy(error))]
    Connect {
        /// Which socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The connection broke.
    #[error("{}: the connection broke ({error}): look into the daemon's log", socket.display())]
    Broken {
        /// Which socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The daemon closed without a word.
    #[error("{}: closed without an answer: look into the daemon's log", .0.display())]
    NoAnswer(PathBuf),
    /// The deadline passed.
    #[error("{}: no answer within {} s: look into the daemon's log, or wait longer with --timeout", socket.display(), patience.as_secs_f64())]
    Silent {
        /// Which socket.
        socket: PathBuf,
        /// How long we waited.
        patience: Duration,
    },
    /// The request does not fit a line.
    #[error(
        "the request has more than {MAX_REQUEST_BYTES} bytes, which no daemon takes: ask for fewer nodes at a time"
    )]
    TooLong,
    /// What came is no response.
    #[error("{}: what answers there is no pulse-sensor-proxy: name its socket with --socket", .0.display())]
    NotAResponse(PathBuf),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "is pulse-sensor-proxy running? Start it (systemctl start pulse-sensor-proxy), or name its socket with --socket"
        }
        io::ErrorKind::ConnectionRefused => {
            "the daemon that made this socket has ended: start it (systemctl start pulse-sensor-proxy)"
        }
        io::ErrorKind::PermissionDenied => "your user cannot open it: try as root",
        io::ErrorKind::WouldBlock => "too many callers are waiting: try again",
        _ => "name the daemon's socket with --socket",
    }
}

/// The sockets of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// Tried first: whoever can open it administers.
    control: Option<PathBuf>,
    /// Tried where that one cannot be opened.
    callers: PathBuf,
}

impl Sockets {
    /// One socket and no other.
    pub(crate) fn only(socket: PathBuf) -> Self {
        Self {
            control: None,
            callers: socket,
        }
    }

    /// The sockets that were named. A single name excludes the other socket's default,
    /// which may be another daemon's.
    pub(crate) fn choose(control: Option<PathBuf>, callers: Option<PathBuf>) -> Self {
        let default = Config::default();
        match (control, callers) {
            (Some(socket), None) | (None, Some(socket)) => Self::only(socket),
            (Some(control), Some(callers)) => Self {
                control: Some(control),
                callers,
            },
            (None, None) => Self {
                control: Some(default.control_socket),
                callers: default.socket,
            },
        }
    }

    /// Connects to the first that can be opened.
    async fn connect(&self) -> Result<(UnixStream, &Path), ClientError> {
        if let Some(control) = &self.control
            && let Ok(stream) = UnixStream::connect(control).await
        {
            return Ok((stream, control));
        }
        let stream = UnixStream::connect(&self.callers).await;
        let stream = stream.map_err(|error| ClientError::Connect {
            socket: self.callers.clone(),
            error,
        })?;
        Ok((stream, &self.callers))
    }
}

/// A client of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    sockets: Sockets,
    patience: Duration,
}

/// What a daemon answered.
#[derive(Debug)]
pub(crate) struct Response {
    /// The whole line, without its newline: valid JSON.
    pub(crate) line: String,
    /// The socket that it came over.
    pub(crate) socket: PathBuf,
    /// Its data, or the text of its error.
    pub(crate) outcome: Result<Box<RawValue>, String>,
}

impl Client {
    /// A client of the daemon at these sockets, which waits so long for an answer.
    pub(crate) fn new(sockets: Sockets, patience: Duration) -> Self {
        Self { sockets, patience }
    }

    /// How long an answer is waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Sends one request and takes its response, on a connection of its own.
    ///
    /// # Errors
    /// [`ClientError`] when there is none; a response that says that the request
    /// failed is none of them.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Result<Response, ClientError> {
        let mut line = json!({"method": method, "params": params}).to_string();
        line.push('\n');
        if line.len() > MAX_REQUEST_BYTES {
            return Err(ClientError::TooLong);
        }
        let answer = timeout(self.patience, self.exchange(line.as_bytes())).await;
        let (answer, socket) = answer.unwrap_or_else(|_| {
            Err(ClientError::Silent {
                socket: self.sockets.callers.clone(),
                patience: self.patience,
            })
        })?;
        Response::parse(answer, socket).ok_or_else(|| ClientError::NotAResponse(socket.to_owned()))
    }

    async fn exchange(&self, request: &[u8]) -> Result<(Vec<u8>, &Path), ClientError> {
        let (mut stream, socket) = self.sockets.connect().await?;
        let sent = stream.write_all(request).await;
        let mut answer = Vec::new();
        let mut source = BufReader::new(stream).take(MAX_RESPONSE_BYTES);
        let received = source.read_until(b'\n', &mut answer).await;
        // One that refuses us may do so before it has read what we sent.
        match received.and(sent) {
            _ if !answer.is_empty() => Ok((answer, socket)),
            Ok(()) => Err(ClientError::NoAnswer(socket.to_owned())),
            Err(error) => Err(ClientError::Broken {
                socket: socket.to_owned(),
                error,
            }),
        }
    }
}

impl Response {
    fn parse(line: Vec<u8>, socket: &Path) -> Option<Self> {
        let line = String::from_utf8(line).ok()?;
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&line).ok()?;
        let success: bool = serde_json::from_str(members.get("success")?.get()).ok()?;
        let outcome = if success {
            let nothing = RawValue::NULL.to_owned();
            Ok(members.get("data").cloned().unwrap_or(nothing))
        } else {
            let error = members.get("error").map_or("\"\"", |text| text.get());
            Err(serde_json::from_str(error).ok()?)
        };
        Some(Self {
            line: line.trim_end().to_owned(),
            socket: socket.to_owned(),
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: &str) -> Option<Result<String, String>> {
        let response = Response::parse(line.as_bytes().to_vec(), Path::new("s"))?;
        Some(response.outcome.map(|data| data.get().to_owned()))
    }

    #[test]
    fn a_response_is_data_or_an_error_and_nothing_else_is_one() {
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
