//! What was sent and is not acknowledged.

use crate::journal::Message;
use pulse_audit::Head;
use std::collections::VecDeque;

/// With a protocol without acknowledgements very many records are on their way: then one
/// in so many is remembered, and what is acknowledged lags behind by as many.
const SPARSE: u64 = 64;

/// It, in order.
#[derive(Default)]
pub(super) struct Flight {
    sent: VecDeque<(u64, Sent)>,
    next: u64,
    /// The tag up to which everything was acknowledged.
    settled: u64,
}

enum Sent {
    Record(Head),
    Message(Message),
}

/// What an acknowledgement was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) records: u64,
    pub(super) last: Option<Head>,
}

impl Flight {
    /// A tag for the next message. Tags only grow, over all connections.
    pub(super) fn tag(&self) -> u64 {
        self.next + 1
    }

    pub(super) fn record(&mut self, head: Head, is_remembered: bool) {
        self.next += 1;
        if is_remembered || self.next.is_multiple_of(SPARSE) {
            self.sent.push_back((self.next, Sent::Record(head)));
        }
    }

    pub(super) fn message(&mut self, message: Message) {
        self.next += 1;
        self.sent.push_back((self.next, Sent::Message(message)));
    }

    /// Everything up to this tag is acknowledged.
    pub(super) fn settle(&mut self, tag: u64) -> Settled {
        let mut settled = Settled {
            records: tag.saturating_sub(self.settled),
            last: None,
        };
        self.settled = tag;
        while let Some((_, sent)) = self.sent.pop_front_if(|(sent, _)| *sent <= tag) {
            match sent {
                Sent::Record(head) => settled.last = Some(head),
                Sent::Message(_) => settled.records = settled.records.saturating_sub(1),
            }
        }
        settled
    }

    /// Acknowledgements of records that are on their way count for nothing any more.
    pub(super) fn forget_records(&mut self) {
        self.sent
            .retain(|(_, sent)| matches!(sent, Sent::Message(_)));
    }

    /// The connection is over: gives the messages that may not have arrived.
    pub(super) fn take_messages(&mut self) -> std::vec::IntoIter<Message> {
        let messages = self.sent.drain(..).filter_map(|(_, sent)| match sent {
            Sent::Message(message) => Some(message),
            Sent::Record(_) => None,
        });
        messages.collect::<Vec<_>>().into_iter()
    }

    /// The connection is over.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
        self.settled = self.next;
    }
}
