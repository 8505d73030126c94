//! How far a stream has come, on disk.
//!
//! The file appears whole because it is renamed into place. It is not synced: a power
//! failure may bring an older one back, and then some records are sent again, which
//! costs less than a sync for each of them. A file that cannot be read counts as none,
//! and everything is sent again.

use pulse_audit::Head;
use pulse_core::ordinal::Ordinal;
use pulse_files::Durability;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

const MODE: u32 = 0o600;
/// More than any cursor has, in bytes.
const MAX_BYTES: usize = 4096;

/// The place after which a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After the record with this number and this hash.
    After(Head),
    /// At the record with this number, whatever stands before it.
    From(u64),
}

impl Place {
    /// Before the first record of a log.
    pub const START: Self = Self::From(1);

    /// The number of the last record that need not be sent.
    #[must_use]
    pub fn seq(self) -> u64 {
        match self {
            Self::After(head) => head.seq,
            Self::From(seq) => seq.saturating_sub(1),
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct CursorFile {
    path: PathBuf,
    /// Which log it is about.
    log_id: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    log_id: String,
    seq: Ordinal,
    event_hash: Option<String>,
}

impl CursorFile {
    /// The file at `path`, about the log of this id.
    #[must_use]
    pub fn new(path: PathBuf, log_id: &str) -> Self {
        Self {
            path,
            log_id: log_id.to_owned(),
        }
    }

    /// What it says; none when it is not there, of no use, or about another log.
    #[must_use]
    pub fn load(&self) -> Option<Place> {
        self.parse(&pulse_files::read(&self.path, MAX_BYTES).ok()?)
    }

    pub(crate) fn parse(&self, text: &[u8]) -> Option<Place> {
        let content: Content = serde_json::from_slice(text).ok()?;
        if content.log_id != self.log_id {
            return None;
        }
        match content.event_hash {
            Some(hash) => Head::from_parts(content.seq.get(), &hash).map(Place::After),
            None => Some(Place::From(content.seq.get() + 1)),
        }
    }

    /// Has it say something else.
    ///
    /// # Errors
    /// The operating system's.
    pub fn store(&self, place: Place) -> io::Result<()> {
        pulse_files::replace(
            &self.path,
            &self.path.with_extension("new"),
            MODE,
            self.text(place)?.as_bytes(),
            Durability::Written,
        )
    }

    pub(crate) fn text(&self, place: Place) -> io::Result<String> {
        let content = Content {
            log_id: self.log_id.clone(),
            seq: Ordinal::new(place.seq()).ok_or_else(|| {
                let reason = "the number is over 2^53: the cursor's file was tampered with";
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?,
            event_hash: match place {
                Place::After(head) => Some(head.hash().to_owned()),
                Place::From(_) => None,
            },
        };
        Ok(format!("{}\n", serde_json::to_string(&content)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_place_is_found_again_but_not_in_another_log() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let cursor = |log| CursorFile::new(path.clone(), log);
        assert_eq!(cursor("one").load(), None);
        let head = Head::from_parts(7, &"a".repeat(64)).unwrap();
        for place in [Place::After(head), Place::From(7), Place::START] {
            cursor("one").store(place).unwrap();
            assert_eq!(cursor("one").load(), Some(place));
            assert_eq!(cursor("two").load(), None);
        }
        fs::write(&path, "{").unwrap();
        assert_eq!(cursor("one").load(), None);
    }

    #[test]
    fn absurd_numbers_count_as_no_cursor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let cursor = CursorFile::new(path.clone(), "one");
        let hashes = ["null".to_owned(), format!("\"{}\"", "a".repeat(64))];
        for number in [u64::MAX, u64::MAX - 1, Ordinal::MAX + 1] {
            for hash in &hashes {
                let text = format!("{{\"log_id\":\"one\",\"seq\":{number},\"event_hash\":{hash}}}");
                fs::write(&path, text).unwrap();
                assert_eq!(cursor.load(), None, "{number} {hash}");
            }
        }
    }
}
