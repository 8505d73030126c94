//! The format of a state file, which its first line names.
//!
//! A JSON object has it in the member `format`, and the release that wrote it in `release`. A
//! file of another kind begins with the line `format <number> <release>`. A file that names no
//! format is of format 1, as of all releases before 0.2.
//!
//! A file of a later format is refused and not replaced: what the later release wrote there
//! would be lost, and the operator would learn of the downgrade by its effects only.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
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

/// Parses the format that a state file names.
///
/// # Errors
/// [`UnknownFormat`] unless it is one that this release reads. A text that is no state file at all
/// names none, and is left to the parser of its content.
pub fn parse_format(text: &[u8]) -> Result<(), UnknownFormat> {
    #[derive(Deserialize)]
    struct Named<'a> {
        // Any value: a format that is no number is not format 1.
        format: Option<Value>,
        #[serde(borrow)]
        release: Option<Cow<'a, str>>,
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (format, release) = if let Some(words) = line.strip_prefix(b"format ") {
        let words = String::from_utf8_lossy(words);
        let mut words = words.split(' ').map(str::to_owned);
        let number = words.next().unwrap_or_default();
        (number.parse().ok(), words.next())
    } else {
        let Ok(Named {
            format: Some(format),
            release,
        }) = serde_json::from_slice(line)
        else {
            return Ok(());
        };
        (format.as_u64(), release.map(Cow::into_owned))
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
