//! The metrics port: `GET /metrics` and `GET /ready`, one request for each connection.
//! `core::metrics::scrapers` decides which connection is closed when there are too many,
//! `core::metrics::host_header` which host names are answered.

use crate::observe::exposition::Format;
use crate::state::Daemon;
use crate::sys::accept;
use pulse_core::metrics::host_header::{HostNames, HostRefusal, Version};
use pulse_core::metrics::scrapers::{Lane, Scrapers, Slot, reuse_time};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

/// The longest request head, in bytes.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// Bytes that are read and discarded after a request, so that a client that sends a body
/// gets its answer.
const MAX_REST: usize = 64 * 1024;

/// State that all connections share.
#[derive(Default)]
struct Listener {
    scrapers: Mutex<Scrapers<Closer>>,
    /// The metrics as they were last rendered, for each format.
    texts: [Mutex<Option<Rendered>>; 2],
}

/// Rendered metrics, which are served until they are rendered again.
struct Rendered {
    text: Arc<str>,
    until: Instant,
}

impl Listener {
    fn metrics(&self, format: Format, daemon: &Daemon) -> Arc<str> {
        let now = Instant::now();
        let [open_metrics, text] = &self.texts;
        // The lock is held while the text is rendered: scrapes that come together render it once.
        let mut last = lock(match format {
            Format::OpenMetrics => open_metrics,
            Format::Text => text,
        });
        if let Some(rendered) = last.as_ref().filter(|last| now < last.until) {
            return Arc::clone(&rendered.text);
        }
        daemon.readings.publish_failing();
        let text: Arc<str> = format.convert(daemon.metrics.encode()).into();
        *last = Some(Rendered {
            until: now + reuse_time(text.len()),
            text: Arc::clone(&text),
        });
        text
    }
}

/// Closes its connection when dropped.
type Closer = oneshot::Sender<Infallible>;

/// Serves scrapes until dropped.
pub(crate) async fn serve(listener: TcpListener, daemon: Arc<Daemon>) {
    let shared = Arc::new(Listener::default());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (closer, closed) = oneshot::channel();
                let visit = Visit {
                    slot: lock(&shared.scrapers).accept(closer, Instant::now()),
                    listener: Arc::clone(&shared),
                    closed,
                };
                tokio::spawn(serve_connection(stream, visit, Arc::clone(&daemon)));
                // Requests that have come are read before more connections are accepted and
                // push them out.
                tokio::task::yield_now().await;
            }
            Err(error) => accept::METRICS.pause(&error).await,
        }
    }
}

/// A connection's place among all; released when dropped.
struct Visit {
    listener: Arc<Listener>,
    slot: Slot,
    /// Completes when the connection is to be closed.
    closed: oneshot::Receiver<Infallible>,
}

impl Visit {
    /// The future's outcome; `None` when the connection is to be closed or times out.
    async fn within<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // A connection that has lost its place does no more work, even if it is ready.
            biased;
            _ = &mut self.closed => None,
            outcome = timeout_at(self.slot.deadline.into(), future) => outcome.ok(),
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        lock(&self.listener.scrapers).release(&self.slot);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one connection. Failures are the client's alone and are not logged.
async fn serve_connection(mut stream: TcpStream, mut visit: Visit, daemon: Arc<Daemon>) {
    let config = daemon.config();
    let Some(Ok(request)) = visit
        .within(read_request(&mut stream, &config.metrics.host_names))
        .await
    else {
        return;
    };
    // A slow client must not keep a configuration in memory that a reload has replaced.
    drop(config);
    let lane = request.lane();
    // `None` when this connection was closed in the meantime, to make room for others.
    let Some(slot) = lock(&visit.listener.scrapers).answer(&visit.slot, lane, Instant::now())
    else {
        return;
    };
    visit.slot = slot;
    let reply = Reply::to(&request, &visit.listener, &daemon);
    let _ = visit.within(answer(stream, reply)).await;
}

async fn answer(mut stream: TcpStream, reply: Reply) -> io::Result<()> {
    stream.write_all(reply.head().as_bytes()).await?;
    stream.write_all(reply.body.as_bytes()).await?;
    // The text is no longer needed; the client may take its time from here on.
    drop(reply);
    stream.shutdown().await?;
    // Closing with unread input would reset the connection, and the answer with it.
    let (mut rest, mut read) = ([0; 1024], 0);
    while read < MAX_REST {
        match stream.read(&mut rest).await? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

struct Reply {
    status: &'static str,
    kind: &'static str,
    body: Arc<str>,
}

impl Reply {
    fn to(request: &Request, listener: &Listener, daemon: &Daemon) -> Self {
        match request {
            Request::Metrics(format) => Self {
                status: "200 OK",
                kind: format.content_type(),
                body: listener.metrics(*format, daemon),
            },
            Request::Readiness => {
                // While no record can be written, every reading is refused; while the callers'
                // socket has no file, no caller can ask for one.
                let health = daemon.recorder.health();
                let problem = if health.available {
                    daemon.lost_socket()
                } else {
                    let error = health.last_error.unwrap_or_default();
                    Some(format!("audit log unavailable: {error}"))
                };
                match problem {
                    None => Self::text("200 OK", "ready\n".into()),
                    Some(problem) => Self::text("503 Service Unavailable", format!("{problem}\n")),
                }
            }
            Request::Refused(refusal) => Self::text(refusal.status(), format!("{refusal}\n")),
        }
    }

    fn text(status: &'static str, body: String) -> Self {
        Self {
            status,
            kind: "text/plain",
            body: body.into(),
        }
    }

    /// A 405 must have `Allow` (RFC 9110, section 15.5.6); the others may.
    fn head(&self) -> String {
        format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nAllow: GET\r\nConnection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        )
    }
}

/// A parsed request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The metrics, in this format.
    Metrics(Format),
    /// The readiness: 200 while requests are served.
    Readiness,
    /// A request that is refused.
    Refused(Refusal),
}

/// The reason that a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not an HTTP/1 request, too long, or cut off.
    #[error("malformed request")]
    Malformed,
    /// The `Host` is missing, repeated, or not permitted.
    #[error("{0}")]
    Host(HostRefusal),
    /// Another method than GET.
    #[error("only GET")]
    Method,
    /// Another path.
    #[error("metrics are at /metrics, readiness is at /ready")]
    Path,
}

