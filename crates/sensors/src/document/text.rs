//! Texts that a node chose: labels, names, models. Bounded, printable, unique.
//!
//! They end up on terminals, in logs and as keys of a JSON object, so characters that do
//! something or are not seen do not survive, nothing is long, and nothing is there twice.

use crate::shown::is_active;
use smol_str::SmolStr;

/// The longest text that is kept, in bytes; the rest is cut off.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// What is left of a text that gets a number, so that ` #512` still fits.
const MAX_NUMBERED_BYTES: usize = MAX_TEXT_BYTES - 6;

/// The text without active characters, cut to [`MAX_TEXT_BYTES`].
pub(super) fn clean(text: &str) -> String {
    if is_clean(text) {
        text.to_owned()
    } else {
        cleaned(text)
    }
}

/// As [`clean`], for the short texts that are most of a document.
pub(super) fn clean_name(text: &str) -> SmolStr {
    if is_clean(text) {
        SmolStr::new(text)
    } else {
        cleaned(text).into()
    }
}

fn is_clean(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn cleaned(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    for character in text.chars().map(printable) {
        if cleaned.len() + character.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

fn printable(character: char) -> char {
    if is_active(character) {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}

/// The text itself when it is new, or with the first free ` #2`, ` #3`, ….
///
/// Looks at each taken text once or twice, so a chip whose labels are all alike
/// costs no more than one whose labels differ.
pub(super) fn unique<'a, Text>(wanted: Text, taken: impl Iterator<Item = &'a str> + Clone) -> Text
where
    Text: AsRef<str> + From<String>,
{
    if !taken.clone().any(|text| text == wanted.as_ref()) {
        return wanted;
    }
    let stem = cut(wanted.as_ref(), MAX_NUMBERED_BYTES);
    let mut numbers: Vec<u32> = taken.filter_map(|text| number_after(stem, text)).collect();
    numbers.sort_unstable();
    format!("{stem} #{}", first_free(&numbers)).into()
}

fn number_after(stem: &str, text: &str) -> Option<u32> {
    text.strip_prefix(stem)?.strip_prefix(" #")?.parse().ok()
}

/// The smallest number from 2 on that the sorted `numbers` do not have.
fn first_free(numbers: &[u32]) -> u32 {
    let mut free = 2;
    for number in numbers {
        free += u32::from(*number == free);
    }
    free
}

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// The text without the ` #2` that [`unique`] gave it, and whether it had one.
pub(super) fn without_number(text: &str) -> (&str, bool) {
    match text.rsplit_once(" #") {
        Some((stem, number)) if is_number(number) => (stem, true),
        _ => (text, false),
    }
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_taken_is_not_given_again() {
        let taken = ["a", "a #2", "a #4", "a #x"];
        assert_eq!(unique(String::from("a"), taken.into_iter()), "a #3");
        assert_eq!(unique(String::from("a #2"), taken.into_iter()), "a #2 #2");
        assert_eq!(unique(String::from("b"), taken.into_iter()), "b");
    }

    #[test]
    fn a_long_text_stays_within_its_bound_with_its_number() {
        let long = "\u{e9}".repeat(400);
        let first = clean(&long);
        assert_eq!(first.len(), MAX_TEXT_BYTES);
        let second = unique(first.clone(), [first.as_str()].into_iter());
        assert!(second.len() <= MAX_TEXT_BYTES && second.ends_with(" #2"));
        assert_eq!(clean(&second), second);
    }

    #[test]
    fn an_escape_sequence_never_reaches_a_terminal() {
        assert_eq!(clean("a\x1b[31m\u{9b}b"), "a\u{fffd}[31m\u{fffd}b");
        // Nor does what reorders a line, breaks it, or is not seen.
        for c in [
            '\u{202e}',
            '\u{2066}',
            '\u{2028}',
            '\u{200b}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(clean(&format!("a{c}b")), "a\u{fffd}b");
            assert_eq!(clean_name(&format!("a{c}b")), "a\u{fffd}b");
        }
    }
}
