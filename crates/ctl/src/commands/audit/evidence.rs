//! The records of a log about one record: its request, its caller's refusals, its seal.

use super::files::ReadError;
use super::place::sources;
use crate::error::{CommandError, ErrorCode};
use pulse_audit::show::{Filter, Shown, records};
use pulse_audit::verify::{Options, Report, Since, Start, Verdict, narrowed, verify};
use pulse_core::event::EventType;
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

/// A request has ended long before so many records were written, or so much time passed.
const MAX_REQUEST_RECORDS: u64 = 20_000;
const MAX_REQUEST_TIME: Duration = Duration::from_secs(600);

/// The time around a record in which its caller's refusals are shown.
const REFUSALS_WITHIN: Duration = Duration::from_secs(60);

/// The number of records of either kind that are shown.
const MAX_RELATED: usize = 200;
const MAX_REFUSALS: usize = 20;

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    /// No record has this number or correlation id.
    #[error("{0}: no record of the log has this number or correlation id")]
    NoRecord(String),
    /// Retention removed the record.
    #[error(
        "record {seq} is not in the log any more: retention removed the records before {first}"
    )]
    Removed { seq: u64, first: u64 },
}

impl CommandError for ExplainError {
    fn code(&self) -> ErrorCode {
        ErrorCode::RecordNotFound
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoRecord(_) => Some("`pulse-sensorctl audit tail` shows the last ones".into()),
            Self::Removed { .. } => {
                Some("name an archive of it with --log, if there is one".into())
            }
        }
    }
}

/// The records about one record.
pub(super) struct Evidence {
    /// The record itself.
    pub(super) subject: Shown,
    /// All nodes of the request are meant, not only the record's.
    pub(super) whole_request: bool,
    /// The records of its request, itself among them; else itself alone.
    pub(super) related: Vec<Shown>,
    /// Refusals of the same caller at about the same time.
    pub(super) near: Vec<Shown>,
    /// The chain from the record to the seal that covers it.
    pub(super) chain: Report,
}

/// One node's part of a request.
pub(super) struct Reading<'a> {
    /// The record of its start.
    pub(super) start: Option<&'a Shown>,
    /// The record of its end.
    pub(super) outcome: Option<&'a Shown>,
}

/// The seal that covers a record.
pub(super) struct Seal {
    /// Its own number.
    pub(super) seq: u64,
    /// The epoch of the key that it was made with.
    pub(super) epoch: u64,
}

impl Evidence {
    /// Collects it. The subject is a record's number or a correlation id.
    ///
    /// # Errors
    /// When there is no such record, or the log cannot be read.
    pub(super) fn collect(log: &Path, subject: &str) -> Result<Self, Box<dyn CommandError>> {
        let seq = subject.parse::<u64>().ok();
        let subject = find(log, subject, seq)?;
        let (related, near) = around(log, &subject)?;
        let chain = chain(log, subject.seq)?;
        Ok(Self {
            subject,
            whole_request: seq.is_none(),
            related,
            near,
            chain,
        })
    }

    /// The readings that the record belongs to; none when it belongs to none.
    pub(super) fn readings(&self) -> Vec<Reading<'_>> {
        let mut readings: Vec<Reading<'_>> = Vec::new();
        for record in &self.related {
            let node = record.text("node");
            if !self.whole_request && node != self.subject.text("node") {
                continue;
            }
            let event = EventType::from_name(record.event());
            let is_outcome = matches!(
                event,
                Some(
                    EventType::CommandFinish
                        | EventType::HostKeyMismatch
                        | EventType::EgressDenied
                        | EventType::ForcedCommandMissing
                ) // The warning about a forced command that is missing belongs to no reading.
            ) && record.text("decision") != Some("allowed");
            if event == Some(EventType::CommandStart) {
                readings.push(Reading {
                    start: Some(record),
                    outcome: None,
                });
            } else if is_outcome {
                // Callers choose correlation ids and may use one again, so the same node may be in
                // a request more than once: an outcome belongs to the first open start of its node.
                let is_open = |one: &&mut Reading<'_>| {
                    one.outcome.is_none()
                        && one.start.is_some_and(|start| start.text("node") == node)
                };
                match readings.iter_mut().find(is_open) {
                    Some(open) => open.outcome = Some(record),
                    None => readings.push(Reading {
                        start: None,
                        outcome: Some(record),
                    }),
                }
            }
        }
        readings.retain(|one| {
            let mut both = one.start.into_iter().chain(one.outcome);
            self.whole_request || both.any(|record| record.seq == self.subject.seq)
        });
        readings
    }

    /// The seal that covers the record, if there is one yet and all up to it holds.
    pub(super) fn seal(&self) -> Option<Seal> {
        let seq = self.chain.sealed_through;
        // The report has the epoch after the seal: the seal itself was made in the one before.
        let epoch = self.chain.epoch?.checked_sub(1)?;
        (self.is_intact() && seq >= self.subject.seq).then_some(Seal { seq, epoch })
    }

    /// True when the record and the chain from it on are unbroken.
    pub(super) fn is_intact(&self) -> bool {
        self.chain.verdict != Verdict::Broken && self.subject.is_whole
    }
}

