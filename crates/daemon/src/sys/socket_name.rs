//! The name of a listening Unix socket in the file system.
//!
//! A socket goes on listening when its file is removed or replaced, and nobody reaches it any more;
//! the kernel reports nothing. So the name is compared with the file that it was at the start.
//!
//! The daemon makes no file anew: what has the name now may have been put there by another user,
//! systemd owns the sockets that it passes on, and the filter permits no bind(2) by then.

use std::fs::{File, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of a socket, with its file held open.
#[derive(Debug)]
pub(crate) struct SocketName {
    path: PathBuf,
    /// Opened without opening the socket itself (`O_PATH`). The open file keeps its inode number
    /// from being given to another file, and shows whether it still has a name where the daemon's
    /// user may not look at the directory.
    file: File,
}

/// What has become of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameState {
    /// It is the socket's.
    Kept,
    /// No file has it.
    Removed,
    /// Another file has it.
    Replaced,
}

impl SocketName {
    /// The file that has the name now.
    ///
    /// # Errors
    /// Those of open(2).
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: pulse_files::open_name(path)?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Compares the name with the file.
    pub(crate) fn state(&self) -> NameState {
        let Ok(open) = self.file.metadata() else {
            // It does not fail for an open file, and says nothing if it does.
            return NameState::Kept;
        };
        match symlink_metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => NameState::Kept,
            Ok(_) => NameState::Replaced,
            Err(error) if error.kind() == io::ErrorKind::NotFound => NameState::Removed,
            // The directory of the control socket is root's alone.
            Err(_) if open.nlink() == 0 => NameState::Removed,
            Err(_) => NameState::Kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::net::UnixListener;

    #[test]
    fn lost_names_are_noticed() {
        let home = tempfile::tempdir().unwrap();
        let [path, other] = ["s", "other"].map(|name| home.path().join(name));
        let _listener = UnixListener::bind(&path).unwrap();
        let name = SocketName::of(&path).unwrap();
        assert_eq!(name.state(), NameState::Kept);
        fs::rename(&path, &other).unwrap();
        assert_eq!(name.state(), NameState::Removed);
        let impostor = UnixListener::bind(&path).unwrap();
        assert_eq!(name.state(), NameState::Replaced);
        drop(impostor);
        // What is put back is the socket again.
        fs::rename(&other, &path).unwrap();
        assert_eq!(name.state(), NameState::Kept);
        fs::remove_file(&path).unwrap();
        assert_eq!(name.state(), NameState::Removed);
        fs::write(&path, "").unwrap();
        assert_eq!(name.state(), NameState::Replaced);
    }

    #[test]
    fn hidden_directory_hides_no_removal() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut name = SocketName::of(&path).unwrap();
        // No path can be looked up below a file: ENOTDIR, where other users get EACCES.
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        name.path = file.join("s");
        assert_eq!(name.state(), NameState::Kept);
        fs::remove_file(&path).unwrap();
        assert_eq!(name.state(), NameState::Removed);
    }
}
