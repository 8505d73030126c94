//! The files of a log, wherever its parts are: in its directory, among archived segments, or
//! named one by one.
//!
//! Segments of several directories are read in the order of their numbers, so that archives and
//! the log that they come from are read as one. A segment that is in two of them has to be the
//! same in both.

use super::packed::{SUFFIX, Unpacked};
use crate::error::{CommandError, ErrorCode, file_remedy};
use pulse_audit::verify::{LogFiles, Seals, Source, open_log, open_seals};
use pulse_audit::{LIVE, RegularFile, SEALS, segment_start};
use std::borrow::Cow;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// There is no log in the directory.
    #[error("{}: there is no audit log here", .0.display())]
    NoLog(PathBuf),
    /// A file cannot be read.
    #[error("{}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A file cannot be read. The error of the audit library names it.
    #[error(transparent)]
    Named(io::Error),
    /// The path is no regular file. The error names it.
    #[error(transparent)]
    NotAFile(io::Error),
}

impl ReadError {
    /// The operating system's error about this path.
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unreadable { path, source }
    }

    /// An error of the audit library: its own, which names the file, or one that a source of
    /// this module gave to it.
    pub(super) fn from_library(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Named)
    }
}

impl CommandError for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotAFile(_) => ErrorCode::InvalidInput,
            Self::NoLog(_) | Self::Unreadable { .. } | Self::Named(_) => ErrorCode::CannotRead,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoLog(_) => {
                Some("`pulse-sensorctl audit init` creates one, and so does the daemon".into())
            }
            Self::Unreadable { source, .. } | Self::Named(source) => file_remedy(source),
            Self::NotAFile(_) => {
                Some("name the file itself, or - for standard input, which may be a pipe".into())
            }
        }
    }
}

/// A segment or a live file.
struct Part {
    /// The number of its first record, where its name says it.
    first: Option<u64>,
    source: Source,
}

/// The files that a path names, oldest first.
struct Parts {
    seals: Option<Seals>,
    parts: Vec<Part>,
    /// Their order is that of their numbers, whatever order they were found in.
    are_numbered: bool,
}

/// The files of the logs that these paths name. A directory is a log, or archived segments
/// of one; files are read in the order in which they were named.
///
/// # Errors
/// [`ReadError`] when there are none, or they cannot be read.
pub(super) fn open<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    stdin: &dyn Fn(&Path) -> Option<Source>,
) -> Result<LogFiles, ReadError> {
    let (mut seals, mut parts, mut are_numbered) = (Seals::Unknown, Vec::new(), true);
    for path in paths {
        let found = match stdin(path) {
            Some(source) => Parts::of_one(source),
            None if path.is_dir() => Parts::of_directory(path)?,
            None => {
                // Opened now, so that a wrong path is reported before anything is read.
                let file = open_file(path)?;
                if path.file_name().is_some_and(|name| name == SEALS) {
                    Parts {
                        seals: Some(Seals::Here(Source::regular(file))),
                        parts: Vec::new(),
                        are_numbered: false,
                    }
                // The name decides: `audit archive` and zstd(1) add the suffix.
                } else if name_of(path).ends_with(SUFFIX) {
                    Parts::of_one(unpacked(path, file))
                } else {
                    Parts::of_one(Source::regular(file))
                }
            }
        };
        are_numbered &= found.are_numbered;
        parts.extend(found.parts);
        // A log has the seals that were archived from it before, and more: the last ones that
        // exist are taken.
        seals = match (seals, found.seals) {
            (before, None) | (before @ Seals::Here(_), Some(Seals::Missing(_))) => before,
            (_, Some(found)) => found,
        };
    }
    // Files that were named one by one keep their order: their names need not say their numbers.
    if are_numbered {
        // The live file has no number in its name, and is the last one.
        parts.sort_by_key(|part| part.first.unwrap_or(u64::MAX));
        parts = without_twins(parts);
    }
    Ok(LogFiles {
        seals,
        files: parts.into_iter().map(|part| part.source).collect(),
    })
}

impl Parts {
    fn of_one(source: Source) -> Self {
        Self {
            seals: None,
            parts: vec![Part {
                first: None,
                source,
            }],
            are_numbered: false,
        }
    }

    fn of_directory(path: &Path) -> Result<Self, ReadError> {
        let archived = archives(path).map_err(ReadError::of(path))?;
        let log = match open_log(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if archived.is_empty() {
                    return Err(ReadError::NoLog(path.to_owned()));
                }
                LogFiles {
                    seals: open_seals(path).map_err(ReadError::from_library)?,
                    files: Vec::new(),
                }
            }
            log => log.map_err(ReadError::from_library)?,
        };
        let mut parts: Vec<Part> = log
            .files
            .into_iter()
            .map(|source| Part {
                first: segment_start(name_of(Path::new(source.name()))),
                source,
            })
            .collect();
        for (first, path) in archived {
            parts.push(Part {
                first: Some(first),
                source: unpacked(&path, open_file(&path)?),
            });
        }
        Ok(Self {
            seals: Some(log.seals),
            parts,
            are_numbered: true,
        })
    }
}

/// A file that was named by itself, or is in a directory that was.
///
/// # Errors
/// [`ReadError`] when it cannot be read, or is none.
pub(super) fn open_file(path: &Path) -> Result<RegularFile, ReadError> {
    RegularFile::open(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => ReadError::NotAFile(error),
        _ => ReadError::Named(error),
    })
}

fn unpacked(path: &Path, file: RegularFile) -> Source {
    Source::reader(&path.display().to_string(), Unpacked::of(file))
}

/// The archived segments in a directory, with the numbers of their first records.
pub(super) fn archives(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(first) = name_of(&path).strip_suffix(SUFFIX).and_then(segment_start) {
            found.push((first, path));
        }
    }
    Ok(found)
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// Each segment once; one in two places is read from both.
fn without_twins(parts: Vec<Part>) -> Vec<Part> {
    // The parts are sorted, so twins are neighbours. A third copy becomes a twin of the pair.
    let mut single: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match single.pop() {
            Some(before) if before.first.is_some() && before.first == part.first => {
                let name = before.source.name().to_owned();
                let both = Twin::Unopened(Some((before.source, part.source)));
                single.push(Part {
                    first: before.first,
                    source: Source::reader(&name, both),
                });
            }
            before => single.extend(before.into_iter().chain([part])),
        }
    }
    single
}

/// A segment in two places, which have to have the same bytes.
enum Twin {
    Unopened(Option<(Source, Source)>),
    Opened {
        one: Box<dyn Read>,
        other: Box<dyn Read>,
        name: String,
    },
}

impl Read for Twin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // `open` takes a source by value, and `read` has a borrow: hence the `Option`.
        if let Self::Unopened(sources) = self
            && let Some((one, other)) = sources.take()
        {
            *self = Self::Opened {
                name: other.name().to_owned(),
                one: one.open()?,
                other: other.open()?,
            };
        }
        let Self::Opened { one, other, name } = self else {
            return Ok(0);
        };
        let count = one.read(buffer)?;
        // At the end of the one, the other must have ended too.
        let mut same = vec![0; count.max(1)];
        let mut filled = 0;
        while filled < same.len() {
            match other.read(&mut same[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        if filled == count && same[..count] == buffer[..count] {
            Ok(count)
        } else {
            Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("it is not the same as {name}: verify them one without the other"),
            ))
        }
    }
}

/// True when more may be written to the path: a log's directory, or its live file.
pub(super) fn may_be_written(path: &Path) -> bool {
    path.is_dir() || path.file_name().is_some_and(|name| name == LIVE)
}
