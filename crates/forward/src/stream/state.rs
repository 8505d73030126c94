//! The state of a stream: its position, its collectors, its cursor and its losses, as they are
//! stored and shown.

use super::message_stream::MessageStream;
use super::{CURSOR_FLUSH_RECORDS, LastWrite, Stream};
use crate::cursor::ResumePoint;
use crate::problem::Problem;
use crate::status::{CollectorStatus, LostRange, now};
use pulse_audit::LogReader;
use pulse_core::causes::Causes;
use std::io;

impl Stream {
    /// Notes where the log begins, for a stream that has no cursor, once.
    ///
    /// # Errors
    /// The operating system's, when the log cannot be read; the next call tries again.
    pub(super) fn take_position(&mut self) -> io::Result<()> {
        if self.cursor.stored.is_some() {
            self.config.loss.end_of_beginning();
            return Ok(());
        }
        // Without a cursor, it may be one that cannot be written.
        if self.config.loss.is_new() || self.acknowledged.seq() > 0 {
            return Ok(());
        }
        let durable = *self.config.durable.borrow();
        let mut reader = LogReader::from(&self.config.log, 1);
        let first = reader.next(durable)?.map(|record| record.head.seq);
        // A number beyond the log's end is a forged one.
        if let Some(first) = first.filter(|first| *first <= durable) {
            self.config.loss.begin_at(first);
            self.store();
        }
        Ok(())
    }

    /// A connection is open.
    pub(super) fn connected(&mut self, index: usize, tls: String) {
        tracing::debug!(
            "connected to the collector {} ({tls})",
            self.collector_name(index)
        );
        self.has_acknowledged = false;
        self.last_good = now();
        self.config.board.lock().streams[self.config.index].connections += 1;
        self.collector(index, |collector| collector.connect(tls));
    }

    /// The collector has acknowledged something, or has nothing to acknowledge.
    pub(super) fn mark_up(&mut self, index: usize) {
        self.last_good = now();
        if self.collector(index, CollectorStatus::acknowledge) {
            tracing::info!("records go to the collector {}", self.collector_name(index));
        }
    }

    pub(super) fn mark_failed(&mut self, index: usize, problem: &Problem) {
        let since = self.last_good;
        if self.collector(index, |collector| collector.fail(problem, since)) {
            tracing::warn!(
                "records do not get to the collector {}: {} (step {}): {}",
                self.collector_name(index),
                Causes(problem),
                problem.step(),
                problem.remedy()
            );
        }
    }

    pub(super) fn acknowledge(&mut self, index: usize, tag: u64) {
        self.has_acknowledged = true;
        self.attempts[index].backoff.succeeded();
        let loss = &mut self.config.loss;
        let count = self.in_flight.acknowledge(tag, |range| loss.recover(range));
        // Numbers that go down are forged ones: only a replay goes back.
        let last = count.last.filter(|head| head.seq > self.acknowledged.seq());
        if let Some(head) = last {
            self.acknowledged = ResumePoint::After(head);
            self.config.loss.deliver(head.seq);
        }
        if let (Some(messages), Some(number)) = (&mut self.config.messages, count.message) {
            messages.acknowledge(number);
        }
        // The cursor is also written every few seconds. At many records a second, this bounds the
        // number that is sent again after a kill.
        let written = match self.cursor.last_write {
            LastWrite::Done => self.cursor.stored.map_or(0, ResumePoint::seq),
            LastWrite::Failed(seq) => seq,
        };
        if self.acknowledged.seq() >= written + CURSOR_FLUSH_RECORDS {
            self.store();
        }
        let mut status = self.config.board.lock();
        let stream = &mut status.streams[self.config.index];
        stream.acknowledged += count.records;
        stream.last_ack = Some(now());
        stream.acknowledged_seq = self.acknowledged.seq();
        stream.messages = self.config.messages.as_ref().map(MessageStream::status);
        if stream.lost != self.config.loss.lost() {
            stream.lost = self.config.loss.lost().to_vec();
        }
        drop(status);
        self.mark_up(index);
    }

