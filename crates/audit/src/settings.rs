//! The settings of a log and their defaults.

use std::time::Duration;

/// The settings of a log.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host's name, for the first record.
    pub host: String,
    /// The size in bytes at which the live file is rotated.
    pub segment_bytes: u64,
    /// The age at which the live file is rotated.
    pub segment_age: Duration,
    /// The longest time between an unsealed record and its seal.
    pub seal_after: Duration,
    /// Bytes reserved on the log's disk.
    pub reserve_bytes: u64,
    /// The most queued records for which a caller waits.
    pub queue_records: usize,
    /// The most queued records for which none does.
    pub queue_notes: usize,
    /// The interval in which the files are compared with what was written to them, and the wall
    /// clock with the age of unsealed records. After a step of the clock, or at the end of a
    /// suspend, which the monotonic clock does not count, a seal is due within this time.
    pub check_interval: Duration,
    /// The time for a rotation by another program, from the rename to the signal. `audit rotate`
    /// and logrotate send it within milliseconds.
    pub rotation_grace: Duration,
    /// The delay before writing is tried again after a failure. It doubles once: a
    /// failure that is over is noticed within twice this.
    pub retry_after: Duration,
    /// The longest time that stopping waits for the writing thread.
    pub stop_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: String::new(),
            segment_bytes: 64 * 1024 * 1024,
            segment_age: Duration::from_secs(30 * 86_400),
            seal_after: Duration::from_secs(60),
            reserve_bytes: 256 * 1024,
            queue_records: 3072,
            queue_notes: 1024,
            check_interval: Duration::from_secs(3),
            rotation_grace: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(5),
        }
    }
}
