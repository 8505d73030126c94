//! Ordinals: the numbers of records, messages, epochs and segments.
//!
//! They are parsed from files and sockets that an attacker may write, and then added and
//! subtracted, which would wrap for numbers near 2⁶⁴. So they are parsed as this type only,
//! up to a bound that no program reaches: 2⁵³ records take 285 years at a million a second.
//! It is also the bound up to which JSON numbers are exact everywhere (RFC 8259, section 6).

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number from 0 to [`Ordinal::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Ordinal(u64);

impl Ordinal {
    /// The largest ordinal, 2⁵³ − 1. Sums of a few do not overflow 64 bits.
    pub const MAX: u64 = (1 << 53) - 1;

    /// The ordinal with this number; `None` above [`Ordinal::MAX`].
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Parses decimal digits without sign and leading zeros.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let is_canonical = match digits {
            [] => false,
            [b'0'] => true,
            [first, ..] => *first != b'0',
        };
        // 16 digits, as many as the largest has, do not overflow 64 bits.
        if !is_canonical || digits.len() > 16 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = digits.iter().map(|digit| u64::from(digit - b'0'));
        Self::new(digits.fold(0, |number, digit| number * 10 + digit))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Ordinal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("the number is over 2^53"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAST: u64 = Ordinal::MAX + 1;

    #[test]
    fn ordinals_end_below_2_to_the_53() {
        for number in [0, 1, Ordinal::MAX] {
            let text = number.to_string();
            assert_eq!(Ordinal::new(number).map(Ordinal::get), Some(number));
            assert_eq!(Ordinal::parse(text.as_bytes()), Ordinal::new(number));
            let read: Ordinal = serde_json::from_str(&text).unwrap();
            assert_eq!(read.get(), number);
        }
        for number in [PAST, 10 * PAST, u64::MAX] {
            let text = number.to_string();
            assert_eq!(Ordinal::new(number), None);
            assert_eq!(Ordinal::parse(text.as_bytes()), None);
            assert!(serde_json::from_str::<Ordinal>(&text).is_err());
        }
    }

    #[test]
    fn only_canonical_digits_are_parsed() {
        for text in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1.0",
            "x",
            "9007199254740992000000",
        ] {
            assert_eq!(Ordinal::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
