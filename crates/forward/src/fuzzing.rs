//! Private parsers, for fuzz targets.

use crate::cursor::{self, ResumePoint};
use crate::journal::{Journal, Message};
use crate::loss;
use crate::spool::{self, Spool, SpoolReader};
use crate::status::LostRange;
use std::path::Path;

/// The position in a cursor's file, and the file that is written for that position.
#[must_use]
pub fn cursor(text: &[u8], log_id: &str) -> Option<(ResumePoint, Option<String>)> {
    let place = cursor::parse(text, log_id).ok()??;
    Some((place, cursor::text(place, log_id).ok()))
}

/// The last delivered record and the lost ones of a loss file.
#[must_use]
pub fn loss(text: &[u8], log_id: &str) -> Option<(u64, Vec<LostRange>)> {
    loss::parse(text, log_id).map(loss::Found::numbers)
}

/// The message of a line of the spool, and the line that is written for that message.
#[must_use]
pub fn message(line: &[u8]) -> Option<(Message, Option<Vec<u8>>)> {
    let message = spool::decode(line)?;
    let again = spool::encode(&message).ok();
    Some((message, again))
}

/// A start on a state directory that logs `texts`. Gives the numbers of all messages after
/// `after` on disk, and the number of the last one in memory; none for files of a later release.
#[must_use]
pub fn messages(directory: &Path, after: u64, texts: &[&str]) -> Option<(Vec<u64>, u64)> {
    let journal = Journal::default();
    let mut spool = Spool::open(directory).ok()?;
    journal.continue_after(spool.last());
    for text in texts {
        let severity = pulse_relp::message::Severity::Info;
        journal.push(severity, "2026-01-01T00:00:00Z".into(), (*text).into());
        spool.store_new(&journal);
    }
    let (mut reading, mut numbers, mut last) = (SpoolReader::default(), Vec::new(), after);
    while let Ok(Some(message)) = reading.after(last, &spool) {
        last = message.number;
        numbers.push(last);
    }
    Some((numbers, journal.last()))
}
