//! The daemon's own messages, the latest of them.
//!
//! Whoever logs waits for nothing: a message goes into memory, gets a number, and is
//! brought to disk by somebody else (`spool`). Numbers go on over
//! restarts, so a collector's stream can tell what it had, and what was left out.

use pulse_relp::message::Severity;
use pulse_sensors::shown::is_active;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Messages that are kept in memory.
const MOST: usize = 1024;
/// The longest text, in bytes.
const LONGEST: usize = 2048;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One more than the number of the message before.
    pub number: u64,
    /// How bad it is.
    pub severity: Severity,
    /// When it was written, RFC 3339.
    pub when: String,
    /// One line.
    pub text: String,
}

/// The latest messages.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    latest: Mutex<VecDeque<Message>>,
    /// The number of the last one.
    last: watch::Sender<u64>,
}

/// What comes after a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This message.
    Message(Message),
    /// One that is not in memory any more; the oldest that is has this number.
    Earlier(u64),
    /// Nothing yet.
    Nothing,
}

impl Journal {
    /// Takes a message. The oldest one in memory makes room for it.
    pub fn push(&self, severity: Severity, when: String, mut text: String) {
        let end = text.floor_char_boundary(LONGEST);
        text.truncate(end);
        let text = text.trim_end().replace(is_active, " ");
        let mut latest = self.lock();
        if latest.len() == MOST {
            latest.pop_front();
        }
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

    /// Tells of new ones.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// Numbers go on after those of an earlier run. Messages that came before this is
    /// known move up.
    pub(crate) fn go_on_after(&self, number: u64) {
        let mut latest = self.lock();
        for message in latest.iter_mut() {
            message.number += number;
        }
        self.0.last.send_modify(|last| *last += number);
    }

    pub(crate) fn after(&self, number: u64) -> Next {
        let latest = self.lock();
        let oldest = self.last() + 1 - latest.len() as u64;
        let Some(place) = (number + 1).checked_sub(oldest) else {
            return Next::Earlier(oldest);
        };
        let found = usize::try_from(place).ok().and_then(|i| latest.get(i));
        found.cloned().map_or(Next::Nothing, Next::Message)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        let latest = self.0.latest.lock();
        latest.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn say(journal: &Journal, text: &str) {
        journal.push(Severity::Info, "2026-01-01T00:00:00Z".into(), text.into());
    }

    fn text(next: Next) -> String {
        match next {
            Next::Message(message) => message.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_latest_are_kept_and_what_is_gone_is_known() {
        let journal = Journal::default();
        assert_eq!(journal.after(0), Next::Nothing);
        (1..=MOST + 2).for_each(|number| say(&journal, &format!("{number}")));
        assert_eq!(journal.last(), MOST as u64 + 2);
        assert_eq!(journal.after(1), Next::Earlier(3));
        assert_eq!(text(journal.after(2)), "3");
        assert_eq!(text(journal.after(MOST as u64 + 1)), "1026");
        assert_eq!(journal.after(journal.last()), Next::Nothing);
        assert_eq!(journal.after(1 << 60), Next::Nothing);
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let journal = Journal::default();
        say(&journal, "one\ntwo\u{1b}[2J\n");
        assert_eq!(text(journal.after(0)), "one two [2J");
        say(&journal, &"ö".repeat(LONGEST));
        assert!(text(journal.after(1)).len() <= LONGEST);
    }

    #[test]
    fn messages_from_before_the_numbers_are_known_move_up() {
        let journal = Journal::default();
        say(&journal, "a");
        journal.go_on_after(41);
        say(&journal, "b");
        assert_eq!(journal.after(0), Next::Earlier(42));
        let silent = Journal::default();
        silent.go_on_after(41);
        assert_eq!(silent.after(0), Next::Earlier(42));
        assert_eq!(silent.after(41), Next::Nothing);
        assert_eq!(text(journal.after(41)), "a");
        assert_eq!(text(journal.after(42)), "b");
    }
}
