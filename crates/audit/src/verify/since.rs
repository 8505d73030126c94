//! From where on a log is verified, when not all of it is.

use super::lines::RawLine;
use super::torn_filter::LogItem;
use crate::line::RecordLine;
use crate::time::Timestamp;
use pulse_core::ordinal::Ordinal;
use std::str::FromStr;

/// The earliest moment; a shorter text is completed from it.
const MIDNIGHT: &str = "0000-01-01T00:00:00.000000Z";

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The record with this number.
    Seq(u64),
    /// The first record of this time or later.
    Time(Timestamp),
}

impl Since {
    /// Whether the place is after this record.
    pub(super) fn is_after(&self, line: &RecordLine<'_>) -> bool {
        match self {
            Self::Seq(seq) => line.seq < *seq,
            Self::Time(time) => line.ts < *time,
        }
    }
}

/// A text names no place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither a record's number nor a time (UTC), such as 17, 2026-11-21 or 2026-11-21T10:00:03"
)]
pub struct InvalidSince;

impl FromStr for Since {
    type Err = InvalidSince;

    /// A number, or a time that may stop anywhere after the day: what is missing
    /// is its beginning.
    fn from_str(text: &str) -> Result<Self, InvalidSince> {
        if let Some(seq) = Ordinal::parse(text.as_bytes()) {
            return Ok(Self::Seq(seq.get()));
        }
        let text = text.trim_end_matches('Z').replacen(' ', "T", 1);
        let is_cut_well = matches!(text.len(), 10 | 13 | 16 | 19 | 21..=26);
        let rest = MIDNIGHT.get(text.len()..).filter(|_| is_cut_well);
        let time = rest.map(|rest| format!("{text}{rest}"));
        let time = time.and_then(|time| Timestamp::parse(time.as_bytes()));
        time.map(Self::Time).ok_or(InvalidSince)
    }
}

/// Passes over records until the place has come.
pub(super) struct SinceFilter {
    since: Since,
    /// The record before the place: the chain is followed from there, so that the
    /// first record that was asked for is not taken on its own word.
    before: Vec<u8>,
    /// Lines after it that are no records, the first two: where nothing else
    /// comes, nothing else would show them.
    strays: Vec<(Vec<u8>, bool)>,
}

impl SinceFilter {
    pub(super) fn to(since: Since) -> Self {
        Self {
            since,
            before: Vec::new(),
            strays: Vec::new(),
        }
    }

    /// Whether this line is before the place. One that is no record always is:
    /// if it should have been one, the next does not follow.
    pub(super) fn passes_over(&mut self, met: &LogItem<'_>) -> bool {
        let (raw, line) = match met {
            LogItem::Line(raw, Some(line)) => (raw, line),
            LogItem::Line(raw, None) => {
                self.note_stray(raw);
                return true;
            }
            LogItem::Torn(_) => return true,
        };
        let is_before = self.since.is_after(line);
        if is_before {
            self.strays.clear();
            self.before.clear();
            self.before.extend_from_slice(raw.text);
        }
        is_before
    }

    fn note_stray(&mut self, raw: &RawLine<'_>) {
        if self.strays.len() < 2 {
            self.strays.push((raw.text.to_owned(), raw.ended));
        }
    }

    /// What stands at the log's end, if the place did not come.
    pub(super) fn strays(&self) -> impl Iterator<Item = LogItem<'_>> {
        self.strays.iter().map(|(text, ended)| {
            let (text, ended) = (&text[..], *ended);
            LogItem::Line(RawLine { text, ended }, None)
        })
    }

    /// The last record before the place, if there is one.
    pub(super) fn before(&self) -> Option<LogItem<'_>> {
        let (text, ended) = (&self.before[..], true);
        let raw = RawLine { text, ended };
        (!text.is_empty()).then(|| LogItem::Line(raw, raw.record()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_or_the_beginning_of_a_time() {
        assert_eq!("17".parse(), Ok(Since::Seq(17)));
        for (text, whole) in [
            ("2026-11-21", "2026-11-21T00:00:00.000000Z"),
            ("2026-11-21 10", "2026-11-21T10:00:00.000000Z"),
            ("2026-11-21T10:05Z", "2026-11-21T10:05:00.000000Z"),
            ("2026-11-21T10:05:59.5", "2026-11-21T10:05:59.500000Z"),
            ("2026-11-21T10:05:59.123456Z", "2026-11-21T10:05:59.123456Z"),
        ] {
            let time = Timestamp::parse(whole.as_bytes()).unwrap();
            assert_eq!(text.parse(), Ok(Since::Time(time)), "{text}");
        }
        for text in [
            "",
            "-1",
            "18446744073709551615",
            "yesterday",
            "2026-11",
            "2026-11-2",
            "2026-02-30",
            "Z",
        ] {
            assert_eq!(text.parse::<Since>(), Err(InvalidSince), "{text}");
        }
    }
}
