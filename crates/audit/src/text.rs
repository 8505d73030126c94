//! JSON strings and hexadecimal digits of records.
//!
//! Texts from outside (a node's error, a peer's name) can have any characters. Control
//! characters are always escaped, so that a record is one line in any terminal and in syslog.
//! The length of texts is limited, and so is that of a record.

use pulse_sensors::shown::is_active;

/// The mark at the end of a truncated text.
const CUT: &str = "…";

/// A SHA-256 in 64 hexadecimal digits.
pub(crate) type Hex = [u8; 64];

/// Appends a JSON string of at most `budget` bytes between its quotes.
pub(crate) fn push_string(line: &mut Vec<u8>, text: &str, budget: usize) {
    line.push(b'"');
    let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    // Most texts need no escapes and are copied as they are.
    if text.len() <= budget && text.bytes().all(is_plain) {
        line.extend_from_slice(text.as_bytes());
    } else {
        let start = line.len();
        let mut cut_at = start;
        for c in text.chars() {
            push_char(line, c);
            // The last place where the mark fits, so that it never replaces a part of an escape.
            if line.len() - start + CUT.len() <= budget {
                cut_at = line.len();
            }
            if line.len() - start > budget {
                line.truncate(cut_at);
                line.extend_from_slice(CUT.as_bytes());
                break;
            }
        }
    }
    line.push(b'"');
}

fn push_char(line: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => line.extend_from_slice(&[b'\\', c as u8]),
        // C0, DEL, C1 and the soft hyphen, which terminals interpret or hide. All are below
        // U+0100, and the format has escapes for these alone.
        c if is_active(c) && c < '\u{100}' => {
            let [.., code] = u32::from(c).to_be_bytes();
            line.extend_from_slice(b"\\u00");
            line.extend_from_slice(&[digit(code >> 4), digit(code)]);
        }
        // Characters that reorder or break a line, or are invisible.
        c if is_active(c) => push_char(line, char::REPLACEMENT_CHARACTER),
        c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends a number.
pub(crate) fn push_number(line: &mut Vec<u8>, mut value: u64) {
    // A number of 64 bits has at most 20 digits; the last one is computed first.
    let mut digits = [0u8; 20];
    let mut count = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        count += 1;
        if value == 0 {
            break;
        }
    }
    line.extend(digits.iter().skip(digits.len() - count));
}

/// The hexadecimal digit of the lower four bits.
fn digit(bits: u8) -> u8 {
    match bits & 15 {
        low @ 0..10 => b'0' + low,
        high => b'a' + (high - 10),
    }
}

/// The hexadecimal digits of a hash.
pub(crate) fn hex(hash: &[u8]) -> Hex {
    let mut text = [b'0'; 64];
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(hash) {
        *pair = [digit(byte >> 4), digit(*byte)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &str, budget: usize) -> String {
        let mut line = Vec::new();
        push_string(&mut line, text, budget);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            string("a\"b\\c\n\u{1b}[2J\u{7f}\u{9b}é", 99),
            r#""a\"b\\c\u000a\u001b[2J\u007f\u009bé""#
        );
        assert_eq!(
            string("a\u{ad}\u{202e}\u{2028}\u{feff}\u{e0041}b", 99),
            "\"a\\u00ad\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\""
        );
    }

    #[test]
    fn a_long_text_is_truncated() {
        assert_eq!(string(&"x".repeat(20), 10), "\"xxxxxxx…\"");
        assert_eq!(string("exactly10!", 10), "\"exactly10!\"");
        assert_eq!(string("\n\n\n", 10), "\"\\u000a…\"");
    }

    #[test]
    fn numbers_are_written_whole() {
        for value in [0, 7, 10, 4096, u64::MAX] {
            let mut line = Vec::new();
            push_number(&mut line, value);
            assert_eq!(line, value.to_string().into_bytes());
        }
    }

    /// The text as a record has it.
    fn kept(text: &str) -> String {
        text.replace(|c| is_active(c) && c >= '\u{100}', "\u{fffd}")
    }

    proptest! {
        #[test]
        fn a_short_text_is_unchanged(text in any::<String>()) {
            let read: String = serde_json::from_str(&string(&text, usize::MAX)).unwrap();
            prop_assert_eq!(read, kept(&text));
        }

        #[test]
        fn no_text_outgrows_its_budget(text in any::<String>(), budget in 3usize..64) {
            let written = string(&text, budget);
            prop_assert!(written.len() <= budget + 2);
            let read: String = serde_json::from_str(&written).unwrap();
            let text = kept(&text);
            prop_assert!(read == text || text.starts_with(read.strip_suffix('…').unwrap()));
        }
    }
}
