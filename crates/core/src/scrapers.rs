//! Connections to the metrics listener: how many are open, and which gives way.
//!
//! Nothing tells an honest scraper from another client before its request is there:
//! everybody of this host comes from the same address. So nobody is refused; the one that
//! has been there the longest gives way. A scraper that sends its request at once and
//! reads the answer is gone before its turn comes, and one that does not is the oldest
//! before long.
//!
//! A connection begins among the *heads*. Once its request is there it has a slot in the
//! *lane* of what it asked for, so that clients of one path cannot delay those of another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Connections whose request is not there yet. Wide, because a scraper must be able to
/// send its request before so many others connect; each costs a descriptor and at most
/// the bytes of a head.
const MAX_HEADS: usize = 256;
/// Connections that are answered, in each lane; Prometheus needs one.
const MAX_IN_LANE: usize = 16;
/// From accept to the end of the request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// From there to the end of the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Rendering a text costs up to 10 ns a byte, and whoever asks again and again must not
/// keep the daemon from its callers: at this rate it is a tenth of a processor.
const RENDERED_PER_MILLISECOND: usize = 10_000;
/// Smaller texts cost less than the connection that asks for them.
const SMALL_TEXT: usize = 64 * 1024;

/// How long a rendered text of this many bytes is given again as it is.
#[must_use]
pub fn reuse_for(bytes: usize) -> Duration {
    if bytes < SMALL_TEXT {
        return Duration::ZERO;
    }
    Duration::from_millis((bytes / RENDERED_PER_MILLISECOND) as u64)
}

/// Connections with slots of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Those that asked for the metrics.
    Metrics,
    /// Those that asked whether we serve.
    Readiness,
    /// Those that asked for anything else.
    Refusals,
}

/// A connection's place; it is given back with [`Scrapers::leave`].
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    among: Option<Lane>,
    number: u64,
    /// When the connection is closed unless it has moved on.
    pub deadline: Instant,
}

/// All connections. `C` closes one: it is dropped when its connection gives way.
#[derive(Debug)]
pub struct Scrapers<C> {
    next: u64,
    heads: BTreeMap<u64, C>,
    lanes: [BTreeMap<u64, C>; 3],
}

impl<C> Default for Scrapers<C> {
    fn default() -> Self {
        Self {
            next: 0,
            heads: BTreeMap::new(),
            lanes: [const { BTreeMap::new() }; 3],
        }
    }
}

impl<C> Scrapers<C> {
    /// Takes a connection that was accepted at `now`; the oldest one without a request
    /// gives way when there are too many.
    pub fn accept(&mut self, closer: C, now: Instant) -> Place {
        self.enter(None, closer, now + HEAD_TIMEOUT)
    }

    /// The connection's request was there at `now`: it moves into a lane, where the
    /// oldest gives way. `None` when it has given way itself meanwhile.
    pub fn answer(&mut self, place: &Place, lane: Lane, now: Instant) -> Option<Place> {
        let closer = self.slots(place.among).remove(&place.number)?;
        Some(self.enter(Some(lane), closer, now + ANSWER_TIMEOUT))
    }

