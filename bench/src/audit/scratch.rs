//! Storage at almost no cost, so that only the log's own work is measured.

use pulse_audit::{Dir, FileState, Live, Storage};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};

/// Storage that discards records, or writes one file without syncing it.
#[derive(Default)]
pub(super) struct Scratch {
    file: Option<File>,
    length: u64,
    state: HashMap<String, Vec<u8>>,
}

impl Scratch {
    pub(super) fn with_file(file: File) -> Self {
        Self {
            file: Some(file),
            ..Self::default()
        }
    }
}

impl Storage for Scratch {
    fn open(&mut self, _create: bool) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) {}

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.length += lines.len() as u64;
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(lines))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn live(&self) -> io::Result<Live> {
        Ok(Live::Here(self.length))
    }

    fn copy_live(&mut self, _name: &str, _length: u64, _reserve: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename_live(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, _name: &str, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, place: Dir) -> io::Result<Vec<String>> {
        Ok(match place {
            Dir::Log => Vec::new(),
            Dir::State => self.state.keys().cloned().collect(),
        })
    }

    fn read(&self, _place: Dir, name: &str) -> io::Result<Box<dyn Read + '_>> {
        // Only keys of the state directory are read; records never are.
        Ok(Box::new(Cursor::new(
            self.state.get(name).ok_or(io::ErrorKind::NotFound)?,
        )))
    }

    fn read_at(&self, _name: &str, _offset: u64, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn state(&self, _name: &str) -> io::Result<FileState> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn append_to(&mut self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _place: Dir, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn store(&mut self, _place: Dir, name: &str, content: &[u8]) -> io::Result<()> {
        self.state.insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn erase(&mut self, _place: Dir, name: &str) -> io::Result<()> {
        self.state.remove(name);
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }
}
