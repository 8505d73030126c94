//! The way in: any output of a node becomes a document, or an error that says why not.
//!
//! What is JSON of the expected shape takes the short way through [`strict`];
//! everything else, which is most of what lm-sensors prints when something is
//! unusual, is read from the start by [`tolerant`].

use super::builder::Builder;
use super::model::Document;
use super::{strict, tolerant};

/// What a node's output said, and what of it could not be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Everything that could be read and can be true.
    pub document: Document,
    /// What was left out.
    pub dropped: Dropped,
}

/// How much of a node's output was left out, for metrics and logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Values that cannot be true: out of range, sentinels, not finite.
    pub implausible: u64,
    /// Pieces that could not be read, were over a bound, or had to be guessed.
    pub malformed: u64,
}

/// Why a node's output is not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing but blanks.
    #[error("the sensor command printed nothing; is the forced command in place?")]
    Empty,
    /// Text, but no sensor document in it.
    #[error("the output is not a sensor document; does the forced command run `sensors -j`?")]
    NotADocument,
    /// The node's helper answered with an error of its own.
    #[error("the sensor helper answered: {0}")]
    Refused(String),
}

/// Reads whatever a node printed.
///
/// Takes the helper's document, an older wrapper's `{"sensors":…,"smart":…}` and
/// what `sensors -j` prints, each also damaged: see the corpus in
/// `tests/corpus/documents`. Time and memory are linear in the input.
///
/// # Errors
/// [`ReadError`] when there is no document in the output at all. A document
/// without a single sensor is no error.
pub fn read(bytes: &[u8]) -> Result<Reading, ReadError> {
    let bytes = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    let builder = strict::read(bytes).unwrap_or_else(|_| tolerant::read(bytes));
    finish(builder)
}

fn finish(builder: Builder) -> Result<Reading, ReadError> {
    let Builder {
        document, dropped, ..
    } = builder;
    match builder.refusal {
        _ if builder.recognised => Ok(Reading { document, dropped }),
        Some(refusal) => Err(ReadError::Refused(refusal)),
        None => Err(ReadError::NotADocument),
    }
}
