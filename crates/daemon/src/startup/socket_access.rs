//! Who may connect to the callers' socket, as its file says it and as the configuration
//! does. A file that the daemon makes is as it was configured; one that systemd made is
//! compared, since a socket that is wider than the operator believes would go unnoticed.

use crate::startup::Failure;
use pulse_core::config::{SocketAccess, SocketFile, SocketGroup, TooWide};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A socket that others may connect to than were configured.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no such group.
    #[error("socket_group: there is no group \"{0}\": make it, or name another one")]
    NoGroup(String),
    /// Systemd's socket is too wide.
    #[error(
        "{}: others than socket_mode and socket_group say may connect, since {why}. Run \
         `systemctl edit pulse-sensor-proxy.socket` and add\n\n{drop_in}\nthen run `systemctl \
         stop pulse-sensor-proxy.service` and `systemctl restart pulse-sensor-proxy.socket`",
        path.display()
    )]
    Given {
        /// Its file.
        path: PathBuf,
        /// In what way.
        why: TooWide,
        /// What is to be told systemd.
        drop_in: String,
    },
    /// Systemd's socket cannot be compared.
    #[error(
        "socket_mode is \"{mode}\", but the file of systemd's socket cannot be seen{}: {error}; \
         let ListenStream= name a file below /run/pulse-sensor-proxy",
        path.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()))
    )]
    Unseen {
        /// What is configured.
        mode: String,
        /// Its file, if it has one.
        path: Option<PathBuf>,
        /// Why it cannot be seen.
        error: io::Error,
    },
    /// Ours is too wide, which takes a directory that gives its group to new files.
    #[error(
        "{}: others than socket_group says may connect, since {why}: its directory must not \
         have the setgid bit",
        path.display()
    )]
    Bound {
        /// Its file.
        path: PathBuf,
        /// In what way.
        why: TooWide,
    },
}

/// The number of the group that the file is to have.
///
/// # Errors
/// [`Failure`] when there is no such group.
pub(crate) fn group(access: &SocketAccess) -> Result<Option<u32>, Failure> {
    match &access.group {
        None => Ok(None),
        Some(SocketGroup::Id(gid)) => Ok(Some(*gid)),
        Some(SocketGroup::Name(name)) => {
            let found = pulse_sandbox::group_id(name).map_err(|error| Failure::Open {
                what: format!("socket_group \"{name}\""),
                error,
            })?;
            let gid = found.ok_or_else(|| SocketError::NoGroup(name.clone()))?;
            Ok(Some(gid))
        }
    }
}

/// Compares a socket that systemd made; `gid` is the number of the group.
///
/// # Errors
/// [`SocketError`] when it is too wide, or cannot be seen and ought to be narrow.
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
    let nameless = || unseen(io::Error::other("it has no path, so anybody may connect"));
    let path = path.ok_or_else(nameless)?;
    let file = file(path).map_err(unseen)?;
    access.check(file, gid).map_err(|why| SocketError::Given {
        path: path.to_owned(),
        why,
        drop_in: drop_in(access),
    })
}

/// Looks whether a socket that we made is as it was to be; `gid` is the number of the
/// group.
///
/// # Errors
/// [`SocketError::Bound`], or as stat(2).
pub(crate) fn check_bound(
    path: &Path,
    access: &SocketAccess,
    gid: Option<u32>,
) -> Result<(), Failure> {
    let file = file(path).map_err(|error| Failure::Open {
        what: path.display().to_string(),
        error,
    })?;
    let checked = access.check(file, gid);
    checked.map_err(|why| {
        let path = path.to_owned();
        SocketError::Bound { path, why }.into()
    })
}

fn file(path: &Path) -> io::Result<SocketFile> {
    let found = fs::symlink_metadata(path)?;
    Ok(SocketFile {
        mode: found.mode(),
        gid: found.gid(),
    })
}

/// For systemd, as systemd.socket(5) has it.
fn drop_in(access: &SocketAccess) -> String {
    let mode = format!("[Socket]\nSocketMode={}\n", access.mode);
    match &access.group {
        Some(group) => format!("{mode}SocketGroup={group}\n"),
        None => mode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::config::Config;
    use std::os::unix::net::SocketAddr;

    fn access(text: &str) -> SocketAccess {
        Config::parse(text).unwrap().socket_access
    }

    #[test]
    fn given_sockets_are_compared() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        let listener = crate::sys::bind_unix(&path, 0o666).unwrap();
        let wide = SocketAccess::default();
        check_given(&listener, &wide, None).unwrap();
        let narrow = access("socket_mode = '0660'\nsocket_group = 4242");
        let error = check_given(&listener, &narrow, Some(4242)).unwrap_err();
        let error = error.to_string();
        for part in [
            "since its mode is 0666",
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
    fn sockets_without_a_file_are_not_narrow() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("pulse-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        check_given(&listener, &SocketAccess::default(), None).unwrap();
        let error = check_given(&listener, &access("socket_mode = '0600'"), None).unwrap_err();
        assert!(error.to_string().contains("anybody may connect"), "{error}");
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
