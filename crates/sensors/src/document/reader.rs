//! Reading the output of a node.
//!
//! [`strict`] reads JSON of the expected shape. Everything else, which is most output of
//! lm-sensors on unusual machines, is read from its beginning by [`tolerant`].

use super::builder::Builder;
use super::model::Document;
use super::{strict, tolerant};

/// A document read from the output of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The document, with the values that mean nothing: a [`History`](super::History) drops them.
    pub document: Document,
    /// Counts of what was left out.
    pub dropped: Dropped,
}

/// Counts of the parts of the output that were left out, for metrics and logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Implausible values: not finite, or out of the range of a disk.
    pub implausible: u64,
    /// Parts that could not be parsed, exceeded a limit, or were repaired.
    pub malformed: u64,
}

/// The reason why the output is not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// White space only.
    #[error("the sensor command printed nothing; is the forced command in place?")]
    Empty,
    /// Text without a sensor document.
    #[error("the output is not a sensor document; does the forced command run `sensors -j`?")]
    NotADocument,
    /// The helper on the node replied with an error.
    #[error("the sensor helper answered: {0}")]
    Refused(String),
}

/// Reads the output of a node: the helper's document, an older wrapper's
/// `{"sensors":…,"smart":…}` or that of `sensors -j`, each also damaged. The corpus in
/// `tests/corpus/documents` has the known shapes. Time and memory are linear in the input.
///
/// # Errors
/// [`ReadError`] if the output contains no document. A document without sensors is not an
/// error.
pub fn read(bytes: &[u8]) -> Result<Reading, ReadError> {
    // A byte order mark may be ignored (RFC 8259, section 8.1); serde_json refuses it.
    let bytes = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    let Builder {
        document,
        dropped,
        recognised,
        refusal,
        ..
    } = strict::read(bytes)
        .unwrap_or_else(|_| tolerant::read(bytes))
        .finish();
    match refusal {
        // An error beside a document is ignored: the sensors can be read.
        _ if recognised => Ok(Reading { document, dropped }),
        Some(refusal) => Err(ReadError::Refused(refusal)),
        None => Err(ReadError::NotADocument),
    }
}
