//! Where a log's lines come from.

use crate::directory::identity;
use crate::storage::{LIVE, segments};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file, or anything else that can be read.
pub struct Source {
    name: String,
    from: From,
}

enum From {
    Path(PathBuf),
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

    /// Anything to read from: standard input, bytes in memory.
    #[must_use]
    pub fn reader(name: &str, reader: impl Read + 'static) -> Self {
        Self {
            name: name.to_owned(),
            from: From::Reader(Box::new(reader)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn open(self) -> io::Result<Box<dyn Read>> {
        match self.from {
            From::Reader(reader) => Ok(reader),
            From::Path(path) => match File::open(&path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", path.display()),
                )),
            },
        }
    }
}

/// All of a log's files: the segments, oldest first, and the live one. May be
/// called while the log is written and rotated.
///
/// # Errors
/// The operating system's; `NotFound` if there is no log in the directory.
pub fn open_directory(directory: &Path) -> io::Result<Vec<Source>> {
    // The live file first: if it is rotated meanwhile, it is found again among
    // the segments, by what it is and not by its name.
    let live = match File::open(directory.join(LIVE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Some(file?),
    };
    let own = live.as_ref().map(File::metadata).transpose()?;
    let own = own.as_ref().map(identity);
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string()));
    let names: io::Result<Vec<_>> = names.collect();
    let names: Vec<String> = names?.into_iter().filter_map(Result::ok).collect();
    let mut sources = Vec::new();
    for name in segments(&names) {
        let path = directory.join(name);
        if own != Some(identity(&fs::metadata(&path)?)) {
            sources.push(Source::path(&path));
        } else {
            // What came after it was not there when we began.
            break;
        }
    }
    match live {
        Some(file) => sources.push(Source::reader(LIVE, file)),
        None if sources.is_empty() => return Err(io::ErrorKind::NotFound.into()),
        None => (),
    }
    Ok(sources)
}
