//! The paths of the default configuration and of the installed programs.

use crate::tables::ConfiguredPath;
use pulse_core::config::{Config, DEFAULT_PATH};
use std::path::Path;

pub(crate) const PROGRAM: &str = "/usr/bin/pulse-sensor-proxy";
pub(crate) const HELPER: &str = "/usr/libexec/pulse-sensor-node";

/// The file or directory, without a trailing slash.
pub(crate) fn default_path(path: ConfiguredPath) -> String {
    let config = Config::default();
    match path {
        ConfiguredPath::Configuration => directory_of(Path::new(DEFAULT_PATH)),
        ConfiguredPath::SshDirectory => config.ssh_dir.display().to_string(),
        ConfiguredPath::LogDirectory => config.audit.directory().display().to_string(),
        ConfiguredPath::StateDirectory => config.audit.state_dir.display().to_string(),
        ConfiguredPath::SocketDirectory => directory_of(&config.socket),
        ConfiguredPath::ControlDirectory => directory_of(&config.control_socket),
        ConfiguredPath::Credentials => config.forward.credentials.display().to_string(),
        ConfiguredPath::Fixed(path) => path.to_owned(),
    }
}

fn directory_of(file: &Path) -> String {
    file.parent()
        .unwrap_or(Path::new("/"))
        .display()
        .to_string()
}
