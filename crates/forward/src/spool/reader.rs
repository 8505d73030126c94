//! Reading of the messages in both files.

use super::{MAX_FILE_BYTES, MAX_LINE_BYTES, Spool, decode};
use crate::journal::Message;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// A file of messages, of which no more is read than ours can have.
type Bounded = io::Take<BufReader<File>>;

/// A reader of both files, from the oldest message to the last.
#[derive(Debug, Default)]
pub(crate) struct SpoolReader {
    at: Option<(u64, Bounded)>,
    line: Vec<u8>,
}

impl SpoolReader {
    /// The next message with a higher number than this; none at the end.
    ///
    /// # Errors
    /// The operating system's, when a file cannot be read.
    pub(crate) fn after(&mut self, number: u64, spool: &Spool) -> io::Result<Option<Message>> {
        loop {
            if self.read()? {
                let message = decode(&self.line).filter(|message| message.number > number);
                if message.is_some() {
                    return Ok(message);
                }
            } else if !self.generation(spool)? {
                return Ok(None);
            }
        }
    }

    /// Reads a line; false when there is none.
    fn read(&mut self) -> io::Result<bool> {
        self.line.clear();
        let Some((_, file)) = &mut self.at else {
            return Ok(false);
        };
        let line = &mut self.line;
        Ok(file
            .by_ref()
            .take(MAX_LINE_BYTES as u64)
            .read_until(b'\n', line)?
            > 0)
    }

    /// Opens the next file; false when the newer one was read.
    fn generation(&mut self, spool: &Spool) -> io::Result<bool> {
        let older = spool.generation - 1;
        let next = self
            .at
            .as_ref()
            .map_or(older, |(generation, _)| generation + 1);
        // Files that were replaced while this reader was behind are skipped.
        for generation in next.max(older)..=spool.generation {
            let path = if generation == older {
                &spool.older
            } else {
                &spool.newer
            };
            match pulse_files::open(path) {
                Ok(file) => {
                    self.at = Some((generation, BufReader::new(file).take(MAX_FILE_BYTES as u64)));
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
