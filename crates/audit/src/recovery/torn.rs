//! Torn bytes: copied to a file of their own, cut off where that is permitted, and put on
//! record by name, length and hash.

use super::RecoveryReason;
use crate::error::LogError;
use crate::log_event::{LogEvent, TornBytes};
use crate::record::Body;
use crate::storage::{Dir, Storage, TORN};
use crate::tail::{MAX_TORN_BYTES, Tail};
use std::io::{self, Read};

/// More bytes than a file of torn bytes has.
const MAX_BYTES: u64 = MAX_TORN_BYTES as u64 + 4096;
/// The most files before one record. Each crash adds one, and all are read into memory.
const MAX_FILES: usize = 64;

/// The files of torn bytes before the next record.
pub(super) struct TornFiles {
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// False when the log's file could not be cut: it still has the bytes of the last of them.
    pub(super) are_cut: bool,
}

/// Copies the torn bytes to a file, then cuts them off if that is permitted. Bytes with which
/// `own` begins are not copied: they are of the recovery before, whose write failed as well, and
/// a disk that stays broken would get another copy with each attempt.
pub(super) fn set_aside(
    storage: &mut impl Storage,
    name: &str,
    seq: u64,
    length: u64,
    tail: &Tail,
    own: &[u8],
) -> Result<TornFiles, LogError> {
    let doing = || LogError::while_doing("set torn bytes aside");
    let bytes = tail.torn.bytes();
    let mut are_cut = true;
    if !bytes.is_empty() {
        // A crash between copying and cutting leaves the same bytes in both places: a second copy
        // would count them twice.
        let kept = files_of(storage, seq).map_err(doing())?;
        if !own.starts_with(bytes) && !kept.iter().any(|(_, content)| content == bytes) {
            let free = match kept.len() {
                0 => format!("{TORN}{seq}"),
                others => format!("{TORN}{seq}.{}", others + 1),
            };
            storage.store(Dir::Log, &free, bytes).map_err(doing())?;
        }
        match storage.cut(name, length) {
            // EPERM: the file is append-only (`chattr +a`).
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => are_cut = false,
            outcome => outcome.map_err(doing())?,
        }
    }
    let mut files = files_of(storage, seq).map_err(doing())?;
    // The bytes that stay in the log come first: a verifier looks for them in the first record.
    if !are_cut {
        files.sort_by_key(|(_, content)| content != bytes);
    }
    Ok(TornFiles { files, are_cut })
}

/// The files of torn bytes before record `seq`, including those of attempts that crashed before
/// they could put them on record.
fn files_of(storage: &impl Storage, seq: u64) -> io::Result<Vec<(String, Vec<u8>)>> {
    let first = format!("{TORN}{seq}");
    let another = format!("{first}.");
    let mut names = storage.list(Dir::Log)?;
    names.retain(|name| {
        let number = name.strip_prefix(&another);
        *name == first
            || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    if names.len() > MAX_FILES {
        return Err(io::Error::other(format!(
            "more than {MAX_FILES} files whose names begin with {first}"
        )));
    }
    names.sort_unstable();
    let read = |name: String| {
        let mut content = Vec::new();
        storage
            .read(Dir::Log, &name)?
            .take(MAX_BYTES)
            .read_to_end(&mut content)?;
        Ok((name, content))
    };
    names.into_iter().map(read).collect()
}

impl TornFiles {
    /// The records that account for torn bytes and for a failure.
    pub(super) fn bodies(&self, occasion: RecoveryReason<'_>) -> Vec<Body> {
        let mut torn: Vec<_> = self
            .files
            .iter()
            .map(|(file, content)| Some(TornBytes { content, file }))
            .collect();
        let failure = match occasion {
            RecoveryReason::Failure(error) => Some(error),
            _ => None,
        };
        // A failure is on record also when it tore nothing.
        if failure.is_some() && torn.is_empty() {
            torn.push(None);
        }
        let last = torn.len().saturating_sub(1);
        let body = |(index, torn)| {
            let failure = failure.filter(|_| index == last);
            LogEvent::Recovered { torn, failure }.body()
        };
        torn.into_iter().enumerate().map(body).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Directory;
    use std::fs;

    #[test]
    fn torn_files_are_bounded() {
        let home = tempfile::tempdir().unwrap();
        let storage = Directory::lock(home.path(), &home.path().join("state")).unwrap();
        let file = |name: String| home.path().join(name);
        let huge = fs::File::create(file(format!("{TORN}7"))).unwrap();
        huge.set_len(1 << 40).unwrap();
        for number in 2..=MAX_FILES {
            fs::write(file(format!("{TORN}7.{number}")), "x").unwrap();
        }
        let found = files_of(&storage, 7).unwrap();
        assert_eq!(found.len(), MAX_FILES);
        let lengths = found.iter().map(|(_, content)| content.len() as u64);
        assert_eq!(lengths.max(), Some(MAX_BYTES));
        fs::write(file(format!("{TORN}7.{}", MAX_FILES + 1)), "x").unwrap();
        let error = files_of(&storage, 7).unwrap_err().to_string();
        assert!(error.contains("audit.log.torn-7"), "{error}");
    }
}
