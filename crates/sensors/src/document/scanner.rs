//! The tolerant reader's scanner, which splits damaged JSON into tokens.
//!
//! Bytes that make no token are counted as malformed and skipped. The scanner never goes back
//! further than a bounded distance, so its time is linear in the input.

use super::quotes::{closing_parenthesis, key_end, text_end};
use super::scalar::Scalar;
use super::shape::is_landmark;
use std::borrow::Cow;

/// The maximum number of blanks that count as an indentation.
const MAX_INDENT: usize = 64;

/// A token of a damaged document.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// `{` without a key.
    Open,
    /// `"key": {`
    OpenMember(Cow<'a, str>),
    /// `"key": [`
    OpenArray(Cow<'a, str>),
    /// `}`
    Close,
    /// `]`
    CloseArray,
    /// `"key": value`
    Value(Cow<'a, str>, Scalar<'a>),
}

/// The position of the last token.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// The number of malformed parts before it.
    pub(super) malformed: u64,
    /// The number of blanks before it, if it is the first token of its line.
    pub(super) indent: Option<usize>,
}

/// An iterator over the tokens of a document.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The start of the last token.
    start: usize,
    malformed: u64,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            start: 0,
            malformed: 0,
        }
    }

    pub(super) fn position(&self) -> Position {
        let before = self.bytes.get(..self.start).unwrap_or_default();
        let blanks = before
            .iter()
            .rev()
            .take(MAX_INDENT)
            .take_while(|byte| **byte == b' ')
            .count();
        Position {
            malformed: self.malformed,
            indent: before
                .iter()
                .nth_back(blanks)
                .is_none_or(|byte| *byte == b'\n')
                .then_some(blanks),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn single_byte(&mut self, token: Token<'a>) -> Option<Token<'a>> {
        self.at += 1;
        Some(token)
    }

    /// Skips bytes that cannot start a token.
    fn skip_noise(&mut self) {
        self.malformed += 1;
        let noise = self
            .rest()
            .iter()
            .skip(1)
            .take_while(|byte| !matches!(byte, b'"' | b'{' | b'}' | b']' | b'\n'));
        self.at += 1 + noise.count();
    }

    fn member(&mut self) -> Option<Token<'a>> {
        match key_end(self.bytes, self.at) {
            Ok((end, value_at)) => {
                let key = self.key(end);
                self.at = value_at;
                Some(match self.rest() {
                    [b'{', ..] => {
                        self.at += 1;
                        Token::OpenMember(key)
                    }
                    [b'[', ..] => {
                        self.at += 1;
                        Token::OpenArray(key)
                    }
                    [b'"', ..] => Token::Value(key, self.text()),
                    _ => Token::Value(key, self.bare()),
                })
            }
            Err(resume) => {
                self.malformed += 1;
                self.at = resume;
                None
            }
        }
    }

    /// The key from here to `end`. If the part after its last quote is a landmark, only that part:
    /// the quote before it then belongs to a string that has lost its end.
    fn key(&mut self, end: usize) -> Cow<'a, str> {
        let key = self.bytes.get(self.at + 1..end).unwrap_or_default();
        let mut tails = key.rsplitn(2, |byte| *byte == b'"');
        let tail = tails.next().filter(|_| tails.next().is_some());
        match tail.map(decode) {
            Some(tail) if is_landmark(&tail) => {
                self.malformed += 1;
                tail
            }
            _ => decode(key),
        }
    }

    fn bare(&mut self) -> Scalar<'a> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b",}](\"{[".contains(byte);
        let rest = self.rest();
        let end = rest.iter().position(ends);
        self.at += end.unwrap_or(rest.len());
        // A number at the end of the output may be cut off, so it is not used.
        end.and_then(|end| std::str::from_utf8(rest.get(..end)?).ok())
            .map_or(Scalar::Other, Scalar::from_bare)
    }

    /// A quoted value; [`Scalar::Other`] if it is not closed.
    fn text(&mut self) -> Scalar<'a> {
        let start = self.at + 1;
        match text_end(self.bytes, self.at) {
            Ok(end) => {
                self.at = end + 1;
                Scalar::Text(decode(self.bytes.get(start..end).unwrap_or_default()))
            }
            Err(resume) => {
                self.at = resume;
                Scalar::Other
            }
        }
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            // Commas are skipped like blanks: lm-sensors can print one too many.
            let separators = self
                .rest()
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace() || **byte == b',');
            self.at += separators.count();
            self.start = self.at;
            match self.bytes.get(self.at)? {
                b'{' => return self.single_byte(Token::Open),
                b'}' => return self.single_byte(Token::Close),
                b']' => return self.single_byte(Token::CloseArray),
                b'"' => {
                    if let Some(member) = self.member() {
                        return Some(member);
                    }
                }
                // lm-sensors prints `(label)` instead of a value that can only be written. The
                // label can contain quotes and parentheses.
                b'(' => match closing_parenthesis(self.rest()) {
                    Some(length) => {
                        self.malformed += 1;
                        self.at += length;
                    }
                    None => self.skip_noise(),
                },
                _ => self.skip_noise(),
            }
        }
    }
}

/// A string with its JSON escapes decoded; unchanged if they are invalid.
fn decode(raw: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(raw);
    // lm-sensors does not escape, so a backslash can be one of the label's own.
    if !text.contains('\\') {
        return text;
    }
    match serde_json::from_str(&format!("\"{text}\"")) {
        Ok(decoded) => Cow::Owned(decoded),
        Err(_) => text,
    }
}
