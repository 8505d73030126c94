//! The position of a stream, on disk.
//!
//! The file is replaced by a rename, so it is never incomplete. It is not synced: after a
//! power failure an older one may be back, and some records are sent again, which costs less
//! than a sync for each of them. Without a readable file all records are sent again.

use pulse_audit::Head;
use pulse_core::ordinal::Ordinal;
use pulse_files::Durability;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

const MODE: u32 = 0o600;
/// More than any cursor's file has.
const MAX_BYTES: usize = 4096;

/// The position at which a stream continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumePoint {
    /// After this record.
    After(Head),
    /// At the record with this number, whatever precedes it.
    From(u64),
}

impl ResumePoint {
    /// The beginning of a log.
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

/// The file of a cursor.
#[derive(Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
    /// The log that it belongs to.
    log_id: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    log_id: String,
    seq: Ordinal,
    event_hash: Option<String>,
}

impl CursorFile {
    /// The file at `path`, for the log with this id.
    pub(crate) fn new(path: PathBuf, log_id: &str) -> Self {
        Self {
            path,
            log_id: log_id.to_owned(),
        }
    }

    /// Its content; none when it is missing, invalid, or of another log.
    pub(crate) fn load(&self) -> Option<ResumePoint> {
        self.parse(&pulse_files::read(&self.path, MAX_BYTES).ok()?)
    }

    pub(crate) fn parse(&self, text: &[u8]) -> Option<ResumePoint> {
        let content: Content = serde_json::from_slice(text).ok()?;
        if content.log_id != self.log_id {
            return None;
        }
        match content.event_hash {
            Some(hash) => Head::from_parts(content.seq.get(), &hash).map(ResumePoint::After),
            None => Some(ResumePoint::From(content.seq.get() + 1)),
        }
    }

    /// Replaces its content.
    pub(crate) fn store(&self, point: ResumePoint) -> io::Result<()> {
        pulse_files::replace(
            &self.path,
            &self.path.with_extension("new"),
            MODE,
            self.text(point)?.as_bytes(),
            Durability::Written,
        )
    }

    pub(crate) fn text(&self, point: ResumePoint) -> io::Result<String> {
        let content = Content {
            log_id: self.log_id.clone(),
            seq: Ordinal::new(point.seq()).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the number is over 2^53: the cursor's file was tampered with",
                )
            })?,
            event_hash: match point {
                ResumePoint::After(head) => Some(head.hash().to_owned()),
                ResumePoint::From(_) => None,
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
    fn a_cursor_belongs_to_one_log() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let cursor = |log| CursorFile::new(path.clone(), log);
        assert_eq!(cursor("one").load(), None);
        let head = Head::from_parts(7, &"a".repeat(64)).unwrap();
        for point in [
            ResumePoint::After(head),
            ResumePoint::From(7),
            ResumePoint::START,
        ] {
            cursor("one").store(point).unwrap();
            assert_eq!(cursor("one").load(), Some(point));
            assert_eq!(cursor("two").load(), None);
        }
        fs::write(&path, "{").unwrap();
        assert_eq!(cursor("one").load(), None);
    }

    #[test]
    fn impossible_numbers_are_refused() {
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
