//! Which log is meant: the one named on the command line, else the daemon's.

use super::AuditError;
use super::arguments::PlaceOptions;
use super::files;
use crate::config_check::{Opened, read};
use crate::failure::Failure;
use pulse_audit::verify::Source;
use pulse_audit::{LIVE, Settings};
use pulse_core::audit_log::retention::Limits;
use pulse_core::config::{Audit, Config, DEFAULT_PATH, check_log_path};
use pulse_trust::Refused;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Is stronger than the configuration, as with the daemon.
const LOG_VARIABLE: &str = "PULSE_SENSOR_PROXY_AUDIT_LOG";

/// A log.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its directory, or one of its files that was named alone.
    pub(crate) log: PathBuf,
    /// The private directory that belongs to it, where that is known.
    pub(crate) state: Option<PathBuf>,
    /// The log is the configuration's, with its settings.
    audit: Option<Audit>,
}

impl Place {
    /// Finds it.
    ///
    /// # Errors
    /// [`Failure`] when the configuration is needed and cannot be used.
    pub(crate) fn find(options: &PlaceOptions) -> Result<Self, Failure> {
        match &options.log {
            Some(log) => Ok(Self {
                log: directory_of(log),
                state: options.state_dir.clone(),
                audit: None,
            }),
            None => {
                let audit = configured(options.config.as_deref())?.audit;
                let state = options.state_dir.as_ref().unwrap_or(&audit.state_dir);
                Ok(Self {
                    log: audit.directory().to_owned(),
                    state: Some(state.clone()),
                    audit: Some(audit),
                })
            }
        }
    }

    /// All of its files, oldest first.
    ///
    /// # Errors
    /// [`AuditError`] when there are none, or they cannot be read.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, AuditError> {
        sources(&self.log)
    }

    /// The directory and the private one, for what changes a log.
    ///
    /// # Errors
    /// [`Failure`] when one of them was not named.
    pub(crate) fn both(&self) -> Result<(&Path, &Path), Failure> {
        match &self.state {
            Some(state) => Ok((&self.log, state)),
            None => Err(Failure::Usage(
                "with --log, name the private directory too: --state-dir DIR",
            )),
        }
    }

    /// The limits of its retention, where they are known.
    pub(crate) fn retention(&self) -> Option<Limits> {
        self.audit.as_ref().map(|audit| audit.retention)
    }

    /// What a log is begun and gone on with.
    pub(crate) fn settings(&self) -> Settings {
        let settings = Settings {
            host: host_name(),
            ..Settings::default()
        };
        match &self.audit {
            None => settings,
            Some(audit) => Settings {
                segment_bytes: audit.segment_bytes,
                segment_age: audit.segment_age,
                reserve_bytes: audit.reserve_bytes,
                ..settings
            },
        }
    }
}

/// What the kernel calls this host.
pub(crate) fn host_name() -> String {
    let file = Path::new("/proc/sys/kernel/hostname");
    let name = pulse_files::read_text(file, 256).unwrap_or_default();
    name.trim().to_owned()
}

/// The files of the log that a path names.
///
/// # Errors
/// [`AuditError`] when there are none, or they cannot be read.
fn sources(path: &Path) -> Result<Vec<Source>, AuditError> {
    Ok(files::open([path], &|_| None)?.files)
}

/// The live file stands for its directory.
fn directory_of(log: &Path) -> PathBuf {
    let is_live = !log.is_dir() && log.file_name().is_some_and(|name| name == LIVE);
    match log.parent().filter(|_| is_live) {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => log.to_owned(),
    }
}

/// The daemon's configuration; its defaults when the usual file is not there.
///
/// # Errors
/// [`Failure`] when it cannot be used.
pub(crate) fn configured(file: Option<&Path>) -> Result<Config, Failure> {
    with_variable(file, std::env::var_os(LOG_VARIABLE))
}

fn with_variable(file: Option<&Path>, variable: Option<OsString>) -> Result<Config, Failure> {
    let path = file.unwrap_or(Path::new(DEFAULT_PATH));
    let text = read(path).map_err(Refused::from);
    let mut config = match text.and_then(Opened::trusted) {
        Ok(text) => Config::parse(&text).map_err(|error| Failure::Config {
            path: path.to_owned(),
            error,
        })?,
        Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound && file.is_none() => {
            Config::default()
        }
        Err(Refused::Io(error)) => {
            return Err(Failure::File {
                path: path.to_owned(),
                error,
            });
        }
        // As root this would act on whatever paths somebody else has written there.
        Err(Refused::Untrusted(untrusted)) => return Err(Failure::Untrusted(untrusted)),
    };
    if let Some(log) = variable {
        config.audit.log = PathBuf::from(log);
        check_log_path(&config.audit.log).map_err(|reason| Failure::Variable {
            variable: LOG_VARIABLE,
            reason,
        })?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_live_file_stands_for_its_directory() {
        assert_eq!(directory_of(Path::new("/a/audit.log")), Path::new("/a"));
        assert_eq!(directory_of(Path::new("audit.log")), Path::new("."));
        assert_eq!(
            directory_of(Path::new("/a/copy.txt")),
            Path::new("/a/copy.txt")
        );
        assert_eq!(directory_of(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn the_variable_is_stronger_than_the_file_and_a_named_file_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, "[audit]\nlog = '/x/audit.log'\nstate_dir = '/y'\n").unwrap();
        let set = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        set(0o664);
        let refused = with_variable(Some(&file), None).unwrap_err();
        assert_eq!(refused.exit_code(), 78);
        assert!(refused.to_string().contains("chmod g-w"), "{refused}");
        set(0o644);
        let audit = with_variable(Some(&file), None).unwrap().audit;
        assert_eq!(audit.directory(), Path::new("/x"));
        let audit = with_variable(Some(&file), Some("/z/audit.log".into()));
        let audit = audit.unwrap().audit;
        assert_eq!(
            (audit.directory(), &*audit.state_dir),
            (Path::new("/z"), Path::new("/y"))
        );
        let wrong = with_variable(Some(&file), Some("/z/other".into())).unwrap_err();
        assert_eq!(wrong.exit_code(), 78);
        let missing = directory.path().join("none.toml");
        assert_eq!(
            with_variable(Some(&missing), None).unwrap_err().exit_code(),
            66
        );
        std::fs::write(&file, "[audit]\nlog = 7").unwrap();
        assert_eq!(
            with_variable(Some(&file), None).unwrap_err().exit_code(),
            78
        );
    }
}
