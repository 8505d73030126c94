//! Where decisions are put on record.
//!
//! The reading path awaits its recorder: before a node is asked and before a
//! caller sees an outcome. A recorder that fails stops the request. What is behind
//! the trait in the daemon is [`AuditLog`]; benchmarks that are not about the disk
//! put nothing there.

mod audit_log;
mod metrics;

pub(crate) use audit_log::{AuditLog, OpenError};
pub(crate) use metrics::AuditMetrics;
pub(crate) use pulse_audit::{Health, OnDisk, Retention};

use pulse_core::event::Event;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A disk that has not written a record by then counts as one that cannot.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record could not be written")]
pub struct RecordingFailed;

/// A recording under way.
pub(crate) type Recording<'a> =
    Pin<Box<dyn Future<Output = Result<(), RecordingFailed>> + Send + 'a>>;

/// Keeps records.
pub trait Recorder: Send + Sync {
    /// Puts an event on record; done when it is safe.
    fn record<'a>(&'a self, event: &'a Event<'a>) -> Recording<'a>;

    /// Puts an event on record that nothing waits for: a refusal, which stands
    /// whatever becomes of its record.
    fn note(&self, event: &Event<'_>);

    /// How the log fares.
    fn health(&self) -> Health;

    /// Whether records can be written now.
    fn is_available(&self) -> bool;

    /// Has `follower` told, now and whenever that changes, which records are on disk. It
    /// must not wait.
    fn tell(&self, follower: Box<dyn Fn(OnDisk) + Send + Sync>);

    /// Removes old segments of the log from now on, within these limits.
    fn retain(&self, retention: Retention);

    /// Follows a log file that somebody renamed.
    fn reopen(&self);

    /// Writes what is left. Nothing can be recorded afterwards.
    fn stop(&self);
}

/// Keeps nothing: for what is measured or tested without a disk.
pub struct Nothing;

impl Recorder for Nothing {
    fn record<'a>(&'a self, _: &'a Event<'a>) -> Recording<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn note(&self, _: &Event<'_>) {}

    fn health(&self) -> Health {
        Health {
            available: true,
            ..Health::default()
        }
    }

    fn is_available(&self) -> bool {
        true
    }

    fn tell(&self, _: Box<dyn Fn(OnDisk) + Send + Sync>) {}

    fn retain(&self, _: Retention) {}

    fn reopen(&self) {}

    fn stop(&self) {}
}
