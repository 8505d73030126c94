//! The configuration in force: the file, and the environment variables that override it.

use super::failure::with_remedy;
use super::remedy;
use pulse_core::config::{
    Config, ConfigError, DEFAULT_PATH, Keys, MAX_CONFIG_BYTES, VariableError, unread_remark,
};
use pulse_core::trust::{Demand, FileKind, Untrusted};
use pulse_trust::Refused;
use pulse_trust::node_files::{NodesError, OnUntrusted, add_nodes};
use pulse_trust::paths::{self, Flaw, TrustedPath};
use std::borrow::Cow;
use std::env::var_os;
use std::io;
use std::path::{Path, PathBuf};

/// An error that leaves the daemon without a configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The directory of the file does not exist.
    #[error("{}: its directory {} does not exist", file.display(), directory.display())]
    NoDirectory {
        /// The file.
        file: PathBuf,
        /// Its directory.
        directory: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// `nodes.d` or one of its files cannot be read.
    #[error("{}", path.display())]
    NodesUnreadable {
        /// The directory or file.
        path: PathBuf,
        /// Which of them it is.
        kind: FileKind,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// Other users may change the file.
    #[error("the configuration is refused")]
    Untrusted(#[source] Untrusted),
    /// Other users may change a file or directory that the configuration names.
    #[error("{name} is refused")]
    UntrustedPlace {
        /// Its key, or its name.
        name: &'static str,
        /// The user who may change it, and how.
        #[source]
        untrusted: Untrusted,
    },
    /// The file has a mistake.
    #[error("{}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The mistake, with line and column.
        #[source]
        error: ConfigError,
    },
    /// An environment variable has a mistake.
    #[error(transparent)]
    Environment(#[from] VariableError),
}

impl SettingsError {
    /// The remedy; `None` if the error's own text ends with it.
    pub(crate) fn remedy(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            // Other directories are the daemon's; this one and the file are root's.
            Self::NoDirectory { directory, .. } => format!(
                "run `install -d -o root -g root -m 0755 {}` and create the file there, or name \
                 another with --config",
                directory.display()
            )
            .into(),
            Self::Unreadable { path, error } => match error.kind() {
                io::ErrorKind::NotFound => "create it, or name another with --config".into(),
                // Root reads every file, and after the start the service's user reads it.
                io::ErrorKind::PermissionDenied => format!(
                    "make it readable for the daemon's user, as it has to be for a reload: \
                     `chmod 0644 {}`, or 0640 with that user's group; its directories need the \
                     right to enter (x)",
                    path.display()
                )
                .into(),
                io::ErrorKind::InvalidData => "save it as UTF-8".into(),
                io::ErrorKind::InvalidInput => {
                    "put a regular file there, or name another with --config".into()
                }
                io::ErrorKind::FileTooLarge => {
                    "name the right file with --config: no configuration is so long".into()
                }
                _ => remedy::of_system(error).into(),
            },
            Self::NodesUnreadable { path, kind, error } => match error.kind() {
                io::ErrorKind::InvalidInput => {
                    "remove it from nodes.d, or put the file of a node there".into()
                }
                io::ErrorKind::FileTooLarge => "remove what is no node's from nodes.d".into(),
                io::ErrorKind::InvalidData => "save it as UTF-8".into(),
                _ => remedy::of_shared(path, *kind, error),
            },
            // Who may change it, and the command that prevents it.
            Self::Untrusted(_) | Self::UntrustedPlace { .. } => return None,
            Self::Wrong { .. } => {
                "correct it there; `pulse-sensorctl config check` shows the line".into()
            }
            Self::Environment(_) => {
                "correct the variable in the service's environment, or remove it".into()
            }
        })
    }

    /// The whole sentence.
    pub(crate) fn message(&self) -> String {
        with_remedy(self, self.remedy())
    }
}

impl From<NodesError> for SettingsError {
    fn from(error: NodesError) -> Self {
        match error {
            NodesError::Unreadable { path, kind, source } => Self::NodesUnreadable {
                path,
                kind,
                error: source,
            },
            NodesError::Untrusted(untrusted) => Self::Untrusted(untrusted),
            NodesError::Mistake { path, source, .. } => Self::Wrong {
                path,
                error: source,
            },
        }
    }
}

/// A configuration that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The settings, with the nodes of `nodes.d`.
    pub(crate) config: Config,
    /// A sentence on the files of `nodes.d` that were not read, if there are any.
    pub(crate) remark: Option<String>,
}

impl Loaded {
    /// The settings; logs the remark.
    pub(crate) fn with_warning(self) -> Config {
        if let Some(remark) = self.remark {
            tracing::warn!("{remark}");
        }
        self.config
    }
}

/// The file to read: the argument, else the environment's, else the default. The path is
/// absolute, because every directory above the file is checked each time it is read.
#[must_use]
pub(crate) fn config_path(argument: Option<PathBuf>) -> PathBuf {
    let from_environment = || var_os("PULSE_SENSOR_PROXY_CONFIG").map(PathBuf::from);
    let path = argument
        .or_else(from_environment)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    // This fails without a working directory; then reading the file fails too, and says so.
    std::path::absolute(&path).unwrap_or(path)
}

/// Reads the configuration and the files of `nodes.d`, unless other users may change them.
///
/// # Errors
/// Any [`SettingsError`] but [`SettingsError::UntrustedPlace`].
pub(crate) fn load(path: &Path) -> Result<Loaded, SettingsError> {
    let unreadable = |error| SettingsError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let bytes = pulse_trust::read(path, Demand::Unwritable, MAX_CONFIG_BYTES);
    let bytes = bytes.map_err(|refused| match refused {
        Refused::Io(error) => match path.parent() {
            Some(directory) if error.kind() == io::ErrorKind::NotFound && !directory.exists() => {
                SettingsError::NoDirectory {
                    file: path.to_owned(),
                    directory: directory.to_owned(),
                }
            }
            _ => unreadable(error),
        },
        Refused::Untrusted(untrusted) => SettingsError::Untrusted(untrusted),
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text")))?;
    let mut keys = Keys::parse(&text).map_err(|error| SettingsError::Wrong {
        path: path.to_owned(),
        error,
    })?;
    keys.override_from(&|variable| var_os(variable))?;
    let all = add_nodes(path, keys, pulse_trust::owners(), OnUntrusted::Refuse)?;
    Ok(Loaded {
        config: all.keys.into(),
        remark: unread_remark(&all.unread),
    })
}

/// Checks that no other user may change the directories that the configuration names.
///
/// # Errors
/// [`SettingsError::UntrustedPlace`] for the first that one may change.
pub(crate) fn check_directories(config: &Config) -> Result<(), SettingsError> {
    check_places(&paths::directories(config))
}

/// As [`check_directories`], with the files that are read later.
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
