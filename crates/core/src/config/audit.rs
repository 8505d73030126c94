//! The audit log's part of the configuration. How often the log is sealed is not
//! in it: that is a promise.

use super::values::{LogPath, Positive};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the live file is called, whatever its directory.
const LIVE_NAME: &str = "audit.log";

const DAY: Duration = Duration::from_secs(86_400);

/// Where the audit log is, and when its file is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The live file; rotated segments stand beside it.
    pub log: PathBuf,
    /// Where the key of the next seal is: private, and never backed up.
    pub state_dir: PathBuf,
    /// A segment ends when it has so many bytes.
    pub segment_bytes: u64,
    /// A segment ends when it is so old.
    pub segment_age: Duration,
    /// Kept free on the log's disk, so that a full disk can be put on record.
    pub reserve_bytes: u64,
}

impl Audit {
    /// The directory that the log is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.log.parent().unwrap_or(Path::new("/"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    log: LogPath,
    state_dir: PathBuf,
    segment_bytes: Positive,
    segment_days: Positive,
    reserve_bytes: Positive,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            log: LogPath(Path::new("/var/log/pulse/sensor-proxy").join(LIVE_NAME)),
            state_dir: PathBuf::from("/var/lib/pulse-sensor-proxy/audit"),
            segment_bytes: Positive(64 << 20),
            segment_days: Positive(30),
            reserve_bytes: Positive(256 << 10),
        }
    }
}

impl Table {
    pub(super) fn settle(self) -> Audit {
        Audit {
            log: self.log.0,
            state_dir: self.state_dir,
            segment_bytes: u64::from(self.segment_bytes.0),
            segment_age: DAY.saturating_mul(self.segment_days.0),
            reserve_bytes: u64::from(self.reserve_bytes.0),
        }
    }
}

/// Whether a path can be the live file's: absolute, and called by its name.
///
/// # Errors
/// What is wrong with it.
pub fn check_log_path(path: &Path) -> Result<(), String> {
    let is_named = path.file_name().is_some_and(|name| name == LIVE_NAME);
    match path.is_absolute() && is_named {
        true => Ok(()),
        false => Err(format!(
            "expected an absolute path that ends in /{LIVE_NAME}: rotated segments are named after it"
        )),
    }
}
