//! The recorder of the daemon's decisions.
//!
//! A reading waits for its recorder before the node is asked and before the caller is told the
//! outcome; a record that fails ends the request. The daemon records into the [`AuditLog`];
//! benchmarks that are not about the disk record [`Nothing`].

mod audit_log;
mod metrics;

pub(crate) use audit_log::{AuditLog, OpenError};
pub(crate) use metrics::AuditMetrics;
pub(crate) use pulse_audit::{ChangedFile, Health, Incident, OnDisk, Retention};

use pulse_core::event::Event;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The time after which a record that is not on disk counts as failed.
pub(crate) const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// The record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record could not be written")]
pub struct RecordingFailed;

/// The loss of what other programs changed in the log cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The log has not stopped for that.
    #[error("no file of the log was changed")]
    NothingLost,
    /// The log cannot continue.
    #[error("the audit log cannot be written")]
    Log(#[source] pulse_audit::LogError),
    /// The disk does not respond.
    #[error("the disk did not take the record in time")]
    Timeout,
}

/// An acceptance under way.
pub(crate) type Accepting<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<ChangedFile>, AcceptError>> + Send + 'a>>;

/// A recording under way.
pub(crate) type Recording<'a> =
    Pin<Box<dyn Future<Output = Result<(), RecordingFailed>> + Send + 'a>>;

/// Takes records.
pub trait Recorder: Send + Sync {
    /// Records an event; completes when the record is on disk.
    fn record<'a>(&'a self, event: &'a Event<'a>) -> Recording<'a>;

    /// Records an event that nothing waits for, such as a refusal.
    fn note(&self, event: &Event<'_>);

    /// The state of the log.
    fn health(&self) -> Health;

    /// True while records can be written.
    fn is_available(&self) -> bool;

    /// Calls `follower` now, and whenever more records are on disk. It must not block.
    fn tell(&self, follower: Box<dyn Fn(OnDisk) + Send + Sync>);

    /// Sets the retention of the log.
    fn retain(&self, retention: Retention);

    /// Reopens the log after its file was renamed.
    fn reopen(&self);

    /// Accepts the loss of what other programs changed, and continues the log. `by` is the
    /// operator, as records name a peer.
    fn accept_loss(&self, by: String) -> Accepting<'_>;

    /// Calls `observer` when there are incidents to take. It must not block.
    fn observe(&self, observer: Box<dyn Fn() + Send + Sync>);

    /// The incidents since the last call, oldest first.
    fn take_incidents(&self) -> Vec<Incident>;

    /// Writes the records that are queued, and ends the log.
    fn stop(&self);
}

/// Records nothing, for benchmarks without a disk.
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

    fn accept_loss(&self, _: String) -> Accepting<'_> {
        Box::pin(std::future::ready(Err(AcceptError::NothingLost)))
    }

    fn observe(&self, _: Box<dyn Fn() + Send + Sync>) {}

    fn take_incidents(&self) -> Vec<Incident> {
        Vec::new()
    }

    fn stop(&self) {}
}