    /// Records that were to be sent are not in the log. False when none of them is lost: they
    /// were delivered before, or removed before there was a collector.
    pub(super) fn miss(&mut self, first: u64, last: u64) -> bool {
        let new = self.config.loss.miss(first, last);
        // A log of which every second record was removed must not fill the daemon's own.
        for lost in new.iter().filter(|_| !self.config.loss.is_full()) {
            tracing::error!(
                "the audit log no longer has the records {lost}, which stream {} has not delivered: \
                 they are lost; find out who removed them, restore them and run `pulse-sensorctl forward replay`, or run `pulse-sensorctl forward accept-loss`",
                self.stream_name()
            );
        }
        if new.is_empty() {
            return false;
        }
        self.publish();
        true
    }

    /// An operator accepts the loss of these records.
    pub(super) fn accept_loss(&mut self, ranges: &[LostRange]) {
        if self.config.loss.accept(ranges) {
            let count: u64 = ranges.iter().map(|range| range.count()).sum();
            tracing::info!(
                "stream {}: the loss of {count} records was accepted",
                self.stream_name()
            );
        }
        self.store();
        self.publish();
    }

    /// Writes both cursors and the losses.
    pub(super) fn store(&mut self) {
        // Before the cursor: one after a gap must not be on disk without the loss.
        let losses = self.config.loss.store();
        let mut records = Ok(());
        if losses.is_ok() && self.acknowledged != self.cursor.stored.unwrap_or(ResumePoint::START) {
            records = self.config.cursor.store(self.acknowledged);
            if records.is_ok() {
                self.cursor.stored = Some(self.acknowledged);
                self.config.loss.end_of_beginning();
                self.publish();
            }
        }
        let messages = self
            .config
            .messages
            .as_mut()
            .map_or(Ok(()), MessageStream::store);
        let outcome = losses.and(records).and(messages);
        let error = outcome.err().map(|error| error.to_string());
        // Only the first of a series is logged, and its end. At worst some records are sent twice.
        match (&error, &self.cursor.last_write) {
            (Some(error), LastWrite::Done) => tracing::warn!(
                "cannot write the cursor of stream {}: {error}: after a restart records are sent again, \
                 and old segments stay until then; is the state directory full or read-only?",
                self.stream_name()
            ),
            (None, LastWrite::Failed(_)) => {
                tracing::info!(
                    "the cursor of stream {} is written again",
                    self.stream_name()
                );
            }
            _ => (),
        }
        self.cursor.last_write = match error {
            Some(_) => LastWrite::Failed(self.acknowledged.seq()),
            None => LastWrite::Done,
        };
        self.config.board.lock().streams[self.config.index].cursor_error = error;
    }

    pub(super) fn publish(&self) {
        let mut status = self.config.board.lock();
        let stream = &mut status.streams[self.config.index];
        stream.acknowledged_seq = self.acknowledged.seq();
        stream.stored_seq = self.cursor.stored.map(ResumePoint::seq);
        stream.messages = self.config.messages.as_ref().map(MessageStream::status);
        stream.lost = self.config.loss.lost().to_vec();
    }

    pub(super) fn stream_name(&self) -> String {
        self.config.board.lock().streams[self.config.index]
            .name
            .clone()
    }

    pub(super) fn collector_name(&self, index: usize) -> String {
        let collector = &self.config.routes[index].collector;
        format!("{}:{}", collector.name, collector.port)
    }

    /// Changes the status of a collector. Readers of the status do not wait for anything else.
    pub(super) fn collector<T>(
        &self,
        index: usize,
        change: impl FnOnce(&mut CollectorStatus) -> T,
    ) -> T {
        let mut status = self.config.board.lock();
        change(&mut status.streams[self.config.index].collectors[index])
    }
}
