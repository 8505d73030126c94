//! Telling systemd how we fare, over one socket that is opened before the daemon
//! confines itself: afterwards it may not make another.

use sd_notify::NotifyState;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// systemd, or nobody.
pub(crate) struct ServiceManager(Option<UnixDatagram>);

impl ServiceManager {
    /// Connects to whom the environment names (`sd_notify(3)`).
    pub(crate) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").map(|name| connect(&name));
        Self(socket.and_then(|socket| {
            let complain = |error| tracing::warn!(%error, "systemd cannot be told how we fare");
            socket.map_err(complain).ok()
        }))
    }

    /// Tells it.
    pub(crate) fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.0 else {
            return;
        };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not stop us.
    socket.set_nonblocking(true)?;
    Ok(socket)
}
