//! Tells torn bytes from records, before anything else is made of a log's lines.
//!
//! Where nothing can be cut away (`chattr +a`), what a crash tore stays: stray,
//! and perhaps whole records of the same write, whose turn in the chain never
//! came. Which of the two it is shows only later, in the record that accounts for
//! it; until then lines that do not go on from the last record are held back.
//! When nothing accounts for them, they are given as they stand.

use super::lines::{Lines, RawLine};
use crate::line::RecordLine;
use crate::record::Head;
use crate::tail::Torn;

/// What a log is made of.
pub(crate) enum LogItem<'a> {
    /// A line, and the record that it is.
    Line(RawLine<'a>, Option<RecordLine<'a>>),
    /// All bytes between a record and the next, which accounts for them.
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

/// Holds back what may be torn.
pub(crate) struct TornFilter {
    head: Option<Head>,
    held: Torn,
    repetitions: bool,
}

impl TornFilter {
    /// With `repetitions`, a record that comes once more tears nothing.
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
            Some(line) if self.goes_on_with(line, raw.text) => {
                self.head = Some(line.head());
                if !self.held.is_empty() {
                    give(LogItem::Torn(self.held.bytes()));
                    self.held = Torn::default();
                }
            }
            Some(line) if self.is_repeated(line) => (),
            _ => return self.hold(raw, give),
        }
        give(LogItem::Line(raw, line));
    }

    fn goes_on_with(&mut self, line: &RecordLine<'_>, text: &[u8]) -> bool {
        let follows = self.head.is_none_or(|head| line.follows(&head));
        follows && (self.held.is_empty() || self.held.is_accounted_for(line, text))
    }

    fn is_repeated(&self, line: &RecordLine<'_>) -> bool {
        let is_earlier = self.head.is_some_and(|head| line.seq <= head.seq);
        self.repetitions && self.held.is_empty() && is_earlier
    }

    fn hold(&mut self, raw: RawLine<'_>, give: &mut dyn FnMut(LogItem<'_>)) {
        self.held.push(raw.text);
        self.held.push(if raw.ended { b"\n" } else { b"" });
        if self.held.is_too_much() {
            self.flush(give);
        }
    }

    /// Nothing accounts for what is held, also because its file ends here.
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
