//! Mode and group of the callers' socket, compared with the configuration.
//!
//! systemd creates the file by its unit, which may differ from the configuration: a socket
//! that is open to more users than the operator believes would go unnoticed.

use super::opened::CALLERS_MODE;
use super::remedy::{self, Ownership};
use pulse_core::config::{SocketAccess, SocketFile, SocketGroup, TooWide};
use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A callers' socket that cannot be opened, or is open to others than configured.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no such group.
    #[error("socket_group: there is no group \"{0}\"")]
    NoGroup(String),
    /// The group cannot be looked up.
    #[error("socket_group \"{name}\"")]
    GroupUnknown {
        /// The group's name.
        name: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// Another daemon serves the socket.
    #[error("{}: another daemon serves it", .0.display())]
    Served(PathBuf),
    /// A file that is not a socket has its name.
    #[error("{}: a file that is not a socket has this name", .0.display())]
    OtherFile(PathBuf),
    /// It cannot be bound.
    #[error("{}: cannot open the callers' socket", path.display())]
    Bind {
        /// The socket's file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// systemd's socket is open to more users than configured.
    #[error(
        "{}: more users may connect than socket_mode and socket_group allow: {why}",
        path.display()
    )]
    Given {
        /// The socket's file.
        path: PathBuf,
        /// The difference.
        why: TooWide,
        /// The drop-in that makes the unit agree.
        drop_in: String,
    },
    /// systemd's socket has no file, or one that cannot be seen.
    #[error(
        "socket_mode is \"{mode}\", but the file of systemd's socket cannot be seen{}",
        path.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()))
    )]
    Unseen {
        /// The configured mode.
        mode: String,
        /// Its file, if it has one.
        path: Option<PathBuf>,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The daemon's own socket has another group, which a setgid directory brings about.
    #[error("{}: more users may connect than socket_group allows: {why}", path.display())]
    Bound {
        /// The socket's file.
        path: PathBuf,
        /// The difference.
        why: TooWide,
    },
}

impl SocketError {
    /// The remedy; `None` if the error's own text ends with it.
    pub(super) fn remedy(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoGroup(name) => {
                format!("create it (`groupadd --system {name}`), or name another one").into()
            }
            Self::GroupUnknown { error, .. } => remedy::of_system(error).into(),
            Self::Served(path) => format!(
                "`systemctl status pulse-sensor-proxy` and `ss -xlp src {}` name the one that runs: \
                 stop it, or set `socket` to another path for this one",
                path.display()
            )
            .into(),
            Self::OtherFile(_) => "move it away, or set `socket` to another path".into(),
            Self::Bind { path, error } => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                remedy::of_directory(directory, "socket", Ownership::own(CALLERS_MODE), error)
            }
            Self::Given { drop_in, .. } => format!(
                "run `systemctl edit pulse-sensor-proxy.socket` and add\n\n{drop_in}\nthen run \
                 `systemctl stop pulse-sensor-proxy.service` and `systemctl restart \
                 pulse-sensor-proxy.socket`"
            )
            .into(),
            Self::Unseen { .. } => {
                "set ListenStream= of pulse-sensor-proxy.socket to a file below \
                 /run/pulse-sensor-proxy"
                    .into()
            }
            Self::Bound { path, .. } => format!(
                "run `chmod g-s {}`: its setgid bit gives the socket another group",
                path.parent().unwrap_or(Path::new("/")).display()
            )
            .into(),
        })
    }

    /// True if only another configuration, or another unit of systemd's, removes the error.
    pub(super) fn is_configuration(&self) -> bool {
        match self {
            Self::NoGroup(_) | Self::Given { .. } | Self::Unseen { .. } | Self::Bound { .. } => {
                true
            }
            Self::GroupUnknown { .. }
            | Self::Served(_)
            | Self::OtherFile(_)
            | Self::Bind { .. } => false,
        }
    }
}

