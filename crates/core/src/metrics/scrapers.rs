//! Connections to the metrics listener, and which of them is closed when there are too many.
//!
//! A scraper looks like any other client until its request has arrived: clients of one host
//! share an address. So no connection is refused; the oldest one is closed. A scraper that
//! sends its request at once and reads the answer ends before it becomes the oldest; a
//! client that does not becomes the oldest soon.
//!
//! A connection starts among the pending ones. With its request it moves to the *lane* of
//! what it asks for, so that clients of one path cannot delay those of another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Connections without a request. Many, because a scraper must be able to send its request
/// before so many others connect; each costs a descriptor and at most the bytes of a head.
const MAX_PENDING: usize = 256;
/// Connections with a request, in each lane; Prometheus needs one.
const MAX_IN_LANE: usize = 16;
/// The most connections at a time: those without a request, and those in the lanes.
pub const MAX_SCRAPERS: usize = MAX_PENDING + 3 * MAX_IN_LANE;
/// From accept to the end of the request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// From there to the end of the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Rendering costs up to 10 ns a byte. At this rate, endless requests take at most a tenth
/// of a processor from the daemon's callers.
const RENDERED_PER_MILLISECOND: usize = 10_000;
/// Rendering a smaller text costs less than its connection, so it need not be reused.
const SMALL_TEXT: usize = 64 * 1024;

/// The time for which a rendered text of this many bytes is reused.
#[must_use]
pub fn reuse_time(bytes: usize) -> Duration {
    if bytes < SMALL_TEXT {
        return Duration::ZERO;
    }
    Duration::from_millis((bytes / RENDERED_PER_MILLISECOND) as u64)
}

/// Connections that have limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Requests for the metrics.
    Metrics,
    /// Requests for the readiness.
    Readiness,
    /// Requests that are refused.
    Refusals,
}

/// The slot of a connection, to be released with [`Scrapers::release`].
#[derive(Debug, PartialEq, Eq)]
pub struct Slot {
    /// `None` while the connection is pending.
    lane: Option<Lane>,
    number: u64,
    /// The time at which the connection is closed unless it has moved on.
    pub deadline: Instant,
}

/// All connections. Dropping a `C` closes its connection.
#[derive(Debug)]
pub struct Scrapers<C> {
    next: u64,
    pending: BTreeMap<u64, C>,
    lanes: [BTreeMap<u64, C>; 3],
}

impl<C> Default for Scrapers<C> {
    fn default() -> Self {
        Self {
            next: 0,
            pending: BTreeMap::new(),
            lanes: [const { BTreeMap::new() }; 3],
        }
    }
}

impl<C> Scrapers<C> {
    /// Adds a connection that was accepted at `now`; closes the oldest pending one if there
    /// are too many.
    pub fn accept(&mut self, closer: C, now: Instant) -> Slot {
        self.insert(None, closer, now + HEAD_TIMEOUT)
    }

    /// Moves a connection whose request arrived at `now` into a lane; closes the oldest one
    /// there if there are too many. `None` if this one was closed in the meantime.
    pub fn answer(&mut self, slot: &Slot, lane: Lane, now: Instant) -> Option<Slot> {
        let closer = self.connections(slot.lane).remove(&slot.number)?;
        // With a new number: whenever it connected, it is the newest of its lane.
        Some(self.insert(Some(lane), closer, now + ANSWER_TIMEOUT))
    }

    /// Removes a connection that has ended.
    pub fn release(&mut self, slot: &Slot) {
        self.connections(slot.lane).remove(&slot.number);
    }

    fn insert(&mut self, lane: Option<Lane>, closer: C, deadline: Instant) -> Slot {
        let number = self.next;
        self.next += 1;
        let connections = self.connections(lane);
        if connections.len() >= lane.map_or(MAX_PENDING, |_| MAX_IN_LANE) {
            // Numbers count up, so the smallest is the oldest.
            connections.pop_first();
        }
        connections.insert(number, closer);
        Slot {
            lane,
            number,
            deadline,
        }
    }

