//! Separates torn bytes from records, before the lines of a log are used.
//!
//! In a file that cannot be cut (`chattr +a`), bytes of a torn write remain: garbage, and
//! perhaps complete records that never became part of the chain. Whether lines are torn bytes
//! is known only later, from the record that accounts for them. So lines that do not follow
//! the last record are held back until then. If no record accounts for them, they are given
//! as they are.

use super::lines::{Lines, RawLine};
use crate::line::RecordLine;
use crate::record::Head;
use crate::tail::Torn;

/// An item of a log.
pub(crate) enum LogItem<'a> {
    /// A line, and the record in it.
    Line(RawLine<'a>, Option<RecordLine<'a>>),
    /// The torn bytes between two records, for which the second accounts.
    Torn(&'a [u8]),
}

impl LogItem<'_> {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Line(raw, _) => (raw.text.len() + usize::from(raw.ended)) as u64,
            Self::Torn(bytes) => bytes.len() as u64,
        }
    }

    pub(super) fn lines(&self) -> u64 {
        match self {
            Self::Line(..) => 1,
            Self::Torn(bytes) => memchr::memchr_iter(b'\n', bytes).count() as u64,
        }
    }
}

/// A filter that holds back lines that may be torn bytes.
pub(crate) struct TornFilter {
    head: Option<Head>,
    held: Torn,
    repetitions: bool,
}

impl TornFilter {
    /// With `repetitions`, an earlier record that is repeated is not held back.
    pub(crate) fn new(repetitions: bool) -> Self {
        Self {
            head: None,
            held: Torn::default(),
            repetitions,
        }
    }

    pub(crate) fn take(&mut self, raw: RawLine<'_>, give: &mut dyn FnMut(LogItem<'_>)) {
        let line = raw.record();
        match &line {
            Some(line)
                if self.head.is_none_or(|head| line.follows(&head))
                    && (self.held.is_empty() || self.held.is_accounted_for(line, raw.text)) =>
            {
                self.head = Some(line.head());
                if !self.held.is_empty() {
                    give(LogItem::Torn(self.held.bytes()));
                    self.held = Torn::default();
                }
            }
            // A collector's copy repeats what was sent again. Among lines that are held back a
            // repetition may be torn bytes as well.
            Some(line)
                if self.repetitions
                    && self.held.is_empty()
                    && self.head.is_some_and(|head| line.seq <= head.seq) => {}
            _ => {
                self.held.push(raw.text);
                self.held.push(if raw.ended { b"\n" } else { b"" });
                // More than a crash can tear: no record can account for them.
                if self.held.is_too_much() {
                    self.flush(give);
                }
                return;
            }
        }
        give(LogItem::Line(raw, line));
    }

    /// Gives the lines that are held back: no record accounts for them, or the file ends.
    pub(crate) fn flush(&mut self, give: &mut dyn FnMut(LogItem<'_>)) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        let mut lines = Lines::new(held.bytes());
        while let Ok(Some(raw)) = lines.next() {
            let line = raw.record();
            self.head = line.map(|line| line.head()).or(self.head);
            give(LogItem::Line(raw, line));
        }
    }
}
