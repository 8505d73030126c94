//! Where a log's lines come from.

use super::Since;
use crate::line::Line;
use crate::record::MAX_LINE_BYTES;
use crate::regular::{RegularFile, identity, look_at, names_in, naming};
use crate::storage::{LIVE, segments};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file, or anything else that can be read.
pub struct Source {
    name: String,
    from: From,
}

enum From {
    Path(PathBuf),
    File(RegularFile),
    Reader(Box<dyn Read>),
}

impl Source {
    /// A file, opened when its turn comes.
    #[must_use]
    pub fn path(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            from: From::Path(path.to_owned()),
        }
    }

    /// A file that is open.
    #[must_use]
    pub fn file(name: &str, file: File) -> Self {
        Self::regular(RegularFile::opened(name, file))
    }

    /// A file that was opened by its name.
    #[must_use]
    pub fn regular(file: RegularFile) -> Self {
        Self {
            name: file.name().to_owned(),
            from: From::File(file),
        }
    }

    /// Anything to read from: standard input, bytes in memory.
    #[must_use]
    pub fn reader(name: &str, reader: impl Read + 'static) -> Self {
        Self {
            name: name.to_owned(),
            from: From::Reader(Box::new(reader)),
        }
    }

    /// How many bytes it has, where that is known before it is read.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let found = self.metadata().filter(Metadata::is_file);
        found.map(|found| found.len())
    }

    /// What makes it itself, where it is a file.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        self.metadata().map(|found| identity(&found))
    }

    fn metadata(&self) -> Option<Metadata> {
        match &self.from {
            From::Path(path) => look_at(path).ok(),
            From::File(file) => file.metadata().ok(),
            From::Reader(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it is read with. Its errors name it.
    pub(crate) fn open(self) -> io::Result<Box<dyn Read>> {
        match self.from {
            From::Reader(reader) => {
                let name = self.name;
                Ok(Box::new(NamedReader { name, reader }))
            }
            From::File(file) => Ok(Box::new(file)),
            From::Path(path) => Ok(Box::new(RegularFile::open(&path)?)),
        }
    }

    /// The file, where it is one.
    pub(crate) fn into_file(self) -> io::Result<Option<RegularFile>> {
        match self.from {
            From::Reader(_) => Ok(None),
            From::File(file) => Ok(Some(file)),
            From::Path(path) => RegularFile::open(&path).map(Some),
        }
    }

    /// Whether its first record is before a place in the log.
    fn begins_before(&self, since: &Since) -> bool {
        let mut start = [0; MAX_LINE_BYTES];
        let length = match &self.from {
            From::Path(path) => {
                RegularFile::open(path).and_then(|file| file.read_at(&mut start, 0))
            }
            From::File(file) => file.read_at(&mut start, 0),
            From::Reader(_) => Ok(0),
        };
        let start = start.get(..length.unwrap_or(0)).unwrap_or_default();
        let mut lines = start.split(|byte| *byte == b'\n');
        let first = lines.next().and_then(Line::parse);
        first.is_some_and(|first| since.is_after(&first))
    }
}

/// What is no file of a name, but has one.
struct NamedReader {
    name: String,
    reader: Box<dyn Read>,
}

impl Read for NamedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(naming(&self.name, error))
            }
            outcome => outcome,
        }
    }
}

/// The files of a log without those that end before a place in it: nothing in
/// them need be read to begin there.
#[must_use]
pub fn narrowed(mut sources: Vec<Source>, since: &Since) -> Vec<Source> {
    let first = sources
        .iter()
        .rposition(|source| source.begins_before(since));
    sources.drain(..first.unwrap_or(0));
    sources
}

/// All of a log's files: the segments, oldest first, and the live one. May be
/// called while the log is written and rotated.
///
/// # Errors
/// `NotFound` if there is no log in the directory; `InvalidInput` if there is something
/// under a segment's name that is no regular file; else the operating system's. Each names
/// what it is about.
pub fn open_directory(directory: &Path) -> io::Result<Vec<Source>> {
    // The live file first: if it is rotated meanwhile, it is found again among
    // the segments, by what it is and not by its name.
    let live = match RegularFile::open(&directory.join(LIVE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Some(file?),
    };
    let own = live.as_ref().map(RegularFile::metadata).transpose()?;
    let own = own.as_ref().map(identity);
    let mut sources = Vec::new();
    for name in segments(&names_in(directory)?) {
        let path = directory.join(name);
        if own != Some(identity(&look_at(&path)?)) {
            sources.push(Source::path(&path));
        } else {
            // What came after it was not there when we began.
            break;
        }
    }
    match live {
        Some(file) => sources.push(Source::regular(file)),
        None if sources.is_empty() => return Err(io::ErrorKind::NotFound.into()),
        None => (),
    }
    Ok(sources)
}
