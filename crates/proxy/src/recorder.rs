//! Where decisions are put on record.
//!
//! The reading path awaits its recorder: before a node is asked and before a
//! caller sees an outcome. A recorder that fails stops the request. The one here
//! writes to the system's log; a durable, chained one takes its place behind the
//! same trait.

use pulse_core::event::{Decision, Event, Exchange};
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;

/// The record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record could not be written")]
pub struct RecordingFailed;

/// A recording under way.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), RecordingFailed>> + Send + 'a>>;

/// Keeps records.
pub trait Recorder: Send + Sync {
    /// Puts an event on record; done when it is safe.
    fn record<'a>(&'a self, event: Event<'a>) -> Recording<'a>;
}

/// Records to the system's log, under the target `audit`.
pub struct LogRecorder;

impl Recorder for LogRecorder {
    fn record<'a>(&'a self, event: Event<'a>) -> Recording<'a> {
        write(&event);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn write(event: &Event<'_>) {
    let text = describe(event);
    let kind = event.kind.as_str();
    let id = event.correlation_id.unwrap_or("-");
    match event.decision {
        Decision::Denied | Decision::Failed => {
            tracing::warn!(target: "audit", event_type = kind, correlation_id = id, "{text}");
        }
        Decision::Allowed | Decision::Completed => {
            tracing::info!(target: "audit", event_type = kind, correlation_id = id, "{text}");
        }
    }
}

fn describe(event: &Event<'_>) -> String {
    let mut text = event.decision.as_str().to_owned();
    if let Some(peer) = event.peer {
        let c = peer.credentials;
        append(&mut text, "peer", format_args!("{}", peer.id));
        append(&mut text, "uid", format_args!("{}", c.uid));
        append(&mut text, "gid", format_args!("{}", c.gid));
        append(&mut text, "pid", format_args!("{}", c.pid));
    }
    if let Some(node) = event.node {
        append(&mut text, "node", format_args!("{node}"));
    }
    if let Some(exchange) = event.exchange {
        describe_exchange(&mut text, exchange);
    }
    if let Some(reason) = event.reason {
        append(&mut text, "reason", format_args!("{reason}"));
    }
    if let Some(duration) = event.duration {
        append(
            &mut text,
            "duration_ms",
            format_args!("{:.3}", duration.as_secs_f64() * 1000.0),
        );
    }
    if event.suppressed > 0 {
        append(
            &mut text,
            "suppressed",
            format_args!("{}", event.suppressed),
        );
    }
    if let Some(error) = event.error {
        append(&mut text, "error", format_args!("{error:?}"));
    }
    text
}

fn describe_exchange(text: &mut String, exchange: &Exchange) {
    append(text, "address", format_args!("{}", exchange.address));
    append(text, "host_key", format_args!("{}", exchange.host_key));
    append(
        text,
        "command",
        format_args!("{:?}", exchange.command.to_string()),
    );
    if let Some(code) = exchange.exit_code {
        append(text, "exit_code", format_args!("{code}"));
    }
    append(
        text,
        "stdout_bytes",
        format_args!("{}", exchange.stdout_bytes),
    );
    let hash = exchange
        .stdout_sha256
        .iter()
        .fold(String::new(), |mut hash, byte| {
            let _ = write!(hash, "{byte:02x}");
            hash
        });
    append(text, "stdout_sha256", format_args!("{hash}"));
}

fn append(text: &mut String, name: &str, value: std::fmt::Arguments<'_>) {
    // Writing into a String does not fail.
    let _ = write!(text, " {name}={value}");
}
