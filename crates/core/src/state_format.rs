//! The format of a state file, which its first line names.
//!
//! A JSON object has it in the member `format`, and the release that wrote it in `release`. A
//! file of another kind begins with the line `format <number> <release>`. A file that names no
//! format is of format 1, as of all releases before 0.2.
//!
//! A file of a later format is refused and not replaced: what the later release wrote there
//! would be lost, and the operator would learn of the downgrade by its effects only.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::Value;
use std::fmt;

/// The format that this release writes, and the highest that it reads.
pub const FORMAT: u64 = 1;

/// This release.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The longest name of a release that is printed.
const MAX_RELEASE_BYTES: usize = 32;

/// The members of this format and release.
#[derive(Serialize)]
pub struct Stamp {
    format: u64,
    release: &'static str,
}

impl Stamp {
    /// The members that this release writes.
    pub const CURRENT: Self = Self {
        format: FORMAT,
        release: RELEASE,
    };
}

/// The file has a format that this release does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownFormat {
    /// None when it is not a number.
    format: Option<u64>,
    release: Option<String>,
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "release {release} wrote it in ")?,
            None => f.write_str("another release wrote it in ")?,
        }
        match self.format {
            Some(format) => write!(f, "format {format}")?,
            None => f.write_str("a format without a number")?,
        }
        write!(
            f,
            ", and this release, {RELEASE}, reads formats up to {FORMAT}"
        )
    }
}

/// The members that name the format, with any values: a format that is no number is not format 1.
#[derive(Default)]
struct Named {
    format: Option<Value>,
    release: Option<Value>,
}

/// Fills in the members as they come. So those before an error are known, and a later format is
/// found in a text that ends early because the file is longer than this release reads.
impl<'de> Visitor<'de> for &mut Named {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "format" => self.format = Some(members.next_value()?),
                "release" => self.release = Some(members.next_value()?),
                _ => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

/// Parses the format that a state file names. The beginning of the file is enough if the format is
/// among its first members.
///
/// # Errors
/// [`UnknownFormat`] unless it is one that this release reads. A text that is no state file at all
/// names none, and is left to the parser of its content.
pub fn parse_format(text: &[u8]) -> Result<(), UnknownFormat> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (format, release) = if let Some(words) = line.strip_prefix(b"format ") {
        let words = String::from_utf8_lossy(words);
        let mut words = words.split(' ').map(str::to_owned);
        let number = words.next().unwrap_or_default();
        (number.parse().ok(), words.next())
    } else {
        let mut named = Named::default();
        // An error leaves what came before it; the parser of the content refuses the rest.
        let _ = serde_json::Deserializer::from_slice(line).deserialize_map(&mut named);
        let Some(format) = named.format else {
            return Ok(());
        };
        let release = named.release.as_ref().and_then(Value::as_str);
        (format.as_u64(), release.map(str::to_owned))
    };
    if format.is_some_and(|format| (1..=FORMAT).contains(&format)) {
        return Ok(());
    }
    // It is printed in messages: anything else than a version stays out of them.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
    let release = release.filter(|release| {
        (1..=MAX_RELEASE_BYTES).contains(&release.len()) && release.chars().all(is_plain)
    });
    Err(UnknownFormat { format, release })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse_format(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn known_formats_are_read() {
        let own = serde_json::to_string(&Stamp::CURRENT).unwrap();
        assert_eq!(parse_format(own.as_bytes()), Ok(()));
        for text in [
            // Before 0.2 no file named its format.
            r#"{"log_id":"x","seq":1,"event_hash":null}"#,
            "0123 4 AAAA\n",
            "format 1 0.2.0\n0123 4 AAAA\n",
            "format 1",
            // Other parsers refuse these.
            "",
            "{",
            "formatted",
        ] {
            assert_eq!(parse_format(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn later_format_names_its_release() {
        let expected = format!(
            "release 0.4.0-rc.1 wrote it in format 2, and this release, {RELEASE}, reads formats \
             up to 1"
        );
        for text in [
            r#"{"format":2,"release":"0.4.0-rc.1","members":[]}"#,
            "{\"release\":\"0.4.0-rc.1\",\"format\":2}\nmore",
            "format 2 0.4.0-rc.1\nmore",
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
    }

    #[test]
    fn odd_format_is_refused() {
        for (text, part) in [
            (r#"{"format":2}"#, "another release wrote it in format 2,"),
            (r#"{"format":0}"#, "in format 0,"),
            (r#"{"format":"1"}"#, "in a format without a number,"),
            (r#"{"format":1.5}"#, "in a format without a number,"),
            (
                r#"{"format":2,"release":4}"#,
                "another release wrote it in format 2,",
            ),
            (
                r#"{"release":{"major":4},"format":2}"#,
                "another release wrote it in format 2,",
            ),
            // The beginning of a long file.
            (
                r#"{"format":2,"release":"0.4.0","positions":{"a":"#,
                "release 0.4.0 wrote it in format 2,",
            ),
            ("format x y", "release y wrote it in a format without"),
            (
                r#"{"format":2,"release":"\u001b[2J"}"#,
                "another release wrote it in format 2,",
            ),
        ] {
            assert!(
                refusal(text).starts_with(part) || refusal(text).contains(part),
                "{text}"
            );
        }
    }
}
