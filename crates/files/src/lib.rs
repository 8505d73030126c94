//! Opening of regular files, and bounded reading.
//!
//! A path can name a FIFO, on which open(2) blocks until a writer comes; a device, which can be
//! read without end; or a file of a terabyte. Every program of this project opens and reads files
//! through this crate, so that none of these blocks it or fills its memory. Clippy refuses the
//! functions of std for it (`clippy.toml`).
//!
//! Symbolic links are followed. Code that must not follow one passes `O_NOFOLLOW` itself.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file for reading.
///
/// # Errors
/// `InvalidInput` if it is not a regular file; otherwise the operating system's.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens or creates a regular file with these options.
///
/// # Errors
/// As [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // O_NONBLOCK: open(2) of a FIFO does not wait for its other end; it has no effect on a
    // regular file. O_NOCTTY: a terminal does not become the controlling terminal.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    #[expect(
        clippy::disallowed_methods,
        reason = "the only call of open, followed by the check"
    )]
    let opened = options.open(path);
    let file = match opened {
        // A socket, or a FIFO without a reader that is opened for writing.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(not_regular()),
        file => file?,
    };
    // By descriptor: a check of the path before opening could see another file.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

/// Opens a directory, to lock it or to sync its entries.
///
/// # Errors
/// The operating system's; `NotADirectory` if it is something else.
#[expect(clippy::disallowed_methods, reason = "O_DIRECTORY opens nothing else")]
pub fn open_directory(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(path)
}

/// Opens a name without opening the file that has it, which may be of any kind: for its metadata
/// alone. A symbolic link is not followed.
///
/// # Errors
/// The operating system's.
#[expect(clippy::disallowed_methods, reason = "O_PATH opens no file")]
pub fn open_name(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)
}

/// A resource that has run out. Such an error says nothing about the file, socket or host that was
/// to be used, and passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhaustion {
    /// The descriptors of this process (`EMFILE`).
    Process,
    /// The open files of the whole system (`ENFILE`).
    System,
    /// The kernel's memory, or this process's share of it (`ENOMEM`, `ENOBUFS`).
    Memory,
}

impl Exhaustion {
    /// The resource whose lack an error reports, if it does.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.raw_os_error() {
            Some(libc::EMFILE) => Some(Self::Process),
            Some(libc::ENFILE) => Some(Self::System),
            Some(libc::ENOMEM | libc::ENOBUFS) => Some(Self::Memory),
            _ => None,
        }
    }

    /// The remedy, in the imperative.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Process => "raise LimitNOFILE= of the service",
            Self::System => "raise the sysctl fs.file-max, or stop what has so many files open",
            Self::Memory => "free memory on this host, or raise MemoryMax= of the service",
        }
    }
}

impl fmt::Display for Exhaustion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "out of file descriptors",
            Self::System => "the host is out of file descriptors",
            Self::Memory => "out of memory",
        })
    }
}

/// True if the process or the system has run out of descriptors or memory.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    Exhaustion::of(error).is_some()
}

/// The remedy for a file system that refuses every program's writes, as the end of a sentence;
/// none for an error of another kind. Errors that others have wrapped keep their kind, and so
/// their remedy.
#[must_use]
pub fn disk_remedy(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        // ENOSPC is the error for both (write(2), open(2)).
        io::ErrorKind::StorageFull => {
            Some("free space on this file system (df -h), or inodes if those are used up (df -i)")
        }
        io::ErrorKind::QuotaExceeded => {
            Some("raise the quota of the file's owner, or remove other files that count in it")
        }
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "the kernel's log (dmesg) says whether errors made this file system read-only: mount \
             it writable again",
        ),
        _ => None,
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// `FileTooLarge` if it has more; otherwise as [`open`].
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = with_capacity(limit);
    read_into(&mut content, open(path)?, limit)?;
    Ok(content)
}

/// A buffer for one read(2) of a file of the usual size. The kernel composes a file of `/proc`
/// for each call, so only a single read is consistent.
fn with_capacity(limit: usize) -> Vec<u8> {
    Vec::with_capacity(limit.min(4096))
}

/// As [`read`], for text.
///
/// # Errors
/// `InvalidData` if it is not UTF-8; otherwise as [`read`].
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

/// Appends everything up to the end of a reader, at most `limit` bytes.
///
/// # Errors
/// `FileTooLarge` if there is more, after `limit` + 1 bytes were read; otherwise the reader's.
#[expect(
    clippy::disallowed_methods,
    reason = "the only read to an end, with a limit"
)]
pub fn read_into(content: &mut Vec<u8>, reader: impl Read, limit: usize) -> io::Result<()> {
    // One byte more than permitted, which tells a longer file from one of exactly the limit. Its
    // length in the metadata does not: files of /proc have length 0, and a file may grow.
    let length = reader
        .take((limit as u64).saturating_add(1))
        .read_to_end(content)?;
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {limit} bytes"),
        ));
    }
    Ok(())
}

