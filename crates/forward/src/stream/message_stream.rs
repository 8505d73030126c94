//! The daemon's own messages, as one stream sends them.
//!
//! They come from memory, or from disk when a collector was unreachable for longer. A gap in
//! the numbers means that messages were dropped, and is counted.

use crate::cursor::{CursorFile, ResumePoint};
use crate::journal::{Journal, Message, NextMessage};
use crate::spool::{Spool, SpoolReader};
use crate::status::MessagesStatus;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The source of the messages, shared by all streams.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) journal: Journal,
    spool: Arc<Mutex<Spool>>,
}

impl Messages {
    /// Numbers continue after those in `spool` and those that collectors have acknowledged.
    pub(crate) fn new(journal: Journal, spool: Spool, cursors: &[CursorFile]) -> Self {
        let had = cursors
            .iter()
            .filter_map(CursorFile::found)
            .map(ResumePoint::seq);
        journal.continue_after(had.fold(spool.last(), u64::max));
        let spool = Arc::new(Mutex::new(spool));
        Self { journal, spool }
    }

    /// Writes new messages to disk.
    pub(crate) fn store(&self) {
        self.spool().store_new(&self.journal);
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The position of one stream in the messages.
#[derive(Debug)]
pub(crate) struct MessageStream {
    messages: Messages,
    reading: SpoolReader,
    news: watch::Receiver<u64>,
    /// The last message that was given.
    given: u64,
    cursor: CursorFile,
    /// The last message that was acknowledged.
    acknowledged: u64,
    stored: u64,
    dropped: u64,
    /// Gaps up to this message are counted.
    counted: u64,
}

impl MessageStream {
    /// A stream that continues at its cursor.
    pub(crate) fn begin(messages: &Messages, cursor: CursorFile) -> Self {
        let had = cursor.found().map(ResumePoint::seq);
        let acknowledged = had.unwrap_or(0);
        Self {
            messages: messages.clone(),
            reading: SpoolReader::default(),
            news: messages.journal.watch(),
            given: acknowledged,
            cursor,
            acknowledged,
            stored: acknowledged,
            dropped: 0,
            // A new stream has missed nothing of what was before it.
            counted: had.unwrap_or_else(|| messages.spool().last()),
        }
    }

    /// Waits for new messages.
    pub(super) async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The next message, if there is one.
    pub(super) fn next(&mut self) -> Option<Message> {
        // Before reading: a message that arrives meanwhile is read now, or wakes `changed` again.
        self.news.mark_unchanged();
        loop {
            match self.messages.journal.next_after(self.given) {
                NextMessage::Message(message) => return Some(self.give(message)),
                NextMessage::Nothing => return None,
                NextMessage::Earlier(oldest) => {
                    // In a statement of its own, so that the spool is unlocked before the match.
                    let read = self.reading.after(self.given, &self.messages.spool());
                    match read {
                        Ok(Some(message)) => return Some(self.give(message)),
                        Ok(None) => (),
                        Err(error) => {
                            tracing::warn!(
                                "cannot read the daemon's earlier messages for collectors, they are left out: {error}"
                            );
                        }
                    }
                    // Neither in memory nor readable on disk: dropped.
                    self.pass(oldest - 1);
                }
            }
        }
    }

    fn give(&mut self, message: Message) -> Message {
        self.pass(message.number - 1);
        self.given = message.number;
        self.counted = self.counted.max(self.given);
        message
    }

    /// Skips messages up to this one, which are gone.
    fn pass(&mut self, number: u64) {
        self.dropped += number.saturating_sub(self.given.max(self.counted));
        self.given = number;
        self.counted = self.counted.max(number);
    }

    pub(super) fn acknowledge(&mut self, number: u64) {
        self.acknowledged = number;
    }

    /// Goes back to the first message that is not acknowledged.
    pub(super) fn rewind(&mut self) {
        self.given = self.acknowledged;
        self.reading = SpoolReader::default();
    }

    /// Writes the cursor.
    pub(super) fn store(&mut self) -> io::Result<()> {
        if self.stored != self.acknowledged {
            self.cursor
                .store(ResumePoint::From(self.acknowledged + 1))?;
            self.stored = self.acknowledged;
        }
        Ok(())
    }

    pub(super) fn status(&self) -> MessagesStatus {
        MessagesStatus {
            acknowledged: self.acknowledged,
            queue: 0,
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::push;
    use std::path::Path;

    /// One run of a daemon with the stream `a`.
    fn run(home: &Path) -> (Messages, MessageStream) {
        let messages = Messages::new(
            Journal::default(),
            Spool::open(home).unwrap(),
            &[cursor(home, "a")],
        );
        let stream = MessageStream::begin(&messages, cursor(home, "a"));
        (messages, stream)
    }

    fn cursor(home: &Path, stream: &str) -> CursorFile {
        CursorFile::open(home.join(stream), "log").unwrap()
    }

    fn push_many(messages: &Messages, count: usize) {
        (0..count).for_each(|number| push(&messages.journal, &format!("{number}")));
    }

    fn given(stream: &mut MessageStream) -> Vec<u64> {
        std::iter::from_fn(|| stream.next().map(|message| message.number)).collect()
    }

    #[test]
    fn a_restart_loses_and_repeats_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut stream) = run(home.path());
        push_many(&messages, 3);
        messages.store();
        assert_eq!(given(&mut stream), [1, 2, 3]);
        stream.acknowledge(2);
        stream.store().unwrap();
        let (messages, mut stream) = run(home.path());
        push_many(&messages, 1);
        assert_eq!(given(&mut stream), [3, 4]);
        assert_eq!(given(&mut stream), [0; 0]);
        assert_eq!(stream.status().dropped, 0);
    }

    #[test]
    fn older_messages_come_from_disk() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut stream) = run(home.path());
        for _ in 0..50 {
            push_many(&messages, 100);
            messages.store();
        }
        assert_eq!(given(&mut stream), (1..=5000).collect::<Vec<_>>());
        stream.acknowledge(10);
        stream.rewind();
        assert_eq!(given(&mut stream), (11..=5000).collect::<Vec<_>>());
    }

    #[test]
    fn a_gap_is_counted_once() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut stream) = run(home.path());
        push_many(&messages, 1);
        assert_eq!(given(&mut stream), [1]);
        stream.acknowledge(1);
        // They are not written to disk in time.
        push_many(&messages, 1024 + 7);
        for _ in 0..2 {
            assert_eq!(given(&mut stream).first(), Some(&9));
            assert_eq!(stream.status().dropped, 7);
            stream.rewind();
        }
    }

    #[test]
    fn a_new_stream_has_missed_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (messages, _) = run(home.path());
        push_many(&messages, 2000);
        messages.store();
        let (messages, _) = run(home.path());
        let mut stream = MessageStream::begin(&messages, cursor(home.path(), "b"));
        assert_eq!(given(&mut stream).first(), Some(&977));
        assert_eq!(stream.status().dropped, 0);
    }

    #[test]
    fn numbers_continue_after_the_cursor() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut stream) = run(home.path());
        push_many(&messages, 9);
        stream.acknowledge(9);
        stream.store().unwrap();
        let (messages, mut stream) = run(home.path());
        push_many(&messages, 1);
        assert_eq!(given(&mut stream), [10]);
    }
}
