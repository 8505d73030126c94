//! The paths and ports of this machine that a table permits.

use crate::tables::{Access, ConfiguredPath, PATHS, PathRule, helper};
use std::path::{Path, PathBuf};

/// The paths and ports that Landlock permits; everything else is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandlockRules {
    /// Each path, with the rights to it and to everything below it.
    pub paths: Vec<(PathBuf, &'static [Access])>,
    /// The TCP ports that may be connected to.
    pub ports: Vec<u16>,
    /// The first ABI of Landlock that enforces all of these rules. With an older one the
    /// missing restrictions are reported.
    pub min_abi: u32,
}

/// The paths and ports of the daemon's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonPaths {
    /// The configuration file.
    pub configuration: PathBuf,
    /// The directory of the nodes' files, in the directory of the configuration file.
    pub nodes_directory: PathBuf,
    /// `ssh_dir`.
    pub ssh_directory: PathBuf,
    /// The directory of the audit log.
    pub log_directory: PathBuf,
    /// `audit.state_dir`.
    pub state_directory: PathBuf,
    /// The directory of the callers' socket.
    pub socket_directory: PathBuf,
    /// The directory of the control socket.
    pub control_directory: PathBuf,
    /// `forward.credentials`, if records are forwarded.
    pub credentials: Option<PathBuf>,
    /// The ports of nodes and collectors.
    pub ports: Vec<u16>,
}

impl DaemonPaths {
    /// The daemon's Landlock rules for these paths. ABI 6 (Linux 6.12) enforces all of them:
    /// its scopes refuse abstract sockets and signals.
    #[must_use]
    pub fn rules(&self) -> LandlockRules {
        let rules = |rule: &PathRule| {
            let access = rule.access;
            let places = self.places(rule.path).into_iter();
            places.map(move |place| (place, access))
        };
        LandlockRules {
            paths: PATHS.iter().flat_map(rules).collect(),
            ports: self.ports.clone(),
            min_abi: 6,
        }
    }

    fn places(&self, path: ConfiguredPath) -> Vec<PathBuf> {
        let place = match path {
            ConfiguredPath::Configuration => return self.configuration_places(),
            ConfiguredPath::SshDirectory => &self.ssh_directory,
            ConfiguredPath::LogDirectory => &self.log_directory,
            ConfiguredPath::StateDirectory => &self.state_directory,
            ConfiguredPath::SocketDirectory => &self.socket_directory,
            ConfiguredPath::ControlDirectory => &self.control_directory,
            ConfiguredPath::Credentials => return self.credentials.iter().cloned().collect(),
            ConfiguredPath::Fixed(path) => Path::new(path),
        };
        vec![place.to_owned()]
    }

    /// The directory of the configuration file, so that an editor can replace the file and the
    /// directory of nodes can be created later. These two alone if their directory is shared with
    /// others, as `/etc` and `/root` are: Landlock's rights reach everything below a directory.
    fn configuration_places(&self) -> Vec<PathBuf> {
        // The root and two names at least.
        let is_deep = |directory: &&Path| directory.components().count() > 2;
        match self.configuration.parent().filter(is_deep) {
            Some(directory) => vec![directory.to_owned()],
            // The right to list a directory has no effect on the file.
            None => vec![self.configuration.clone(), self.nodes_directory.clone()],
        }
    }
}

impl LandlockRules {
    /// The rules of the helper for a reading of `sys_root` instead of `/sys`. ABI 1 is enough:
    /// the helper's seccomp filter refuses what later ABIs can refuse.
    #[must_use]
    pub fn for_reading(sys_root: &Path) -> Self {
        Self::fixed(helper::PATHS, 1, |path| {
            match path.strip_prefix(helper::SYS) {
                Ok(below) => sys_root.join(below),
                Err(_) => path.to_owned(),
            }
        })
    }

    /// The rules of the helper and of the `ipmitool` that it starts. `ipmitool` is not under
    /// the helper's seccomp filter, so ABI 6 is needed to refuse it ports and signals.
    #[must_use]
    pub fn for_ipmitool() -> Self {
        Self::fixed(helper::IPMITOOL_PATHS, 6, Path::to_owned)
    }

    /// Rules from a table that has no path of the configuration.
    fn fixed(table: &[PathRule], min_abi: u32, place: impl Fn(&Path) -> PathBuf) -> Self {
        let rule = |rule: &PathRule| match rule.path {
            ConfiguredPath::Fixed(path) => Some((place(Path::new(path)), rule.access)),
            _ => None,
        };
        Self {
            paths: table.iter().filter_map(rule).collect(),
            ports: Vec::new(),
            min_abi,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_directory_stays_closed() {
        for (file, permitted) in [
            (
                "/etc/pulse-sensor-proxy/config.toml",
                &["/etc/pulse-sensor-proxy"][..],
            ),
            ("/etc/config.toml", &["/etc/config.toml", "/etc/nodes.d"]),
            ("/config.toml", &["/config.toml", "/nodes.d"]),
            ("config.toml", &["config.toml", "nodes.d"]),
        ] {
            let paths = DaemonPaths {
                configuration: file.into(),
                nodes_directory: Path::new(file).with_file_name("nodes.d"),
                ..DaemonPaths::default()
            };
            let permitted: Vec<_> = permitted.iter().map(PathBuf::from).collect();
            assert_eq!(paths.configuration_places(), permitted);
        }
    }
}
