//! The limiter: how often a caller may ask.
//!
//! A caller has one token bucket per allowed node and one for everything else, so
//! its budget grows with the list: a poller that reads N nodes at the permitted
//! rate is never refused, however many nodes there are and however it bunches
//! them. A caller that sends malformed or forbidden requests is refused for a
//! while, and longer each time; nothing sleeps and nothing is held meanwhile.

use crate::bucket::{Rate, TokenBucket};
use crate::name::NodeName;
use crate::peer::PeerId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The numbers a limiter works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One token comes back every so long.
    pub interval: Duration,
    /// How many tokens a bucket holds.
    pub burst: u32,
    /// The first penalty.
    pub penalty: Duration,
    /// The longest penalty.
    pub penalty_max: Duration,
    /// How many callers are remembered.
    pub max_peers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            burst: 2,
            penalty: Duration::from_secs(2),
            penalty_max: Duration::from_secs(60),
            max_peers: 1024,
        }
    }
}

impl Limits {
    /// The rate of each bucket.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate {
            interval: self.interval,
            burst: self.burst,
        }
    }
}

/// Which bucket a request spends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket<'a> {
    /// The caller's own: everything that is not a reading of an allowed node.
    Own,
    /// The caller's bucket for one allowed node.
    Node(&'a NodeName),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The bucket was empty.
    Rate,
    /// The caller is being penalised.
    Penalty,
    /// The caller has too many connections open.
    Connections,
    /// The caller connects too often: its connections are closed unread.
    Accepts,
}

impl Refusal {
    /// The label in metrics and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Penalty => "penalty",
            Self::Connections => "connections",
            Self::Accepts => "accepts",
        }
    }
}

/// All callers' buckets and penalties.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    peers: HashMap<PeerId, Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    own: TokenBucket,
    nodes: HashMap<NodeName, TokenBucket>,
    penalty: Option<Penalty>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    length: Duration,
    until: Instant,
}

impl Limiter {
    /// A limiter that has seen nobody.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            peers: HashMap::new(),
        }
    }

    /// Takes new numbers; what callers have spent stays spent.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the caller is refused for now, whatever it asks.
    ///
    /// # Errors
    /// [`Refusal::Penalty`] while one is running.
    pub fn check_penalty(&self, peer: &PeerId, now: Instant) -> Result<(), Refusal> {
        let penalty = self.peers.get(peer).and_then(|p| p.penalty);
        match penalty {
            Some(penalty) if now < penalty.until => Err(Refusal::Penalty),
            _ => Ok(()),
        }
    }

    /// Spends one token.
    ///
    /// # Errors
    /// [`Refusal::Rate`] when there is none.
    pub fn spend(
        &mut self,
        peer: &PeerId,
        bucket: Bucket<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if !peer.is_limited() {
            return Ok(());
        }
        let rate = self.limits.rate();
        let state = self.state(peer, now);
        let bucket = match bucket {
            Bucket::Own => &mut state.own,
            Bucket::Node(node) => state.nodes.entry(node.clone()).or_default(),
        };
        if bucket.take(rate, now) {
            Ok(())
        } else {
            Err(Refusal::Rate)
        }
    }

    /// Penalises a caller and says for how long: twice as long as the last time
    /// when that is not long past. An administrator is not penalised.
    pub fn penalise(&mut self, peer: &PeerId, now: Instant) -> Duration {
        if !peer.is_limited() {
            return Duration::ZERO;
        }
        let limits = self.limits;
        let state = self.state(peer, now);
        let recent = state.penalty.filter(|p| now < p.until + limits.penalty_max);
        let length = recent.map_or(limits.penalty, |p| (p.length * 2).min(limits.penalty_max));
        state.penalty = Some(Penalty {
            length,
            until: now + length,
        });
        length
    }

    /// Forgets callers that have nothing left to remember.
    pub fn sweep(&mut self, now: Instant) {
        let memory = self.limits.penalty_max;
        for peer in self.peers.values_mut() {
            peer.nodes.retain(|_, bucket| !bucket.is_full(now));
            peer.penalty = peer.penalty.filter(|p| now < p.until + memory);
        }
        self.peers.retain(|_, peer| !peer.is_forgettable(now));
    }

    /// How many callers are remembered.
    #[must_use]
    pub fn active_peers(&self) -> usize {
        self.peers.len()
    }

    fn state(&mut self, peer: &PeerId, now: Instant) -> &mut Peer {
        if !self.peers.contains_key(peer) && self.peers.len() >= self.limits.max_peers {
            self.make_room(now);
        }
        self.peers.entry(peer.clone()).or_default()
    }

    /// The map is at its cap: drop what is idle, else whoever is nearest to it.
    fn make_room(&mut self, now: Instant) {
        self.sweep(now);
        if self.peers.len() < self.limits.max_peers {
            return;
        }
        let nearest = self.peers.iter().min_by_key(|(_, peer)| peer.own.full_at());
        if let Some(id) = nearest.map(|(id, _)| id.clone()) {
            self.peers.remove(&id);
        }
    }
}

