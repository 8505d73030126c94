//! Retention: the configuration is passed to the recorder, its effects are logged.

use crate::observe::recorder::{Health, Recorder, Retention};
use pulse_core::audit_log::growth;
use pulse_core::audit_log::retention::{Hold, Limits};
use pulse_core::config::Audit;
use pulse_forward::Forwarder;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The interval between warnings about a log without retention.
const WARNING_INTERVAL: Duration = Duration::from_secs(86_400);

/// Has the recorder remove old segments by the configuration, but none that a collector has
/// not received yet.
pub(crate) fn apply(recorder: &dyn Recorder, forwarder: Option<&Arc<Forwarder>>, limits: Limits) {
    let forwarder = forwarder.map(Arc::clone);
    recorder.retain(Retention {
        limits,
        // Without a forwarder no stream keeps a segment.
        streams: Box::new(move || {
            forwarder
                .as_ref()
                .map_or_else(Vec::new, |forwarder| forwarder.cursors())
        }),
    });
}

/// The state that was logged last, so that each change is logged once.
pub(crate) struct Watch {
    /// The directory of the log, which a reload does not change.
    directory: String,
    removed: u64,
    hold: Option<Hold>,
    obstacle: Option<Arc<str>>,
    warned: Option<Instant>,
}

impl Watch {
    /// For the log of this configuration.
    pub(crate) fn over(audit: &Audit) -> Self {
        Self {
            directory: audit.directory().display().to_string(),
            removed: 0,
            hold: None,
            obstacle: None,
            warned: None,
        }
    }

    /// Logs what has changed.
    pub(crate) fn look(&mut self, health: &Health, limits: &Limits) {
        let upkeep = &health.upkeep;
        if upkeep.removed_segments > self.removed {
            self.removed = upkeep.removed_segments;
            tracing::info!(
                "removed old segments of the audit log: its first record is {} now",
                upkeep.removed_through + 1
            );
        }
        // Compared by its kind: the figures in its text change with each segment.
        let is_known = |hold: &Hold| self.hold.as_ref().is_some_and(|said| hold.is_like(said));
        match upkeep.pressing_hold() {
            Some(hold) if !is_known(hold) => {
                tracing::warn!(
                    "the audit log exceeds its retention and no segment is removed: {hold}"
                );
            }
            None if self.hold.is_some() => {
                tracing::info!("old segments of the audit log can be removed again");
            }
            _ => (),
        }
        self.hold = upkeep.pressing_hold().cloned();
        if let Some(obstacle) = upkeep.failure()
            && self.obstacle.as_ref() != Some(obstacle)
        {
            tracing::error!("cannot remove segments of the audit log: {obstacle}");
        }
        self.obstacle = upkeep.failure().cloned();
        let is_due = self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARNING_INTERVAL);
        if !limits.are_set()
            && is_due
            && let Some(warning) =
                growth::warning(&self.directory, upkeep.bytes, upkeep.rate, upkeep.left)
        {
            tracing::warn!("{warning}");
            self.warned = Some(Instant::now());
        }
    }
}
