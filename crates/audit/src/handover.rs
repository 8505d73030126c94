//! Rotation by another process than the writer.
//!
//! A writer without privileges cannot rename a live file with `chattr +a`. A privileged
//! process renames it, and then causes a call of [`crate::Writer::reopen`].

use crate::directory::sync_directory;
use crate::line::RecordLine;
use crate::record::MAX_LINE_BYTES;
use crate::regular::RegularFile;
use crate::storage::{LIVE, segment_name};
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Renames the live file in `directory` to its segment's name, and gives that path. The writer
/// has the file open, so nothing that it writes meanwhile is lost.
///
/// # Errors
/// `InvalidData` if the file does not begin with a record, `AlreadyExists` if the segment
/// exists; else the operating system's.
pub fn rename_live(directory: &Path) -> io::Result<PathBuf> {
    let live = directory.join(LIVE);
    let mut line = Vec::with_capacity(MAX_LINE_BYTES);
    crate::tail::next_line(&mut BufReader::new(RegularFile::open(&live)?), &mut line)?;
    let first = line
        .strip_suffix(b"\n")
        .and_then(RecordLine::parse)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it begins with no record"))?;
    let segment = directory.join(segment_name(first.seq));
    // rename(2) would replace an existing segment without an error.
    if segment.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(live, &segment)?;
    sync_directory(directory)?;
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, Log, Settings, Timestamp};

    #[test]
    fn a_segment_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let storage = Directory::lock(home.path(), &home.path().join("state")).unwrap();
        let now = Timestamp::default();
        let mut log = Log::open(storage, Settings::default(), now).unwrap();
        let segment = rename_live(home.path()).unwrap();
        assert_eq!(segment, home.path().join("audit.log-000000000001"));
        log.reopen(now).unwrap();
        assert!(home.path().join(LIVE).exists());
        fs::copy(&segment, home.path().join(LIVE)).unwrap();
        let error = rename_live(home.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        fs::write(home.path().join(LIVE), "x\n").unwrap();
        let error = rename_live(home.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
