//! The configuration as it is in force: the file, and what the environment says
//! more strongly.

use pulse_core::config::{Config, ConfigError, DEFAULT_PATH, MAX_CONFIG_BYTES, check_log_path};
use std::env::var_os;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{}: {error}{}", path.display(), remedy(error))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is wrong.
    #[error("{}: {error}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: ConfigError,
    },
    /// A variable of the environment is wrong.
    #[error("{variable}: {reason}")]
    Environment {
        /// Which variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": create it, or name another with --config",
        io::ErrorKind::PermissionDenied => ": make it readable for the daemon's user",
        _ => "",
    }
}

/// Which file is read: the argument, else the environment, else the default.
#[must_use]
pub fn config_path(argument: Option<PathBuf>) -> PathBuf {
    let from_environment = || var_os("PULSE_SENSOR_PROXY_CONFIG").map(PathBuf::from);
    argument
        .or_else(from_environment)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}

/// The user that a daemon started as root becomes, unless told otherwise.
const SERVICE_USER: &str = "pulse-sensor-proxy";

/// Which user that is.
#[must_use]
pub fn service_user() -> String {
    let named = std::env::var("PULSE_SENSOR_PROXY_USER").ok();
    named.unwrap_or_else(|| SERVICE_USER.to_owned())
}

/// Reads the configuration.
///
/// # Errors
/// [`SettingsError`] says what is wrong and where.
pub fn load(path: &Path) -> Result<Config, SettingsError> {
    let unreadable = |error| SettingsError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let text = pulse_files::read_text(path, MAX_CONFIG_BYTES).map_err(unreadable)?;
    let config = Config::parse(&text);
    let mut config = config.map_err(|error| SettingsError::Wrong {
        path: path.to_owned(),
        error,
    })?;
    override_from_environment(&mut config)?;
    Ok(config)
}

fn override_from_environment(config: &mut Config) -> Result<(), SettingsError> {
    if let Some(socket) = var_os("PULSE_SENSOR_PROXY_SOCKET") {
        config.socket = PathBuf::from(socket);
    }
    if let Some(socket) = var_os("PULSE_SENSOR_PROXY_CONTROL_SOCKET") {
        config.control_socket = PathBuf::from(socket);
    }
    if let Some(ssh_dir) = var_os("PULSE_SENSOR_PROXY_SSH_DIR") {
        config.ssh_dir = PathBuf::from(ssh_dir);
    }
    let variable = "PULSE_SENSOR_PROXY_AUDIT_LOG";
    if let Some(log) = var_os(variable) {
        config.audit.log = PathBuf::from(log);
        check_log_path(&config.audit.log)
            .map_err(|reason| SettingsError::Environment { variable, reason })?;
    }
    let variable = "PULSE_SENSOR_PROXY_METRICS_ADDR";
    if let Some(address) = var_os(variable) {
        config.metrics_address = match address.to_str() {
            Some("disabled" | "") => None,
            Some("default") => Config::default().metrics_address,
            other => Some(parse_address(other).ok_or(SettingsError::Environment {
                variable,
                reason: "expected an address with a port, or \"disabled\"".into(),
            })?),
        };
    }
    Ok(())
}

fn parse_address(text: Option<&str>) -> Option<SocketAddr> {
    text?.parse().ok()
}
