//! Standard input as a log: read once, or kept in a file when it is needed twice.

use super::AuditError;
use super::files;
use pulse_audit::verify::{LogFiles, Source};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What stands for standard input.
pub(crate) const STDIN: &str = "-";

const NAME: &str = "standard input";

/// Where logs are opened from, again and again if need be.
#[derive(Default)]
pub(crate) struct Spool {
    stdin: Option<Rc<File>>,
}

impl Spool {
    /// Keeps standard input in a temporary file, so that it can be opened twice.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be read or kept.
    pub(crate) fn keep_stdin(&mut self) -> Result<(), AuditError> {
        let keep = || {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut io::stdin().lock(), &mut file)?;
            file.flush()?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        let file = keep().map_err(|error| AuditError::unreadable(NAME.as_ref(), error))?;
        self.stdin = Some(Rc::new(file));
        Ok(())
    }

    /// The files of the logs that these paths name, in this order.
    ///
    /// # Errors
    /// [`AuditError`] when one cannot be read.
    pub(crate) fn open(&self, paths: &[PathBuf]) -> Result<LogFiles, AuditError> {
        let stdin = |path: &Path| (path == Path::new(STDIN)).then(|| self.stdin());
        files::open(paths.iter().map(PathBuf::as_path), &stdin)
    }

    /// The same for a collector's files, which are read in another order than they
    /// have; standard input must have been kept.
    ///
    /// # Errors
    /// [`AuditError`] when one cannot be read.
    pub(crate) fn open_collected(&self, paths: &[PathBuf]) -> Result<Vec<Source>, AuditError> {
        let open = |path: &PathBuf| match &self.stdin {
            Some(kept) if path == Path::new(STDIN) => {
                let kept = kept.try_clone();
                let kept = kept.map_err(|error| AuditError::unreadable(NAME.as_ref(), error))?;
                Ok(Source::file(NAME, kept))
            }
            _ => Ok(Source::regular(files::open_file(path)?)),
        };
        paths.iter().map(open).collect()
    }

    fn stdin(&self) -> Source {
        match &self.stdin {
            None => Source::reader(NAME, io::stdin()),
            Some(file) => {
                let (file, at) = (Rc::clone(file), 0);
                Source::reader(NAME, Kept { file, at })
            }
        }
    }
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
