//! Made-up nodes: small `/sys` trees, each stored as one text file.
//!
//! Hundreds of one-line files and links are tedious to review in a repository. So each node is
//! one manifest in the style of an INI file:
//!
//! ```text
//! # a comment
//! [devices/platform/coretemp.0]
//! subsystem -> ../../../bus/platform
//! [devices/platform/coretemp.0/hwmon/hwmon3]
//! name = coretemp
//! serial_page =x 00 80 00 02 41 42
//! power/
//! ```
//!
//! A section names a directory; below it, `=` is a file with one line of text,
//! `=x` a file with exactly these bytes, `->` a symbolic link, and a trailing
//! slash an empty directory. Parent directories are made as needed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// The three made-up nodes, as name and manifest: a dual-socket Xeon, a Ryzen
/// with SATA disks, and a Raspberry Pi.
#[must_use]
pub fn all() -> [(&'static str, &'static str); 3] {
    [
        ("xeon", include_str!("../trees/xeon.tree")),
        ("ryzen", include_str!("../trees/ryzen.tree")),
        ("pi", include_str!("../trees/pi.tree")),
    ]
}

/// A manifest of SATA disks at 30 °C, `disk0` and so on, all of one host adapter.
#[must_use]
pub fn disks(count: usize) -> String {
    let mut manifest = String::from("[bus/scsi]\ndevices/\n");
    for disk in 0..count {
        let device = format!("devices/host0/0:0:{disk}:0");
        let hwmon = format!("{device}/hwmon/hwmon{}", disk + 1);
        manifest += &format!(
            "[{device}]\nmodel = disk\nsubsystem -> ../../../bus/scsi\n\
             [{device}/block/disk{disk}]\ndevice -> ../../../0:0:{disk}:0\n\
             [{hwmon}]\nname = drivetemp\ntemp1_input = 30000\ndevice -> ../../../0:0:{disk}:0\n\
             [class/hwmon]\nhwmon{} -> ../../{hwmon}\n\
             [block]\ndisk{disk} -> ../{device}/block/disk{disk}\n",
            disk + 1
        );
    }
    manifest
}

/// The file with the temperature of one of [`disks`], below the root.
#[must_use]
pub fn disk_input(disk: usize) -> String {
    let hwmon = disk + 1;
    format!("devices/host0/0:0:{disk}:0/hwmon/hwmon{hwmon}/temp1_input")
}

/// Unpacks a manifest into the directory `root`, which is made if necessary.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] with the line's number for a line that is malformed or leaves
/// the root; otherwise the file system's error.
pub fn unpack(manifest: &str, root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let mut directory = root.to_path_buf();
    for (number, line) in (1..).zip(manifest.lines()) {
        let entry = parse(line).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {number} of the tree is not understood: {line:?}"),
            )
        })?;
        match entry {
            Entry::Nothing => {}
            Entry::Section(path) => {
                directory = root.join(path);
                fs::create_dir_all(&directory)?;
            }
            Entry::Directory(name) => fs::create_dir_all(directory.join(name))?,
            Entry::File(name, content) => fs::write(with_parent(&directory, name)?, content)?,
            Entry::Link(name, target) => symlink(target, with_parent(&directory, name)?)?,
        }
    }
    Ok(())
}

/// Changes the text of a file in an unpacked tree, in place, as the kernel does: a reader with
/// the file open sees the new line, and never an empty file.
///
/// # Errors
/// When there is no such file, or it cannot be written.
pub fn set(root: &Path, path: &str, text: &str) -> io::Result<()> {
    let line = format!("{text}\n");
    let mut file = OpenOptions::new().write(true).open(root.join(path))?;
    // Written first and cut afterwards: truncating first would show an empty file.
    file.write_all(line.as_bytes())?;
    file.set_len(line.len() as u64)
}

