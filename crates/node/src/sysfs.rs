//! Bounded reads below one root, by default `/sys`.
//!
//! The kernel is trusted and hardware is not: a disk chooses its model name. So text is cut and
//! cleaned, directory listings are limited, and a link that leaves the root is not followed.

use pulse_sensors::shown::is_active;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The maximum length that is read of a file, in bytes.
const MAX_FILE_BYTES: usize = 4096;

/// The maximum number of entries that are read of a directory.
const MAX_ENTRIES: usize = 4096;

/// The maximum length of a name, label, model or serial number, in characters.
const MAX_TEXT_CHARS: usize = 64;

/// The root of a tree of sysfs attributes.
#[derive(Clone, Debug)]
pub(crate) struct Sysfs {
    root: PathBuf,
}

impl Sysfs {
    /// Opens the tree at `root`, which must be a directory.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        // Without links, so that the prefix of a resolved path can be compared with it.
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root })
    }

    /// A path below the root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The real path, with all links resolved; `None` if it does not exist or is outside the root.
    pub(crate) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let real = path.canonicalize().ok()?;
        real.starts_with(&self.root).then_some(real)
    }
}

/// The entries of a directory in numeric order (`hwmon2` before `hwmon10`); none if it cannot be
/// listed.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names = listing(directory, |_| true);
    names.sort_by_cached_key(|name| natural_key(name));
    names
}

/// The regular files of a directory, unordered. An attribute is never a link or a directory.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    listing(directory, |entry| {
        entry.file_type().is_ok_and(|kind| kind.is_file())
    })
}

fn listing(directory: &Path, wanted: impl Fn(&fs::DirEntry) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        // Before the filters, so that the limit bounds the system calls.
        .take(MAX_ENTRIES)
        .filter_map(Result::ok)
        .filter(wanted)
        // A name that is not UTF-8 is not that of a device.
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// The name without its trailing number, and the number.
fn natural_key(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.strip_prefix(stem).unwrap_or_default();
    // A name without a number sorts first.
    (stem.to_owned(), number.parse().unwrap_or(0))
}

/// True if the name is the prefix and a number.
pub(crate) fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The first 4 KiB of a regular file; `None` if it cannot be read.
pub(crate) fn bytes(path: &Path) -> Option<Vec<u8>> {
    pulse_files::read_beginning(path, MAX_FILE_BYTES).ok()
}

/// The cleaned text of an attribute; `None` if it is empty.
pub(crate) fn text(path: &Path) -> Option<String> {
    Some(clean(&bytes(path)?)).filter(|text| !text.is_empty())
}

/// The text of the first of these attributes that has any.
pub(crate) fn first_text(paths: &[PathBuf]) -> Option<String> {
    paths.iter().find_map(|path| text(path))
}

/// The number of an attribute.
pub(crate) fn number(path: &Path) -> Option<f64> {
    parse_number(&bytes(path)?)
}

/// The last component of a link's target.
pub(crate) fn link_name(path: &Path) -> Option<String> {
    base_name(&fs::read_link(path).ok()?)
}

/// The last component of a path.
pub(crate) fn base_name(path: &Path) -> Option<String> {
    path.file_name().and_then(OsStr::to_str).map(str::to_owned)
}

/// Text without active characters and surrounding blanks, cut to a length that no real device
/// reaches.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let printable: String = String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| !is_active(*c))
        .collect();
    let cut: String = printable.trim().chars().take(MAX_TEXT_CHARS).collect();
    // Again: the cut can leave a blank at the end.
    cut.trim_end().to_owned()
}

/// A finite decimal number, with or without surrounding blanks.
pub(crate) fn parse_number(bytes: &[u8]) -> Option<f64> {
    std::str::from_utf8(bytes)
        .ok()?
        .trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_and_cut() {
        assert_eq!(clean(b"WD Blue SN570   \n"), "WD Blue SN570");
        assert_eq!(clean(b"\0\0 S1 \x1b[2J\0"), "S1 [2J");
        assert_eq!(clean(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(clean(&[b'x'; 500]).len(), MAX_TEXT_CHARS);
        assert_eq!(clean(b" \t\n"), "");
    }

    #[test]
    fn only_finite_numbers_are_parsed() {
        assert_eq!(parse_number(b"41000\n"), Some(41000.0));
        assert_eq!(parse_number(b" -62000 \n"), Some(-62000.0));
        for text in ["", "\n", "nan", "inf", "1 2", "0x10", "N/A", "1e999"] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn entries_are_in_numeric_order() {
        let mut names = ["hwmon10", "hwmon2", "hwmon", "a1", "hwmon1"];
        names.sort_by_cached_key(|name| natural_key(name));
        assert_eq!(names, ["a1", "hwmon", "hwmon1", "hwmon2", "hwmon10"]);
    }

    #[test]
    fn links_out_of_the_root_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("sys");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
        std::os::unix::fs::symlink("a", root.join("in")).unwrap();
        let sysfs = Sysfs::open(&root).unwrap();
        assert_eq!(sysfs.resolve(&root.join("out")), None);
        assert_eq!(
            sysfs.resolve(&root.join("in")),
            root.join("a").canonicalize().ok()
        );
    }

    #[test]
    fn reads_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let huge = directory.path().join("huge");
        fs::write(&huge, vec![b'1'; 1 << 20]).unwrap();
        assert_eq!(bytes(&huge).unwrap().len(), 4096);
        assert_eq!(bytes(directory.path()), None);
        assert_eq!(bytes(Path::new("/dev/zero")), None);
    }
}
