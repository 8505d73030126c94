//! The files of a log, wherever its parts are: in its directory, among archived segments, or
//! named one by one.
//!
//! Segments of several directories are put in the order of their numbers, so that archives
//! and the log that they come from are read as one. A segment that is in two of them has to
//! be the same in both.

use super::AuditError;
use super::packed::{SUFFIX, Unpacked};
use pulse_audit::verify::{LogFiles, Seals, Source, open_log, open_seals};
use pulse_audit::{LIVE, RegularFile, SEALS, segment_start};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

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
/// [`AuditError`] when there are none, or they cannot be read.
pub(super) fn open<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    stdin: &dyn Fn(&Path) -> Option<Source>,
) -> Result<LogFiles, AuditError> {
    let (mut seals, mut parts, mut are_numbered) = (Seals::Unknown, Vec::new(), true);
    for path in paths {
        let found = match stdin(path) {
            Some(source) => Parts::of_one(source),
            None if path.is_dir() => Parts::of_directory(path)?,
            None => Parts::of_file(path)?,
        };
        are_numbered &= found.are_numbered;
        parts.extend(found.parts);
        seals = better(seals, found.seals);
    }
    if are_numbered {
        parts.sort_by_key(|part| part.first.unwrap_or(u64::MAX));
        parts = without_twins(parts);
    }
    let files = parts.into_iter().map(|part| part.source).collect();
    Ok(LogFiles { seals, files })
}

/// Those of a log are more than those that were archived with it before.
fn better(before: Seals, found: Option<Seals>) -> Seals {
    match (before, found) {
        (before, None) | (before @ Seals::Here(_), Some(Seals::Missing(_))) => before,
        (_, Some(found)) => found,
    }
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

    fn of_file(path: &Path) -> Result<Self, AuditError> {
        // Opened now, so that a wrong path is told before anything is read.
        let file = open_file(path)?;
        if path.file_name().is_some_and(|name| name == SEALS) {
            return Ok(Self {
                seals: Some(Seals::Here(Source::regular(file))),
                parts: Vec::new(),
                are_numbered: false,
            });
        }
        let is_packed = name_of(path).ends_with(SUFFIX);
        Ok(Self::of_one(if is_packed {
            unpacked(path, file)
        } else {
            Source::regular(file)
        }))
    }

    fn of_directory(path: &Path) -> Result<Self, AuditError> {
        let archived = archives(path).map_err(|error| AuditError::unreadable(path, error))?;
        let log = match open_log(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if archived.is_empty() {
                    return Err(AuditError::NoLog(path.to_owned()));
                }
                let seals = open_seals(path).map_err(AuditError::reading)?;
                let files = Vec::new();
                LogFiles { seals, files }
            }
            log => log.map_err(AuditError::reading)?,
        };
        let number = |source: Source| Part {
            first: segment_start(name_of(Path::new(source.name()))),
            source,
        };
        let mut parts: Vec<Part> = log.files.into_iter().map(number).collect();
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
/// [`AuditError`] when it cannot be read, or is none.
pub(super) fn open_file(path: &Path) -> Result<RegularFile, AuditError> {
    RegularFile::open(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => AuditError::NotAFile(error),
        _ => AuditError::reading(error),
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

/// Each segment once; one that is there twice is read from both places.
fn without_twins(parts: Vec<Part>) -> Vec<Part> {
    let mut single: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match single.pop() {
            Some(before) if before.first.is_some() && before.first == part.first => {
                let first = before.first;
                let source = twin(before.source, part.source);
                single.push(Part { first, source });
            }
            before => single.extend(before.into_iter().chain([part])),
        }
    }
    single
}

fn twin(one: Source, other: Source) -> Source {
    let name = one.name().to_owned();
    Source::reader(&name, Twin::Unopened(Some((one, other))))
}

/// A segment that is in two places.
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

/// Whether more may be written to what a path names.
pub(super) fn may_be_written(path: &Path) -> bool {
    path.is_dir() || path.file_name().is_some_and(|name| name == LIVE)
}
