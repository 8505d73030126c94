//! The daemon's configuration file, as the tool reads it: from the daemon's usual place, and
//! only if nobody but root and the daemon's user can change it.

use crate::error::{CommandError, ErrorCode, file_remedy};
use clap::ValueHint;
use pulse_core::config::{
    Config, ConfigError as Mistake, DEFAULT_PATH, MAX_CONFIG_BYTES, check_log_path,
};
use pulse_core::trust::{Demand, Untrusted};
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Overrides the audit log's place in the configuration, for the daemon too.
const LOG_VARIABLE: &str = "PULSE_SENSOR_PROXY_AUDIT_LOG";

/// Names the configuration file, for the daemon too.
const FILE_VARIABLE: &str = "PULSE_SENSOR_PROXY_CONFIG";

/// The reason that the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// There is a mistake in it.
    #[error("{}", path.display())]
    Mistake { path: PathBuf, source: Mistake },
    /// Other users can change it.
    #[error("the configuration is refused")]
    Untrusted(#[source] Untrusted),
    /// The environment's place for the audit log cannot be used.
    #[error("{LOG_VARIABLE}: {0}")]
    Variable(String),
}

impl CommandError for ConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unreadable { .. } => ErrorCode::CannotRead,
            Self::Mistake { .. } | Self::Untrusted(_) | Self::Variable(_) => ErrorCode::Config,
        }
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unreadable { source, .. } => file_remedy(source),
            Self::Mistake { .. } => Some("`pulse-sensorctl config check` shows where".into()),
            // Its own text has the command that fixes it.
            Self::Untrusted(_) | Self::Variable(_) => None,
        }
    }
}

/// `--config`, for commands that need the configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ConfigOption {
    /// The daemon's configuration [env: PULSE_SENSOR_PROXY_CONFIG]
    /// [default: /etc/pulse-sensor-proxy/config.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

impl ConfigOption {
    /// Reads it, without `nodes.d`: no command that has this option needs a node. The daemon's
    /// defaults when no file was named and the usual one is missing.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn read(&self) -> Result<Config, ConfigError> {
        read_with(
            or_variable(self.config.clone(), FILE_VARIABLE).as_deref(),
            std::env::var_os(LOG_VARIABLE),
        )
    }
}

/// The file that `config check` checks: the named one, else the daemon's.
pub(crate) fn file_or_default(named: Option<PathBuf>) -> PathBuf {
    or_variable(named, FILE_VARIABLE).unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}

/// A path that was given, else the environment's.
///
/// clap can do this too, but then counts the variable as given on the command line: every
/// option that excludes this one would be refused wherever the variable is set.
pub(crate) fn or_variable(given: Option<PathBuf>, name: &str) -> Option<PathBuf> {
    // An environment file can set a variable to nothing, but not unset it (systemd.exec(5)).
    given.or_else(|| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
}

fn read_with(file: Option<&Path>, log: Option<OsString>) -> Result<Config, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_PATH));
    let mut config = match ConfigText::read(path) {
        // As root, the tool would act on paths that somebody else wrote.
        Ok(ConfigText {
            untrusted: Some(untrusted),
            ..
        }) => return Err(ConfigError::Untrusted(untrusted)),
        Ok(ConfigText { text, .. }) => {
            Config::parse(&text).map_err(|source| ConfigError::Mistake {
                path: path.to_owned(),
                source,
            })?
        }
        // Without a file at the usual place, the usual log is meant. A named file has to exist.
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => Config::default(),
        Err(source) => {
            return Err(ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    // After the file, as in the daemon: the environment overrides it.
    if let Some(log) = log {
        config.audit.log = PathBuf::from(log);
        check_log_path(&config.audit.log).map_err(ConfigError::Variable)?;
    }
    Ok(config)
}

/// The text of a configuration file, and why it must not be trusted.
pub(crate) struct ConfigText {
    pub(crate) text: String,
    pub(crate) untrusted: Option<Untrusted>,
}

impl ConfigText {
    /// Reads a file.
    ///
    /// # Errors
    /// The operating system's; `InvalidData` when it is not UTF-8.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        // Every directory of the path is examined, so it has to be absolute.
        let path = std::path::absolute(path)?;
        // The file is opened once, examined and read by one descriptor: nobody can exchange it in
        // between.
        let (file, judged) = pulse_trust::examine(
            &path,
            &pulse_trust::owners_and_service(),
            Demand::Unwritable,
        )?;
        let mut bytes = Vec::new();
        pulse_files::read_into(&mut bytes, file, MAX_CONFIG_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "not UTF-8 text"))?;
        Ok(Self {
            text,
            untrusted: judged.err(),
        })
    }
}

/// This host's name, as the kernel has it.
pub(crate) fn host_name() -> String {
    // A name has at most 64 bytes (gethostname(2)).
    pulse_files::read_text(Path::new("/proc/sys/kernel/hostname"), 256)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::message;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_variable_overrides_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, "[audit]\nlog = '/x/audit.log'\nstate_dir = '/y'\n").unwrap();
        let set = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let refused = |path: &Path, log| read_with(Some(path), log).unwrap_err();
        set(0o664);
        let untrusted = refused(&file, None);
        assert_eq!(untrusted.code(), ErrorCode::Config);
        assert!(message(&untrusted).contains("chmod g-w"), "{untrusted:?}");
        set(0o644);
        let audit = read_with(Some(&file), None).unwrap().audit;
        assert_eq!(audit.directory(), Path::new("/x"));
        let audit = read_with(Some(&file), Some("/z/audit.log".into()));
        let audit = audit.unwrap().audit;
        assert_eq!(
            (audit.directory(), &*audit.state_dir),
            (Path::new("/z"), Path::new("/y"))
        );
        let wrong = refused(&file, Some("/z/other".into()));
        assert_eq!(wrong.code(), ErrorCode::Config);
        let missing = refused(&directory.path().join("none.toml"), None);
        assert_eq!(missing.code(), ErrorCode::CannotRead);
        std::fs::write(&file, "[audit]\nlog = 7").unwrap();
        assert_eq!(refused(&file, None).code(), ErrorCode::Config);
    }
}
