//! Standard input as a log: read once, or kept in a file when it is read twice.

use super::files::{self, ReadError};
use pulse_audit::verify::{LogFiles, Source};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The path that stands for standard input.
pub(super) const STDIN: &str = "-";

const NAME: &str = "standard input";

/// Opens logs, standard input among them, as often as they are read.
#[derive(Default)]
pub(super) struct Spool {
    stdin: Option<Rc<File>>,
}

impl Spool {
    /// Keeps standard input in a temporary file, so that it can be opened twice.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read or kept.
    pub(super) fn keep_stdin(&mut self) -> Result<(), ReadError> {
        let keep = || {
            let mut file = unnamed_file()?;
            io::copy(&mut io::stdin().lock(), &mut file)?;
            file.flush()?;
            file.seek(SeekFrom::Start(0))?;
            Ok(Rc::new(file))
        };
        self.stdin = Some(keep().map_err(ReadError::of(NAME.as_ref()))?);
        Ok(())
    }

    /// The files of the logs that these paths name, in this order.
    ///
    /// # Errors
    /// [`ReadError`] when one cannot be read.
    pub(super) fn open(&self, paths: &[PathBuf]) -> Result<LogFiles, ReadError> {
        let stdin = |path: &Path| {
            (path == Path::new(STDIN)).then(|| match &self.stdin {
                None => Source::reader(NAME, io::stdin()),
                // Every reader has a position of its own, which a second descriptor of the same
                // open file would share (dup(2)).
                Some(file) => Source::reader(
                    NAME,
                    Kept {
                        file: Rc::clone(file),
                        at: 0,
                    },
                ),
            })
        };
        files::open(paths.iter().map(PathBuf::as_path), &stdin)
    }

    /// The same for a collector's files, which are read in another order than they
    /// have; standard input must have been kept.
    ///
    /// # Errors
    /// [`ReadError`] when one cannot be read.
    pub(super) fn open_collected(&self, paths: &[PathBuf]) -> Result<Vec<Source>, ReadError> {
        let open = |path: &PathBuf| match &self.stdin {
            Some(kept) if path == Path::new(STDIN) => {
                // The verifier reads it at offsets of its own, so it is given as a file.
                let kept = kept.try_clone().map_err(ReadError::of(NAME.as_ref()))?;
                Ok(Source::file(NAME, kept))
            }
            _ => Ok(Source::regular(files::open_file(path)?)),
        };
        paths.iter().map(open).collect()
    }
}

/// A file without a name, for this process alone.
fn unnamed_file() -> io::Result<File> {
    // 64 random bits, so that no other user can occupy the name in advance; a new file, so that
    // no link of theirs is followed.
    let name = format!("pulse-sensorctl-{:016x}", RandomState::new().hash_one(0));
    // O_TMPFILE would need no name at all, but not every file system has it (open(2)).
    let path = std::env::temp_dir().join(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    // Removed at once: the kernel frees it however this process ends.
    fs::remove_file(&path)?;
    Ok(file)
}

/// The kept file, from its beginning.
struct Kept {
    file: Rc<File>,
    at: u64,
}

impl io::Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_kept_file_has_no_name() {
        let file = unnamed_file().unwrap().metadata().unwrap();
        assert_eq!((file.nlink(), file.mode() & 0o777), (0, 0o600));
    }
}