/// Reads the first `limit` bytes of a file.
///
/// # Errors
/// As [`open`].
#[expect(clippy::disallowed_methods, reason = "with a limit")]
pub fn read_beginning(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = with_capacity(limit);
    open(path)?.take(limit as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// Durability of written content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In the page cache: a power failure can lose it.
    Written,
    /// On disk.
    Synced,
}

/// Replaces a file atomically: writes the content to `unfinished`, in the same file system, and
/// renames that. A new file has this mode, reduced by the umask.
///
/// # Errors
/// As [`open`].
pub fn replace(
    path: &Path,
    unfinished: &Path,
    mode: u32,
    content: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = open_with(&mut options, unfinished)?;
    file.write_all(content)?;
    // Before the rename: after a power failure the new name could otherwise have no content.
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn kind<T: fmt::Debug>(outcome: io::Result<T>) -> io::ErrorKind {
        outcome.unwrap_err().kind()
    }

    #[test]
    fn only_regular_files_are_opened() {
        let home = tempfile::tempdir().unwrap();
        let fifo = home.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let appending = |path: &Path| open_with(OpenOptions::new().append(true).create(true), path);
        for path in [&fifo, Path::new("/dev/zero"), home.path()] {
            assert_eq!(kind(open(path)), io::ErrorKind::InvalidInput, "{path:?}");
        }
        // Without a reader, then with one.
        assert_eq!(kind(appending(&fifo)), io::ErrorKind::InvalidInput);
        let mut both = OpenOptions::new();
        let _reader = both.read(true).write(true).open(&fifo).unwrap();
        assert_eq!(kind(appending(&fifo)), io::ErrorKind::InvalidInput);
        let place = home.path().join("place");
        let replaced = replace(&place, &fifo, 0o600, b"x", Durability::Synced);
        assert_eq!(kind(replaced), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn exhaustion_has_its_remedy() {
        for (code, part) in [
            (libc::EMFILE, "LimitNOFILE="),
            (libc::ENFILE, "fs.file-max"),
            (libc::ENOMEM, "memory"),
            (libc::ENOBUFS, "memory"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let exhaustion = Exhaustion::of(&error).unwrap();
            assert!(exhaustion.remedy().contains(part), "{exhaustion}");
            assert!(is_exhausted(&error));
        }
        assert!(!is_exhausted(&io::Error::from_raw_os_error(libc::ENOENT)));
        assert!(!is_exhausted(&not_regular()));
    }

    #[test]
    fn refusing_disks_have_remedies() {
        for (code, part) in [
            (libc::ENOSPC, "df -i"),
            (libc::EDQUOT, "quota"),
            (libc::EROFS, "dmesg"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let wrapped = io::Error::new(error.kind(), "with a name");
            for error in [error, wrapped] {
                assert!(disk_remedy(&error).is_some_and(|remedy| remedy.contains(part)));
            }
        }
        assert_eq!(disk_remedy(&io::Error::from_raw_os_error(libc::EIO)), None);
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        assert_eq!(read_text(&path, 9).unwrap(), "1234");
        assert_eq!(kind(read(&path, 3)), io::ErrorKind::FileTooLarge);
        assert_eq!(read_beginning(&path, 3).unwrap(), b"123");
        // A sparse file of a terabyte.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(kind(read(&path, 3)), io::ErrorKind::FileTooLarge);
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(kind(read_text(&path, 9)), io::ErrorKind::InvalidData);
    }

    #[test]
    fn endless_reader_is_cut_off() {
        let mut content = Vec::new();
        let error = read_into(&mut content, io::repeat(7), 10).unwrap_err();
        assert_eq!(
            (error.kind(), content.len()),
            (io::ErrorKind::FileTooLarge, 11)
        );
        assert!(read_into(&mut Vec::new(), io::empty(), usize::MAX).is_ok());
    }

    #[test]
    fn file_is_replaced_atomically() {
        let home = tempfile::tempdir().unwrap();
        let [place, link] = ["place", "link"].map(|name| home.path().join(name));
        for text in ["one", "2"] {
            let unfinished = home.path().join("place.new");
            replace(
                &place,
                &unfinished,
                0o600,
                text.as_bytes(),
                Durability::Written,
            )
            .unwrap();
            assert_eq!(read_text(&place, 9).unwrap(), text);
            assert!(!unfinished.exists());
        }
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o600
        );
        symlink(&place, &link).unwrap();
        assert_eq!(read(&link, 9).unwrap(), b"2");
        assert_eq!(
            kind(open(&home.path().join("none"))),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn only_directories_are_opened() {
        let home = tempfile::tempdir().unwrap();
        let fifo = home.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        open_directory(home.path()).unwrap().sync_all().unwrap();
        assert_eq!(kind(open_directory(&fifo)), io::ErrorKind::NotADirectory);
    }
}
