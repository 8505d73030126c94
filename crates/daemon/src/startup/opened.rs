//! Sockets and directories that are opened before the daemon confines itself: the callers'
//! socket, the control socket, the metrics port, systemd's notification socket. Sockets that
//! systemd has bound are taken over.

use crate::serve::BoundSocket;
use crate::startup::Failure;
use crate::startup::remedy::Ownership;
use crate::startup::socket_access::{self, SocketError};
use crate::startup::trusted_path::is_ours_alone;
use crate::sys::systemd::ServiceManager;
use pulse_core::config::Config;
use pulse_sandbox::{InheritedSocket, NamedSocket, ServiceUser};
use std::fs::DirBuilder;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Callers pass through the directory of their socket. Members of the log's group may read
/// the log. Keys, and the control socket, are private.
pub(super) const CALLERS_MODE: u32 = 0o755;
const LOG_MODE: u32 = 0o750;
const PRIVATE_MODE: u32 = 0o700;

/// Opening the control socket gives the right to administer.
const CONTROL_MODE: u32 = 0o600;

/// `FileDescriptorName=` of the control socket's unit.
const CONTROL_NAME: &str = "control";

/// The sockets.
pub(crate) struct Opened {
    pub(crate) socket: BoundSocket,
    /// `None` when it could not be opened: callers are served all the same.
    pub(crate) control: Option<BoundSocket>,
    pub(crate) metrics: Option<TcpListener>,
    pub(crate) manager: ServiceManager,
}

impl Opened {
    /// Opens all. Directories that are created here belong to the service user; existing ones
    /// are left as they are.
    pub(crate) fn open(config: &Config, user: &ServiceUser) -> Result<Self, Failure> {
        let given = Given::take();
        let parent = config.socket.parent().unwrap_or(Path::new("/"));
        make_or_name("socket", parent, CALLERS_MODE, user)?;
        make_or_name("ssh_dir", &config.ssh_dir, PRIVATE_MODE, user)?;
        // A failure here is reported when the log is opened, with its remedy.
        let _ = make(config.audit.directory(), LOG_MODE, user);
        let _ = make(&config.audit.state_dir, PRIVATE_MODE, user);
        Ok(Self {
            socket: callers(config, given.callers, user)?,
            control: control(&config.control_socket, given.control),
            // A port that systemd has bound is used only if metrics are configured.
            metrics: config
                .metrics_address
                .map(|address| {
                    given
                        .tcp
                        .map_or_else(|| TcpListener::bind(address), Ok)
                        .map_err(|error| Failure::Metrics { address, error })
                })
                .transpose()?,
            manager: ServiceManager::from_environment(),
        })
    }
}

/// The callers' socket: systemd's, or our own.
fn callers(
    config: &Config,
    given: Option<UnixListener>,
    user: &ServiceUser,
) -> Result<BoundSocket, Failure> {
    let (access, path) = (&config.socket_access, &config.socket);
    let group = socket_access::group(access)?;
    if let Some(listener) = given {
        socket_access::check_given(&listener, access, group)?;
        return Ok(BoundSocket::inherited(listener).map_err(binding(path))?);
    }
    // The directory belongs to the service user, whose rights are enough: as root, a path
    // there could have been replaced.
    let bound = user
        .run_with_group(group, || BoundSocket::bind(path, access.mode.bits()))
        .map_err(binding(path))?;
    socket_access::check_bound(path, access, group)?;
    Ok(bound)
}

/// Sockets that systemd has passed on (`sd_listen_fds(3)`).
#[derive(Default)]
struct Given {
    callers: Option<UnixListener>,
    control: Option<UnixListener>,
    tcp: Option<TcpListener>,
}

