//! Text from a node: labels, names, models. It is cut, cleaned and made unique.
//!
//! The text ends up on terminals, in logs and as keys of a JSON object. So active characters are
//! replaced, its length is limited, and no key occurs twice.

use crate::shown::is_active;
use smol_str::SmolStr;

/// The maximum length of a text, in bytes; the rest is cut off.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// The maximum length of a text before a number is appended, so that ` #512` fits.
const MAX_NUMBERED_BYTES: usize = MAX_TEXT_BYTES - 6;

/// The text without active characters, cut to [`MAX_TEXT_BYTES`].
pub(super) fn clean(text: &str) -> String {
    if is_clean(text) {
        text.to_owned()
    } else {
        cleaned(text)
    }
}

/// As [`clean`], without an allocation for short text.
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
    let printable = |c| {
        if is_active(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    for character in text.chars().map(printable) {
        if cleaned.len() + character.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        cleaned.push(character);
    }
    cleaned
}

/// The text if it is not taken, otherwise with the first free number, ` #2`, ` #3`, ….
///
/// Iterates over the taken texts twice at most, so a chip whose labels are all equal takes linear
/// time for each label, as any other.
pub(super) fn unique<'a, Text>(wanted: Text, taken: impl Iterator<Item = &'a str> + Clone) -> Text
where
    Text: AsRef<str> + From<String>,
{
    if !taken.clone().any(|text| text == wanted.as_ref()) {
        return wanted;
    }
    let wanted = wanted.as_ref();
    let stem = wanted
        .get(..wanted.floor_char_boundary(MAX_NUMBERED_BYTES))
        .unwrap_or(wanted);
    let number = |text: &str| text.strip_prefix(stem)?.strip_prefix(" #")?.parse().ok();
    let mut numbers: Vec<u32> = taken.filter_map(number).collect();
    numbers.sort_unstable();
    // Sorted, so each taken number moves the candidate by one at most.
    let mut free = 2;
    for number in numbers {
        free += u32::from(number == free);
    }
    format!("{stem} #{free}").into()
}

/// The text without a number that [`unique`] appended, and whether it had one.
pub(super) fn without_number(text: &str) -> (&str, bool) {
    match text.rsplit_once(" #") {
        Some((stem, number)) if is_number(number) => (stem, true),
        _ => (text, false),
    }
}

/// True if the text contains the word, in any case.
pub(super) fn contains_word(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_takes_the_first_free_number() {
        let taken = ["a", "a #2", "a #4", "a #x"];
        assert_eq!(unique(String::from("a"), taken.into_iter()), "a #3");
        assert_eq!(unique(String::from("a #2"), taken.into_iter()), "a #2 #2");
        assert_eq!(unique(String::from("b"), taken.into_iter()), "b");
    }

    #[test]
    fn numbered_text_stays_bounded() {
        let long = "\u{e9}".repeat(400);
        let first = clean(&long);
        assert_eq!(first.len(), MAX_TEXT_BYTES);
        let second = unique(first.clone(), [first.as_str()].into_iter());
        assert!(second.len() <= MAX_TEXT_BYTES && second.ends_with(" #2"));
        assert_eq!(clean(&second), second);
    }

    #[test]
    fn active_characters_are_replaced() {
        assert_eq!(clean("a\x1b[31m\u{9b}b"), "a\u{fffd}[31m\u{fffd}b");
        // Bidirectional and invisible characters, line separators.
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
