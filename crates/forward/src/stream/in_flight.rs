//! Records and messages that were sent and are not acknowledged.

use crate::status::LostRange;
use pulse_audit::Head;
use std::collections::VecDeque;

/// A protocol without acknowledgements has very many records in flight. Then one in this many
/// is remembered, and the cursor lags behind by as many.
const SAMPLE_INTERVAL: u64 = 64;
/// With more in flight, the records before a gap are not remembered: a log of which every second
/// record was removed would otherwise fill the memory.
const MAX_REMEMBERED: usize = 1 << 16;

/// Everything in flight, in order of tags.
#[derive(Default)]
pub(super) struct InFlight {
    sent: VecDeque<(u64, Sent)>,
    /// The records that were sent after the last one in `sent`.
    run: Option<(u64, Run)>,
    next: u64,
    /// The tag up to which everything is acknowledged.
    acknowledged: u64,
}

enum Sent {
    Records(Run),
    /// The number of one of the daemon's own messages.
    Message(u64),
}

/// Records without a gap between them.
#[derive(Clone, Copy)]
struct Run {
    first: u64,
    last: Head,
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
        let mut first = head.seq;
        if let Some((_, run)) = self.run {
            if run.last.seq.checked_add(1) == Some(head.seq) {
                first = run.first;
            } else if self.sent.len() < MAX_REMEMBERED {
                self.remember_run();
            }
        }
        self.run = Some((self.next, Run { first, last: head }));
        if is_remembered || self.next.is_multiple_of(SAMPLE_INTERVAL) {
            self.remember_run();
        }
    }

    /// A record with a forged number was sent, whose acknowledgement has no effect.
    pub(super) fn forged(&mut self) {
        self.next += 1;
    }

    fn remember_run(&mut self) {
        let run = self.run.take();
        self.sent
            .extend(run.map(|(tag, run)| (tag, Sent::Records(run))));
    }

    pub(super) fn message(&mut self, number: u64) {
        // Tags in `sent` are in order.
        self.remember_run();
        self.next += 1;
        self.sent.push_back((self.next, Sent::Message(number)));
    }

    /// Everything up to this tag is acknowledged. Calls `delivered` with the records that each
    /// remembered one stands for.
    pub(super) fn acknowledge(
        &mut self,
        tag: u64,
        mut delivered: impl FnMut(LostRange),
    ) -> Acknowledged {
        let mut settled = Acknowledged {
            records: tag.saturating_sub(self.acknowledged),
            ..Acknowledged::default()
        };
        self.acknowledged = tag;
        while let Some((_, sent)) = self.sent.pop_front_if(|(sent, _)| *sent <= tag) {
            match sent {
                Sent::Records(Run { first, last }) => {
                    delivered(LostRange {
                        first,
                        last: last.seq,
                    });
                    // Numbers that go down are forged ones.
                    settled.last = settled
                        .last
                        .filter(|before| before.seq > last.seq)
                        .or(Some(last));
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
        self.run = None;
        self.sent
            .retain(|(_, sent)| matches!(sent, Sent::Message(_)));
    }

    /// Forgets everything: the connection has ended.
    pub(super) fn clear(&mut self) {
        self.run = None;
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

    /// The records of each call, as first and last number.
    fn delivered(in_flight: &mut InFlight, tag: u64) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        in_flight.acknowledge(tag, |range| ranges.push((range.first, range.last)));
        ranges
    }

    #[test]
    fn samples_stand_for_all_records() {
        let mut in_flight = InFlight::default();
        (1..=200).for_each(|seq| in_flight.record(head(seq), seq == 200));
        let ranges = delivered(&mut in_flight, 200);
        assert_eq!(ranges, [(1, 64), (65, 128), (129, 192), (193, 200)]);
        // Both sides of a gap are remembered.
        (201..=230)
            .filter(|seq| !(210..220).contains(seq))
            .for_each(|seq| in_flight.record(head(seq), seq == 230));
        assert_eq!(delivered(&mut in_flight, 208), []);
        assert_eq!(delivered(&mut in_flight, 209), [(201, 209)]);
        assert_eq!(delivered(&mut in_flight, 220), [(220, 230)]);
        // A message between two samples does not change their order.
        in_flight.record(head(231), false);
        in_flight.message(7);
        in_flight.record(head(240), true);
        assert_eq!(delivered(&mut in_flight, 221), [(231, 231)]);
        assert_eq!(delivered(&mut in_flight, 223), [(240, 240)]);
    }

    #[test]
    fn gaps_are_bounded() {
        let mut in_flight = InFlight::default();
        let count = 2 * MAX_REMEMBERED as u64;
        (1..=count).for_each(|seq| in_flight.record(head(seq * 2), false));
        let samples = count / SAMPLE_INTERVAL;
        assert!(in_flight.sent.len() as u64 <= MAX_REMEMBERED as u64 + samples);
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