    fn connections(&mut self, lane: Option<Lane>) -> &mut BTreeMap<u64, C> {
        let [metrics, readiness, refusals] = &mut self.lanes;
        match lane {
            None => &mut self.pending,
            Some(Lane::Metrics) => metrics,
            Some(Lane::Readiness) => readiness,
            Some(Lane::Refusals) => refusals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::{Rc, Weak};

    fn count<C>(scrapers: &Scrapers<C>) -> usize {
        scrapers.pending.len() + scrapers.lanes.iter().map(BTreeMap::len).sum::<usize>()
    }

    /// A client's end of a connection.
    struct Client {
        open: Weak<()>,
        slot: Slot,
    }

    impl Client {
        fn connect(scrapers: &mut Scrapers<Rc<()>>, now: Instant) -> Self {
            let closer = Rc::new(());
            let open = Rc::downgrade(&closer);
            let slot = scrapers.accept(closer, now);
            Self { open, slot }
        }

        fn is_open(&self) -> bool {
            self.open.strong_count() > 0
        }
    }

    #[test]
    fn oldest_pending_is_closed() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let clients: Vec<_> = (0..MAX_PENDING + 3)
            .map(|_| Client::connect(&mut scrapers, now))
            .collect();
        let open = clients.iter().map(Client::is_open);
        let expected = (0..clients.len()).map(|i| i >= 3);
        assert!(open.eq(expected));
        assert_eq!(count(&scrapers), MAX_PENDING);
    }

    #[test]
    fn reconnecting_clients_block_none() {
        let (mut scrapers, start) = (Scrapers::default(), Instant::now());
        let mut held = std::collections::VecDeque::new();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            for _ in 0..1000 {
                held.push_back(Client::connect(&mut scrapers, now));
            }
            let scraper = Client::connect(&mut scrapers, now);
            // More connect until its request arrives.
            for _ in 0..MAX_PENDING - 1 {
                held.push_back(Client::connect(&mut scrapers, now));
            }
            let slot = scrapers.answer(&scraper.slot, Lane::Metrics, now).unwrap();
            assert!(scraper.open.strong_count() > 0);
            scrapers.release(&slot);
            held.retain(Client::is_open);
            assert!(held.len() <= MAX_PENDING && count(&scrapers) == held.len());
        }
    }

    #[test]
    fn lanes_are_independent() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let mut ask = |lane| {
            let client = Client::connect(&mut scrapers, now);
            let slot = scrapers.answer(&client.slot, lane, now).unwrap();
            (client.open, slot)
        };
        let ready = ask(Lane::Readiness);
        let slow: Vec<_> = (0..3 * MAX_IN_LANE).map(|_| ask(Lane::Metrics)).collect();
        let wrong: Vec<_> = (0..3 * MAX_IN_LANE).map(|_| ask(Lane::Refusals)).collect();
        assert!(ready.0.strong_count() > 0);
        for clients in [slow, wrong] {
            let open = clients.iter().map(|(open, _)| open.strong_count() > 0);
            let expected = (0..clients.len()).map(|i| i >= 2 * MAX_IN_LANE);
            assert!(open.eq(expected));
        }
        assert_eq!(count(&scrapers), 2 * MAX_IN_LANE + 1);
    }

    #[test]
    fn pending_never_close_answered() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let client = Client::connect(&mut scrapers, now);
        let slot = scrapers.answer(&client.slot, Lane::Metrics, now).unwrap();
        for _ in 0..10 * MAX_PENDING {
            Client::connect(&mut scrapers, now);
        }
        assert!(client.open.strong_count() > 0);
        scrapers.release(&slot);
        assert_eq!(client.open.strong_count(), 0);
    }

    #[test]
    fn closed_connection_has_no_slot() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let first = Client::connect(&mut scrapers, now);
        let second = Client::connect(&mut scrapers, now);
        for _ in 0..MAX_PENDING {
            Client::connect(&mut scrapers, now);
        }
        scrapers.release(&second.slot);
        assert_eq!(count(&scrapers), MAX_PENDING);
        assert_eq!(scrapers.answer(&first.slot, Lane::Readiness, now), None);
        assert_eq!(count(&scrapers), MAX_PENDING);
    }

    #[test]
    fn reuse_bounds_rendering() {
        assert_eq!(reuse_time(20_000), Duration::ZERO);
        // A thousand nodes.
        assert_eq!(reuse_time(1_350_000), Duration::from_millis(135));
        assert!(reuse_time(usize::MAX) > Duration::from_secs(60));
    }

    #[test]
    fn every_slot_has_a_deadline() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let slot = scrapers.accept((), now);
        assert_eq!(slot.deadline, now + HEAD_TIMEOUT);
        let later = now + Duration::from_millis(1999);
        let slot = scrapers.answer(&slot, Lane::Readiness, later).unwrap();
        assert_eq!(slot.deadline, later + ANSWER_TIMEOUT);
        scrapers.release(&slot);
        assert_eq!(count(&scrapers), 0);
    }
}
