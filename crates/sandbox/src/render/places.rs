//! Where the daemon's files are unless its configuration says otherwise.

use crate::tables::Whose;
use pulse_core::config::{Config, DEFAULT_PATH};
use std::path::Path;

/// The program.
pub(crate) const PROGRAM: &str = "/usr/bin/pulse-sensor-proxy";
/// The helper on the nodes.
pub(crate) const HELPER: &str = "/usr/libexec/pulse-sensor-node";

/// The directory, or the file, without a slash at its end.
pub(crate) fn of(whose: Whose) -> String {
    let config = Config::default();
    match whose {
        Whose::Configuration => directory_of(Path::new(DEFAULT_PATH)),
        Whose::SshDirectory => config.ssh_dir.display().to_string(),
        Whose::LogDirectory => config.audit.directory().display().to_string(),
        Whose::StateDirectory => config.audit.state_dir.display().to_string(),
        Whose::SocketDirectory => directory_of(&config.socket),
        Whose::ControlDirectory => directory_of(&config.control_socket),
        Whose::Credentials => config.forward.credentials.display().to_string(),
        Whose::Fixed(path) => path.to_owned(),
    }
}

fn directory_of(file: &Path) -> String {
    let directory = file.parent().unwrap_or(Path::new("/"));
    directory.display().to_string()
}
