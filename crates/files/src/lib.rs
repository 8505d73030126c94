//! Opens regular files only, and reads no more of them than a limit.
//!
//! A path may lead to anything that somebody put there: a FIFO, whose opening waits for a
//! writer that never comes; a device, whose reading never ends; a file of a terabyte. Every
//! program of this project opens and reads files through this crate, so none of these can
//! hang it or fill its memory. Clippy refuses std's own functions for it (`clippy.toml`).
//!
//! Links are followed. Files that must not be reached through one are opened by their
//! owner's code with `O_NOFOLLOW`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file for reading.
///
/// # Errors
/// `InvalidInput` when it is no regular file; else the operating system's.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens, or creates, a regular file as `options` say.
///
/// # Errors
/// As [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // With O_NONBLOCK, opening a FIFO does not wait for its other end. It changes nothing for
    // a regular file (open(2)). O_NOCTTY keeps a terminal from becoming this process's own.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that opens, with its check"
    )]
    let opened = options.open(path);
    let file = match opened {
        // A FIFO that nobody reads, opened for writing; or a socket.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(not_regular()),
        file => file?,
    };
    // Looked at after it was opened: a name may lead elsewhere a moment later.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

/// Opens a directory: to lock it, or to sync its names.
///
/// # Errors
/// The operating system's; `NotADirectory` when it is none.
#[expect(
    clippy::disallowed_methods,
    reason = "with O_DIRECTORY nothing else is opened"
)]
pub fn open_directory(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(path)
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// `FileTooLarge` when it has more; else as [`open`].
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = room(limit);
    read_into(&mut content, open(path)?, limit)?;
    Ok(content)
}

/// For what is usual, so that files which the kernel makes up while they are read, those below
/// `/proc`, come in one piece.
fn room(limit: usize) -> Vec<u8> {
    Vec::with_capacity(limit.min(4096))
}

/// As [`read`], for text.
///
/// # Errors
/// `InvalidData` when it is no UTF-8; else as [`read`].
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

/// Appends what a reader gives until its end, at most `limit` bytes of it.
///
/// # Errors
/// `FileTooLarge` when there is more, after `limit` bytes and one were read; else the
/// reader's.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads to an end, with its limit"
)]
pub fn read_into(content: &mut Vec<u8>, reader: impl Read, limit: usize) -> io::Result<()> {
    let one_more = (limit as u64).saturating_add(1);
    let length = reader.take(one_more).read_to_end(content)?;
    if length > limit {
        let reason = format!("more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(())
}

/// Reads the first `limit` bytes of a file, and leaves what comes after them.
///
/// # Errors
/// As [`open`].
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads a beginning, with its limit"
)]
pub fn read_beginning(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut content = room(limit);
    open(path)?.take(limit as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether content that is written may be lost when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is in the kernel's hands.
    Written,
    /// It is on disk.
    Synced,
}

/// Writes a small file that appears whole: beside its place, as `unfinished`, then renamed.
/// A new file has this mode, less the process's mask.
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

    fn kind<T: std::fmt::Debug>(outcome: io::Result<T>) -> io::ErrorKind {
        outcome.unwrap_err().kind()
    }

    #[test]
    fn fifos_devices_and_directories_are_refused_at_once() {
        let home = tempfile::tempdir().unwrap();
        let fifo = home.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let appending = |path: &Path| open_with(OpenOptions::new().append(true).create(true), path);
        for path in [&fifo, Path::new("/dev/zero"), home.path()] {
            assert_eq!(kind(open(path)), io::ErrorKind::InvalidInput, "{path:?}");
        }
        // Nobody reads it, then somebody does.
        assert_eq!(kind(appending(&fifo)), io::ErrorKind::InvalidInput);
        let mut both = OpenOptions::new();
        let _reader = both.read(true).write(true).open(&fifo).unwrap();
        assert_eq!(kind(appending(&fifo)), io::ErrorKind::InvalidInput);
        let place = home.path().join("place");
        let replaced = replace(&place, &fifo, 0o600, b"x", Durability::Synced);
        assert_eq!(kind(replaced), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        assert_eq!(read_text(&path, 9).unwrap(), "1234");
        assert_eq!(kind(read(&path, 3)), io::ErrorKind::FileTooLarge);
        assert_eq!(read_beginning(&path, 3).unwrap(), b"123");
        // A terabyte, of which no block is there.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(kind(read(&path, 3)), io::ErrorKind::FileTooLarge);
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(kind(read_text(&path, 9)), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_endless_reader_ends_at_the_limit() {
        let mut content = Vec::new();
        let error = read_into(&mut content, io::repeat(7), 10).unwrap_err();
        assert_eq!(
            (error.kind(), content.len()),
            (io::ErrorKind::FileTooLarge, 11)
        );
        assert!(read_into(&mut Vec::new(), io::empty(), usize::MAX).is_ok());
    }

    #[test]
    fn a_file_is_replaced_whole_and_links_are_followed() {
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
    fn only_directories_are_opened_as_such() {
        let home = tempfile::tempdir().unwrap();
        let fifo = home.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        open_directory(home.path()).unwrap().sync_all().unwrap();
        assert_eq!(kind(open_directory(&fifo)), io::ErrorKind::NotADirectory);
    }
}
