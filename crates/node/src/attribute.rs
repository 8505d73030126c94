//! A sysfs attribute, whose value the kernel produces for each read.
//!
//! Opening a file below `/sys` costs ten times as much as reading it, so files are kept open and
//! read again from the start, as far as their [`Quota`] permits.

use crate::quota::{Permit, Quota};
use crate::sysfs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The size of the read buffer. Every number is shorter.
const MAX_NUMBER_BYTES: usize = 64;

/// The errors of an attribute whose device has been removed.
const ENOENT: i32 = 2;
const ENODEV: i32 = 19;

/// The reason why an attribute has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoValue {
    /// The sensor has no valid value now.
    Unknown,
    /// The device was removed: a new scan is due.
    DeviceGone,
}

/// An attribute that is read repeatedly.
#[derive(Debug)]
pub(crate) struct Attribute {
    path: PathBuf,
    file: Option<(File, Permit)>,
}

impl Attribute {
    /// An attribute with this path. Its file is kept open if the quota allows.
    pub(crate) fn new(path: PathBuf, open_files: &Quota) -> Self {
        // Opened before the permit is taken: a file that cannot be opened needs none.
        let file = open(&path)
            .ok()
            .and_then(|file| Some((file, open_files.take()?)));
        Self { path, file }
    }

    /// The current number.
    pub(crate) fn number(&self) -> Result<f64, NoValue> {
        let mut buffer = [0; MAX_NUMBER_BYTES];
        let bytes = self
            .read(&mut buffer)
            .map_err(|error| match error.raw_os_error() {
                // The path of a removed device does not exist, and an open file gives ENODEV.
                Some(ENOENT | ENODEV) => NoValue::DeviceGone,
                _ => NoValue::Unknown,
            })?;
        sysfs::parse_number(bytes).ok_or(NoValue::Unknown)
    }

    /// True if the current value is exactly this word.
    pub(crate) fn is(&self, word: &str) -> bool {
        let mut buffer = [0; MAX_NUMBER_BYTES];
        self.read(&mut buffer)
            .is_ok_and(|bytes| bytes.trim_ascii() == word.as_bytes())
    }

    fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        // pread(2) at offset 0 makes sysfs produce the value again.
        let length = match &self.file {
            Some((file, _)) => file.read_at(buffer, 0)?,
            None => open(&self.path)?.read_at(buffer, 0)?,
        };
        // A value that fills the buffer may be longer.
        match buffer.split_at_checked(length) {
            Some((value, [_, ..])) => Ok(value),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Opens a file of sysfs or of /proc.
#[expect(
    clippy::disallowed_methods,
    reason = "the file is the kernel's, or a FIFO with which a test simulates a disk that hangs: \
              that blocks its thread alone; the read is bounded"
)]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn open_file_gives_new_values() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("temp1_input");
        for open_files in [0, 1] {
            fs::write(&path, "41000\n").unwrap();
            let quota = Quota::new(open_files);
            let attribute = Attribute::new(path.clone(), &quota);
            assert!(quota.take().is_none());
            assert_eq!(attribute.number(), Ok(41000.0));
            fs::write(&path, "-500\n").unwrap();
            assert_eq!(attribute.number(), Ok(-500.0));
            assert!(attribute.is("-500") && !attribute.is("-50"));
        }
    }

    #[test]
    fn missing_file_means_device_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("temp1_input");
        let attribute = Attribute::new(path.clone(), &Quota::new(1));
        assert_eq!(attribute.number(), Err(NoValue::DeviceGone));
        for text in ["", "N/A\n", &"1".repeat(4096)] {
            fs::write(&path, text).unwrap();
            assert_eq!(attribute.number(), Err(NoValue::Unknown), "{text:?}");
        }
    }
}
