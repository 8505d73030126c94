//! The time of a record: UTC in microseconds, as a text of 27 characters.
//!
//! The fixed width makes parsing cheap, and texts sort as times do.

use pulse_sensors::calendar;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of a time's text.
pub(crate) const TEXT_BYTES: usize = 27;
/// The last microsecond of the year 9999, the last time that fits the text.
const LAST: u64 = 253_402_300_799_999_999;
const MICROS: u64 = 1_000_000;

/// Microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::from_micros(u64::try_from(since.as_micros()).unwrap_or(LAST))
    }

    /// From microseconds since 1970, at most the end of the year 9999.
    #[must_use]
    pub fn from_micros(micros: u64) -> Self {
        Self(micros.min(LAST))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero when the clock went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The time `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(LAST);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The text in a record.
    #[must_use]
    pub(crate) fn text(self) -> [u8; TEXT_BYTES] {
        let (seconds, micros) = (self.0 / MICROS, self.0 % MICROS);
        let (year, month, day) = calendar::date(seconds / 86_400);
        let second = seconds % 86_400;
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], second / 3600);
        digits(&mut text[14..16], second / 60 % 60);
        digits(&mut text[17..19], second % 60);
        digits(&mut text[20..26], micros);
        text
    }

    /// Parses exactly that text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; TEXT_BYTES] = text.try_into().ok()?;
        for (at, mark) in [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'.'),
            (26, b'Z'),
        ] {
            if text.get(at) != Some(&mark) {
                return None;
            }
        }
        let (year, month, day) = (
            number(&text[0..4])?,
            number(&text[5..7])?,
            number(&text[8..10])?,
        );
        let (hour, minute) = (number(&text[11..13])?, number(&text[14..16])?);
        let (second, micros) = (number(&text[17..19])?, number(&text[20..26])?);
        // No leap second: the system's clock has none (time(2)), so none is ever written.
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let day = calendar::day(year, month, day)?;
        Some(Self(
            ((day * 24 + hour) * 60 + minute) * 60 * MICROS + second * MICROS + micros,
        ))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

fn digits(text: &mut [u8], mut value: u64) {
    for place in text.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_795_255_203_123_456, "2026-11-21T10:00:03.123456Z"),
            (LAST, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
            assert_eq!(Timestamp::parse(text.as_bytes()), Some(Timestamp(micros)));
        }
        assert_eq!(Timestamp::from_micros(u64::MAX).as_micros(), LAST);
    }

    #[test]
    fn every_day_of_four_centuries() {
        for day in 0..146_097 {
            let time = Timestamp(day * 86_400 * MICROS + 86_399_999_999);
            assert_eq!(Timestamp::parse(&time.text()), Some(time));
        }
    }

    #[test]
    fn invalid_times_are_refused() {
        for text in [
            "2026-02-29T10:00:03.123456Z",
            "2026-13-01T10:00:03.123456Z",
            "2026-11-21T24:00:03.123456Z",
            "2026-11-21T10:00:60.123456Z",
            "2026-11-21 10:00:03.123456Z",
            "2026-11-21T10:00:03.12345Z",
            "1969-12-31T23:59:59.999999Z",
            "2026-11-21T10:00:0x.123456Z",
        ] {
            assert_eq!(Timestamp::parse(text.as_bytes()), None, "{text}");
        }
    }
}