fn find(log: &Path, subject: &str, seq: Option<u64>) -> Result<Shown, Box<dyn CommandError>> {
    let mut all = sources(log)?;
    // A number is found without reading the segments before it; an id may be anywhere.
    if let Some(seq) = seq {
        all = narrowed(all, &Since::Seq(seq));
    }
    let filter = Filter {
        from_seq: seq,
        correlation_id: seq.is_none().then(|| subject.to_owned()),
        ..Filter::default()
    };
    let first_of = |sources, filter| {
        records(sources, filter)
            .next()
            .transpose()
            .map_err(ReadError::from_library)
    };
    // A line that is no record has the number 0.
    let found = first_of(all, filter)?
        .filter(|record| record.seq > 0 && seq.is_none_or(|seq| record.seq == seq));
    if let (Some(seq @ 1..), None) = (seq, &found)
        && let Some(first) = first_of(sources(log)?, Filter::default())?
        && seq < first.seq
    {
        let first = first.seq;
        return Err(ExplainError::Removed { seq, first }.into());
    }
    found.ok_or_else(|| ExplainError::NoRecord(subject.to_owned()).into())
}

/// The records of the same request, and refusals of the same caller.
fn around(log: &Path, subject: &Shown) -> Result<(Vec<Shown>, Vec<Shown>), ReadError> {
    let id = subject.text("correlation_id");
    // Records of the log itself have no caller, so no other record relates to them.
    if id.is_none() && subject.number("peer_uid").is_none() {
        return Ok((vec![subject.clone()], Vec::new()));
    }
    let first = subject.seq.saturating_sub(MAX_REQUEST_RECORDS);
    let filter = Filter {
        from_seq: Some(first),
        ..Filter::default()
    };
    let is_same = |record: &Shown, name| {
        subject.members.contains_key(name) && record.members.get(name) == subject.members.get(name)
    };
    let (mut related, mut near) = (Vec::new(), Vec::new());
    for record in records(narrowed(sources(log)?, &Since::Seq(first)), filter) {
        let record = record.map_err(ReadError::from_library)?;
        // A line without a time may have any number: it does not end the search.
        let times = record.ts().zip(subject.ts());
        if record.seq > subject.seq
            && times.is_some_and(|(now, then)| {
                record.seq > subject.seq + MAX_REQUEST_RECORDS || now.since(then) > MAX_REQUEST_TIME
            })
        {
            break;
        }
        let is_related = id.is_some() && record.text("correlation_id") == id;
        if (is_related || record.seq == subject.seq) && related.len() < MAX_RELATED {
            related.push(record);
            continue;
        }
        let is_refusal = matches!(
            EventType::from_name(record.event()),
            Some(
                EventType::LimiterRejection
                    | EventType::ConnectionDenied
                    | EventType::ValidationFailed
            )
        );
        // The clock may have been set back between the two, so both directions count; `since` is
        // 0 in one of them.
        let is_near = times
            .is_some_and(|(one, other)| one.since(other).max(other.since(one)) <= REFUSALS_WITHIN);
        let is_same_caller = is_same(&record, "peer") || is_same(&record, "peer_uid");
        if is_refusal && is_near && is_same_caller && near.len() < MAX_REFUSALS {
            near.push(record);
        }
    }
    Ok((related, near))
}

/// Verifies from the record to the first seal that covers it, and no further.
fn chain(log: &Path, seq: u64) -> Result<Report, ReadError> {
    let since = Since::Seq(seq);
    // The daemon may be writing the record's file, so its last line may be incomplete.
    let options = Options {
        start: Start::Since(since),
        until_sealed: Some(seq),
        live: true,
        ..Options::default()
    };
    verify(narrowed(sources(log)?, &since), &options, &mut |_| ()).map_err(ReadError::from_library)
}
