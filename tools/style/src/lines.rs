//! Lines by their kind.

use proc_macro2::{Delimiter, LineColumn, Span, TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::ops::{AddAssign, RangeInclusive};

/// Lines of one file, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Lines with a token of the language.
    pub(crate) code: usize,
    /// Lines with a comment that is no documentation, alone or behind code.
    pub(crate) comments: usize,
    /// All of them, blank ones and documentation included.
    pub(crate) all: usize,
}

impl AddAssign for Lines {
    fn add_assign(&mut self, other: Self) {
        self.code += other.code;
        self.comments += other.comments;
        self.all += other.all;
    }
}

impl Lines {
    /// Counts the lines of `text`, without those (from 1) that `left_out` has.
    pub(crate) fn count(text: &str, left_out: &[RangeInclusive<usize>]) -> Self {
        let mut ends = BTreeMap::new();
        if let Ok(tokens) = text.parse() {
            mark(tokens, &mut ends);
        }
        let mut lines = Self::default();
        for (line, number) in text.lines().zip(1..) {
            if left_out.iter().any(|range| range.contains(&number)) {
                continue;
            }
            lines.all += 1;
            // A comment begins behind the last token, or it is a part of a string.
            let end = ends.get(&number).copied();
            let rest: String = line.chars().skip(end.unwrap_or(0)).collect();
            // Documentation is an attribute to the parser, so it has tokens as code has.
            let start = line.trim_start();
            if !start.starts_with("///") && !start.starts_with("//!") {
                lines.code += usize::from(end.is_some());
                lines.comments += usize::from(rest.trim_start().starts_with("//"));
            }
        }
        lines
    }
}

/// Notes for each line with a token the column where the last one ends.
fn mark(tokens: TokenStream, ends: &mut BTreeMap<usize, usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                if group.delimiter() != Delimiter::None {
                    mark_span(group.span_open(), ends);
                    mark_span(group.span_close(), ends);
                }
                mark(group.stream(), ends);
            }
            token => mark_span(token.span(), ends),
        }
    }
}

/// A string may have several lines: none of them is blank or a comment.
fn mark_span(span: Span, ends: &mut BTreeMap<usize, usize>) {
    let LineColumn { line, column } = span.end();
    // No comment can begin before the string has ended.
    for inner in span.start().line..line {
        ends.insert(inner, usize::MAX);
    }
    let end = ends.entry(line).or_default();
    *end = column.max(*end);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! Header.\n\n// why\nfn f() { // here\n    \"// no\n// no\";\n}\n";

    #[test]
    fn kinds_of_lines() {
        let lines = Lines::count(TEXT, &[]);
        assert_eq!((lines.code, lines.comments, lines.all), (4, 2, 7));
    }

    #[test]
    fn ranges_are_left_out() {
        let lines = Lines::count(TEXT, &[4..=7]);
        assert_eq!((lines.code, lines.comments, lines.all), (0, 1, 3));
    }
}
