//! The audit log's part of the configuration. How often the log is sealed is not
//! in it: that is a promise.

use super::Misplaced;
use super::values::{Bytes, LogPath, Positive};
use crate::retention::Limits;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

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
    /// When old segments are removed; a reload changes it.
    pub retention: Limits,
}

impl Audit {
    /// The directory that the log is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.log.parent().unwrap_or(Path::new("/"))
    }

    /// Whether only a restart would put `new` into force.
    #[must_use]
    pub fn needs_restart_for(&self, new: &Self) -> bool {
        let retention = self.retention;
        *self
            != Self {
                retention,
                ..new.clone()
            }
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
    retain_days: Option<Positive>,
    retain_bytes: Option<Spanned<Bytes>>,
    retain_unacknowledged: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            log: LogPath(Path::new("/var/log/pulse/sensor-proxy").join(LIVE_NAME)),
            state_dir: PathBuf::from("/var/lib/pulse-sensor-proxy/audit"),
            segment_bytes: Positive(64 << 20),
            segment_days: Positive(30),
            reserve_bytes: Positive(256 << 10),
            retain_days: None,
            retain_bytes: None,
            retain_unacknowledged: false,
        }
    }
}

impl Table {
    /// Whether what is asked for can be kept.
    pub(super) fn check(&self) -> Result<(), Misplaced> {
        let Some(most) = &self.retain_bytes else {
            return Ok(());
        };
        // The live file has so many, and is never removed.
        let least = u64::from(self.segment_bytes.0);
        if most.get_ref().0 < least {
            let text = format!(
                "retain_bytes is less than segment_bytes ({least}): the live file alone would \
                 exceed it"
            );
            return Err((most.span(), text));
        }
        Ok(())
    }

    pub(super) fn settle(self) -> Audit {
        Audit {
            log: self.log.0,
            state_dir: self.state_dir,
            segment_bytes: u64::from(self.segment_bytes.0),
            segment_age: DAY.saturating_mul(self.segment_days.0),
            reserve_bytes: u64::from(self.reserve_bytes.0),
            retention: Limits {
                age: self.retain_days.map(|days| DAY.saturating_mul(days.0)),
                bytes: self.retain_bytes.map(|most| most.into_inner().0),
                unacknowledged: self.retain_unacknowledged,
            },
        }
    }
}

/// Whether a path can be the live file's: absolute, and called by its name.
///
/// # Errors
/// What is wrong with it.
pub fn check_log_path(path: &Path) -> Result<(), String> {
    let is_named = path.file_name().is_some_and(|name| name == LIVE_NAME);
    if path.is_absolute() && is_named {
        Ok(())
    } else {
        Err(format!(
            "expected an absolute path that ends in /{LIVE_NAME}: rotated segments are named after it"
        ))
    }
}
