//! How far a stream has come, on disk.
//!
//! The file appears whole because it is renamed into place. It is not synced: a power
//! failure may bring an older one back, and then some records are sent again, which
//! costs less than a sync for each of them. A file that cannot be read counts as none,
//! and everything is sent again.

use pulse_audit::Head;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;

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
    seq: u64,
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
        let content: Content = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        if content.log_id != self.log_id {
            return None;
        }
        match content.event_hash {
            Some(hash) => Head::from_parts(content.seq, &hash).map(Place::After),
            None => Some(Place::From(content.seq.checked_add(1)?)),
        }
    }

    /// Has it say something else.
    ///
    /// # Errors
    /// The operating system's.
    pub fn store(&self, place: Place) -> io::Result<()> {
        let content = Content {
            log_id: self.log_id.clone(),
            seq: place.seq(),
            event_hash: match place {
                Place::After(head) => Some(head.hash().to_owned()),
                Place::From(_) => None,
            },
        };
        let unfinished = self.path.with_extension("new");
        fs::write(
            &unfinished,
            format!("{}\n", serde_json::to_string(&content)?),
        )?;
        fs::rename(unfinished, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
