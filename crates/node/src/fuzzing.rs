//! Parsers that are nobody's business but the fuzz targets'.

use crate::sysfs;

/// The number in an attribute.
#[must_use]
pub fn number(content: &[u8]) -> Option<f64> {
    sysfs::parse_number(content)
}

/// The text in an attribute, fit to be shown.
#[must_use]
pub fn text(content: &[u8]) -> String {
    sysfs::clean(content)
}
