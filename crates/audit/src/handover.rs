//! Renaming the live file from outside, for a writer that then follows.
//!
//! Where the file carries `chattr +a`, the writer may not rename it; whoever may
//! does this and then has [`crate::Writer::reopen`] called.

use crate::directory::sync_directory;
use crate::line::RecordLine;
use crate::record::MAX_LINE_BYTES;
use crate::regular::RegularFile;
use crate::storage::{LIVE, segment_name};
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Gives the live file in `directory` the name of its segment, and tells the name.
/// Nothing that is written meanwhile is lost: the writer has the file open.
///
/// # Errors
/// `InvalidData` if it does not begin with a record, `AlreadyExists` if there is
/// such a segment; else the operating system's.
pub fn rename_live(directory: &Path) -> io::Result<PathBuf> {
    let live = directory.join(LIVE);
    let mut line = Vec::with_capacity(MAX_LINE_BYTES);
    crate::tail::next_line(&mut BufReader::new(RegularFile::open(&live)?), &mut line)?;
    let first = line
        .strip_suffix(b"\n")
        .and_then(RecordLine::parse)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it begins with no record"))?;
    let segment = directory.join(segment_name(first.seq));
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
    fn a_renamed_file_is_followed_and_a_segment_is_never_overwritten() {
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
