//! The audit log's part of the configuration. The interval of seals is not in it: that is a
//! promise.

use super::schema::Fault;
use super::table::AuditKeys;
use super::values::Positive;
use crate::audit_log::retention::Limits;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the live file, in whatever directory.
const LIVE_NAME: &str = "audit.log";

const DAY: Duration = Duration::from_secs(86_400);

/// The audit log's files, and their rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The live file; rotated segments are in the same directory.
    pub log: PathBuf,
    /// The directory of the key for the next seal: private, and never backed up.
    pub state_dir: PathBuf,
    /// The size at which a segment ends.
    pub segment_bytes: u64,
    /// The age at which a segment ends.
    pub segment_age: Duration,
    /// The bytes kept free on the log's disk, so that a full disk can be recorded.
    pub reserve_bytes: u64,
    /// The limits beyond which old segments are removed.
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
    /// Refuses a limit that the live file alone can exceed: it is never removed.
    pub(super) fn check(&self) -> Result<(), Fault> {
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

/// Accepts a path that can be the live file's: absolute, and with its name.
///
/// # Errors
/// The mistake.
pub fn check_log_path(path: &Path) -> Result<(), String> {
    if path.is_absolute() && path.file_name().is_some_and(|name| name == LIVE_NAME) {
        Ok(())
    } else {
        Err(format!(
            "expected an absolute path that ends in /{LIVE_NAME}: rotated segments are named after it"
        ))
    }
}
