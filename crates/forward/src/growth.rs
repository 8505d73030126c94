//! Whether the queue of a stream holds records for too long.
//!
//! The depth of a queue says little: a burst fills it for a moment, a collector that was away for
//! a night leaves much to send, and a busy syslog stream never has an empty queue, because its
//! records count as delivered one and a half timeouts after they were written. So the age counts:
//! the last record on disk is noted once a minute, and one that is not acknowledged long after
//! that is overdue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The interval of noting the last record on disk.
const INTERVAL: Duration = Duration::from_secs(60);
/// The least time for which a record may remain unacknowledged.
const MIN_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The same in timeouts of a connection. On a syslog stream, acknowledgements take one and a half
/// of them, and twice as long when all checkpoints of the connection are in use.
const LIMIT_TIMEOUTS: u32 = 4;

/// The age of one queue.
#[derive(Debug)]
pub(crate) struct QueueGrowth {
    limit: Duration,
    /// When each was the last record on disk; one a minute, the oldest first. There are no more
    /// than `limit` has minutes, and two.
    noted: VecDeque<(Instant, u64)>,
    /// The time and the acknowledged record of the last call.
    last: Option<(Instant, u64)>,
    is_growing: bool,
}

impl QueueGrowth {
    /// For a stream whose connections have this timeout.
    pub(crate) fn new(io_timeout: Duration) -> Self {
        Self {
            limit: MIN_LIMIT.max(io_timeout.saturating_mul(LIMIT_TIMEOUTS)),
            noted: VecDeque::new(),
            last: None,
            is_growing: false,
        }
    }

    /// The time for which a record may remain unacknowledged.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Takes the last record on disk and the last acknowledged one; returns whether records are
    /// overdue, if that has changed.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        durable: u64,
        acknowledged: u64,
    ) -> Option<bool> {
        // Neither a replay nor a process that was stopped shows anything about the collector.
        let is_interrupted = self.last.is_some_and(|(then, before)| {
            acknowledged < before || now.saturating_duration_since(then) > 2 * INTERVAL
        });
        if is_interrupted {
            self.noted.clear();
        }
        self.last = Some((now, acknowledged));
        let age = |then: Instant| now.saturating_duration_since(then);
        if !matches!(self.noted.back(), Some((then, _)) if age(*then) < INTERVAL) {
            self.noted.push_back((now, durable));
        }
        // The latest of those that are old enough counts.
        while matches!(self.noted.get(1), Some((then, _)) if age(*then) >= self.limit) {
            self.noted.pop_front();
        }
        let (then, due) = *self.noted.front()?;
        // Without one that is old enough, nothing is known.
        if age(then) < self.limit {
            return None;
        }
        let is_growing = acknowledged < due;
        let has_changed = is_growing != self.is_growing;
        self.is_growing = is_growing;
        has_changed.then_some(is_growing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);
    const DAY: u64 = 24 * 3600;

    /// The changes in the time until `end`, observed every five seconds, with the second of each.
    /// `numbers` gives the last record on disk and the last acknowledged one of a second.
    fn changes(end: u64, numbers: impl Fn(u64) -> (u64, u64)) -> Vec<(u64, bool)> {
        let (mut growth, start) = (QueueGrowth::new(TIMEOUT), Instant::now());
        let observe = |second: u64| {
            let (durable, acknowledged) = numbers(second);
            let now = start + Duration::from_secs(second);
            let change = growth.observe(now, durable, acknowledged);
            assert!(growth.noted.len() <= 7);
            Some((second, change?))
        };
        (0..end).step_by(5).filter_map(observe).collect()
    }

    #[test]
    fn steady_syslog_is_not_overdue() {
        for rate in [1, 7, 500] {
            // Delivered after one and a half timeouts, of which a sample is remembered.
            let steady = |second: u64| {
                let delivered = second.saturating_sub(TIMEOUT.as_secs() * 3 / 2 + 1) * rate;
                (second * rate, delivered / 64 * 64)
            };
            assert_eq!(changes(DAY, steady), [], "{rate} records a second");
        }
    }

    #[test]
    fn busy_relp_is_not_overdue() {
        // Always some records in flight, more and less of them.
        let busy = |second: u64| (second * 900, (second * 900).saturating_sub(second % 1021));
        assert_eq!(changes(DAY, busy), []);
        // An hourly burst takes four minutes.
        let burst = |second: u64| {
            let durable = second.div_ceil(3600) * 60_000;
            let sent = (second % 3600) * 250;
            (
                durable,
                (durable.saturating_sub(60_000) + sent).min(durable),
            )
        };
        assert_eq!(changes(DAY, burst), []);
    }

    #[test]
    fn unacknowledged_records_are_overdue() {
        assert_eq!(changes(DAY, |second| (second * 7, 0)), [(360, true)]);
        // Also those that no further ones follow.
        assert_eq!(changes(DAY, |_| (7, 0)), [(300, true)]);
        assert_eq!(changes(DAY, |_| (7, 7)), []);
        // A collector that takes half of what is written.
        let slow = changes(DAY, |second| (second * 10, second * 5));
        assert_eq!(slow.len(), 1, "{slow:?}");
    }

    #[test]
    fn overdue_records_are_acknowledged() {
        let returning = |second| (second * 7, if second < 1000 { 0 } else { second * 7 });
        assert_eq!(changes(DAY, returning), [(360, true), (1000, false)]);
    }

    #[test]
    fn a_replay_is_not_overdue() {
        let replay = |second| {
            (
                9000,
                if (2000..2200).contains(&second) {
                    1
                } else {
                    9000
                },
            )
        };
        assert_eq!(changes(DAY, replay), []);
    }

    #[test]
    fn a_stopped_process_is_not_overdue() {
        let (mut growth, start) = (QueueGrowth::new(TIMEOUT), Instant::now());
        assert_eq!(growth.observe(start, 5, 0), None);
        let later = start + 2 * growth.limit();
        assert_eq!(growth.observe(later, 9, 0), None);
        assert_eq!(growth.observe(later + 2 * INTERVAL, 9, 0), None);
    }
}