impl Refusal {
    fn status(&self) -> &'static str {
        match self {
            // RFC 9110, section 15.5.20: this server does not answer for that host.
            Self::Host(HostRefusal::NotListed(_)) => "421 Misdirected Request",
            Self::Malformed | Self::Host(_) => "400 Bad Request",
            Self::Method => "405 Method Not Allowed",
            Self::Path => "404 Not Found",
        }
    }
}

impl Request {
    fn lane(&self) -> Lane {
        match self {
            Self::Metrics(_) => Lane::Metrics,
            Self::Readiness => Lane::Readiness,
            Self::Refused(_) => Lane::Refusals,
        }
    }
}

async fn read_request(stream: &mut TcpStream, names: &HostNames) -> io::Result<Request> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let before = head.len();
        let count = stream.read_buf(&mut head).await?;
        if count == 0 && head.is_empty() {
            // A connection without a request, such as a port scan's.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Parsed only when it may be complete: else a client that sends byte by byte would
        // have the whole head parsed for each byte.
        if may_end(&head, before)
            && let Some(request) = parse(&head, names)
        {
            return Ok(request);
        }
        if count == 0 || head.len() >= MAX_HEAD {
            return Ok(Request::Refused(Refusal::Malformed));
        }
    }
}

/// True if an empty line ends in the bytes after `from`.
fn may_end(head: &[u8], from: usize) -> bool {
    // The end of the line before can be among the bytes that were there already. A bare LF
    // ends a line too (RFC 9112, section 2.2).
    let new = head.get(from.saturating_sub(2)..).unwrap_or_default();
    new.windows(3).any(|end| end == b"\n\r\n") || new.windows(2).any(|end| end == b"\n\n")
}

/// Parses a head; `None` while it is incomplete.
#[must_use]
pub(crate) fn parse(head: &[u8], names: &HostNames) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => None,
        Err(_) => Some(Request::Refused(Refusal::Malformed)),
        Ok(httparse::Status::Complete(_)) => {
            Some(judge(&request, names).unwrap_or_else(Request::Refused))
        }
    }
}

/// The host is checked first: a web page that rebinds DNS learns nothing else.
fn judge(request: &httparse::Request<'_, '_>, names: &HostNames) -> Result<Request, Refusal> {
    let version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let values = |name: &'static str| {
        request
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    names
        .check(version, values("host"))
        .map_err(Refusal::Host)?;
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    // Queries are ignored: neither path has parameters.
    match request.path.unwrap_or("").split('?').next() {
        Some("/metrics") => Ok(Request::Metrics(
            values("accept")
                .next()
                .map_or(Format::Text, Format::accepted),
        )),
        Some("/ready") => Ok(Request::Readiness),
        _ => Err(Refusal::Path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Option<Request> {
        parse(head.as_bytes(), &HostNames::default())
    }

    fn refused(refusal: Refusal) -> Option<Request> {
        Some(Request::Refused(refusal))
    }

    #[test]
    fn only_get_of_two_paths_is_answered() {
        let metrics = |format| Some(Request::Metrics(format));
        let head = "GET /metrics HTTP/1.1\r\nHost: [::1]:9456\r\n\r\n";
        assert_eq!(parsed(head), metrics(Format::Text));
        let head = "GET /metrics?x=1 HTTP/1.0\r\naccept: application/openmetrics-text\r\n\r\n";
        assert_eq!(parsed(head), metrics(Format::OpenMetrics));
        assert_eq!(parsed("GET /ready HTTP/1.0\n\n"), Some(Request::Readiness));
        let host = "HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let other = parsed(&format!("GET / {host}"));
        assert_eq!(other, refused(Refusal::Path));
        let post = parsed(&format!("POST /metrics {host}"));
        assert_eq!(post, refused(Refusal::Method));
        assert_eq!(parsed("\0\0\0\0\r\n\r\n"), refused(Refusal::Malformed));
        assert_eq!(parsed("GET /metr"), None);
    }

    #[test]
    fn host_is_judged_before_anything_else() {
        for line in ["GET /metrics", "GET /x", "POST /ready"] {
            let head = format!("{line} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
            let Some(Request::Refused(refusal @ Refusal::Host(_))) = parsed(&head) else {
                panic!("{head}");
            };
            assert_eq!(refusal.status(), "421 Misdirected Request");
        }
        let missing = "GET /metrics HTTP/1.1\r\n\r\n";
        assert_eq!(
            parsed(missing),
            refused(Refusal::Host(HostRefusal::Missing))
        );
        let twice = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n";
        assert_eq!(parsed(twice), refused(Refusal::Host(HostRefusal::Repeated)));
    }

    #[test]
    fn end_of_a_head_is_found_in_pieces() {
        for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\n\n", "G\n\r\n"] {
            for cut in 1..head.len() {
                let (bytes, cut_short) = (head.as_bytes(), &head.as_bytes()[..head.len() - 1]);
                assert!(may_end(bytes, cut), "{head:?} {cut}");
                assert!(!may_end(cut_short, cut - 1), "{head:?} {cut}");
            }
        }
    }
}
