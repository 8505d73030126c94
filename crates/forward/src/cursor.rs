//! The position of a stream, on disk.
//!
//! The file is a JSON object on one line, with its [format](pulse_core::state_format). It is
//! replaced by a rename, so it is never incomplete. It is not synced: after a
//! power failure an older one may be back, and some records are sent again, which costs less
//! than a sync for each of them. Without a valid file all records are sent again.

use crate::state_file::{self, StateFileError, StateFileKind};
use pulse_audit::Head;
use pulse_core::ordinal::Ordinal;
use pulse_core::state_format::{FORMAT, RELEASE, UnknownFormat, parse_format};
use pulse_files::Durability;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
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
    /// Its content at the start.
    found: Option<ResumePoint>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    // Parsed before all others: a later format may have others.
    #[serde(skip_deserializing)]
    format: u64,
    #[serde(skip_deserializing)]
    release: &'static str,
    log_id: String,
    seq: Ordinal,
    event_hash: Option<String>,
}

impl CursorFile {
    /// Reads the file at `path`, for the log with this id.
    ///
    /// # Errors
    /// When a later release wrote it, or it exists and cannot be read. A file that cannot be parsed
    /// counts as missing.
    pub(crate) fn open(path: PathBuf, log_id: &str) -> Result<Self, StateFileError> {
        // One byte more than a cursor may have: a longer file is none, but names its format.
        let text = state_file::read(&path, StateFileKind::Cursor, MAX_BYTES + 1)?;
        let found = parse(&text, log_id).unwrap_or_default();
        Ok(Self {
            found: found.filter(|_| text.len() <= MAX_BYTES),
            path,
            log_id: log_id.to_owned(),
        })
    }

    /// Its content when it was opened; none when it was missing, invalid, or of another log.
    pub(crate) fn found(&self) -> Option<ResumePoint> {
        self.found
    }

    /// Replaces its content.
    pub(crate) fn store(&self, point: ResumePoint) -> io::Result<()> {
        pulse_files::replace(
            &self.path,
            &self.path.with_extension("new"),
            MODE,
            text(point, &self.log_id)?.as_bytes(),
            Durability::Written,
        )
    }
}

/// The position in a cursor's text; none when it is invalid, or of another log.
///
/// # Errors
/// [`UnknownFormat`] when a later release wrote it, for whichever log.
pub(crate) fn parse(text: &[u8], log_id: &str) -> Result<Option<ResumePoint>, UnknownFormat> {
    parse_format(text)?;
    let content: Option<Content> = serde_json::from_slice(text).ok();
    let content = content.filter(|content| content.log_id == log_id);
    Ok(content.and_then(|content| match content.event_hash {
        Some(hash) => Head::from_parts(content.seq.get(), &hash).map(ResumePoint::After),
        None => Some(ResumePoint::From(content.seq.get() + 1)),
    }))
}

pub(crate) fn text(point: ResumePoint, log_id: &str) -> io::Result<String> {
    let content = Content {
        format: FORMAT,
        release: RELEASE,
        log_id: log_id.to_owned(),
        seq: Ordinal::new(point.seq()).ok_or_else(|| {
            io::Error::new(
                ErrorKind::InvalidData,
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

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::causes::Causes;
    use std::fs;

    #[test]
    fn a_cursor_belongs_to_one_log() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let cursor = |log| CursorFile::open(path.clone(), log).unwrap();
        assert_eq!(cursor("one").found(), None);
        let head = Head::from_parts(7, &"a".repeat(64)).unwrap();
        for point in [
            ResumePoint::After(head),
            ResumePoint::From(7),
            ResumePoint::START,
        ] {
            cursor("one").store(point).unwrap();
            assert_eq!(cursor("one").found(), Some(point));
            assert_eq!(cursor("two").found(), None);
        }
        fs::write(&path, "{").unwrap();
        assert_eq!(cursor("one").found(), None);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let hashes = ["null".to_owned(), format!("\"{}\"", "a".repeat(64))];
        for number in [u64::MAX, u64::MAX - 1, Ordinal::MAX + 1] {
            for hash in &hashes {
                let text = format!("{{\"log_id\":\"one\",\"seq\":{number},\"event_hash\":{hash}}}");
                fs::write(&path, text).unwrap();
                let cursor = CursorFile::open(path.clone(), "one").unwrap();
                assert_eq!(cursor.found(), None, "{number} {hash}");
            }
        }
    }

    #[test]
    fn formats_of_all_releases() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let open = || CursorFile::open(path.clone(), "one");
        // As 0.1 wrote it.
        fs::write(
            &path,
            "{\"log_id\":\"one\",\"seq\":6,\"event_hash\":null}\n",
        )
        .unwrap();
        let cursor = open().unwrap();
        assert_eq!(cursor.found(), Some(ResumePoint::From(7)));
        cursor.store(ResumePoint::From(8)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let stamp = format!("{{\"format\":1,\"release\":\"{RELEASE}\",");
        assert!(text.starts_with(&stamp), "{text}");
        assert_eq!(open().unwrap().found(), Some(ResumePoint::From(8)));
        // A later release may have other members; of another log, it is refused too.
        let later = "{\"format\":2,\"release\":\"0.4.0\",\"positions\":{\"two\":7}}\n";
        fs::write(&path, later).unwrap();
        let error = open().unwrap_err();
        assert_eq!(
            Causes(&error).to_string(),
            format!(
                "{}: release 0.4.0 wrote it in format 2, and this release, {RELEASE}, reads \
                 formats up to 1",
                path.display()
            )
        );
        assert!(error.remedy().contains("is then sent again"));
        assert_eq!(fs::read_to_string(&path).unwrap(), later);
        // It may be longer than any of ours, and name its release in another way.
        let positions = "1,".repeat(MAX_BYTES);
        for later in [
            format!("{{\"format\":2,\"release\":\"0.4.0\",\"positions\":[{positions}1]}}\n"),
            "{\"format\":2,\"release\":4}\n".to_owned(),
        ] {
            fs::write(&path, &later).unwrap();
            assert!(open().is_err(), "{} bytes", later.len());
            assert_eq!(fs::read_to_string(&path).unwrap(), later);
        }
    }

    #[test]
    fn long_text_is_no_cursor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        let own = text(ResumePoint::From(7), "one").unwrap();
        for (length, found) in [
            (MAX_BYTES, Some(ResumePoint::From(7))),
            (MAX_BYTES + 1, None),
            (MAX_BYTES * 2, None),
        ] {
            fs::write(&path, format!("{own:<length$}")).unwrap();
            let cursor = CursorFile::open(path.clone(), "one").unwrap();
            assert_eq!(cursor.found(), found, "{length} bytes");
        }
    }

    #[test]
    fn unreadable_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("forward-a.cursor");
        // Root may read every file, so a loop stands for one that cannot be read.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let error = CursorFile::open(path.clone(), "one").unwrap_err();
        let text = Causes(&error).to_string();
        assert!(text.contains("it cannot be read: "), "{text}");
        assert!(error.remedy().contains("readable"), "{}", error.remedy());
        // A directory has no content that could be lost.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let cursor = CursorFile::open(path, "one").unwrap();
        assert_eq!(cursor.found(), None);
    }
}
