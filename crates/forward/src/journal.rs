//! The latest of the daemon's own messages, in memory.
//!
//! Logging waits for nothing: a message gets a number and goes into memory; the forwarding
//! thread writes it to disk (`spool`). Numbers continue over restarts, so a stream knows
//! which messages a collector has, and which were dropped.

use pulse_relp::message::Severity;
use pulse_sensors::shown::is_active;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Messages kept in memory.
const MAX_MESSAGES: usize = 1024;
/// The longest text, in bytes.
const MAX_TEXT_BYTES: usize = 2048;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One more than the previous message's number.
    pub number: u64,
    /// Its severity.
    pub severity: Severity,
    /// Its time, RFC 3339.
    pub when: String,
    /// Its text, one line.
    pub text: String,
}

/// The latest messages.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<JournalState>);

#[derive(Debug, Default)]
struct JournalState {
    latest: Mutex<VecDeque<Message>>,
    /// The number of the last one.
    last: watch::Sender<u64>,
}

/// The message after a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextMessage {
    /// The message.
    Message(Message),
    /// It is no longer in memory, where the oldest message has this number.
    Earlier(u64),
    /// There is none yet.
    Nothing,
}

impl Journal {
    /// Appends a message; the oldest one is removed when there are too many.
    pub fn push(&self, severity: Severity, when: String, mut text: String) {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        // One line, in a terminal and in syslog: a message may quote a peer's text.
        let text = text.trim_end().replace(is_active, " ");
        let mut latest = self.lock();
        if latest.len() == MAX_MESSAGES {
            latest.pop_front();
        }
        // The number is assigned while the queue is locked: numbers and places stay in step.
        self.0.last.send_modify(|last| {
            *last += 1;
            latest.push_back(Message {
                number: *last,
                severity,
                when,
                text,
            });
        });
    }

    /// The number of the last message; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        *self.0.last.borrow()
    }

    /// A receiver that is notified of new messages.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// Continues the numbers of an earlier run after `number`. Messages that are already here
    /// are renumbered.
    pub(crate) fn continue_after(&self, number: u64) {
        let mut latest = self.lock();
        for message in latest.iter_mut() {
            message.number += number;
        }
        self.0.last.send_modify(|last| *last += number);
    }

    pub(crate) fn next_after(&self, number: u64) -> NextMessage {
        let latest = self.lock();
        let oldest = self.last() + 1 - latest.len() as u64;
        let Some(place) = (number + 1).checked_sub(oldest) else {
            return NextMessage::Earlier(oldest);
        };
        usize::try_from(place)
            .ok()
            .and_then(|place| latest.get(place))
            .cloned()
            .map_or(NextMessage::Nothing, NextMessage::Message)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn push(journal: &Journal, text: &str) {
        journal.push(Severity::Info, "2026-01-01T00:00:00Z".into(), text.into());
    }

    fn text(next: NextMessage) -> String {
        match next {
            NextMessage::Message(message) => message.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_latest_are_kept() {
        let journal = Journal::default();
        assert_eq!(journal.next_after(0), NextMessage::Nothing);
        (1..=MAX_MESSAGES + 2).for_each(|number| push(&journal, &format!("{number}")));
        assert_eq!(journal.last(), MAX_MESSAGES as u64 + 2);
        assert_eq!(journal.next_after(1), NextMessage::Earlier(3));
        assert_eq!(text(journal.next_after(2)), "3");
        assert_eq!(text(journal.next_after(MAX_MESSAGES as u64 + 1)), "1026");
        assert_eq!(journal.next_after(journal.last()), NextMessage::Nothing);
        assert_eq!(journal.next_after(1 << 60), NextMessage::Nothing);
    }

    #[test]
    fn a_message_is_one_short_line() {
        let journal = Journal::default();
        push(&journal, "one\ntwo\u{1b}[2J\n");
        assert_eq!(text(journal.next_after(0)), "one two [2J");
        push(&journal, &"ö".repeat(MAX_TEXT_BYTES));
        assert!(text(journal.next_after(1)).len() <= MAX_TEXT_BYTES);
    }

    #[test]
    fn early_messages_are_renumbered() {
        let journal = Journal::default();
        push(&journal, "a");
        journal.continue_after(41);
        push(&journal, "b");
        assert_eq!(journal.next_after(0), NextMessage::Earlier(42));
        let silent = Journal::default();
        silent.continue_after(41);
        assert_eq!(silent.next_after(0), NextMessage::Earlier(42));
        assert_eq!(silent.next_after(41), NextMessage::Nothing);
        assert_eq!(text(journal.next_after(41)), "a");
        assert_eq!(text(journal.next_after(42)), "b");
    }
}
