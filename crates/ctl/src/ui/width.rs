//! The columns that text takes on a terminal (Unicode Standard Annex 11): wide characters take
//! two, combining ones none.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a text that fits in so many columns.
pub(crate) fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        // A combining character after the last column belongs to it, and has no width.
        used += c.width().unwrap_or(0);
        (used > columns).then_some(at)
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// A text with blanks up to so many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    // `{text:columns$}` would count characters.
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{:blanks$}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("ä°C"), width("温度"), width("e\u{301}")), (3, 4, 1));
        assert_eq!(
            (cut("温度", 3), cut("ä°C", 2), cut("ab", 9)),
            ("温", "ä°", "ab")
        );
        assert_eq!(cut("e\u{301}x", 1), "e\u{301}");
        assert_eq!(pad("温", 4), "温  ");
    }
}
