//! Which log is meant: the one named on the command line, else the daemon's.

use super::files::{ReadError, open};
use crate::config::{ConfigError, ConfigOption, host_name};
use clap::{Args, ValueHint};
use pulse_audit::verify::Source;
use pulse_audit::{LIVE, Settings};
use std::path::{Path, PathBuf};

/// The heading of these options in `--help`.
const PLACE: &str = "Which log";

/// A log that is read.
#[derive(Debug, Args)]
#[command(next_help_heading = PLACE)]
pub(super) struct LogOptions {
    /// The log: its live file, or its directory [the one of the configuration]
    #[arg(
        long,
        value_name = "PATH",
        value_hint = ValueHint::AnyPath,
        conflicts_with = "config"
    )]
    log: Option<PathBuf>,

    #[command(flatten)]
    pub(super) config: ConfigOption,
}

impl LogOptions {
    /// The log's directory, or one of its files.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is needed and cannot be used.
    pub(super) fn find(&self) -> Result<PathBuf, ConfigError> {
        match self.named() {
            Some(log) => Ok(log),
            None => Ok(self.config.read()?.audit.directory().to_owned()),
        }
    }

    /// The log of `--log`.
    pub(super) fn named(&self) -> Option<PathBuf> {
        self.log.as_deref().map(directory_of)
    }
}

/// A log that is written, which takes its state directory too.
#[derive(Debug, Args)]
#[command(next_help_heading = PLACE)]
pub(super) struct WritableLogOptions {
    /// The log: its live file, or its directory [the one of the configuration]
    #[arg(
        long,
        value_name = "PATH",
        value_hint = ValueHint::AnyPath,
        requires = "state_dir",
        conflicts_with = "config"
    )]
    log: Option<PathBuf>,

    /// The private directory that holds the key of the next seal
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    state_dir: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigOption,
}

/// A log that is written: its directories and its settings.
pub(super) struct WritableLog {
    pub(super) directory: PathBuf,
    pub(super) state: PathBuf,
    pub(super) settings: Settings,
}

impl WritableLogOptions {
    /// The log that these options name.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration is needed and cannot be used.
    pub(super) fn find(self) -> Result<WritableLog, ConfigError> {
        let settings = Settings {
            host: host_name(),
            ..Settings::default()
        };
        if let (Some(log), Some(state)) = (&self.log, &self.state_dir) {
            return Ok(WritableLog {
                directory: directory_of(log),
                state: state.clone(),
                settings,
            });
        }
        // The daemon's limits come with its log. One that is named with --log gets the defaults.
        let audit = self.config.read()?.audit;
        Ok(WritableLog {
            directory: audit.directory().to_owned(),
            state: self.state_dir.unwrap_or(audit.state_dir),
            settings: Settings {
                segment_bytes: audit.segment_bytes,
                segment_age: audit.segment_age,
                reserve_bytes: audit.reserve_bytes,
                ..settings
            },
        })
    }
}

/// All files of a log, oldest first.
///
/// # Errors
/// [`ReadError`] when there are none, or one cannot be read.
pub(super) fn sources(log: &Path) -> Result<Vec<Source>, ReadError> {
    Ok(open([log], &|_| None)?.files)
}

/// The live file stands for its directory.
fn directory_of(log: &Path) -> PathBuf {
    // A directory may have the live file's name too.
    let is_live = !log.is_dir() && log.file_name().is_some_and(|name| name == LIVE);
    match log.parent().filter(|_| is_live) {
        // `Path::parent` of a bare name is empty, and no directory can be opened by that.
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => log.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_file_is_its_directory() {
        let directory = |path| directory_of(Path::new(path));
        assert_eq!(directory("/a/audit.log"), Path::new("/a"));
        assert_eq!(directory("audit.log"), Path::new("."));
        assert_eq!(directory("/a/copy.txt"), Path::new("/a/copy.txt"));
        assert_eq!(directory("/"), Path::new("/"));
    }
}
