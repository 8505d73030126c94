//! The records of a log about one record: its request, its caller's refusals, its seal.

use super::files::ReadError;
use super::place::sources;
use crate::error::{CommandError, ErrorCode};
use pulse_audit::show::{Filter, Shown, records};
use pulse_audit::verify::{Options, Report, Since, Start, Verdict, narrowed, verify};
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
    /// What the caller was refused at about the same time.
    pub(super) near: Vec<Shown>,
    /// The chain from the record to the seal that covers it.
    pub(super) chain: Report,
}

/// One node's part of a request.
pub(super) struct Reading<'a> {
    /// That it was begun.
    pub(super) start: Option<&'a Shown>,
    /// How it ended.
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
        let is_meant = |record: &&Shown| {
            self.whole_request || record.text("node") == self.subject.text("node")
        };
        let meant: Vec<&Shown> = self.related.iter().filter(is_meant).collect();
        let readings = pairs(&meant);
        if self.whole_request {
            readings
        } else {
            readings
                .into_iter()
                .filter(|one| one.has(&self.subject))
                .collect()
        }
    }

    /// The seal that covers the record, if there is one yet and all up to it holds.
    pub(super) fn seal(&self) -> Option<Seal> {
        let seq = self.chain.sealed_through;
        let epoch = self.chain.epoch?.checked_sub(1)?;
        (self.is_intact() && seq >= self.subject.seq).then_some(Seal { seq, epoch })
    }

    /// Whether the record and the chain from it on are unbroken.
    pub(super) fn is_intact(&self) -> bool {
        self.chain.verdict != Verdict::Broken && self.subject.is_whole
    }
}

impl Reading<'_> {
    fn has(&self, record: &Shown) -> bool {
        let mut both = self.start.into_iter().chain(self.outcome);
        both.any(|one| one.seq == record.seq)
    }
}

/// Whether a record says how a reading ended.
fn is_outcome(record: &Shown) -> bool {
    matches!(
        record.event(),
        "command.finish" | "hostkey.mismatch" | "egress.denied"
    )
}

fn is_refusal(record: &Shown) -> bool {
    matches!(
        record.event(),
        "limiter.rejection" | "connection.denied" | "command.validation_failed"
    )
}

/// Each start with the first outcome of its node after it. A caller may use an id
/// again, so the same node may be in a request more than once.
fn pairs<'a>(records: &[&'a Shown]) -> Vec<Reading<'a>> {
    let mut readings: Vec<Reading<'a>> = Vec::new();
    for record in records {
        if record.event() == "command.start" {
            readings.push(Reading {
                start: Some(record),
                outcome: None,
            });
        } else if is_outcome(record) {
            let node = record.text("node");
            let is_open = |one: &&mut Reading<'_>| {
                one.outcome.is_none() && one.start.is_some_and(|start| start.text("node") == node)
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
    readings
}

fn find(log: &Path, subject: &str, seq: Option<u64>) -> Result<Shown, Box<dyn CommandError>> {
    let all = sources(log)?;
    let (sources, filter) = match seq {
        Some(seq) => {
            let from_seq = Some(seq);
            let filter = Filter {
                from_seq,
                ..Filter::default()
            };
            (narrowed(all, &Since::Seq(seq)), filter)
        }
        None => {
            let correlation_id = Some(subject.to_owned());
            let filter = Filter {
                correlation_id,
                ..Filter::default()
            };
            (all, filter)
        }
    };
    let found = records(sources, filter).next().transpose();
    let found = found.map_err(ReadError::from_library)?;
    if let (Some(seq), None) = (seq, found.as_ref().filter(|found| Some(found.seq) == seq)) {
        check_removed(log, seq)?;
    }
    found
        .filter(|record| record.seq > 0 && seq.is_none_or(|seq| record.seq == seq))
        .ok_or_else(|| ExplainError::NoRecord(subject.to_owned()).into())
}

/// Whether a record would be before the first that there is.
fn check_removed(log: &Path, seq: u64) -> Result<(), Box<dyn CommandError>> {
    let first = records(sources(log)?, Filter::default()).next();
    let first = first.transpose().map_err(ReadError::from_library)?;
    match first.map(|record| record.seq) {
        Some(first) if 0 < seq && seq < first => Err(ExplainError::Removed { seq, first }.into()),
        _ => Ok(()),
    }
}

/// The records of the same request, and refusals of the same caller.
fn around(log: &Path, subject: &Shown) -> Result<(Vec<Shown>, Vec<Shown>), ReadError> {
    let id = subject.text("correlation_id");
    if id.is_none() && subject.number("peer_uid").is_none() {
        return Ok((vec![subject.clone()], Vec::new()));
    }
    let first = subject.seq.saturating_sub(MAX_REQUEST_RECORDS);
    let filter = Filter {
        from_seq: Some(first),
        ..Filter::default()
    };
    let (mut related, mut near) = (Vec::new(), Vec::new());
    for record in records(narrowed(sources(log)?, &Since::Seq(first)), filter) {
        let record = record.map_err(ReadError::from_library)?;
        if is_past(&record, subject) {
            break;
        }
        let is_related = id.is_some() && record.text("correlation_id") == id;
        if (is_related || record.seq == subject.seq) && related.len() < MAX_RELATED {
            related.push(record);
        } else if is_near(&record, subject) && near.len() < MAX_REFUSALS {
            near.push(record);
        }
    }
    Ok((related, near))
}

fn is_past(record: &Shown, subject: &Shown) -> bool {
    let (Some(now), Some(then)) = (record.ts(), subject.ts()) else {
        return false;
    };
    record.seq > subject.seq + MAX_REQUEST_RECORDS
        || (record.seq > subject.seq && now.since(then) > MAX_REQUEST_TIME)
}

fn is_near(record: &Shown, subject: &Shown) -> bool {
    let (Some(one), Some(other)) = (record.ts(), subject.ts()) else {
        return false;
    };
    let is_same = |name| {
        subject.members.contains_key(name) && record.members.get(name) == subject.members.get(name)
    };
    let apart = one.since(other).max(other.since(one));
    is_refusal(record) && apart <= REFUSALS_WITHIN && (is_same("peer") || is_same("peer_uid"))
}

/// Verifies from the record to the first seal that covers it, and no further.
fn chain(log: &Path, seq: u64) -> Result<Report, ReadError> {
    let since = Since::Seq(seq);
    let options = Options {
        start: Start::Since(since),
        until_sealed: Some(seq),
        live: true,
        ..Options::default()
    };
    let sources = narrowed(sources(log)?, &since);
    verify(sources, &options, &mut |_| ()).map_err(ReadError::from_library)
}
