//! The records in a line of a collector's file.
//!
//! A record follows a header in the format of the collector's template. A collector that is
//! killed during a write leaves an incomplete line, and continues on the same line after its
//! restart: so a line may have several records. They are found by the bytes with which every
//! record begins; these cannot occur within a record, where quotation marks are escaped.

use pulse_core::ordinal::Ordinal;

const SIGN: &[u8] = b"{\"seq\":";
const AFTER_NUMBER: &[u8] = b",\"ts\":\"";

/// Text that begins as a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    pub(super) seq: u64,
    pub(super) text: &'a [u8],
    /// Another one follows on the line, or the line has no newline.
    pub(super) is_cut_short: bool,
}

/// The claims of a line; only those of `host`, if it is given.
pub(super) fn claims<'a>(
    line: &'a [u8],
    ended: bool,
    host: Option<&'a str>,
) -> impl Iterator<Item = Claim<'a>> {
    let mut header_from = 0;
    signs(line).filter_map(move |(from, seq)| {
        let header = line.get(header_from..from)?;
        header_from = from;
        let end = signs(line.get(from + 1..)?)
            .next()
            .map(|(at, _)| from + 1 + at);
        let text = line.get(from..end.unwrap_or(line.len()))?;
        let mut words = header.split(u8::is_ascii_whitespace);
        if !host.is_none_or(|host| words.any(|word| word == host.as_bytes())) {
            return None;
        }
        // The header of the next record follows on the line, so the record's own end is looked for.
        let close = memchr::memmem::rfind(text, b"\"}").filter(|_| end.is_some());
        let whole = close.and_then(|close| text.get(..close + 2));
        Some(Claim {
            seq,
            text: whole.unwrap_or(text.trim_ascii_end()),
            is_cut_short: end.is_some() || !ended,
        })
    })
}

/// The offset and number of each.
fn signs(line: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    memchr::memmem::find_iter(line, SIGN)
        .filter_map(move |at| Some((at, number(line.get(at + SIGN.len()..)?)?)))
}

fn number(text: &[u8]) -> Option<u64> {
    let (digits, rest) = text.split_at(text.iter().position(|byte| !byte.is_ascii_digit())?);
    let number = Ordinal::parse(digits)?.get();
    (rest.starts_with(AFTER_NUMBER) && number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"seq":7,"ts":"x"}"#;

    fn texts(line: &str, host: Option<&str>) -> Vec<(u64, String, bool)> {
        let text = |claim: Claim<'_>| {
            let text = String::from_utf8(claim.text.to_vec()).unwrap();
            (claim.seq, text, claim.is_cut_short)
        };
        claims(line.as_bytes(), true, host).map(text).collect()
    }

    #[test]
    fn records_follow_any_header() {
        for header in [
            "",
            " ",
            "<110>1 2026-11-21T10:00:03.1Z host1 pulse-sensor-proxy 7 audit - ",
            "<110>1 2026-11-21T10:00:03.1Z host1 app - - [x@1 a=\"b\"] \u{feff}",
            "Nov 21 10:00:03 host1 pulse-sensor-proxy[7]: ",
            "<13>Nov  1 10:00:03 host1 app:",
        ] {
            let found = texts(&format!("{header}{RECORD}\r"), None);
            assert_eq!(found, [(7, RECORD.to_owned(), false)], "{header}");
        }
    }

    #[test]
    fn other_lines_are_no_records() {
        for line in [
            "",
            "Nov 21 10:00:03 host1 sshd[1]: hello",
            r#"{"seq":"7","ts":"x"}"#,
            r#"{"seq":7,"level":"info"}"#,
            r#"{"seq":0,"ts":"x"}"#,
            r#"{"seq":9007199254740992,"ts":"x"}"#,
            r#"{"seq":18446744073709551614,"ts":"x"}"#,
            r#"{"seq":99999999999999999999,"ts":"x"}"#,
            r#"{"seq":07,"ts":"x"}"#,
            r#"{"seq":"#,
            r#"{"sequence":7,"ts":"x"}"#,
        ] {
            assert_eq!(texts(line, None), [], "{line}");
        }
    }

    #[test]
    fn an_incomplete_line_hides_nothing() {
        let line = format!("h1 {{\"seq\":6,\"ts\":\"2Nov 21 host1 a: {RECORD}h1 {RECORD}");
        let found = texts(&line, None);
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].0, found[0].2), (6, true));
        assert_eq!(found[1], (7, RECORD.to_owned(), true));
        assert_eq!(found[2], (7, RECORD.to_owned(), false));
    }

    #[test]
    fn a_host_is_a_whole_word() {
        let line = format!("Nov 21 10:00:03 host1 a: {RECORD}");
        assert_eq!(texts(&line, Some("host1")).len(), 1);
        assert_eq!(texts(&line, Some("host")), []);
        assert_eq!(texts(RECORD, Some("host1")), []);
    }
}
