//! The daemon's own messages, as one stream brings them to its collectors.
//!
//! They come from memory, or from disk where a collector was away for longer. What is
//! missing between two numbers was left out, and is counted.

use crate::cursor::{CursorFile, Place};
use crate::journal::{Journal, Message, Next};
use crate::spool::{Reading, Spool};
use crate::status::MessagesStatus;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Where they come from: all streams have the same.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) journal: Journal,
    spool: Arc<Mutex<Spool>>,
}

impl Messages {
    /// Numbers go on after those in `spool`, and after those that collectors have.
    pub(crate) fn new(journal: Journal, spool: Spool, cursors: &[CursorFile]) -> Self {
        let had = cursors.iter().filter_map(CursorFile::load).map(Place::seq);
        journal.go_on_after(had.fold(spool.last(), u64::max));
        let spool = Arc::new(Mutex::new(spool));
        Self { journal, spool }
    }

    /// Brings what is new to disk.
    pub(crate) fn store(&self) {
        self.spool().take(&self.journal);
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far one stream is with them.
#[derive(Debug)]
pub(crate) struct Telling {
    messages: Messages,
    reading: Reading,
    news: watch::Receiver<u64>,
    /// The last that was given.
    given: u64,
    cursor: CursorFile,
    /// The last that was acknowledged.
    acknowledged: u64,
    stored: u64,
    dropped: u64,
    /// What is missing up to here is counted.
    counted: u64,
}

impl Telling {
    /// Goes on where its cursor says.
    pub(crate) fn begin(messages: &Messages, cursor: CursorFile) -> Self {
        let had = cursor.load().map(Place::seq);
        let acknowledged = had.unwrap_or(0);
        Self {
            messages: messages.clone(),
            reading: Reading::default(),
            news: messages.journal.watch(),
            given: acknowledged,
            cursor,
            acknowledged,
            stored: acknowledged,
            dropped: 0,
            // Who is new here has missed nothing.
            counted: had.unwrap_or_else(|| messages.spool().last()),
        }
    }

    /// Waits until there are new ones.
    pub(super) async fn news(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The next message, if there is one.
    pub(super) fn next(&mut self) -> Option<Message> {
        self.news.mark_unchanged();
        loop {
            match self.messages.journal.after(self.given) {
                Next::Message(message) => return Some(self.give(message)),
                Next::Nothing => return None,
                Next::Earlier(oldest) => match self.earlier() {
                    Some(message) => return Some(self.give(message)),
                    None => self.pass(oldest - 1),
                },
            }
        }
    }

    /// From disk. What cannot be read is left out.
    fn earlier(&mut self) -> Option<Message> {
        let read = self.reading.after(self.given, &self.messages.spool());
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "the daemon's own messages of some time ago cannot be read");
            None
        })
    }

    fn give(&mut self, message: Message) -> Message {
        self.pass(message.number - 1);
        self.given = message.number;
        self.counted = self.counted.max(self.given);
        message
    }

    /// Messages up to this one are not there any more.
    fn pass(&mut self, number: u64) {
        self.dropped += number.saturating_sub(self.given.max(self.counted));
        self.given = number;
        self.counted = self.counted.max(number);
    }

    pub(super) fn acknowledge(&mut self, number: u64) {
        self.acknowledged = number;
    }

    /// What was given and not acknowledged is given again.
    pub(super) fn go_back(&mut self) {
        self.given = self.acknowledged;
        self.reading = Reading::default();
    }

    /// Has the cursor say how far it is.
    pub(super) fn store(&mut self) -> io::Result<()> {
        if self.stored != self.acknowledged {
            self.cursor.store(Place::From(self.acknowledged + 1))?;
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
    use crate::journal::tests::say;
    use std::path::Path;

    /// One run of a daemon whose stream is called `a`.
    fn run(home: &Path) -> (Messages, Telling) {
        let messages = Messages::new(Journal::default(), Spool::open(home), &[cursor(home, "a")]);
        let telling = Telling::begin(&messages, cursor(home, "a"));
        (messages, telling)
    }

    fn cursor(home: &Path, stream: &str) -> CursorFile {
        CursorFile::new(home.join(stream), "log")
    }

    fn say_many(messages: &Messages, count: usize) {
        (0..count).for_each(|number| say(&messages.journal, &format!("{number}")));
    }

    fn given(telling: &mut Telling) -> Vec<u64> {
        std::iter::from_fn(|| telling.next().map(|message| message.number)).collect()
    }

    #[test]
    fn a_collector_that_was_away_over_a_restart_is_told_everything_once() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut telling) = run(home.path());
        say_many(&messages, 3);
        messages.store();
        assert_eq!(given(&mut telling), [1, 2, 3]);
        telling.acknowledge(2);
        telling.store().unwrap();
        let (messages, mut telling) = run(home.path());
        say_many(&messages, 1);
        assert_eq!(given(&mut telling), [3, 4]);
        assert_eq!(given(&mut telling), [0; 0]);
        assert_eq!(telling.status().dropped, 0);
    }

    #[test]
    fn more_than_memory_holds_comes_from_disk_in_order() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut telling) = run(home.path());
        for _ in 0..50 {
            say_many(&messages, 100);
            messages.store();
        }
        assert_eq!(given(&mut telling), (1..=5000).collect::<Vec<_>>());
        telling.acknowledge(10);
        telling.go_back();
        assert_eq!(given(&mut telling), (11..=5000).collect::<Vec<_>>());
    }

    #[test]
    fn what_neither_holds_is_counted_once_however_often_it_is_met() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut telling) = run(home.path());
        say_many(&messages, 1);
        assert_eq!(given(&mut telling), [1]);
        telling.acknowledge(1);
        // Nobody brings them to disk in time.
        say_many(&messages, 1024 + 7);
        for _ in 0..2 {
            assert_eq!(given(&mut telling).first(), Some(&9));
            assert_eq!(telling.status().dropped, 7);
            telling.go_back();
        }
    }

    #[test]
    fn a_stream_that_is_new_gets_what_there_is_and_has_missed_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (messages, _) = run(home.path());
        say_many(&messages, 2000);
        messages.store();
        let (messages, _) = run(home.path());
        let mut telling = Telling::begin(&messages, cursor(home.path(), "b"));
        assert_eq!(given(&mut telling).first(), Some(&977));
        assert_eq!(telling.status().dropped, 0);
    }

    #[test]
    fn without_its_files_numbers_go_on_after_what_a_collector_has() {
        let home = tempfile::tempdir().unwrap();
        let (messages, mut telling) = run(home.path());
        say_many(&messages, 9);
        telling.acknowledge(9);
        telling.store().unwrap();
        let (messages, mut telling) = run(home.path());
        say_many(&messages, 1);
        assert_eq!(given(&mut telling), [10]);
    }
}
