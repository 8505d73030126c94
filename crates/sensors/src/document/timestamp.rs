//! Validation of RFC 3339 timestamps, as strict as that of Go's `time.Time`.
//!
//! Pulse is written in Go and drops a document with a timestamp that Go refuses.

use crate::calendar;

/// The length of `2026-11-21T10:00:03`, the part before the fraction and the offset.
const SECONDS_BYTES: usize = 19;

/// The maximum length: nanoseconds and an offset need less.
const MAX_BYTES: usize = 40;

/// True if the text is `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)` with every number in range.
pub(super) fn is_rfc3339(text: &str) -> bool {
    let Some((seconds, rest)) = text.split_at_checked(SECONDS_BYTES) else {
        return false;
    };
    text.len() <= MAX_BYTES
        && is_date_and_time(seconds)
        && without_fraction(rest).is_some_and(is_offset)
}

/// Whole seconds from 1970 to a timestamp; `None` if it is invalid or earlier.
pub(super) fn seconds(text: &str) -> Option<u64> {
    if !is_rfc3339(text) {
        return None;
    }
    let day = calendar::day(
        number(text, 0) * 100 + number(text, 2),
        number(text, 5),
        number(text, 8),
    )?;
    let time = (number(text, 11) * 60 + number(text, 14)) * 60 + number(text, 17);
    let local = day * 86_400 + time;
    let Some((at, sign)) = text
        .char_indices()
        .skip(SECONDS_BYTES)
        .find(|(_, c)| matches!(c, '+' | '-'))
    else {
        return Some(local);
    };
    let offset = (number(text, at + 1) * 60 + number(text, at + 4)) * 60;
    if sign == '+' {
        local.checked_sub(offset)
    } else {
        Some(local + offset)
    }
}

fn without_fraction(rest: &str) -> Option<&str> {
    let Some(fraction) = rest.strip_prefix('.') else {
        return Some(rest);
    };
    let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    (offset.len() < fraction.len()).then_some(offset)
}

fn is_date_and_time(text: &str) -> bool {
    matches_shape(text, "0000-00-00T00:00:00")
        && calendar::exists(
            number(text, 0) * 100 + number(text, 2),
            number(text, 5),
            number(text, 8),
        )
        && number(text, 11) < 24
        && number(text, 14) < 60
        && number(text, 17) < 60
}

fn is_offset(text: &str) -> bool {
    text == "Z"
        || text
            .strip_prefix(['+', '-'])
            .is_some_and(|offset| matches_shape(offset, "00:00"))
            && number(text, 1) < 24
            && number(text, 4) < 60
}

/// True if the text has a digit where the shape has `0`, and the same byte elsewhere.
fn matches_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, expected)| match expected {
                b'0' => byte.is_ascii_digit(),
                _ => byte == expected,
            })
}

/// The two digits at `at`, in a text that matches its shape.
fn number(text: &str, at: usize) -> u64 {
    text.get(at..at + 2)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_timestamps_are_accepted() {
        for text in [
            "2026-11-21T10:00:03Z",
            "2026-11-21T10:00:03.123456789Z",
            "2026-11-21T10:00:03+01:00",
            "2024-02-29T23:59:59.5-23:59",
        ] {
            assert!(is_rfc3339(text), "{text}");
        }
    }

    #[test]
    fn seconds_are_those_of_utc() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T10:00:03Z", Some(1_795_255_203)),
            ("2026-11-21T11:30:03.9+01:30", Some(1_795_255_203)),
            ("2026-11-21T09:00:03-01:00", Some(1_795_255_203)),
            ("1970-01-01T00:00:00+00:01", None),
            ("1969-12-31T23:59:59Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn invalid_timestamps_are_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21 10:00:03Z",
            "2026-11-21T10:00:03",
            "2026-11-21T10:00:03.Z",
            "2026-11-21T10:00:03.+01:00",
            "2026-11-21T10:00:03+0100",
            "2026-11-21T10:00:03z",
            "2026-13-21T10:00:03Z",
            "2026-00-21T10:00:03Z",
            "2025-02-29T10:00:03Z",
            "2026-11-31T10:00:03Z",
            "2026-11-21T24:00:03Z",
            "2026-11-21T10:00:60Z",
            "2026-11-21T10:00:03+24:00",
            "2026-11-21T10:00:03Z ",
            "1764000000",
            "2026-11-21T10:00:0\u{e9}Z",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}
