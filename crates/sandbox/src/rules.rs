//! Which paths and ports of this machine a table permits.

use crate::tables::{Access, PATHS, Path as Line, Whose, helper};
use std::path::{Path, PathBuf};

/// What Landlock is to permit, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Each path, with what may be done to it and below it.
    pub paths: Vec<(PathBuf, &'static [Access])>,
    /// TCP ports that may be connected to.
    pub ports: Vec<u16>,
    /// The first of Landlock's ABIs that holds whole what is asked of it. What an
    /// older one lets through is reported.
    pub since: u32,
}

/// The places of this daemon, as its configuration says them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The configuration's file.
    pub configuration: PathBuf,
    /// `ssh_dir`.
    pub ssh_directory: PathBuf,
    /// The directory of the audit log.
    pub log_directory: PathBuf,
    /// `audit.state_dir`.
    pub state_directory: PathBuf,
    /// The directory of the Unix socket.
    pub socket_directory: PathBuf,
    /// The directory of the control socket.
    pub control_directory: PathBuf,
    /// `forward.credentials`, where something is forwarded.
    pub credentials: Option<PathBuf>,
    /// The ports of nodes and collectors.
    pub ports: Vec<u16>,
}

/// With this ABI (Linux 6.12) everything in the daemon's tables is enforced.
const DAEMON_SINCE: u32 = 6;

impl Places {
    /// What the daemon's tables permit here.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let rule = |line: &Line| Some((self.path(line.whose)?.to_owned(), line.access));
        Rules {
            paths: PATHS.iter().filter_map(rule).collect(),
            ports: self.ports.clone(),
            since: DAEMON_SINCE,
        }
    }

    fn path(&self, whose: Whose) -> Option<&Path> {
        Some(match whose {
            Whose::Configuration => own_directory(&self.configuration),
            Whose::SshDirectory => &self.ssh_directory,
            Whose::LogDirectory => &self.log_directory,
            Whose::StateDirectory => &self.state_directory,
            Whose::SocketDirectory => &self.socket_directory,
            Whose::ControlDirectory => &self.control_directory,
            Whose::Credentials => return self.credentials.as_deref(),
            Whose::Fixed(path) => Path::new(path),
        })
    }
}

/// The helper's filter alone stops what Landlock came to stop after its first ABI.
const READING_SINCE: u32 = 1;
/// `ipmitool` is not under that filter.
const IPMITOOL_SINCE: u32 = 6;

impl Rules {
    /// What the helper may do that reads `sys_root` in the place of `/sys`.
    #[must_use]
    pub fn of_reading(sys_root: &Path) -> Self {
        Self::fixed(helper::PATHS, READING_SINCE, |path| {
            match path.strip_prefix(helper::SYS) {
                Ok(below) => sys_root.join(below),
                Err(_) => path.to_owned(),
            }
        })
    }

    /// What the helper may do, and `ipmitool` that it starts.
    #[must_use]
    pub fn of_ipmitool() -> Self {
        Self::fixed(helper::IPMITOOL_PATHS, IPMITOOL_SINCE, Path::to_owned)
    }

    /// Paths that no configuration says.
    fn fixed(lines: &[Line], since: u32, place: impl Fn(&Path) -> PathBuf) -> Self {
        let rule = |line: &Line| match line.whose {
            Whose::Fixed(path) => Some((place(Path::new(path)), line.access)),
            _ => None,
        };
        Self {
            paths: lines.iter().filter_map(rule).collect(),
            ports: Vec::new(),
            since,
        }
    }
}

/// The directory of a file, so that the file can be replaced; but the file alone
/// where the directory is one that much else is in, like `/etc` or `/root`.
fn own_directory(file: &Path) -> &Path {
    let deep_enough = |directory: &&Path| directory.components().count() > 2;
    file.parent().filter(deep_enough).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_among_other_things_does_not_open_them() {
        for (file, permitted) in [
            (
                "/etc/pulse-sensor-proxy/config.toml",
                "/etc/pulse-sensor-proxy",
            ),
            ("/etc/config.toml", "/etc/config.toml"),
            ("/config.toml", "/config.toml"),
            ("config.toml", "config.toml"),
        ] {
            assert_eq!(own_directory(Path::new(file)), Path::new(permitted));
        }
    }
}
