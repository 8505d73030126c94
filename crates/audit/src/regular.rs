//! Opening of regular files, without following links and without blocking.
//!
//! A user who can write to a log's directory can put anything there under a segment's name: a
//! FIFO, which blocks whoever opens it; a device; a link to a file that only root can read.
//! Readers of a log often run as root. So every file of a log and of its state directory is
//! opened here, for reading and for writing, and every error names the file.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A regular file, open for reading. Its errors name it.
#[derive(Debug)]
pub struct RegularFile {
    name: String,
    file: File,
}

/// An error with the name of its file or directory. Its text has both: callers print an
/// `io::Error` as one sentence. So the error inside is not a source as well.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
struct Named {
    name: String,
    error: io::Error,
}

/// The name is not that of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}, not a regular file: nothing else is opened")]
struct NotRegular(&'static str);

impl RegularFile {
    /// Opens a file.
    ///
    /// # Errors
    /// `InvalidInput` when it is a link, a directory, a FIFO, a socket or a device; else the
    /// operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: open_with(OpenOptions::new().read(true), path)?,
            name: path.display().to_string(),
        })
    }

    /// A file that is open already.
    pub(crate) fn opened(name: &str, file: File) -> Self {
        Self {
            name: name.to_owned(),
            file,
        }
    }

    /// The file without its name.
    #[must_use]
    pub fn into_inner(self) -> File {
        self.file
    }

    /// The name with which it was opened.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.named(self.file.metadata())
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.named(self.file.read_at(buffer, offset))
    }

    /// Syncs its data (`fdatasync`).
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.named(self.file.sync_data())
    }

    fn named<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| with_name(&self.name, error))
    }
}

impl Read for RegularFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            // Callers retry on this kind, and std's helpers require it unwrapped.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            outcome => self.named(outcome),
        }
    }
}

impl Seek for RegularFile {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let place = self.file.seek(place);
        self.named(place)
    }
}

/// Opens a regular file, or creates it, as `options` say.
///
/// # Errors
/// As [`RegularFile::open`].
pub(crate) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Checked before it is opened, because opening some devices has effects: a tape rewinds, a
    // watchdog starts.
    let looked = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => found.and_then(|found| check(found.file_type())),
    };
    looked
        .and_then(|()| open_unseen(options, path))
        .map_err(|error| with_path(path, error))
}

/// As [`open_with`], without the check before opening. The name may have changed since that
/// check, so the open file is checked again.
fn open_unseen(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // O_NONBLOCK: opening a FIFO does not wait for its other end. It has no effect on regular
    // files (open(2)).
    let file = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// Opens a directory, to lock it or to sync its names.
///
/// # Errors
/// The operating system's; `NotADirectory` when it is none.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(path)
        .map_err(|error| with_path(path, error))
}

/// The names in a directory that are UTF-8, as all of ours are.
///
/// # Errors
/// The operating system's, with the directory's name.
pub(crate) fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let list = || {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string()));
        names.collect::<io::Result<Vec<_>>>()
    };
    let names = list().map_err(|error| with_path(directory, error))?;
    Ok(names.into_iter().filter_map(Result::ok).collect())
}

/// The metadata of a regular file, without following a link.
///
/// # Errors
/// As [`RegularFile::open`].
pub(crate) fn look_at(path: &Path) -> io::Result<Metadata> {
    let look = || {
        let found = fs::symlink_metadata(path)?;
        check(found.file_type())?;
        Ok(found)
    };
    look().map_err(|error| with_path(path, error))
}

/// The identity of a file, independent of its name: device and inode.
pub(crate) fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Adds a name to an error, unless it has one.
pub(crate) fn with_name(name: &str, error: io::Error) -> io::Error {
    if matches!(error.get_ref(), Some(inner) if inner.is::<Named>()) {
        return error;
    }
    let name = name.to_owned();
    io::Error::new(error.kind(), Named { name, error })
}

/// As [`with_name`], with the path as the name.
pub(crate) fn with_path(path: &Path, error: io::Error) -> io::Error {
    with_name(&path.display().to_string(), error)
}

/// True when the process or the system has no file descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let error = inner.map_or(error, |named: &Named| &named.error);
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn check(found: FileType) -> io::Result<()> {
    let what = match found {
        it if it.is_file() => return Ok(()),
        it if it.is_symlink() => "a symbolic link",
        it if it.is_dir() => "a directory",
        it if it.is_fifo() => "a FIFO",
        it if it.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        NotRegular(what),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_opened() {
        let home = tempfile::tempdir().unwrap();
        let [link, fifo, socket, directory] =
            ["link", "fifo", "socket", "directory"].map(|name| home.path().join(name));
        fs::write(home.path().join("file"), "x").unwrap();
        symlink("file", &link).unwrap();
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::create_dir(&directory).unwrap();
        let null = Path::new("/dev/null").to_owned();
        for (path, what) in [
            (link, "a symbolic link"),
            (fifo, "a FIFO"),
            (socket, "a socket"),
            (directory, "a directory"),
            (null, "a device"),
        ] {
            let appending = open_with(OpenOptions::new().append(true).create(true), &path);
            let looked = look_at(&path).map(drop);
            for error in [
                RegularFile::open(&path).unwrap_err(),
                appending.unwrap_err(),
                looked.unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                let said = format!("{}: {what}, not a regular file", path.display());
                assert!(error.to_string().starts_with(&said), "{error}");
            }
        }
    }

    #[test]
    fn a_replaced_file_is_not_opened() {
        let home = tempfile::tempdir().unwrap();
        let [link, fifo] = ["link", "fifo"].map(|name| home.path().join(name));
        symlink("/etc/passwd", &link).unwrap();
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let open = |path: &Path| open_unseen(OpenOptions::new().read(true), path).unwrap_err();
        assert_eq!(open(&link).raw_os_error(), Some(libc::ELOOP));
        for path in [&fifo, Path::new("/dev/null"), home.path()] {
            assert_eq!(open(path).kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn errors_name_the_file_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("none");
        let error = RegularFile::open(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}: No such", path.display())));
        assert_eq!(with_name("other", error).to_string(), text);
        let text = names_in(&path).unwrap_err().to_string();
        assert!(text.starts_with(&path.display().to_string()), "{text}");
        // A file whose reading fails.
        let directory = open_directory(home.path()).unwrap();
        let error = RegularFile::opened("log", directory)
            .read(&mut [0])
            .unwrap_err();
        assert!(
            error.to_string().starts_with("log: Is a directory"),
            "{error}"
        );
        let error = open_directory(&home.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none: "), "{error}");
        for (number, expected) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::EIO, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_out_of_descriptors(&error), expected);
            assert_eq!(is_out_of_descriptors(&with_name("log", error)), expected);
        }
    }
}
