//! Sending records and messages on a connection.

use super::Stream;
use crate::cursor::ResumePoint;
use crate::problem::Problem;
use crate::status::now;
use pulse_audit::{Head, LogReader, Resume};
use pulse_core::config::forward::Protocol;
use pulse_relp::connection::Connection;
use tokio::time::Instant;

/// The least room for which more is sent: a few large writes cost less than many small ones.
pub(super) const MIN_BATCH: usize = 64;
/// The daemon's own messages that are sent in one round. They go first, and leave half of a
/// batch to records.
const MAX_MESSAGES: usize = MIN_BATCH / 2;

impl Stream {
    /// Goes back to the first record that is not acknowledged.
    pub(super) fn rewind(&mut self) -> Result<(), Problem> {
        if let Some(messages) = &mut self.config.messages {
            messages.rewind();
        }
        // It was unreadable at the start, perhaps.
        self.take_position()?;
        let durable = *self.config.durable.borrow();
        let (from, resumed) = match self.acknowledged {
            ResumePoint::From(seq) => (seq, LogReader::at(&self.config.log, seq, durable)?),
            ResumePoint::After(head) => (
                head.seq + 1,
                LogReader::after(&self.config.log, head, durable)?,
            ),
        };
        self.next = from;
        self.reader = match resumed {
            Resume::Next(reader) => reader,
            // A number beyond the log's end is a forged one, and records may follow it.
            Resume::Removed(_, first) if first > durable => LogReader::from(&self.config.log, from),
            Resume::Removed(_, first) => {
                if !self.miss(from, first - 1) {
                    tracing::warn!(
                        "records {from} to {} were removed from the audit log before stream {} had \
                         sent them: it continues with record {first}",
                        first - 1,
                        self.stream_name()
                    );
                }
                self.next = first;
                // Not from `first` on: that may be a forged number, too.
                LogReader::from(&self.config.log, from)
            }
            Resume::NotFound => {
                tracing::error!(
                    "the audit log no longer has record {} as it was forwarded: stream {} sends all \
                     records again",
                    from - 1,
                    self.stream_name()
                );
                self.acknowledged = ResumePoint::START;
                self.config.loss.keep_delivered();
                self.next = 1;
                LogReader::from(&self.config.log, 1)
            }
        };
        Ok(())
    }

    /// Gives the connection messages and records as far as it has room; true when none is left.
    pub(super) fn send_records(
        &mut self,
        connection: &mut Connection,
        index: usize,
    ) -> Result<bool, Problem> {
        let is_relp = self.config.routes[index].collector.protocol == Protocol::Relp;
        // With little room, wait for acknowledgements, but only while enough messages are in
        // flight: a window smaller than a batch would never have the room.
        if connection.room() < MIN_BATCH && connection.in_flight() > MIN_BATCH {
            return Ok(false);
        }
        if connection.in_flight() == 0 {
            self.last_good = now();
        }
        let are_messages_sent = self.send_messages(connection);
        if self.config.durable.has_changed().unwrap_or(false) {
            self.last_growth = Instant::now();
        }
        // Up to the last record on disk: a collector must not have a record that the log may lose.
        let durable = *self.config.durable.borrow_and_update();
        while connection.room() > 0 {
            let Some(record) = self.reader.next(durable)? else {
                return Ok(are_messages_sent);
            };
            let head = record.head;
            self.message.clear();
            self.config.records.write(&mut self.message, &record);
            connection.give(self.in_flight.tag(), &self.message);
            self.sent(head, durable, is_relp);
        }
        Ok(false)
    }

    /// A record was sent, while `durable` was the last one on disk.
    pub(super) fn sent(&mut self, head: Head, durable: u64, is_relp: bool) {
        if head.seq > durable {
            // A number beyond the log's end is a forged one. Nothing precedes it, and its
            // acknowledgement must not move the cursor: later losses would not be found.
            self.in_flight.forged();
            return;
        }
        // Syslog has thousands of records in flight, of which a sample is remembered; the last
        // one must be in it, or the cursor would never reach the log's end.
        self.in_flight.record(head, is_relp || head.seq == durable);
        let next = self.next;
        // A lower number is a forged one, too: going back would find the records between it and
        // the next one missing.
        self.next = next.max(head.seq + 1);
        if next < head.seq {
            self.miss(next, head.seq - 1);
        }
    }

    /// Gives the connection some of the daemon's own messages; true when none is left.
    fn send_messages(&mut self, connection: &mut Connection) -> bool {
        let Some(messages) = &mut self.config.messages else {
            return true;
        };
        for _ in 0..MAX_MESSAGES.min(connection.room()) {
            let Some(message) = messages.next() else {
                return true;
            };
            self.message.clear();
            self.config.message_origin.write(
                &mut self.message,
                message.severity,
                &message.when,
                "log",
                message.text.as_bytes(),
            );
            connection.give(self.in_flight.tag(), &self.message);
            self.in_flight.message(message.number);
        }
        false
    }
}