/// The id of the group that the file is to have.
///
/// # Errors
/// [`SocketError`] when there is no such group.
pub(crate) fn group(access: &SocketAccess) -> Result<Option<u32>, SocketError> {
    match &access.group {
        None => Ok(None),
        Some(SocketGroup::Id(gid)) => Ok(Some(*gid)),
        Some(SocketGroup::Name(name)) => {
            let found =
                pulse_sandbox::group_id(name).map_err(|error| SocketError::GroupUnknown {
                    name: name.clone(),
                    error,
                })?;
            let gid = found.ok_or_else(|| SocketError::NoGroup(name.clone()))?;
            Ok(Some(gid))
        }
    }
}

/// Checks a socket that systemd created; `gid` is the id of the configured group.
///
/// # Errors
/// [`SocketError::Given`], or [`SocketError::Unseen`] unless every user may connect anyway.
pub(crate) fn check_given(
    listener: &UnixListener,
    access: &SocketAccess,
    gid: Option<u32>,
) -> Result<(), SocketError> {
    if !access.is_narrow() {
        return Ok(());
    }
    let address = listener.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    let unseen = |error| SocketError::Unseen {
        mode: access.mode.to_string(),
        path: path.map(Path::to_owned),
        error,
    };
    // An abstract socket has no file, and so no mode (unix(7)).
    let path =
        path.ok_or_else(|| unseen(io::Error::other("it has no path, so anybody may connect")))?;
    let file = file(path).map_err(unseen)?;
    access.check(file, gid).map_err(|why| {
        // systemd.socket(5)
        let mut drop_in = format!("[Socket]\nSocketMode={}\n", access.mode);
        if let Some(group) = &access.group {
            drop_in.push_str(&format!("SocketGroup={group}\n"));
        }
        SocketError::Given {
            path: path.to_owned(),
            why,
            drop_in,
        }
    })
}

/// Checks a socket that the daemon created; `gid` is the id of the configured group.
///
/// # Errors
/// [`SocketError::Bound`], or [`SocketError::Bind`] for those of stat(2).
pub(crate) fn check_bound(
    path: &Path,
    access: &SocketAccess,
    gid: Option<u32>,
) -> Result<(), SocketError> {
    let file = file(path).map_err(|error| SocketError::Bind {
        path: path.to_owned(),
        error,
    })?;
    access.check(file, gid).map_err(|why| {
        let path = path.to_owned();
        SocketError::Bound { path, why }
    })
}

fn file(path: &Path) -> io::Result<SocketFile> {
    let found = fs::symlink_metadata(path)?;
    Ok(SocketFile {
        mode: found.mode(),
        gid: found.gid(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::startup::Failure;
    use pulse_core::config::Config;
    use std::os::unix::net::SocketAddr;

    fn access(text: &str) -> SocketAccess {
        Config::parse(text).unwrap().socket_access
    }

    #[test]
    fn wide_socket_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let listener = crate::sys::bind_unix(&path, 0o666).unwrap();
        let wide = SocketAccess::default();
        check_given(&listener, &wide, None).unwrap();
        let narrow = access("socket_mode = '0660'\nsocket_group = 4242");
        let error = check_given(&listener, &narrow, Some(4242)).unwrap_err();
        let error = Failure::from(error).message();
        for part in [
            ": its mode is 0666",
            "\n[Socket]\nSocketMode=0660\nSocketGroup=4242\n",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        drop(fs::remove_file(&path));
        let error = check_given(&listener, &narrow, Some(4242)).unwrap_err();
        assert!(
            matches!(error, SocketError::Unseen { path: Some(_), .. }),
            "{error}"
        );
    }

    #[test]
    fn socket_without_a_file_is_wide() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("pulse-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        check_given(&listener, &SocketAccess::default(), None).unwrap();
        let error = check_given(&listener, &access("socket_mode = '0600'"), None).unwrap_err();
        let message = Failure::from(error).message();
        assert!(message.contains("anybody may connect"), "{message}");
    }

    #[test]
    fn groups_are_found_by_name() {
        assert_eq!(group(&SocketAccess::default()).unwrap(), None);
        let root = access("socket_mode = '0660'\nsocket_group = 'root'");
        assert_eq!(group(&root).unwrap(), Some(0));
        let nobody = access("socket_mode = '0660'\nsocket_group = 'no-such-group'");
        let error = group(&nobody).unwrap_err();
        assert!(error.to_string().contains("no-such-group"), "{error}");
    }
}