impl Given {
    fn take() -> Self {
        let mut given = Self::default();
        for NamedSocket { name, socket } in pulse_sandbox::inherited_sockets() {
            match socket {
                InheritedSocket::Unix(listener)
                    if name == CONTROL_NAME && given.control.is_none() =>
                {
                    tracing::info!("systemd passed on the control socket");
                    given.control = Some(listener);
                }
                InheritedSocket::Unix(listener)
                    if name != CONTROL_NAME && given.callers.is_none() =>
                {
                    let address = listener.local_addr().ok();
                    let path = address.as_ref().and_then(|address| address.as_pathname());
                    tracing::info!(
                        "systemd passed on the callers' socket {}",
                        path.unwrap_or(Path::new("")).display()
                    );
                    given.callers = Some(listener);
                }
                InheritedSocket::Tcp(listener) if given.tcp.is_none() => {
                    let address = listener.local_addr().map(|address| address.to_string());
                    tracing::info!(
                        "systemd passed on the metrics port {}",
                        address.unwrap_or_default()
                    );
                    given.tcp = Some(listener);
                }
                other => {
                    tracing::warn!("systemd passed on an unneeded socket, {name:?}: {other:?}");
                }
            }
        }
        given
    }
}

/// The control socket: systemd's, or our own. Readings do not depend on it, so a failure is
/// logged and callers are served.
fn control(path: &Path, given: Option<UnixListener>) -> Option<BoundSocket> {
    let opened = match given {
        Some(listener) => BoundSocket::inherited(listener),
        None => private_directory(path).and_then(|()| BoundSocket::bind(path, CONTROL_MODE)),
    };
    opened
        .inspect_err(|error| {
            tracing::warn!(
                "cannot open the control socket {}: {error}; without it the daemon cannot be \
                 administered: start the daemon as root, or with \
                 pulse-sensor-proxy-control.socket, or set control_socket to another path",
                path.display()
            );
        })
        .ok()
}

/// Creates the control socket's directory, or checks that no other user can change the one
/// that exists: that user could replace the socket.
fn private_directory(socket: &Path) -> io::Result<()> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let above = directory.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() && is_ours_alone(above)? {
        DirBuilder::new().mode(PRIVATE_MODE).create(directory)?;
    }
    if is_ours_alone(directory)? {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "users other than root and the daemon's can change {} or a directory above it",
        directory.display()
    )))
}

fn binding(path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::AddrInUse => SocketError::Served(path),
        io::ErrorKind::AlreadyExists => SocketError::OtherFile(path),
        _ => SocketError::Bind { path, error },
    }
}

/// [`make`]; the error names the key, the directory and the command that makes it.
fn make_or_name(
    name: &'static str,
    directory: &Path,
    mode: u32,
    user: &ServiceUser,
) -> Result<(), Failure> {
    make(directory, mode, user).map_err(|error| {
        let own = Ownership::own(mode);
        let (uid, gid) = user.target_ids().unwrap_or((own.uid, own.gid));
        Failure::Directory {
            name,
            path: directory.to_owned(),
            owner: Ownership { uid, gid, mode },
            error,
        }
    })
}

/// Creates a directory and its missing parents: with root's rights where root alone can
/// change the parents, else with the service user's. That user could otherwise replace a
/// parent by a link and be given any other directory.
fn make(directory: &Path, mode: u32, user: &ServiceUser) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let above = match directory.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        // A relative path of one part lies in the working directory.
        _ => Path::new("."),
    };
    make(above, mode, user)?;
    let create = || match DirBuilder::new().mode(mode).create(directory) {
        // Another process was faster; its directory keeps its owner.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    };
    match user.target_ids() {
        Some((uid, gid)) if is_ours_alone(above)? => {
            if create()? {
                // Unlike chown(2), it does not follow a link that has replaced the directory.
                lchown(directory, Some(uid), Some(gid))
            } else {
                Ok(())
            }
        }
        _ => user.run(create).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn existing_directories_are_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let there = home.path().join("there");
        fs::create_dir(&there).unwrap();
        let before = fs::metadata(&there).unwrap().mode();
        let user = ServiceUser::find("nobody").unwrap();
        make(&there.join("a/b"), 0o700, &user).unwrap();
        make(&there, 0o700, &user).unwrap();
        let mode = |path: &str| fs::metadata(there.join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
        assert_eq!(fs::metadata(&there).unwrap().mode(), before);
    }
}
