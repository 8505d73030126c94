//! Private parsers, for the fuzz targets alone.

use crate::leftover::Status;
use crate::sysfs;

/// The number in an attribute.
#[must_use]
pub fn number(content: &[u8]) -> Option<f64> {
    sysfs::parse_number(content)
}

/// The cleaned text in an attribute.
#[must_use]
pub fn text(content: &[u8]) -> String {
    sysfs::clean(content)
}

/// True if a status file of /proc can be read.
#[must_use]
pub fn is_status(content: &str) -> bool {
    Status::parse(content).is_some()
}
