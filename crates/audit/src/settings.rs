//! What the operator decides, with what holds when nothing is said.

use std::time::Duration;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host's name, for the first record.
    pub host: String,
    /// A segment is rotated when it has so many bytes.
    pub segment_bytes: u64,
    /// A segment is rotated when it is so old.
    pub segment_age: Duration,
    /// A seal is made so long after the first unsealed record, at most.
    pub seal_after: Duration,
    /// Bytes kept free on the log's disk.
    pub reserve_bytes: u64,
    /// Records that may wait for the disk while somebody waits for them.
    pub queue_records: usize,
    /// Records that may wait for the disk while nobody does.
    pub queue_notes: usize,
    /// How long after a failure, or a vain attempt, writing is tried again.
    pub retry_after: Duration,
    /// How long the writer's thread may take to end, once it was asked to.
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
            retry_after: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(5),
        }
    }
}
