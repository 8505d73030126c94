//! Records and messages that were sent and are not acknowledged.

use pulse_audit::Head;
use std::collections::VecDeque;

/// A protocol without acknowledgements has very many records in flight. Then one in this many
/// is remembered, and the cursor lags behind by as many.
const SAMPLE_INTERVAL: u64 = 64;

/// Everything in flight, in order of tags.
#[derive(Default)]
pub(super) struct InFlight {
    sent: VecDeque<(u64, Sent)>,
    next: u64,
    /// The tag up to which everything is acknowledged.
    acknowledged: u64,
}

enum Sent {
    Record(Head),
    /// The number of one of the daemon's own messages.
    Message(u64),
}

/// The records and messages that an acknowledgement covers and earlier ones did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) records: u64,
    pub(super) last: Option<Head>,
    pub(super) message: Option<u64>,
}

impl InFlight {
    /// The next tag. Tags increase over all connections, so one of an earlier connection covers
    /// nothing.
    pub(super) fn tag(&self) -> u64 {
        self.next + 1
    }

    pub(super) fn record(&mut self, head: Head, is_remembered: bool) {
        self.next += 1;
        if is_remembered || self.next.is_multiple_of(SAMPLE_INTERVAL) {
            self.sent.push_back((self.next, Sent::Record(head)));
        }
    }

    pub(super) fn message(&mut self, number: u64) {
        self.next += 1;
        self.sent.push_back((self.next, Sent::Message(number)));
    }

    /// Everything up to this tag is acknowledged. Calls `delivered` with the number of each
    /// remembered record.
    pub(super) fn acknowledge(&mut self, tag: u64, mut delivered: impl FnMut(u64)) -> Acknowledged {
        let mut settled = Acknowledged {
            records: tag.saturating_sub(self.acknowledged),
            ..Acknowledged::default()
        };
        self.acknowledged = tag;
        while let Some((_, sent)) = self.sent.pop_front_if(|(sent, _)| *sent <= tag) {
            match sent {
                Sent::Record(head) => {
                    delivered(head.seq);
                    settled.last = Some(head);
                }
                Sent::Message(number) => {
                    settled.records = settled.records.saturating_sub(1);
                    settled.message = Some(number);
                }
            }
        }
        settled
    }

    /// Forgets the records in flight: a replay sends them again, so their acknowledgements must
    /// not move the cursor.
    pub(super) fn forget_records(&mut self) {
        self.sent
            .retain(|(_, sent)| matches!(sent, Sent::Message(_)));
    }

    /// Forgets everything: the connection has ended.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
        self.acknowledged = self.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64) -> Head {
        Head::from_parts(seq, &"a".repeat(64)).unwrap()
    }

    fn settled(in_flight: &mut InFlight, tag: u64) -> (u64, Option<u64>) {
        let settled = in_flight.acknowledge(tag, |_| ());
        (settled.records, settled.last.map(|head| head.seq))
    }

    #[test]
    fn messages_do_not_count_as_records() {
        let mut in_flight = InFlight::default();
        in_flight.record(head(1), true);
        in_flight.message(7);
        in_flight.record(head(2), true);
        assert_eq!(settled(&mut in_flight, 2), (1, Some(1)));
        assert_eq!(settled(&mut in_flight, 3), (1, Some(2)));
        assert_eq!(settled(&mut in_flight, 3), (0, None));
    }

    #[test]
    fn a_sample_is_never_ahead() {
        let mut in_flight = InFlight::default();
        (1..=200).for_each(|seq| in_flight.record(head(seq), seq == 200));
        assert_eq!(in_flight.sent.len(), 4);
        assert_eq!(settled(&mut in_flight, 100), (100, Some(64)));
        assert_eq!(settled(&mut in_flight, 200), (100, Some(200)));
    }

    #[test]
    fn a_new_connection_starts_at_zero() {
        let mut in_flight = InFlight::default();
        in_flight.record(head(1), true);
        in_flight.message(7);
        in_flight.clear();
        in_flight.record(head(1), true);
        let tag = in_flight.next;
        assert_eq!(settled(&mut in_flight, tag), (1, Some(1)));
    }

    #[test]
    fn a_replay_discards_late_acks() {
        let mut in_flight = InFlight::default();
        in_flight.record(head(9), true);
        in_flight.message(7);
        in_flight.forget_records();
        let settled = in_flight.acknowledge(2, |_| ());
        assert_eq!((settled.last, settled.message), (None, Some(7)));
    }
}
