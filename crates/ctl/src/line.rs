//! A line of text whose parts have tones; colours come last, when it is known
//! where the line goes.

use std::fmt::Write;

/// What a part of a line is like.
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
    /// The parameters of the terminal's order for it (ECMA-48, SGR).
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
    pub(crate) fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self::default().and(tone, text)
    }

    /// A line without tones.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::of(Tone::Plain, text)
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

    /// How many characters it has.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// The line cut to this many characters.
    pub(crate) fn cut(&self, width: usize) -> Self {
        let mut room = width;
        let part = |(tone, text): &(Tone, String)| {
            let kept: String = text.chars().take(room).collect();
            room -= kept.chars().count();
            (*tone, kept)
        };
        Self(self.0.iter().map(part).collect())
    }

    /// The text, with orders for colours or without.
    pub(crate) fn render(&self, coloured: bool) -> String {
        let mut text = String::new();
        for (tone, part) in &self.0 {
            match tone.code().filter(|_| coloured && !part.trim().is_empty()) {
                // Writing to a string cannot fail.
                Some(code) => drop(write!(text, "\x1b[{code}m{part}\x1b[0m")),
                None => text.push_str(part),
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_there_is_no_escape_code() {
        let line = Line::of(Tone::Bad, "hot")
            .and(Tone::Plain, " 1")
            .and(Tone::Faint, "  ");
        assert_eq!(line.render(false), "hot 1");
        assert_eq!(line.render(true), "\x1b[1;31mhot\x1b[0m 1");
    }

    #[test]
    fn a_line_is_cut_by_characters_not_by_codes() {
        let line = Line::of(Tone::Good, "ä°C").and(Tone::Bad, "xyz");
        assert_eq!(line.width(), 6);
        assert_eq!(line.cut(4).render(false), "ä°Cx");
        assert_eq!(line.cut(2).render(true), "\x1b[32mä°\x1b[0m");
    }
}