    /// The connection has ended.
    pub fn leave(&mut self, place: &Place) {
        self.slots(place.among).remove(&place.number);
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len() + self.lanes.iter().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enter(&mut self, among: Option<Lane>, closer: C, deadline: Instant) -> Place {
        let number = self.next;
        self.next += 1;
        let most = match among {
            None => MAX_HEADS,
            Some(_) => MAX_IN_LANE,
        };
        let slots = self.slots(among);
        if slots.len() >= most {
            // Numbers count up, so the smallest is the oldest.
            slots.pop_first();
        }
        slots.insert(number, closer);
        Place {
            among,
            number,
            deadline,
        }
    }

    fn slots(&mut self, among: Option<Lane>) -> &mut BTreeMap<u64, C> {
        match among {
            None => &mut self.heads,
            Some(lane) => {
                let [metrics, readiness, refusals] = &mut self.lanes;
                match lane {
                    Lane::Metrics => metrics,
                    Lane::Readiness => readiness,
                    Lane::Refusals => refusals,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::{Rc, Weak};

    /// A client's end of a connection.
    struct Client {
        open: Weak<()>,
        place: Place,
    }

    impl Client {
        fn connect(scrapers: &mut Scrapers<Rc<()>>, now: Instant) -> Self {
            let closer = Rc::new(());
            let open = Rc::downgrade(&closer);
            let place = scrapers.accept(closer, now);
            Self { open, place }
        }

        fn is_open(&self) -> bool {
            self.open.strong_count() > 0
        }
    }

    #[test]
    fn oldest_unfinished_gives_way_and_no_other() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let clients: Vec<_> = (0..MAX_HEADS + 3)
            .map(|_| Client::connect(&mut scrapers, now))
            .collect();
        let open = clients.iter().map(Client::is_open);
        let expected = (0..clients.len()).map(|i| i >= 3);
        assert!(open.eq(expected));
        assert_eq!(scrapers.len(), MAX_HEADS);
    }

    #[test]
    fn clients_that_come_again_for_ever_lock_nobody_out() {
        let (mut scrapers, start) = (Scrapers::default(), Instant::now());
        let mut held = std::collections::VecDeque::new();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            for _ in 0..1000 {
                held.push_back(Client::connect(&mut scrapers, now));
            }
            let scraper = Client::connect(&mut scrapers, now);
            // More come until its request is there.
            for _ in 0..MAX_HEADS - 1 {
                held.push_back(Client::connect(&mut scrapers, now));
            }
            let place = scrapers.answer(&scraper.place, Lane::Metrics, now).unwrap();
            assert!(scraper.open.strong_count() > 0);
            scrapers.leave(&place);
            held.retain(Client::is_open);
            assert!(held.len() <= MAX_HEADS && scrapers.len() == held.len());
        }
    }

    #[test]
    fn lane_is_full_for_its_own_clients_alone() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let mut ask = |lane| {
            let client = Client::connect(&mut scrapers, now);
            let place = scrapers.answer(&client.place, lane, now).unwrap();
            (client.open, place)
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
        assert_eq!(scrapers.len(), 2 * MAX_IN_LANE + 1);
    }

    #[test]
    fn heads_do_not_push_out_who_is_answered() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let client = Client::connect(&mut scrapers, now);
        let place = scrapers.answer(&client.place, Lane::Metrics, now).unwrap();
        for _ in 0..10 * MAX_HEADS {
            Client::connect(&mut scrapers, now);
        }
        assert!(client.open.strong_count() > 0);
        scrapers.leave(&place);
        assert_eq!(client.open.strong_count(), 0);
    }

    #[test]
    fn one_that_gave_way_gets_no_answer_and_leaves_nobody_elses_place() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let first = Client::connect(&mut scrapers, now);
        let second = Client::connect(&mut scrapers, now);
        for _ in 0..MAX_HEADS {
            Client::connect(&mut scrapers, now);
        }
        scrapers.leave(&second.place);
        assert_eq!(scrapers.len(), MAX_HEADS);
        assert_eq!(scrapers.answer(&first.place, Lane::Readiness, now), None);
        assert_eq!(scrapers.len(), MAX_HEADS);
    }

    #[test]
    fn rendering_is_bounded_and_a_small_text_is_always_fresh() {
        assert_eq!(reuse_for(20_000), Duration::ZERO);
        // A thousand nodes.
        assert_eq!(reuse_for(1_350_000), Duration::from_millis(135));
        assert!(reuse_for(usize::MAX) > Duration::from_secs(60));
    }

    #[test]
    fn every_place_has_a_deadline() {
        let (mut scrapers, now) = (Scrapers::default(), Instant::now());
        let place = scrapers.accept((), now);
        assert_eq!(place.deadline, now + HEAD_TIMEOUT);
        let later = now + Duration::from_millis(1999);
        let place = scrapers.answer(&place, Lane::Readiness, later).unwrap();
        assert_eq!(place.deadline, later + ANSWER_TIMEOUT);
        scrapers.leave(&place);
        assert!(scrapers.is_empty());
    }
}
