//! What was sent and is not acknowledged.

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
    /// The number of one of the daemon's own.
    Message(u64),
}

/// What an acknowledgement was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) records: u64,
    pub(super) last: Option<Head>,
    pub(super) message: Option<u64>,
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

    pub(super) fn message(&mut self, number: u64) {
        self.next += 1;
        self.sent.push_back((self.next, Sent::Message(number)));
    }

    /// Everything up to this tag is acknowledged.
    pub(super) fn settle(&mut self, tag: u64) -> Settled {
        let mut settled = Settled {
            records: tag.saturating_sub(self.settled),
            ..Settled::default()
        };
        self.settled = tag;
        while let Some((_, sent)) = self.sent.pop_front_if(|(sent, _)| *sent <= tag) {
            match sent {
                Sent::Record(head) => settled.last = Some(head),
                Sent::Message(number) => {
                    settled.records = settled.records.saturating_sub(1);
                    settled.message = Some(number);
                }
            }
        }
        settled
    }

    /// Acknowledgements of records that are on their way count for nothing any more.
    pub(super) fn forget_records(&mut self) {
        self.sent
            .retain(|(_, sent)| matches!(sent, Sent::Message(_)));
    }

    /// The connection is over.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
        self.settled = self.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64) -> Head {
        Head::from_parts(seq, &"a".repeat(64)).unwrap()
    }

    fn settled(flight: &mut Flight, tag: u64) -> (u64, Option<u64>) {
        let settled = flight.settle(tag);
        (settled.records, settled.last.map(|head| head.seq))
    }

    #[test]
    fn records_count_and_messages_between_them_do_not() {
        let mut flight = Flight::default();
        flight.record(head(1), true);
        flight.message(7);
        flight.record(head(2), true);
        assert_eq!(settled(&mut flight, 2), (1, Some(1)));
        assert_eq!(settled(&mut flight, 3), (1, Some(2)));
        assert_eq!(settled(&mut flight, 3), (0, None));
    }

    #[test]
    fn of_very_many_few_are_remembered_and_none_is_believed_too_early() {
        let mut flight = Flight::default();
        (1..=200).for_each(|seq| flight.record(head(seq), seq == 200));
        assert_eq!(flight.sent.len(), 4);
        assert_eq!(settled(&mut flight, 100), (100, Some(64)));
        assert_eq!(settled(&mut flight, 200), (100, Some(200)));
    }

    #[test]
    fn what_was_on_its_way_counts_for_nothing_on_the_next_connection() {
        let mut flight = Flight::default();
        flight.record(head(1), true);
        flight.message(7);
        flight.clear();
        flight.record(head(1), true);
        let tag = flight.next;
        assert_eq!(settled(&mut flight, tag), (1, Some(1)));
    }

    #[test]
    fn a_replay_makes_late_acknowledgements_of_records_worthless() {
        let mut flight = Flight::default();
        flight.record(head(9), true);
        flight.message(7);
        flight.forget_records();
        let settled = flight.settle(2);
        assert_eq!((settled.last, settled.message), (None, Some(7)));
    }
}
