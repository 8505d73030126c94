//! The position of a reader that follows a log.
//!
//! Records are recognised as new by their numbers. But torn bytes that could not be cut off
//! may have whole records, whose numbers are used again after the `log.recovered` that
//! continues from the record before the torn bytes.

use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::Head;
use crate::tail::MAX_TORN_BYTES;

/// The last record that was read, by number and by chain.
pub(super) struct FollowPosition {
    /// Records up to this number were read.
    after: u64,
    head: Option<Head>,
    tear: Option<Tear>,
}

/// Lines that may be torn bytes.
struct Tear {
    /// The record before them, and the value of `after` then.
    before: Head,
    after: u64,
    bytes: usize,
}

impl FollowPosition {
    pub(super) fn after(after: u64) -> Self {
        Self {
            after,
            head: None,
            tear: None,
        }
    }

    /// The next record's number.
    pub(super) fn next(&self) -> u64 {
        self.after + 1
    }

    /// True when a line is new, as lines that are not records always are.
    pub(super) fn passes(&mut self, text: &[u8]) -> bool {
        if let Some(tear) = &mut self.tear {
            tear.bytes += text.len();
            // More than a crash can tear: these lines are records, whatever comes later.
            if tear.bytes > MAX_TORN_BYTES {
                self.tear = None;
            }
        }
        let Some(record) = RecordLine::parse(text).filter(RecordLine::is_whole) else {
            return true;
        };
        match (&self.tear, self.head) {
            // They were torn bytes, and their numbers are used again from here on.
            (Some(tear), _)
                if record.log_event() == Some(LogEventType::Recovered)
                    && record.follows(&tear.before) =>
            {
                self.after = tear.after;
                self.tear = None;
            }
            (None, Some(before)) if record.seq > before.seq && !record.follows(&before) => {
                self.tear = Some(Tear {
                    before,
                    after: self.after,
                    bytes: 0,
                });
            }
            _ => (),
        }
        self.head = Some(record.head());
        let is_new = record.seq > self.after;
        self.after = self.after.max(record.seq);
        is_new
    }
}
