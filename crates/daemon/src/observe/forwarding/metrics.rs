//! Metrics of forwarding, read at each scrape.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use pulse_forward::Forwarder;
use pulse_forward::status::{Status, StreamStatus};
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The forwarder's part of a scrape.
pub(crate) struct ForwardMetrics(pub(crate) Arc<Forwarder>);

impl fmt::Debug for ForwardMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForwardMetrics")
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStream {
    stream: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCollector {
    stream: String,
    collector: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStep {
    stream: String,
    collector: String,
    step: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCertificate {
    certificate: &'static str,
}

impl Collector for ForwardMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        streams(&mut encoder, &status)?;
        collectors(&mut encoder, &status)?;
        certificates(&mut encoder, &status)?;
        messages(&mut encoder, &status)
    }
}

fn of(stream: &StreamStatus) -> Option<OfStream> {
    Some(OfStream {
        stream: stream.name.clone(),
    })
}

fn streams(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> fmt::Result {
    let streams = || status.streams.iter();
    family(
        encoder,
        "audit_forward_queue_depth",
        "Records on disk that no collector has acknowledged",
        streams().map(|stream| (of(stream), gauge(stream.queue))),
    )?;
    family(
        encoder,
        "audit_forward_acknowledged",
        "Records acknowledged since the start, those sent again among them",
        streams().map(|stream| (of(stream), ConstCounter::new(stream.acknowledged))),
    )?;
    family(
        encoder,
        "audit_forward_reconnects",
        "Connections to collectors after the first",
        streams().map(|stream| {
            // Zero before the first connection too.
            (
                of(stream),
                ConstCounter::new(stream.connections.saturating_sub(1)),
            )
        }),
    )?;
    family(
        encoder,
        "audit_forward_last_ack_timestamp_seconds",
        "When a record was last acknowledged; 0 is never",
        streams().map(|stream| (of(stream), gauge(stream.last_ack.unwrap_or(0)))),
    )?;
    family(
        encoder,
        "audit_forward_lost_records",
        "Records that were removed from the log before they were delivered, until the loss is accepted",
        streams().map(|stream| (of(stream), gauge(stream.lost_records()))),
    )?;
    family(
        encoder,
        "audit_forward_queue_growing",
        "Whether records remain unacknowledged for minutes",
        streams().map(|stream| {
            let is_growing = stream.queue_grows_since.is_some();
            (of(stream), gauge(u64::from(is_growing)))
        }),
    )?;
    family(
        encoder,
        "audit_forward_cursor_failed",
        "Whether the cursor could not be written at the last attempt",
        streams().map(|stream| (of(stream), gauge(u64::from(stream.cursor_error.is_some())))),
    )
}

/// The daemon's own log messages.
fn messages(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> fmt::Result {
    let streams = || {
        // Absent where the daemon's own messages are not forwarded.
        status
            .streams
            .iter()
            .filter_map(|stream| Some((stream, stream.messages.as_ref()?)))
    };
    family(
        encoder,
        "audit_forward_messages_queue_depth",
        "Messages of the daemon itself that no collector has acknowledged",
        streams().map(|(stream, messages)| (of(stream), gauge(messages.queue))),
    )?;
    family(
        encoder,
        "audit_forward_messages_dropped",
        "Messages of the daemon itself that no collector took in time",
        streams().map(|(stream, messages)| (of(stream), ConstCounter::new(messages.dropped))),
    )
}

fn collectors(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> fmt::Result {
    let collectors = || {
        status
            .streams
            .iter()
            .flat_map(|stream| stream.collectors.iter().map(move |one| (stream, one)))
    };
    family(
        encoder,
        "audit_forward_remote_up",
        "Whether this collector acknowledges records, or has none to acknowledge",
        collectors().map(|(stream, one)| {
            let labels = OfCollector {
                stream: stream.name.clone(),
                collector: one.name.clone(),
            };
            (Some(labels), gauge(u64::from(one.is_up())))
        }),
    )?;
    let failures = collectors().flat_map(|(stream, one)| {
        one.failures.iter().map(move |(step, count)| {
            let labels = OfStep {
                stream: stream.name.clone(),
                collector: one.name.clone(),
                step: step.clone(),
            };
            (Some(labels), ConstCounter::new(*count))
        })
    });
    family(
        encoder,
        "audit_forward_failures",
        "Attempts and connections that failed, by the step at which they did",
        failures,
    )
}

fn certificates(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> fmt::Result {
    // Signed, like the ends: an expired certificate has a negative time left.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let known = [
        ("own", status.certificates.own),
        ("authority", status.certificates.authority),
    ];
    let ends = known.into_iter().filter_map(|(certificate, end)| {
        Some((
            Some(OfCertificate { certificate }),
            ConstGauge::new(end?.saturating_sub(now)),
        ))
    });
    family(
        encoder,
        "audit_forward_certificate_expiry_seconds",
        "Time until the certificate expires; negative when it has expired",
        ends,
    )
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// One metric with its values; left out when there are none.
fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Option<L>, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    // The first value determines the type, so a metric without values cannot be declared.
    let Some((_, first)) = values.peek() else {
        return Ok(());
    };
    let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, value) in values {
        match labels {
            Some(labels) => value.encode(family.encode_family(&labels)?)?,
            None => value.encode(family.encode_family(&[("", ""); 0])?)?,
        }
    }
    Ok(())
}
