//! The configuration as it is in force: the file, and what the environment says
//! more strongly.

use pulse_core::config::{Config, ConfigError, DEFAULT_PATH, MAX_CONFIG_BYTES, check_log_path};
use pulse_core::trust::{Demand, Untrusted};
use pulse_trust::Refused;
use pulse_trust::paths::{self, Flaw, TrustedPath};
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
    /// Others may change the file.
    #[error("the configuration is refused: {0}")]
    Untrusted(Untrusted),
    /// Others may change what the configuration names.
    #[error("{name} is refused: {untrusted}")]
    UntrustedPlace {
        /// The name of the place.
        name: &'static str,
        /// What is wrong with it.
        untrusted: Untrusted,
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

/// Which file is read: the argument, else the environment, else the default. The path is
/// absolute: every directory above the file is looked at, each time it is read.
#[must_use]
pub(crate) fn config_path(argument: Option<PathBuf>) -> PathBuf {
    let from_environment = || var_os("PULSE_SENSOR_PROXY_CONFIG").map(PathBuf::from);
    let path = argument
        .or_else(from_environment)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    // Without a working directory there is nothing to go from: reading it says so.
    std::path::absolute(&path).unwrap_or(path)
}

/// Reads the configuration, unless others may change it.
///
/// # Errors
/// [`SettingsError`] says what is wrong and where.
pub(crate) fn load(path: &Path) -> Result<Config, SettingsError> {
    let unreadable = |error| SettingsError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let bytes = pulse_trust::read(path, Demand::Unwritable, MAX_CONFIG_BYTES);
    let bytes = bytes.map_err(|refused| match refused {
        Refused::Io(error) => unreadable(error),
        Refused::Untrusted(untrusted) => SettingsError::Untrusted(untrusted),
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text")))?;
    let config = Config::parse(&text);
    let mut config = config.map_err(|error| SettingsError::Wrong {
        path: path.to_owned(),
        error,
    })?;
    override_from_environment(&mut config)?;
    Ok(config)
}

/// Looks at the directories that the configuration names.
///
/// # Errors
/// [`SettingsError::UntrustedPlace`] names the first that others may change.
pub(crate) fn check_directories(config: &Config) -> Result<(), SettingsError> {
    check_places(&paths::directories(config))
}

/// As [`check_directories`], and at the files that are looked at later.
///
/// # Errors
/// As [`check_directories`].
pub(crate) fn check_all(config: &Config) -> Result<(), SettingsError> {
    check_directories(config)?;
    check_places(&paths::files(config))
}

fn check_places(places: &[TrustedPath]) -> Result<(), SettingsError> {
    for place in places {
        let name = place.name;
        match place.flaw(pulse_trust::owners()) {
            None => {}
            Some(Flaw::Reported(untrusted)) => tracing::warn!("{name} is exposed: {untrusted}"),
            Some(Flaw::Refused(untrusted)) => {
                return Err(SettingsError::UntrustedPlace { name, untrusted });
            }
        }
    }
    Ok(())
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
