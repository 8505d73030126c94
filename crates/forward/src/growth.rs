//! Whether the queue of a stream grows.
//!
//! The depth of a queue alone says little: a burst fills it for a moment, and a collector that
//! was away for a night leaves much to send. So the lowest depth of each minute is compared
//! with that of the minute before. A collector that keeps up empties the queue within each
//! minute; one that does not leaves more of it each time.

use std::time::{Duration, Instant};

/// The time whose lowest depth counts as one.
const INTERVAL: Duration = Duration::from_secs(60);
/// The queue grows when the lowest depth has risen this many times in a row.
const RISES: u32 = 2;

/// The depths of one queue.
#[derive(Debug, Default)]
pub(crate) struct QueueGrowth {
    current: Option<Minute>,
    /// The lowest depth of the minute before.
    before: Option<u64>,
    /// The times in a row that it has risen.
    rises: u32,
    is_growing: bool,
}

#[derive(Debug)]
struct Minute {
    ends: Instant,
    lowest: u64,
}

impl QueueGrowth {
    /// Takes the present depth; returns whether the queue grows, if that has changed.
    pub(crate) fn observe(&mut self, now: Instant, depth: u64) -> Option<bool> {
        let Some(minute) = self.current.as_mut().filter(|minute| now < minute.ends) else {
            let ended = self.current.replace(Minute {
                ends: now + INTERVAL,
                lowest: depth,
            });
            return self.compare(ended?.lowest);
        };
        minute.lowest = minute.lowest.min(depth);
        None
    }

    fn compare(&mut self, lowest: u64) -> Option<bool> {
        let before = self.before.replace(lowest)?;
        if lowest > before {
            self.rises = self.rises.saturating_add(1);
        } else {
            self.rises = 0;
        }
        // A queue that neither grows nor shrinks, because nothing is written for a while, has not
        // recovered.
        let is_growing = self.rises >= RISES || (self.is_growing && lowest > 0 && lowest >= before);
        let has_changed = is_growing != self.is_growing;
        self.is_growing = is_growing;
        has_changed.then_some(is_growing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Depths every ten seconds; the changes, by index.
    fn changes(depths: impl IntoIterator<Item = u64>) -> Vec<(usize, bool)> {
        let (mut growth, start) = (QueueGrowth::default(), Instant::now());
        let observe = |(at, depth): (usize, u64)| {
            let now = start + Duration::from_secs(10 * at as u64);
            Some((at, growth.observe(now, depth)?))
        };
        depths.into_iter().enumerate().filter_map(observe).collect()
    }

    #[test]
    fn growth_shows_within_minutes() {
        assert!(changes(0..18).is_empty());
        assert_eq!(changes(0..60), [(18, true)]);
    }

    #[test]
    fn bursts_are_no_growth() {
        // Each fills the queue higher than the one before, and it is emptied in between.
        let bursts = (0..100).map(|at| if at % 5 == 0 { 0 } else { at });
        assert!(changes(bursts).is_empty());
        // A backlog that is being sent.
        assert!(changes((0..100).rev()).is_empty());
        assert!(changes([7; 100]).is_empty());
    }

    #[test]
    fn growth_ends_with_a_smaller_queue() {
        let grown = (0..30).chain([30; 30]);
        assert_eq!(
            changes(grown.clone()),
            [(18, true)],
            "a pause is no recovery"
        );
        let depths: Vec<u64> = grown.chain((0..30).rev()).collect();
        let found = changes(depths);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!found[1].1 && found[1].0 < 75, "{found:?}");
    }
}