#[derive(Debug, PartialEq, Eq)]
enum Entry<'a> {
    Nothing,
    Section(&'a str),
    Directory(&'a str),
    File(&'a str, Vec<u8>),
    Link(&'a str, &'a str),
}

fn parse(line: &str) -> Option<Entry<'_>> {
    if line.is_empty() || line.starts_with('#') {
        return Some(Entry::Nothing);
    }
    if let Some(section) = line.strip_prefix('[') {
        return inside(section.strip_suffix(']')?).map(Entry::Section);
    }
    if let Some(name) = line.strip_suffix('/') {
        return inside(name).map(Entry::Directory);
    }
    let (name, rest) = line.split_once(' ')?;
    let (sign, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = inside(name)?;
    match sign {
        // Targets of links in /sys are relative and go upwards; an absolute one would lead out of
        // the tree.
        "->" if Path::new(value).is_relative() => Some(Entry::Link(name, value)),
        "=" => Some(Entry::File(name, format!("{value}\n").into_bytes())),
        "=x" => {
            let bytes = value.split_whitespace();
            let bytes = bytes.map(|digits| u8::from_str_radix(digits, 16).ok());
            Some(Entry::File(name, bytes.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// A relative path without `..`.
fn inside(path: &str) -> Option<&str> {
    let mut parts = Path::new(path).components();
    (!path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))).then_some(path)
}

fn with_parent(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_parsed() {
        let file = |name, content: &[u8]| Some(Entry::File(name, content.to_vec()));
        assert_eq!(parse(""), Some(Entry::Nothing));
        assert_eq!(parse("# a = b"), Some(Entry::Nothing));
        assert_eq!(parse("[a/b]"), Some(Entry::Section("a/b")));
        assert_eq!(parse("power/"), Some(Entry::Directory("power")));
        assert_eq!(parse("label = Core 0"), file("label", b"Core 0\n"));
        assert_eq!(parse("empty ="), file("empty", b"\n"));
        assert_eq!(parse("page =x 00 fF"), file("page", &[0, 255]));
        assert_eq!(parse("page =x"), file("page", b""));
        assert_eq!(parse("d -> ../../c"), Some(Entry::Link("d", "../../c")));
    }

    #[test]
    fn bad_line_is_refused_by_number() {
        for line in [
            "name",
            "name : text",
            "[a",
            "[]",
            "/",
            "/etc/passwd = x",
            "../x = y",
            "a/../../x = y",
            "[..]",
            "d -> /etc/passwd",
            "page =x 0g",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
        let root = scratch("refused");
        let error = unpack("a = 1\n\nb\n", &root).unwrap_err();
        assert!(error.to_string().starts_with("line 3 "), "{error}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn every_tree_unpacks_within_its_root() {
        for (name, manifest) in all() {
            let root = scratch(name);
            unpack(manifest, &root).unwrap();
            let real = root.canonicalize().unwrap();
            for class in fs::read_dir(root.join("class")).unwrap() {
                for device in fs::read_dir(class.unwrap().path()).unwrap() {
                    let path = device.unwrap().path();
                    let target = path.canonicalize();
                    let target = target.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    assert!(target.starts_with(&real), "{}", path.display());
                }
            }
            fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn value_changes_under_an_open_file() {
        use std::os::unix::fs::FileExt;
        let root = scratch("set");
        unpack("temp1_input = 41000\n", &root).unwrap();
        let open = fs::File::open(root.join("temp1_input")).unwrap();
        set(&root, "temp1_input", "9000").unwrap();
        let mut seen = [0; 16];
        let length = open.read_at(&mut seen, 0).unwrap();
        assert_eq!(&seen[..length], b"9000\n");
        assert!(set(&root, "missing", "1").is_err());
        fs::remove_dir_all(root).unwrap();
    }

    fn scratch(name: &str) -> PathBuf {
        let id = std::process::id();
        std::env::temp_dir().join(format!("pulse-tree-{id}-{name}"))
    }
}
