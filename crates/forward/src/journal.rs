//! The daemon's own messages, until a collector has them.
//!
//! They are kept in memory, the latest so many: unlike the audit log they have no
//! place on disk that could be a queue. What is left out is counted.

use pulse_relp::message::Severity;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Messages that are kept.
const MOST: usize = 1024;
/// The longest text, in bytes.
const LONGEST: usize = 2048;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// When it was written, RFC 3339.
    pub when: String,
    /// One line.
    pub text: String,
}

/// Messages that wait for one stream.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    dropped: u64,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message; the oldest makes room for it.
    pub fn push(&self, mut message: Message) {
        let end = message.text.floor_char_boundary(LONGEST);
        message.text.truncate(end);
        let text: String = message.text.trim_end().replace(char::is_control, " ");
        message.text = text;
        let mut waiting = self.lock();
        if waiting.messages.len() == MOST {
            waiting.messages.pop_front();
            waiting.dropped += 1;
        }
        waiting.messages.push_back(message);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Waits until there may be some.
    pub(crate) async fn filled(&self) {
        self.0.filled.notified().await;
    }

    pub(crate) fn pop(&self) -> Option<Message> {
        self.lock().messages.pop_front()
    }

    /// Messages that were on their way and may not have arrived come first again.
    pub(crate) fn put_back(&self, messages: impl DoubleEndedIterator<Item = Message>) {
        let mut waiting = self.lock();
        for message in messages.rev() {
            if waiting.messages.len() == MOST {
                waiting.dropped += 1;
            } else {
                waiting.messages.push_front(message);
            }
        }
    }

    /// How many were left out.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Message {
        Message {
            severity: Severity::Info,
            when: String::new(),
            text: format!("{number}\nx"),
        }
    }

    #[test]
    fn the_latest_are_kept_each_on_one_line() {
        let journal = Journal::default();
        (0..MOST + 2).for_each(|number| journal.push(message(number)));
        assert_eq!(journal.dropped(), 2);
        let first = journal.pop().unwrap();
        assert_eq!(first.text, "2 x");
        journal.put_back([first].into_iter());
        assert_eq!(journal.pop().unwrap().text, "2 x");
        journal.push(Message {
            text: "ö".repeat(LONGEST),
            ..message(0)
        });
        assert!(std::iter::from_fn(|| journal.pop()).all(|m| m.text.len() <= LONGEST));
    }
}
