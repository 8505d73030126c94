//! The place in a log from which on it is verified.

use super::lines::RawLine;
use super::torn_filter::LogItem;
use crate::line::RecordLine;
use crate::time::Timestamp;
use pulse_core::ordinal::Ordinal;
use std::str::FromStr;

/// The text that completes a shorter one.
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
    /// True when the place is after this record.
    pub(super) fn is_after(&self, line: &RecordLine<'_>) -> bool {
        match self {
            Self::Seq(seq) => line.seq < *seq,
            Self::Time(time) => line.ts < *time,
        }
    }
}

/// The text is not a place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither a record's number nor a time (UTC), such as 17, 2026-11-21 or 2026-11-21T10:00:03"
)]
pub struct InvalidSince;

impl FromStr for Since {
    type Err = InvalidSince;

    /// Parses a number, or a time of which anything after the day may be omitted.
    fn from_str(text: &str) -> Result<Self, InvalidSince> {
        if let Some(seq) = Ordinal::parse(text.as_bytes()) {
            return Ok(Self::Seq(seq.get()));
        }
        let text = text.trim_end_matches('Z').replacen(' ', "T", 1);
        // After a whole field, or after any digit of the fraction. Within a field the added zeros
        // would make another time of it: 10:1 would become 10:10.
        if !matches!(text.len(), 10 | 13 | 16 | 19 | 21..=26) {
            return Err(InvalidSince);
        }
        let rest = MIDNIGHT.get(text.len()..).unwrap_or_default();
        Timestamp::parse(format!("{text}{rest}").as_bytes())
            .map(Self::Time)
            .ok_or(InvalidSince)
    }
}

/// A filter that skips records until the place is reached.
pub(super) struct SinceFilter {
    since: Since,
    /// The last skipped record. The chain begins with it, so that the first record after it is
    /// verified to follow one.
    before: Vec<u8>,
    /// The first two lines after it that are not records: if the log ends there, no other
    /// record shows that they are defects.
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

    /// True when a line is skipped. A line that is not a record is: if it was one, the next
    /// record will not follow.
    pub(super) fn skips(&mut self, item: &LogItem<'_>) -> bool {
        let (raw, line) = match item {
            LogItem::Line(raw, Some(line)) => (raw, line),
            LogItem::Line(raw, None) => {
                if self.strays.len() < 2 {
                    self.strays.push((raw.text.to_owned(), raw.ended));
                }
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

    /// The lines at the end of a log that ends before the place.
    pub(super) fn strays(&self) -> impl Iterator<Item = LogItem<'_>> {
        self.strays.iter().map(|(text, ended)| {
            let (text, ended) = (&text[..], *ended);
            LogItem::Line(RawLine { text, ended }, None)
        })
    }

    /// The last skipped record.
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
    fn a_place_is_a_number_or_a_time() {
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
