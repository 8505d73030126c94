//! A line of text whose parts have tones. Tones become colours when the line is printed, where
//! it is known whether stdout is a terminal.

use super::width::{cut, width};
use std::fmt::Write;

/// The tone of a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Warm,
    Bad,
    /// White on black, whatever the terminal's own colours.
    Code,
}

impl Tone {
    /// The parameters of its control sequence (ECMA-48, SGR).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Faint => Some("2"),
            Self::Strong => Some("1"),
            Self::Good => Some("32"),
            Self::Warm => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Code => Some("97;40"),
        }
    }
}

/// One line, without its newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Tone, String)>);

impl Line {
    /// A line of one tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self::default().and(tone, text)
    }

    /// A line without tones.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(Tone::Plain, text)
    }

    /// This line with more at its end.
    pub(crate) fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// This line with another one at its end.
    pub(crate) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The columns that it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// The beginning of the line that fits in so many columns.
    pub(crate) fn cut(&self, columns: usize) -> Self {
        let mut room = columns;
        let part = |(tone, text): &(Tone, String)| {
            let kept = cut(text, room);
            // What comes after the first part that does not fit is cut too.
            room = if kept.len() < text.len() {
                0
            } else {
                room - width(kept)
            };
            (*tone, kept.to_owned())
        };
        Self(self.0.iter().map(part).collect())
    }

    /// The text, with control sequences for colours or without.
    pub(crate) fn render(&self, coloured: bool) -> String {
        let mut text = String::new();
        for (tone, part) in &self.0 {
            match tone.code().filter(|_| coloured && !part.trim().is_empty()) {
                // Reset after each part: a line that is cut or read by grep leaves no colour on.
                // Writing to a string cannot fail.
                Some(code) => drop(write!(text, "\x1b[{code}m{part}\x1b[0m")),
                None => text.push_str(part),
            }
        }
        // The last column of a table is padded too.
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_without_colours() {
        let line = Line::new(Tone::Bad, "hot")
            .and(Tone::Plain, " 1")
            .and(Tone::Faint, "  ");
        assert_eq!(line.render(false), "hot 1");
        assert_eq!(line.render(true), "\x1b[1;31mhot\x1b[0m 1");
    }

    #[test]
    fn a_line_is_cut_by_columns() {
        let line = Line::new(Tone::Good, "ä°C").and(Tone::Bad, "xyz");
        assert_eq!(line.width(), 6);
        assert_eq!(line.cut(4).render(false), "ä°Cx");
        assert_eq!(line.cut(2).render(true), "\x1b[32mä°\x1b[0m");
    }
}
