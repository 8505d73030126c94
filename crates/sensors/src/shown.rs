//! Characters that are not safe to display.
//!
//! Nodes choose their labels, collectors their replies, callers the names in their requests. On a
//! terminal or in a log, a control character moves the cursor, a bidirectional one reorders the
//! text beside it (CVE-2021-42574), a line separator makes one line look like two, and an
//! invisible one makes different names look equal or hides text. The decision follows Unicode's
//! properties instead of a list of known attacks: general categories Cc, Cf, Zl and Zp, and
//! `Default_Ignorable_Code_Point`, which adds fillers, variation selectors and the block of tags,
//! assigned or not.

use std::borrow::Cow;

/// `Cf`, `Zl`, `Zp` and `Default_Ignorable_Code_Point` of Unicode 16, sorted.
const ACTIVE: [(u32, u32); 25] = [
    (0x00ad, 0x00ad),
    (0x034f, 0x034f),
    (0x0600, 0x0605),
    (0x061c, 0x061c),
    (0x06dd, 0x06dd),
    (0x070f, 0x070f),
    (0x0890, 0x0891),
    (0x08e2, 0x08e2),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe0fff),
];

/// True if a character affects the display of other text, or is invisible.
#[must_use]
pub fn is_active(c: char) -> bool {
    // Most text is below the first range, where only control characters are active.
    if c < '\u{ad}' {
        return c.is_control();
    }
    let code = u32::from(c);
    ACTIVE
        .partition_point(|(first, _)| *first <= code)
        .checked_sub(1)
        .and_then(|at| ACTIVE.get(at))
        .is_some_and(|(_, last)| code <= *last)
}

/// The text with U+FFFD instead of every active character.
#[must_use]
pub fn scrubbed(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_active) {
        text.replace(is_active, "\u{fffd}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_syntax::hir::{Class, HirKind};

    /// The ranges of the same characters in the tables of `regex-syntax`.
    fn properties() -> Vec<(char, char)> {
        let class = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]";
        let parsed = regex_syntax::parse(class).unwrap();
        let HirKind::Class(Class::Unicode(class)) = parsed.kind() else {
            panic!("not a class of characters");
        };
        class.iter().map(|r| (r.start(), r.end())).collect()
    }

    #[test]
    fn active_characters_match_unicode() {
        let properties = properties();
        for c in '\0'..=char::MAX {
            let expected = properties
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&c));
            assert_eq!(is_active(c), expected, "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn active_characters_are_replaced() {
        for hidden in [
            '\u{7}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            assert_eq!(scrubbed(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        let plain = "Core 0 · 41 °C · Lüfter 風扇 🌡 \u{fffd}";
        assert!(matches!(scrubbed(plain), Cow::Borrowed(text) if text == plain));
    }
}
