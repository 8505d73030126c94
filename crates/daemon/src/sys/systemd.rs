//! Notifications to systemd (`sd_notify(3)`). The socket is opened before the daemon confines
//! itself, because the filter allows no other Unix socket afterwards.

use sd_notify::NotifyState;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The notification socket, if systemd has given one.
pub(crate) struct ServiceManager(Option<UnixDatagram>);

impl ServiceManager {
    /// Connects to the socket that `NOTIFY_SOCKET` names.
    pub(crate) fn from_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            connect(&name)
                .inspect_err(|error| tracing::warn!("cannot notify systemd: {error}"))
                .ok()
        }))
    }

    /// Sends states in one message.
    pub(crate) fn notify(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.0 else {
            return;
        };
        // One datagram: systemd reads each as one message.
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::debug!("cannot notify systemd: {error}");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        // `@` stands for the NUL byte of an abstract name (sd_notify(3), unix(7)).
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not block the daemon.
    socket.set_nonblocking(true)?;
    Ok(socket)
}
