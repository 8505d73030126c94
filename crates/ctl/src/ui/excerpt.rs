//! A mistake shown in its line, with a caret below it.

use super::line::{Line, Tone};
use super::width::width;
use pulse_sensors::shown::is_active;
use std::ops::Range;

/// The characters of a long line that are shown.
const WINDOW: usize = 72;

/// The characters of it before the mistake, at least.
const BEFORE: usize = 48;

/// The line of `text` and a caret below its `column`, both counted from 1.
/// Nothing when the line is empty or missing: there is nothing to point at.
pub(crate) fn excerpt(text: &str, line: usize, column: usize) -> Vec<Line> {
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if source.trim().is_empty() {
        return Vec::new();
    }
    let offset = column.saturating_sub(1);
    // Tabs have no width of their own, so the caret could not stand below. One character stays
    // one: the parser counts characters too.
    let characters: Vec<char> = source
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            c if is_active(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect();
    let start = if characters.len() <= WINDOW {
        0
    } else {
        offset.min(characters.len()).saturating_sub(BEFORE)
    };
    let end = characters.len().min(start + WINDOW);
    let dots = |more: bool| if more { "…" } else { "" };
    let (before, after) = (dots(start > 0), dots(end < characters.len()));
    let text = |range: Range<usize>| characters[range].iter().collect::<String>();
    // Columns, not characters: wide ones take two.
    let caret = width(before) + width(&text(start..offset.min(characters.len())));
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    vec![
        Line::new(Tone::Faint, format!("{margin} |")),
        Line::new(Tone::Faint, format!("{number} | "))
            .and(Tone::Plain, format!("{before}{}{after}", text(start..end))),
        Line::new(Tone::Faint, format!("{margin} | "))
            .and(Tone::Plain, " ".repeat(caret))
            .and(Tone::Bad, "^"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, line: usize, column: usize) -> String {
        let lines = excerpt(text, line, column);
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        lines.join("\n")
    }

    #[test]
    fn the_caret_is_below_the_mistake() {
        assert_eq!(
            drawn("a = 1\n\tnodes = ['-x']\n", 2, 11),
            "  |\n2 |  nodes = ['-x']\n  |           ^"
        );
        assert_eq!(drawn("ä = öö", 1, 6), "  |\n1 | ä = öö\n  |      ^");
        assert_eq!(drawn("温 = x", 1, 5), "  |\n1 | 温 = x\n  |      ^");
    }

    #[test]
    fn long_lines_are_cut() {
        let text = format!("x = '{}?{}'", "a".repeat(500), "b".repeat(500));
        let shown = drawn(&text, 1, 506);
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('?'), "{shown}");
        assert!(
            lines[1].chars().count() < 80 && lines[1].contains('…'),
            "{shown}"
        );
    }

    #[test]
    fn a_missing_place_has_no_excerpt() {
        assert_eq!(drawn("", 1, 1), "");
        assert_eq!(drawn("a\n\n", 2, 1), "");
        assert_eq!(drawn("a", 9, 9), "");
        assert_eq!(drawn("abc", 1, 99), "  |\n1 | abc\n  |    ^");
        assert!(!drawn("a\u{1b}[2J", 1, 1).contains('\u{1b}'));
    }
}
