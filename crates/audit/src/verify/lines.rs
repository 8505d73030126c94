//! The lines of a file, without copying them.

use crate::line::RecordLine;
use crate::record::MAX_LINE_BYTES;
use std::io::{self, ErrorKind, Read};

const BUFFER: usize = 256 * 1024;

/// A line, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLine<'a> {
    /// Without its newline.
    pub(crate) text: &'a [u8],
    /// A newline ended it. False at the end of a file without one, and for the parts of a line
    /// that is longer than any record.
    pub(crate) ended: bool,
}

impl<'a> RawLine<'a> {
    /// The record in it, if it is complete and has the right hash.
    pub(super) fn record(&self) -> Option<RecordLine<'a>> {
        if !self.ended {
            return None;
        }
        RecordLine::parse(self.text).filter(RecordLine::is_whole)
    }
}

/// A reader of a file's lines.
pub(super) struct Lines<R> {
    file: R,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    read: u64,
    longest: usize,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(file: R) -> Self {
        Self::with_limits(file, BUFFER, MAX_LINE_BYTES)
    }

    /// With a buffer of another size, for lines of at most `longest` bytes.
    pub(super) fn with_limits(file: R, buffer: usize, longest: usize) -> Self {
        Self {
            file,
            buffer: vec![0; buffer.max(2 * longest)],
            from: 0,
            to: 0,
            read: 0,
            longest,
        }
    }

    /// Bytes read since the last [`take_read`](Self::take_read).
    pub(super) fn read_since(&self) -> u64 {
        self.read
    }

    pub(super) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        loop {
            let rest = self.buffer.get(self.from..self.to).unwrap_or_default();
            let window = rest.get(..self.longest).unwrap_or(rest);
            if let Some(length) = memchr::memchr(b'\n', window) {
                return Ok(Some(self.give(length, true)));
            }
            // Longer than any record: given in parts, so that the buffer need not grow.
            if window.len() == self.longest {
                return Ok(Some(self.give(self.longest, false)));
            }
            let left = rest.len();
            if !self.fill()? {
                return Ok((left > 0).then(|| self.give(left, false)));
            }
        }
    }

    fn give(&mut self, length: usize, ended: bool) -> RawLine<'_> {
        let start = self.from;
        self.from += length + usize::from(ended);
        self.read += (length + usize::from(ended)) as u64;
        RawLine {
            text: self.buffer.get(start..start + length).unwrap_or_default(),
            ended,
        }
    }

    /// Reads more, keeping bytes that are not given yet; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        loop {
            match self
                .file
                .read(self.buffer.get_mut(self.to..).unwrap_or_default())
            {
                Ok(count) => {
                    self.to += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }
}
