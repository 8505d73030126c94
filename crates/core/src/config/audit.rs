//! The audit log's part of the configuration. How often the log is sealed is not
//! in it: that is a promise.

use super::schema::Fault;
use super::table::AuditKeys;
use super::values::Positive;
use crate::retention::Limits;
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
    /// When old segments are removed; a reload changes it.
    pub retention: Limits,
}

impl Audit {
    /// The directory that the log is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.log.parent().unwrap_or(Path::new("/"))
    }
}

impl AuditKeys {
    /// Whether what is asked for can be kept.
    pub(super) fn check(&self) -> Result<(), Fault> {
        // The live file has so many, and is never removed.
        let least = u64::from(self.segment_bytes.0);
        match &self.retain_bytes {
            Some(most) if most.get_ref().0 < least => Err(Fault::at(
                most,
                format!(
                    "retain_bytes is less than segment_bytes ({least}): the live file alone would \
                     exceed it"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl From<&AuditKeys> for Audit {
    fn from(keys: &AuditKeys) -> Self {
        let days = |days: Positive| DAY.saturating_mul(days.0);
        Self {
            log: keys.log.0.clone(),
            state_dir: keys.state_dir.clone(),
            segment_bytes: u64::from(keys.segment_bytes.0),
            segment_age: days(keys.segment_days),
            reserve_bytes: u64::from(keys.reserve_bytes.0),
            retention: Limits {
                age: keys.retain_days.map(days),
                bytes: keys.retain_bytes.as_ref().map(|most| most.get_ref().0),
                unacknowledged: keys.retain_unacknowledged,
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
