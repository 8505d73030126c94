//! One value that the kernel makes anew each time it is read.
//!
//! Opening a file below `/sys` costs ten times what reading it does, so files
//! are kept open between readings and read again from the start. How many is
//! bounded by a [`Budget`], shared by everything that one scan finds.

use crate::sysfs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A number has fewer digits than this; anything longer is no number.
const MAX_NUMBER_BYTES: usize = 64;

/// What the system calls a file without a device behind it.
const ENOENT: i32 = 2;
const ENODEV: i32 = 19;

/// What one scan may find and keep, so that no tree, however large, makes a
/// large document, a large process or one without file descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Chips.
    pub(crate) chips: usize,
    /// Features of all chips.
    pub(crate) features: usize,
    /// Values of all features.
    pub(crate) values: usize,
    /// Files kept open; the usual limit of a process is 1,024.
    pub(crate) open_files: usize,
    /// Disks.
    pub(crate) disks: usize,
}

impl Budget {
    /// What a scan starts with.
    pub(crate) const FULL: Self = Self {
        chips: 256,
        features: 512,
        values: 2048,
        open_files: 512,
        disks: 512,
    };
}

/// Takes one from a count; false when there is none left.
pub(crate) fn take_one(count: &mut usize) -> bool {
    let left = count.checked_sub(1);
    *count = left.unwrap_or(0);
    left.is_some()
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The sensor has none to give now.
    Unknown,
    /// The device went away: time to look at the tree again.
    Gone,
}

/// A value to be read again and again.
#[derive(Debug)]
pub(crate) struct Attribute {
    path: PathBuf,
    file: Option<File>,
}

impl Attribute {
    /// Remembers a file, and keeps it open when the budget allows.
    pub(crate) fn new(path: PathBuf, budget: &mut Budget) -> Self {
        let file = open(&path).ok();
        let kept = file.filter(|_| take_one(&mut budget.open_files));
        Self { path, file: kept }
    }

    /// The number it holds now.
    pub(crate) fn number(&self) -> Result<f64, Absent> {
        let mut buffer = [0; MAX_NUMBER_BYTES];
        let bytes = self.read(&mut buffer).map_err(|e| absent(&e))?;
        sysfs::parse_number(bytes).ok_or(Absent::Unknown)
    }

    /// Whether it holds exactly this word now.
    pub(crate) fn is(&self, word: &str) -> bool {
        let mut buffer = [0; MAX_NUMBER_BYTES];
        let bytes = self.read(&mut buffer);
        bytes.is_ok_and(|bytes| bytes.trim_ascii() == word.as_bytes())
    }

    fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let length = match &self.file {
            Some(file) => file.read_at(buffer, 0)?,
            None => open(&self.path)?.read_at(buffer, 0)?,
        };
        // A file that fills it may go on.
        match buffer.split_at_checked(length) {
            Some((value, [_, ..])) => Ok(value),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the kernel makes this file, or a test a FIFO that stands for a disk which hangs: \
              that hangs its lane alone; no more is read than a number has"
)]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn absent(error: &io::Error) -> Absent {
    match error.raw_os_error() {
        Some(ENOENT | ENODEV) => Absent::Gone,
        _ => Absent::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_kept_file_gives_the_new_value_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("temp1_input");
        for open_files in [0, 1] {
            fs::write(&path, "41000\n").unwrap();
            let mut budget = Budget {
                open_files,
                ..Budget::FULL
            };
            let attribute = Attribute::new(path.clone(), &mut budget);
            assert_eq!(budget.open_files, 0);
            assert_eq!(attribute.number(), Ok(41000.0));
            fs::write(&path, "-500\n").unwrap();
            assert_eq!(attribute.number(), Ok(-500.0));
            assert!(attribute.is("-500") && !attribute.is("-50"));
        }
    }

    #[test]
    fn what_is_no_number_is_unknown_and_what_is_missing_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("temp1_input");
        let attribute = Attribute::new(path.clone(), &mut Budget::FULL.clone());
        assert_eq!(attribute.number(), Err(Absent::Gone));
        for text in ["", "N/A\n", &"1".repeat(4096)] {
            fs::write(&path, text).unwrap();
            assert_eq!(attribute.number(), Err(Absent::Unknown), "{text:?}");
        }
    }
}
