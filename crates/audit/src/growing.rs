//! Lines of a log that is being written, across rotations.
//!
//! The files are polled: the caller asks again after a while. When the live file was
//! rotated, the old file is first read to its end, then every file after it, in the order of
//! their records.

use crate::record::MAX_LINE_BYTES;
use crate::regular::{RegularFile, identity, look_at};
use crate::storage::LIVE;
use crate::verify::{Since, Source, narrowed, open_directory};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes per read.
const BUFFER: usize = 64 * 1024;

/// Reads a log's lines to their present end.
pub(crate) struct GrowingLog {
    directory: PathBuf,
    current: Option<Current>,
    /// The files after it.
    next: VecDeque<Source>,
    /// The next line, as far as it was read.
    line: Vec<u8>,
}

/// The file that is being read.
struct Current {
    file: BufReader<RegularFile>,
    /// It was read to its end after it had been rotated: nothing more is written to it.
    is_complete: bool,
}

impl GrowingLog {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            current: None,
            next: VecDeque::new(),
            line: Vec::with_capacity(MAX_LINE_BYTES),
        }
    }

    /// The next line with its newline, or its first [`MAX_LINE_BYTES`]; none at the present end
    /// of the log. It remains the next line until [`take`](Self::take). When no file is open,
    /// the one with record `wanted` is.
    pub(crate) fn line(&mut self, wanted: u64) -> io::Result<Option<&[u8]>> {
        loop {
            // An incomplete line from the last call is continued: the writer may have been in the
            // middle of it.
            if let Some(current) = &mut self.current
                && !self.line.ends_with(b"\n")
            {
                let room = MAX_LINE_BYTES.saturating_sub(self.line.len()) as u64;
                current
                    .file
                    .by_ref()
                    .take(room)
                    .read_until(b'\n', &mut self.line)?;
            }
            if self.line.ends_with(b"\n") || self.line.len() == MAX_LINE_BYTES {
                return Ok(Some(&self.line));
            }
            if !self.go_on(wanted)? {
                return Ok(None);
            }
        }
    }

    /// Advances to the next line.
    pub(crate) fn take(&mut self) {
        self.line.clear();
    }

    /// At the end of a file: opens the next one. False when there is nothing more for now.
    fn go_on(&mut self, wanted: u64) -> io::Result<bool> {
        if self.next.is_empty() && self.is_live()? {
            return Ok(false);
        }
        // The file is read to its end once more: the writer may have added records between the
        // last read and the rotation.
        if let Some(current) = &mut self.current
            && !current.is_complete
        {
            current.is_complete = true;
            return Ok(true);
        }
        if self.next.is_empty() {
            let mut sources = match open_directory(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                sources => sources?,
            };
            // A rotation changes the file's name and not its inode. If retention removed the file,
            // the number of the wanted record is all there is to continue from.
            let read = self.current.as_ref().map(Current::identity).transpose()?;
            let is_read = |source: &Source| read.is_some() && source.identity() == read;
            match sources.iter().position(is_read) {
                Some(at) => drop(sources.drain(..=at)),
                None => sources = narrowed(sources, &Since::Seq(wanted + 1)),
            }
            self.next = sources.into();
        }
        if self.next.is_empty() {
            return Ok(false);
        }
        // An unfinished line at the end of a rotated file stays unfinished.
        self.line.clear();
        let file = match self.next.pop_front().map(Source::into_file).transpose() {
            // Retention removed it meanwhile: the directory is listed again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.next.clear();
                self.current = None;
                return Ok(true);
            }
            file => file?,
        };
        self.current = file.flatten().map(|file| Current {
            file: BufReader::with_capacity(BUFFER, file),
            is_complete: false,
        });
        Ok(self.current.is_some())
    }

    /// True while the current file is the live one, or was rotated and has no successor yet.
    fn is_live(&self) -> io::Result<bool> {
        let Some(current) = &self.current else {
            return Ok(false);
        };
        match look_at(&self.directory.join(LIVE)) {
            Ok(live) => Ok(identity(&live) == current.identity()?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl Current {
    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok(identity(&self.file.get_ref().metadata()?))
    }
}
