//! Checks that all JSON parsers read the members of a record, and read the same.
//!
//! A hash proves that bytes are unchanged, not that they are unambiguous. With a duplicate
//! member, or a number that parsers round differently, two honest readers would see two
//! different records. So only the subset of JSON that the encoder writes is accepted.

/// More members than any record has.
const MAX_MEMBERS: usize = 32;
/// The members that every line has besides them.
const RESERVED: [&[u8]; 6] = [
    b"seq",
    b"ts",
    b"event_type",
    b"prev_hash",
    b"signature",
    b"event_hash",
];

/// True when `text` is one or more members `,"name":value` with unique names.
pub(crate) fn are_well_formed(text: &[u8]) -> bool {
    // The limit permits an array, so checking a record allocates nothing.
    let mut names = [&b""[..]; MAX_MEMBERS];
    let (mut count, mut rest) = (0, text);
    while !rest.is_empty() {
        let Some((name, after)) = member(rest) else {
            return false;
        };
        let (met, free) = names.split_at_mut(count);
        let Some(place) = free.first_mut() else {
            return false;
        };
        if RESERVED.contains(&name) || met.contains(&name) {
            return false;
        }
        *place = name;
        (count, rest) = (count + 1, after);
    }
    // ASCII's control characters are refused above, byte by byte. Those of C1 have two bytes in
    // UTF-8, so they are looked for in the decoded text.
    count > 0
        && std::str::from_utf8(text)
            .is_ok_and(|text| text.is_ascii() || !text.chars().any(char::is_control))
}

/// True when it can be the name of a member or of an event.
pub(crate) fn is_name(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}

/// Splits off the first member: its name, and the bytes after it.
fn member(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b",\"")?;
    let (name, text) = text.split_at(memchr::memchr(b'"', text)?);
    let text = text.strip_prefix(b"\":")?;
    let rest = match text.strip_prefix(b"\"") {
        Some(text) => after_string(text)?,
        None => after_number(text)?,
    };
    is_name(name).then_some((name, rest))
}

fn after_string(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        // JSON permits DEL unescaped; the encoder escapes it, so it is refused here.
        let end = text
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | ..b' ' | 0x7f))?;
        text = match text.get(end..)? {
            [b'"', rest @ ..] => return Some(rest),
            // JSON has more escapes (`\n`, `\/`, surrogates). The encoder writes these two forms.
            [b'\\', b'"' | b'\\', rest @ ..] => rest,
            [b'\\', b'u', b'0', b'0', high, low, rest @ ..] if is_hex(*high) && is_hex(*low) => {
                rest
            }
            _ => return None,
        };
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A number of at most 64 bits, with at most three decimals.
fn after_number(text: &[u8]) -> Option<&[u8]> {
    let (whole, rest) = digits(text)?;
    // 2^64 - 1 has 20 digits. Numbers with equally many digits compare as text.
    if whole.len() > 20
        || (whole.len() == 20 && *whole > b"18446744073709551615"[..])
        || matches!(whole, [b'0', _, ..])
    {
        return None;
    }
    match rest.strip_prefix(b".") {
        Some(decimals) => digits(decimals)
            .filter(|(decimals, _)| decimals.len() <= 3)
            .map(|(_, rest)| rest),
        None => Some(rest),
    }
}

fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then(|| text.split_at(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_output_is_well_formed() {
        for text in [
            r#","decision":"allowed""#,
            r#","a":"","b":0,"c":18446744073709551615,"d":12.034"#,
            r#","error":"a\"b\\c\u000a\u009bé…","exit_code":255"#,
        ] {
            assert!(are_well_formed(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn ambiguous_json_is_refused() {
        for text in [
            "",
            ",",
            r#","a":1,"a":2"#,
            r#","seq":9"#,
            r#","a":1,"event_hash":"x""#,
            r#", "a":1"#,
            r#","a": 1"#,
            r#","a":01"#,
            r#","a":1."#,
            r#","a":1e5"#,
            r#","a":-1"#,
            r#","a":18446744073709551616"#,
            r#","a":NaN"#,
            r#","a":true"#,
            r#","a":{}"#,
            r#","a":"\n""#,
            r#","a":"\ud800""#,
            r#","a":"x"#,
            r#","A":1"#,
            r#","":1"#,
            "\",\"a\":\"\n\"",
            ",\"a\":\"\u{0}\"",
            ",\"a\":\"\u{7f}\"",
            ",\"a\":\"\u{9b}\"",
        ] {
            assert!(!are_well_formed(text.as_bytes()), "{text}");
        }
        assert!(!are_well_formed(b",\"a\":\"\xff\""));
    }
}
