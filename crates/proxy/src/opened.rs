//! What is opened before the daemon confines itself, while it may: directories,
//! the Unix socket, the metrics' port, systemd. Sockets that systemd has opened already
//! are taken from it.

use crate::listener::BoundSocket;
use crate::run::Failure;
use crate::systemd::ServiceManager;
use pulse_confine::{Inherited, ServiceUser};
use pulse_core::config::Config;
use std::fs::DirBuilder;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Callers pass through the socket's directory; who may read the log is its
/// group's business; keys are nobody else's.
const SOCKET_MODE: u32 = 0o755;
const LOG_MODE: u32 = 0o750;
const PRIVATE_MODE: u32 = 0o700;

/// All of it.
pub(crate) struct Opened {
    pub(crate) socket: BoundSocket,
    pub(crate) metrics: Option<TcpListener>,
    pub(crate) manager: ServiceManager,
}

impl Opened {
    /// Opens it. Directories that are made here belong to the user that the daemon
    /// is going to be; those that are there already are left as they are.
    pub(crate) fn open(config: &Config, user: &ServiceUser) -> Result<Self, Failure> {
        let given = Given::take();
        make_directories(config, user.new_owner())?;
        let socket = match given.unix {
            Some(listener) => BoundSocket::inherited(listener),
            None => BoundSocket::bind(&config.socket),
        };
        Ok(Self {
            socket: socket.map_err(opening(&config.socket))?,
            metrics: metrics(config.metrics_address, given.tcp)?,
            manager: ServiceManager::from_environment(),
        })
    }
}

/// Sockets that the service manager holds for us.
#[derive(Default)]
struct Given {
    unix: Option<UnixListener>,
    tcp: Option<TcpListener>,
}

impl Given {
    fn take() -> Self {
        let mut given = Self::default();
        for socket in pulse_confine::inherited_sockets() {
            match socket {
                Inherited::Unix(listener) if given.unix.is_none() => {
                    tracing::info!(address = ?listener.local_addr().ok(), "given a socket");
                    given.unix = Some(listener);
                }
                Inherited::Tcp(listener) if given.tcp.is_none() => {
                    tracing::info!(address = ?listener.local_addr().ok(), "given a port for metrics");
                    given.tcp = Some(listener);
                }
                other => tracing::warn!(?other, "given a socket that nobody needs"),
            }
        }
        given
    }
}

fn metrics(
    address: Option<SocketAddr>,
    given: Option<TcpListener>,
) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = given.map_or_else(|| TcpListener::bind(address), Ok);
    bound.map(Some).map_err(|error| Failure::Open {
        what: format!("metrics_address {address}"),
        error,
    })
}

fn opening(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let what = path.display().to_string();
    move |error| Failure::Open { what, error }
}

fn make_directories(config: &Config, owner: Option<(u32, u32)>) -> Result<(), Failure> {
    let parent = config.socket.parent().unwrap_or(Path::new("/"));
    make(parent, SOCKET_MODE, owner).map_err(opening(&config.socket))?;
    make(&config.ssh_dir, PRIVATE_MODE, owner).map_err(opening(&config.ssh_dir))?;
    // What cannot be made of the audit log's is reported by the log, with remedies.
    let _ = make(config.audit.directory(), LOG_MODE, owner);
    let _ = make(&config.audit.state_dir, PRIVATE_MODE, owner);
    Ok(())
}

/// Makes a directory and those above it that are missing.
fn make(directory: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make(parent, mode, owner)?;
    }
    match DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    match owner {
        Some((uid, gid)) => lchown(directory, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_what_was_missing_is_made_and_what_was_there_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let there = home.path().join("there");
        std::fs::create_dir(&there).unwrap();
        let before = std::fs::metadata(&there).unwrap().mode();
        make(&there.join("a/b"), 0o700, None).unwrap();
        make(&there, 0o700, None).unwrap();
        let mode = |path: &str| std::fs::metadata(there.join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
        assert_eq!(std::fs::metadata(&there).unwrap().mode(), before);
    }
}
