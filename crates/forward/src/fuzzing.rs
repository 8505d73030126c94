//! Parsers that are nobody's business but the fuzz targets'.

use crate::cursor::{CursorFile, Place};
use crate::journal::{Journal, Message};
use crate::spool::{self, Reading, Spool};
use std::path::{Path, PathBuf};

/// A cursor's file, and the file that would be written of what it says.
#[must_use]
pub fn cursor(text: &[u8], log_id: &str) -> Option<(Place, Option<String>)> {
    let file = CursorFile::new(PathBuf::new(), log_id);
    let place = file.parse(text)?;
    Some((place, file.text(place).ok()))
}

/// A line of a file of messages, and the line that would be written of it.
#[must_use]
pub fn message(line: &[u8]) -> Option<(Message, Option<Vec<u8>>)> {
    let message = spool::decoded(line)?;
    let again = spool::encoded(&message).ok();
    Some((message, again))
}

/// One start on a state directory: says some more, and gives the numbers of all messages
/// after this one that are found then, and of the last that was said.
#[must_use]
pub fn messages(directory: &Path, after: u64, texts: &[&str]) -> (Vec<u64>, u64) {
    let journal = Journal::default();
    let mut spool = Spool::open(directory);
    journal.go_on_after(spool.last());
    for text in texts {
        let severity = pulse_relp::message::Severity::Info;
        journal.push(severity, "2026-01-01T00:00:00Z".into(), (*text).into());
        spool.take(&journal);
    }
    let (mut reading, mut numbers, mut last) = (Reading::default(), Vec::new(), after);
    while let Ok(Some(message)) = reading.after(last, &spool) {
        last = message.number;
        numbers.push(last);
    }
    (numbers, journal.last())
}