impl Peer {
    fn is_forgettable(&self, now: Instant) -> bool {
        self.nodes.is_empty() && self.penalty.is_none() && self.own.is_full(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn node(i: usize) -> NodeName {
        NodeName::parse(&format!("pve{i}")).unwrap()
    }

    #[test]
    fn a_poller_of_fifty_nodes_all_at_once_is_never_refused() {
        let (mut limiter, start) = (Limiter::new(Limits::default()), Instant::now());
        let poller = PeerId::Uid(1000);
        // A day of polling every 10 s, the whole list in the same instant.
        for round in 0..8_640u32 {
            let now = start + SECOND * 10 * round;
            for i in 0..50 {
                assert_eq!(limiter.spend(&poller, Bucket::Node(&node(i)), now), Ok(()));
            }
            limiter.sweep(now);
        }
    }

    #[test]
    fn a_node_gives_the_burst_then_the_rate() {
        let (mut limiter, now) = (Limiter::new(Limits::default()), Instant::now());
        let peer = PeerId::Uid(1000);
        let spend = |limiter: &mut Limiter, at| limiter.spend(&peer, Bucket::Own, at).is_ok();
        assert!(spend(&mut limiter, now) && spend(&mut limiter, now));
        assert!(!spend(&mut limiter, now));
        assert!(!spend(&mut limiter, now + SECOND * 4));
        assert!(spend(&mut limiter, now + SECOND * 5));
        assert!(!spend(&mut limiter, now + SECOND * 9));
        assert!(spend(&mut limiter, now + SECOND * 10));
    }

    #[test]
    fn buckets_of_nodes_and_callers_are_their_own() {
        let (mut limiter, now) = (Limiter::new(Limits::default()), Instant::now());
        let (a, b) = (PeerId::Uid(1), PeerId::Uid(2));
        for _ in 0..2 {
            assert!(limiter.spend(&a, Bucket::Node(&node(1)), now).is_ok());
        }
        assert!(limiter.spend(&a, Bucket::Node(&node(1)), now).is_err());
        assert!(limiter.spend(&a, Bucket::Node(&node(2)), now).is_ok());
        assert!(limiter.spend(&a, Bucket::Own, now).is_ok());
        assert!(limiter.spend(&b, Bucket::Node(&node(1)), now).is_ok());
    }

    #[test]
    fn penalties_double_to_the_limit_and_are_forgotten() {
        let (mut limiter, mut now) = (Limiter::new(Limits::default()), Instant::now());
        let peer = PeerId::Uid(1);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(limiter.penalise(&peer, now), SECOND * seconds);
            assert_eq!(limiter.check_penalty(&peer, now), Err(Refusal::Penalty));
            now += SECOND * seconds;
            assert_eq!(limiter.check_penalty(&peer, now), Ok(()));
        }
        now += SECOND * 60;
        assert_eq!(limiter.penalise(&peer, now), SECOND * 2);
        limiter.sweep(now + SECOND * 62);
        assert_eq!(limiter.active_peers(), 0);
    }

    #[test]
    fn the_number_of_remembered_callers_is_bounded() {
        let limits = Limits {
            max_peers: 8,
            ..Limits::default()
        };
        let (mut limiter, now) = (Limiter::new(limits), Instant::now());
        for uid in 0..1000 {
            let _ = limiter.spend(&PeerId::Uid(uid), Bucket::Own, now);
            assert!(limiter.active_peers() <= 8);
        }
    }

    #[test]
    fn administrators_are_not_limited() {
        let (mut limiter, now) = (Limiter::new(Limits::default()), Instant::now());
        let root = PeerId::Administrator(0);
        for _ in 0..100 {
            assert_eq!(limiter.spend(&root, Bucket::Own, now), Ok(()));
            assert_eq!(limiter.penalise(&root, now), Duration::ZERO);
            assert_eq!(limiter.check_penalty(&root, now), Ok(()));
        }
        assert_eq!(limiter.active_peers(), 0);
    }

    proptest! {
        /// In any window, no bucket gives more than its burst and the rate.
        #[test]
        fn no_schedule_gets_more_than_the_rate(
            gaps in proptest::collection::vec(0u64..3_000, 1..300),
        ) {
            let (mut limiter, start) = (Limiter::new(Limits::default()), Instant::now());
            let (mut now, mut granted) = (start, 0u32);
            for gap in gaps {
                now += Duration::from_millis(gap);
                granted += u32::from(limiter.spend(&PeerId::Uid(1), Bucket::Own, now).is_ok());
                let most = 2 + (now - start).as_millis() / 5_000;
                prop_assert!(u128::from(granted) <= most);
            }
        }
    }
}
