//! The tolerant reader's eyes: damaged JSON as a row of pieces.
//!
//! Where no sense can be made of the bytes, the scanner counts that and goes on
//! after what it has looked at, so the time it takes is linear in the input.

use super::quotes::{closing_parenthesis, key_end, text_end};
use super::scalar::Scalar;
use super::shape::is_landmark;
use std::borrow::Cow;

/// The deepest indentation that counts as one.
const MAX_INDENT: usize = 64;

/// What can be told apart in a damaged document.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
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

/// Where the last piece stood.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// How many pieces before it made no sense.
    pub(super) malformed: u64,
    /// How many blanks are before it, when it is the first of its line.
    pub(super) indent: Option<usize>,
}

/// Walks over the bytes of a document.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the last piece starts.
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

    pub(super) fn place(&self) -> Place {
        Place {
            malformed: self.malformed,
            indent: indent(self.bytes.get(..self.start).unwrap_or_default()),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn one(&mut self, piece: Piece<'a>) -> Option<Piece<'a>> {
        self.at += 1;
        Some(piece)
    }

    fn skip_separators(&mut self) {
        let is_separator = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let rest = self.rest().iter();
        self.at += rest.take_while(|byte| is_separator(byte)).count();
    }

    /// Skips what cannot be the start of anything.
    fn skip_noise(&mut self) {
        self.malformed += 1;
        let ends_noise = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b']' | b'\n');
        let rest = self.rest().iter().skip(1);
        self.at += 1 + rest.take_while(|byte| !ends_noise(byte)).count();
    }

    /// Skips `(label)`, which lm-sensors prints in place of a value that is only
    /// for writing; the label may have quotes and brackets of its own.
    fn skip_parenthesised(&mut self) {
        match closing_parenthesis(self.rest()) {
            Some(length) => {
                self.malformed += 1;
                self.at += length;
            }
            None => self.skip_noise(),
        }
    }

    fn member(&mut self) -> Option<Piece<'a>> {
        match key_end(self.bytes, self.at) {
            Ok((end, value_at)) => {
                let key = self.key(end);
                self.at = value_at;
                Some(self.member_value(key))
            }
            Err(resume) => {
                self.malformed += 1;
                self.at = resume;
                None
            }
        }
    }

    /// The key from here to `end`; only its tail when that is a landmark, since
    /// then the quotes before it belong to something that has lost its end.
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

    fn member_value(&mut self, key: Cow<'a, str>) -> Piece<'a> {
        match self.rest() {
            [b'{', ..] => self.at += 1,
            [b'[', ..] => {
                self.at += 1;
                return Piece::OpenArray(key);
            }
            [b'"', ..] => return Piece::Value(key, self.text()),
            _ => return Piece::Value(key, self.bare()),
        }
        Piece::OpenMember(key)
    }

    fn bare(&mut self) -> Scalar<'a> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b",}](\"{[".contains(byte);
        let rest = self.rest();
        let end = rest.iter().position(ends);
        self.at += end.unwrap_or(rest.len());
        // Of a number at the end of the output, digits may be missing.
        let text = end.and_then(|end| std::str::from_utf8(rest.get(..end)?).ok());
        text.map_or(Scalar::Other, Scalar::from_bare)
    }

    /// A value in quotes; [`Scalar::Other`] when it has lost its end.
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
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            self.skip_separators();
            self.start = self.at;
            match self.bytes.get(self.at)? {
                b'{' => return self.one(Piece::Open),
                b'}' => return self.one(Piece::Close),
                b']' => return self.one(Piece::CloseArray),
                b'"' => match self.member() {
                    None => {}
                    member => return member,
                },
                b'(' => self.skip_parenthesised(),
                _ => self.skip_noise(),
            }
        }
    }
}

/// A text as JSON means it, or, when it is no JSON, as it stands there.
fn decode(raw: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(raw);
    if !text.contains('\\') {
        return text;
    }
    match serde_json::from_str(&format!("\"{text}\"")) {
        Ok(decoded) => Cow::Owned(decoded),
        Err(_) => text,
    }
}

/// How many blanks stand at the end of these bytes, when nothing else is on their line.
fn indent(bytes: &[u8]) -> Option<usize> {
    let blanks = bytes.iter().rev().take(MAX_INDENT);
    let count = blanks.take_while(|byte| **byte == b' ').count();
    let before = bytes.iter().rev().nth(count);
    before.is_none_or(|byte| *byte == b'\n').then_some(count)
}
