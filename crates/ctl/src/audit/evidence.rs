//! What a log has on one record: its request, its caller's refusals, its seal.

use super::AuditError;
use super::place::Place;
use pulse_audit::show::{Filter, Shown, records};
use pulse_audit::verify::{Options, Report, Since, Start, Verdict, narrowed, verify};
use std::time::Duration;

/// A request is over long before so many records, or so much time.
const RECORDS_AROUND: u64 = 20_000;
const TIME_AROUND: Duration = Duration::from_secs(600);

/// How near a refusal of the same caller has to be to be told.
const NEAR: Duration = Duration::from_secs(60);

/// More of either kind are not told.
const MOST_RELATED: usize = 200;
const MOST_NEAR: usize = 20;

/// All that is known.
pub(crate) struct Evidence {
    /// The record itself.
    pub(crate) subject: Shown,
    /// All nodes of the request are meant, not only the record's.
    pub(crate) whole_request: bool,
    /// The records of its request, itself among them; else itself alone.
    pub(crate) related: Vec<Shown>,
    /// What the caller was refused at about the same time.
    pub(crate) near: Vec<Shown>,
    /// The chain from the record to the seal that covers it.
    pub(crate) chain: Report,
}

/// One node's part of a request.
pub(crate) struct Reading<'a> {
    /// That it was begun.
    pub(crate) start: Option<&'a Shown>,
    /// How it ended.
    pub(crate) outcome: Option<&'a Shown>,
}

/// The seal that covers a record.
pub(crate) struct Seal {
    /// Its own number.
    pub(crate) seq: u64,
    /// The epoch of the key that it was made with.
    pub(crate) epoch: u64,
}

impl Evidence {
    /// Collects it. The subject is a record's number or a correlation id.
    ///
    /// # Errors
    /// [`AuditError`] when there is no such record, or the log cannot be read.
    pub(crate) fn collect(place: &Place, subject: &str) -> Result<Self, AuditError> {
        let seq = subject.parse::<u64>().ok();
        let subject = find(place, subject, seq)?;
        let (related, near) = around(place, &subject)?;
        let chain = chain(place, subject.seq)?;
        Ok(Self {
            subject,
            whole_request: seq.is_none(),
            related,
            near,
            chain,
        })
    }

    /// The readings that the record belongs to; none when it belongs to none.
    pub(crate) fn readings(&self) -> Vec<Reading<'_>> {
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
    pub(crate) fn seal(&self) -> Option<Seal> {
        let seq = self.chain.sealed_through;
        let epoch = self.chain.epoch?.checked_sub(1)?;
        (self.holds() && seq >= self.subject.seq).then_some(Seal { seq, epoch })
    }

    /// Whether nothing contradicts itself from the record on.
    pub(crate) fn holds(&self) -> bool {
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

fn find(place: &Place, subject: &str, seq: Option<u64>) -> Result<Shown, AuditError> {
    let sources = place.sources()?;
    let (sources, filter) = match seq {
        Some(seq) => {
            let from_seq = Some(seq);
            let filter = Filter {
                from_seq,
                ..Filter::default()
            };
            (narrowed(sources, &Since::Seq(seq)), filter)
        }
        None => {
            let correlation_id = Some(subject.to_owned());
            let filter = Filter {
                correlation_id,
                ..Filter::default()
            };
            (sources, filter)
        }
    };
    let found = records(sources, filter).next().transpose();
    let found = found.map_err(AuditError::reading)?;
    if let (Some(seq), None) = (seq, found.as_ref().filter(|found| Some(found.seq) == seq)) {
        check_removed(place, seq)?;
    }
    found
        .filter(|record| record.seq > 0 && seq.is_none_or(|seq| record.seq == seq))
        .ok_or_else(|| AuditError::NoRecord(subject.to_owned()))
}

/// Whether a record would be before the first that there is.
fn check_removed(place: &Place, seq: u64) -> Result<(), AuditError> {
    let first = records(place.sources()?, Filter::default()).next();
    let first = first.transpose().map_err(AuditError::reading)?;
    match first.map(|record| record.seq) {
        Some(first) if 0 < seq && seq < first => Err(AuditError::Removed { seq, first }),
        _ => Ok(()),
    }
}

/// The records of the same request, and refusals of the same caller.
fn around(place: &Place, subject: &Shown) -> Result<(Vec<Shown>, Vec<Shown>), AuditError> {
    let id = subject.text("correlation_id");
    if id.is_none() && subject.number("peer_uid").is_none() {
        return Ok((vec![subject.clone()], Vec::new()));
    }
    let first = subject.seq.saturating_sub(RECORDS_AROUND);
    let filter = Filter {
        from_seq: Some(first),
        ..Filter::default()
    };
    let (mut related, mut near) = (Vec::new(), Vec::new());
    for record in records(narrowed(place.sources()?, &Since::Seq(first)), filter) {
        let record = record.map_err(AuditError::reading)?;
        if is_over(&record, subject) {
            break;
        }
        let is_related = id.is_some() && record.text("correlation_id") == id;
        if (is_related || record.seq == subject.seq) && related.len() < MOST_RELATED {
            related.push(record);
        } else if is_near(&record, subject) && near.len() < MOST_NEAR {
            near.push(record);
        }
    }
    Ok((related, near))
}

fn is_over(record: &Shown, subject: &Shown) -> bool {
    let (Some(now), Some(then)) = (record.ts(), subject.ts()) else {
        return false;
    };
    record.seq > subject.seq + RECORDS_AROUND
        || (record.seq > subject.seq && now.since(then) > TIME_AROUND)
}

fn is_near(record: &Shown, subject: &Shown) -> bool {
    let (Some(one), Some(other)) = (record.ts(), subject.ts()) else {
        return false;
    };
    let is_same = |name| {
        subject.members.contains_key(name) && record.members.get(name) == subject.members.get(name)
    };
    let apart = one.since(other).max(other.since(one));
    is_refusal(record) && apart <= NEAR && (is_same("peer") || is_same("peer_uid"))
}

/// Verifies from the record to the first seal that covers it, and no further.
fn chain(place: &Place, seq: u64) -> Result<Report, AuditError> {
    let since = Since::Seq(seq);
    let options = Options {
        start: Start::Since(since),
        until_sealed: Some(seq),
        live: true,
        ..Options::default()
    };
    let sources = narrowed(place.sources()?, &since);
    verify(sources, &options, &mut |_| ()).map_err(AuditError::reading)
}
