//! Serves the metrics (`GET /metrics`) and whether we serve (`GET /ready`): one
//! request a connection, nothing else.

use crate::daemon::Daemon;
use crate::exposition::Format;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Scrapes at a time; Prometheus needs one.
const MAX_CONNECTIONS: usize = 16;
/// For a whole scrape.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest request head, in bytes.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// Serves scrapes until dropped.
pub async fn serve(listener: TcpListener, daemon: Arc<Daemon>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = Arc::clone(&daemon);
                tokio::spawn(async move {
                    let _permit = permit;
                    // A scraper that goes away or dawdles is its own loss.
                    let _ = timeout(DEADLINE, answer(stream, &daemon)).await;
                });
            }
            Err(error) => crate::listener::after_accept_error("metrics", &error).await,
        }
    }
}

async fn answer(mut stream: TcpStream, daemon: &Daemon) -> std::io::Result<()> {
    let (status, kind, body) = match read_target(&mut stream).await? {
        Target::Metrics(format) => (
            "200 OK",
            format.content_type(),
            format.convert(daemon.metrics.encode()),
        ),
        Target::Readiness => readiness(daemon),
        Target::Other => (
            "404 Not Found",
            "text/plain",
            "metrics are at /metrics, readiness is at /ready\n".into(),
        ),
        Target::Method => ("405 Method Not Allowed", "text/plain", "only GET\n".into()),
        Target::Malformed => (
            "400 Bad Request",
            "text/plain",
            "malformed request\n".into(),
        ),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing with unread input would reset the answer away.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Whether requests are served at all.
fn readiness(daemon: &Daemon) -> (&'static str, &'static str, String) {
    let health = daemon.recorder.health();
    if health.available {
        return ("200 OK", "text/plain", "ready\n".into());
    }
    let error = health.last_error.unwrap_or_default();
    (
        "503 Service Unavailable",
        "text/plain",
        format!("audit log unavailable: {error}\n"),
    )
}

enum Target {
    Metrics(Format),
    Readiness,
    Other,
    Method,
    Malformed,
}

async fn read_target(stream: &mut TcpStream) -> std::io::Result<Target> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if let Some(target) = parse(&head) {
            return Ok(target);
        }
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(Target::Malformed);
        }
    }
}

fn parse(head: &[u8]) -> Option<Target> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => None,
        Err(_) => Some(Target::Malformed),
        Ok(httparse::Status::Complete(_)) if request.method != Some("GET") => Some(Target::Method),
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or("").split('?').next();
            Some(match path {
                Some("/metrics") => Target::Metrics(accepted(request.headers)),
                Some("/ready") => Target::Readiness,
                _ => Target::Other,
            })
        }
    }
}

fn accepted(headers: &[httparse::Header<'_>]) -> Format {
    let accept = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("accept"));
    accept.map_or(Format::Text, |header| Format::accepted(header.value))
}

#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    /// What the head of a request asks for, in a word, once it is whole.
    #[must_use]
    pub fn http_head(head: &[u8]) -> Option<&'static str> {
        use super::Target;
        Some(match super::parse(head)? {
            Target::Metrics(_) => "metrics",
            Target::Readiness => "readiness",
            Target::Other => "other",
            Target::Method => "method",
            Target::Malformed => "malformed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_get_metrics_is_served() {
        let is = |head: &str, expected: fn(&Target) -> bool| {
            parse(head.as_bytes()).is_some_and(|t| expected(&t))
        };
        assert!(is(
            "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            |t| matches!(t, Target::Metrics(Format::Text))
        ));
        assert!(is(
            "GET /metrics?x=1 HTTP/1.0\r\naccept: application/openmetrics-text\r\n\r\n",
            |t| matches!(t, Target::Metrics(Format::OpenMetrics))
        ));
        assert!(is("GET /ready HTTP/1.1\r\n\r\n", |t| matches!(
            t,
            Target::Readiness
        )));
        assert!(is("GET / HTTP/1.1\r\n\r\n", |t| matches!(t, Target::Other)));
        assert!(is("POST /metrics HTTP/1.1\r\n\r\n", |t| matches!(
            t,
            Target::Method
        )));
        assert!(is("\0\0\0\0\r\n\r\n", |t| matches!(t, Target::Malformed)));
        assert!(parse(b"GET /metr").is_none());
    }
}
