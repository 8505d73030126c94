//! The position of a reader that follows a log.
//!
//! Records are recognised as new by their numbers. But torn bytes that could not be cut off
//! may have whole records, whose numbers are used again after the `log.recovered` that
//! continues from the record before the torn bytes.

use crate::line::RecordLine;
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

    /// Whether a line is new, as lines that are not records always are.
    pub(super) fn passes(&mut self, text: &[u8]) -> bool {
        self.tear = self.tear.take().and_then(|tear| tear.with(text));
        let Some(record) = RecordLine::parse(text).filter(RecordLine::is_whole) else {
            return true;
        };
        match &self.tear {
            Some(tear) if tear.is_ended_by(&record) => {
                self.after = tear.after;
                self.tear = None;
            }
            None => self.tear = self.torn_before(&record),
            Some(_) => (),
        }
        self.head = Some(record.head());
        let is_new = record.seq > self.after;
        self.after = self.after.max(record.seq);
        is_new
    }

    fn torn_before(&self, record: &RecordLine<'_>) -> Option<Tear> {
        let is_gap = |head: &Head| record.seq > head.seq && !record.follows(head);
        self.head.filter(is_gap).map(|before| Tear {
            before,
            after: self.after,
            bytes: 0,
        })
    }
}

impl Tear {
    /// Adds a line; none when these are more bytes than a crash can tear.
    fn with(mut self, text: &[u8]) -> Option<Self> {
        self.bytes += text.len();
        (self.bytes <= MAX_TORN_BYTES).then_some(self)
    }

    fn is_ended_by(&self, record: &RecordLine<'_>) -> bool {
        record.event_type == b"log.recovered" && record.follows(&self.before)
    }
}
