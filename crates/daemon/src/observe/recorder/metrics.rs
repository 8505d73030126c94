//! Metrics of the audit log, read at each scrape.

use super::{Health, Recorder};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use pulse_core::audit_log::growth::TimeLeft;
use std::fmt;
use std::sync::Arc;

/// The audit log's part of a scrape.
pub(crate) struct AuditMetrics(pub(crate) Arc<dyn Recorder>);

impl fmt::Debug for AuditMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditMetrics")
    }
}

impl Collector for AuditMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let health = self.0.health();
        for (name, help, value) in counters(&health) {
            one(&mut encoder, name, help, &ConstCounter::new(value))?;
        }
        for (name, help, value) in gauges(&health) {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            one(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        // Unknown values are left out: zero would be an alarm.
        if let Some(free) = health.upkeep.free {
            one(
                &mut encoder,
                "audit_disk_free_bytes",
                "Bytes that may still be written to the audit log's disk",
                &ConstGauge::new(i64::try_from(free).unwrap_or(i64::MAX)),
            )?;
        }
        let seconds = match health.upkeep.left {
            TimeLeft::Unknown => return Ok(()),
            TimeLeft::Never => f64::INFINITY,
            TimeLeft::For(left) => left.as_secs_f64(),
        };
        one(
            &mut encoder,
            "audit_disk_full_seconds",
            "Time until the audit log's disk is full, at the rate of the last day; +Inf is never",
            &ConstGauge::new(seconds),
        )
    }
}

type Figure = (&'static str, &'static str, u64);

fn counters(health: &Health) -> [Figure; 6] {
    [
        (
            "audit_refused",
            "Records that could not be written since the start",
            health.refused,
        ),
        (
            "audit_dropped",
            "Records that nobody waited for and that found no place in the queue",
            health.dropped,
        ),
        (
            "audit_commits",
            "Writes of the audit log, each with one sync",
            health.commits,
        ),
        (
            "audit_removed_segments",
            "Segments of the audit log removed by retention since the start",
            health.upkeep.removed_segments,
        ),
        (
            "audit_failures",
            "Times that the audit log could not be written any more since the start",
            health.failures,
        ),
        (
            "audit_changed_files",
            "Files of the audit log that another program renamed, removed, cut, extended or \
             replaced since the start",
            health.changes,
        ),
    ]
}

fn gauges(health: &Health) -> [Figure; 10] {
    [
        (
            "audit_available",
            "Whether records can be written; if not, every request is refused",
            u64::from(health.available),
        ),
        (
            "audit_sequence",
            "Number of the last record on disk",
            health.seq,
        ),
        (
            "audit_first_sequence",
            "Number of the first record that the audit log holds",
            health.upkeep.first,
        ),
        (
            "audit_log_bytes",
            "Bytes of all segments of the audit log, the live one among them",
            health.upkeep.bytes,
        ),
        ("audit_epoch", "Seals made so far", health.epoch),
        (
            "audit_unsealed_records",
            "Records that no seal covers yet",
            health.unsealed,
        ),
        (
            "audit_queue_depth",
            "Records that wait for the disk",
            health.queue as u64,
        ),
        (
            "audit_rotation_refused",
            "Whether the file may not be rotated (chattr +a)",
            u64::from(health.rotation_refused.is_some()),
        ),
        (
            "audit_loss_pending",
            "Files that another program changed, for which the audit log has stopped until they \
             are as they were or the loss is accepted",
            health.changed.len() as u64,
        ),
        (
            "audit_retention_held",
            "Whether the oldest segment exceeds a limit and cannot be removed",
            u64::from(health.upkeep.blocked.is_some()),
        ),
    ]
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
