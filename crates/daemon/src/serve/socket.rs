//! A listening Unix socket and its file: made, taken over from systemd, removed.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The listening socket, not watched by the runtime yet: it is bound before there
/// is one, and before the daemon confines itself.
pub(crate) struct BoundSocket {
    listener: UnixListener,
    /// `None` when the file is the service manager's.
    file: Option<SocketFile>,
}

impl BoundSocket {
    /// Binds the socket, with the rights that the process has now; its directory must be
    /// there. A file left behind by a daemon that is gone is replaced; one that somebody
    /// still listens on is not.
    ///
    /// # Errors
    /// `AddrInUse` when another daemon serves it, or whatever the system says.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = crate::sys::bind_unix(path, mode)?;
        let file = Some(SocketFile(path.to_owned()));
        listener.set_nonblocking(true)?;
        Ok(Self { listener, file })
    }

    /// One that the service manager has bound.
    ///
    /// # Errors
    /// Whatever `fcntl(2)` says.
    pub(crate) fn inherited(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            file: None,
        })
    }

    /// The listening socket itself.
    #[must_use]
    pub(crate) fn into_socket(self) -> Socket {
        Socket {
            listener: Arc::new(self.listener),
            _file: self.file,
        }
    }
}

/// The listening socket; its file goes away with it.
pub(crate) struct Socket {
    pub(super) listener: Arc<UnixListener>,
    _file: Option<SocketFile>,
}

/// Removed when dropped.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already. In a directory of root's it stays, and the next daemon
        // that starts as root takes its place.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        )),
        // Only a refusal proves that nobody listens (connect(2)): a socket that we may not
        // open, or whose queue is full, is somebody's.
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another daemon serves it",
            )),
        },
    }
}
