//! A listening Unix socket and its file: made, taken over from systemd, removed.

use crate::sys::socket_name::{NameState, SocketName};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

/// A listening socket before the runtime is there: it is bound before the daemon confines
/// itself.
pub(crate) struct BoundSocket {
    listener: UnixListener,
    /// `None` when it has no file that the daemon can see.
    name: Option<Arc<SocketName>>,
    /// `None` when systemd has bound the socket and removes the file.
    file: Option<SocketFile>,
}

/// The process that has bound a socket, and removes its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binder {
    /// The daemon.
    Daemon,
    /// systemd.
    Systemd,
}

impl BoundSocket {
    /// Binds the socket with the current rights of the process; its directory must exist. The
    /// file of a daemon that has ended is replaced, that of a running one is not.
    ///
    /// # Errors
    /// `AddrInUse` when another daemon serves it, else those of bind(2).
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = crate::sys::bind_unix(path, mode)?;
        listener.set_nonblocking(true)?;
        let name = Arc::new(SocketName::of(path)?);
        Ok(Self {
            listener,
            name: Some(Arc::clone(&name)),
            file: Some(SocketFile(name)),
        })
    }

    /// A socket that systemd has bound.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub(crate) fn inherited(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // An abstract socket has no file, and that of the control socket cannot be seen under the
        // unit, whose user may not enter its directory.
        let name = address
            .as_pathname()
            .and_then(|path| SocketName::of(path).ok())
            .map(Arc::new);
        Ok(Self {
            listener,
            name,
            file: None,
        })
    }

    /// The name of its file, to be watched, and its binder.
    pub(crate) fn name(&self) -> Option<(Arc<SocketName>, Binder)> {
        let binder = if self.file.is_some() {
            Binder::Daemon
        } else {
            Binder::Systemd
        };
        self.name.clone().map(|name| (name, binder))
    }

    pub(crate) fn into_socket(self) -> Socket {
        Socket {
            listener: Arc::new(self.listener),
            _file: self.file,
        }
    }
}

/// A listening socket; its file is removed when it is dropped.
pub(crate) struct Socket {
    pub(super) listener: Arc<UnixListener>,
    _file: Option<SocketFile>,
}

/// The file of a socket, removed when dropped.
struct SocketFile(Arc<SocketName>);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another file of this name is not ours: perhaps the socket of a daemon that was started
        // after ours was removed.
        if self.0.state() == NameState::Kept {
            // This fails in a directory that belongs to root; the next start replaces the file.
            let _ = std::fs::remove_file(self.0.path());
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is not a socket has this name",
        )),
        // Only ECONNREFUSED proves that nobody listens (connect(2)): a socket that cannot be
        // opened, or whose backlog is full, is in use.
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
