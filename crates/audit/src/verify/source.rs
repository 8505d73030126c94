//! The files of a log.

use super::Since;
use crate::line::RecordLine;
use crate::record::MAX_LINE_BYTES;
use crate::regular::{RegularFile, identity, look_at, names_in, with_name};
use crate::storage::{LIVE, SEALS, segments};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file, or another source of lines.
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
    /// A file that is opened when it is read.
    #[must_use]
    pub fn path(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            from: From::Path(path.to_owned()),
        }
    }

    /// An open file.
    #[must_use]
    pub fn file(name: &str, file: File) -> Self {
        Self::regular(RegularFile::opened(name, file))
    }

    /// An open file with its name.
    #[must_use]
    pub fn regular(file: RegularFile) -> Self {
        Self {
            name: file.name().to_owned(),
            from: From::File(file),
        }
    }

    /// Another reader, such as standard input or bytes in memory.
    #[must_use]
    pub fn reader(name: &str, reader: impl Read + 'static) -> Self {
        Self {
            name: name.to_owned(),
            from: From::Reader(Box::new(reader)),
        }
    }

    /// The number of its bytes, if it is a file.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let found = self.metadata().filter(Metadata::is_file);
        found.map(|found| found.len())
    }

    /// The identity of the file, if it is one.
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

    /// Its name, for findings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it for reading. Errors name it.
    ///
    /// # Errors
    /// As [`RegularFile::open`].
    pub fn open(self) -> io::Result<Box<dyn Read>> {
        match self.from {
            From::Reader(reader) => Ok(Box::new(NamedReader {
                name: self.name,
                reader,
            })),
            From::File(file) => Ok(Box::new(file)),
            From::Path(path) => Ok(Box::new(RegularFile::open(&path)?)),
        }
    }

    /// The file, if it is one.
    pub(crate) fn into_file(self) -> io::Result<Option<RegularFile>> {
        match self.from {
            From::Reader(_) => Ok(None),
            From::File(file) => Ok(Some(file)),
            From::Path(path) => RegularFile::open(&path).map(Some),
        }
    }

    /// True when its first record is before a place.
    fn begins_before(&self, since: &Since) -> bool {
        let mut start = [0; MAX_LINE_BYTES];
        let length = match &self.from {
            From::Path(path) => {
                RegularFile::open(path).and_then(|file| file.read_at(&mut start, 0))
            }
            From::File(file) => file.read_at(&mut start, 0),
            From::Reader(_) => Ok(0),
        };
        // An unreadable file has no first record here; whoever reads it gets the error.
        let start = start.get(..length.unwrap_or(0)).unwrap_or_default();
        start
            .split(|byte| *byte == b'\n')
            .next()
            .and_then(RecordLine::parse)
            .is_some_and(|first| since.is_after(&first))
    }
}

/// The files of a log.
pub struct LogFiles {
    /// The seals of removed segments.
    pub seals: Seals,
    /// The segments, oldest first, and then the live file.
    pub files: Vec<Source>,
}

/// The file with the seals of removed segments (`audit.seals`).
pub enum Seals {
    /// It is unknown whether there is one.
    Unknown,
    /// There is none; it would have this name.
    Missing(String),
    /// There is one.
    Here(Source),
}

impl std::convert::From<Vec<Source>> for LogFiles {
    fn from(files: Vec<Source>) -> Self {
        Self {
            seals: Seals::Unknown,
            files,
        }
    }
}

/// A reader whose errors have a name.
struct NamedReader {
    name: String,
    reader: Box<dyn Read>,
}

impl Read for NamedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(with_name(&self.name, error))
            }
            outcome => outcome,
        }
    }
}

/// The files of a log without those that end before a place.
#[must_use]
pub fn narrowed(mut sources: Vec<Source>, since: &Since) -> Vec<Source> {
    let first = sources
        .iter()
        .rposition(|source| source.begins_before(since));
    sources.drain(..first.unwrap_or(0));
    sources
}

/// Opens the files of a log and the seals of removed segments. The log may be written, rotated
/// and pruned at the same time.
///
/// # Errors
/// As [`open_directory`].
pub fn open_log(directory: &Path) -> io::Result<LogFiles> {
    let mut files = Vec::new();
    for (index, source) in open_directory(directory)?.into_iter().enumerate() {
        match &source.from {
            From::Path(path) if index < HELD_OPEN => match RegularFile::open(path) {
                // Retention removes the oldest first, so those before it are gone too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => files.clear(),
                file => files.push(Source::regular(file?)),
            },
            _ => files.push(source),
        }
    }
    Ok(LogFiles {
        files,
        // After the files: the seals of a segment are kept before it is removed.
        seals: open_seals(directory)?,
    })
}

/// Opens the seals of the segments that were removed from the log in a directory.
///
/// # Errors
/// As [`RegularFile::open`].
pub fn open_seals(directory: &Path) -> io::Result<Seals> {
    let seals = directory.join(SEALS);
    Ok(match RegularFile::open(&seals) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Seals::Missing(seals.display().to_string())
        }
        file => {
            // Seals that are appended from now on may be of segments that are read here.
            let file = file?;
            let length = file.metadata()?.len();
            let name = file.name().to_owned();
            Seals::Here(Source::reader(&name, file.take(length)))
        }
    })
}

/// The number of the oldest segments that are opened at once, because retention may remove
/// them before they are read.
const HELD_OPEN: usize = 64;

/// The segments of a log, oldest first, and its live file. The log may be written, rotated and
/// pruned at the same time.
///
/// # Errors
/// `NotFound` if there is no log in the directory; `InvalidInput` if a segment's name is not
/// that of a regular file; else the operating system's. Errors name the file.
pub fn open_directory(directory: &Path) -> io::Result<Vec<Source>> {
    let mut attempts = 0;
    loop {
        let (sources, is_consistent) = look_into(directory)?;
        attempts += 1;
        if is_consistent || attempts == MAX_ATTEMPTS {
            return Ok(sources);
        }
    }
}

/// The most attempts at listing a directory whose log is being rotated.
const MAX_ATTEMPTS: u32 = 16;

/// The files, and whether the live file was not rotated meanwhile. If it was, the record of a
/// removal may be in a new file that is not among these.
fn look_into(directory: &Path) -> io::Result<(Vec<Source>, bool)> {
    // The live file is opened first: if it is rotated meanwhile, it is found again among the
    // segments by its identity.
    let path = directory.join(LIVE);
    let live = match RegularFile::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Some(file?),
    };
    let own = live.as_ref().map(RegularFile::metadata).transpose()?;
    let own = own.as_ref().map(identity);
    let mut sources = Vec::new();
    for name in segments(&names_in(directory)?) {
        let path = directory.join(name);
        let found = match look_at(&path) {
            // Retention removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if own == Some(identity(&found)) {
            // Later segments did not exist when the live file was opened.
            break;
        }
        sources.push(Source::path(&path));
    }
    // A rotation between the first step and here may have made files that are not among these.
    let is_consistent =
        live.is_none() || look_at(&path).is_ok_and(|now| own == Some(identity(&now)));
    match live {
        Some(file) => sources.push(Source::regular(file)),
        None if sources.is_empty() => return Err(io::ErrorKind::NotFound.into()),
        None => (),
    }
    Ok((sources, is_consistent))
}
