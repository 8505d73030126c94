//! The limiter: how many requests a caller gets, and for how long it is refused.
//!
//! A caller has one token bucket for each allowed node and one for all other requests, so
//! its budget grows with `allowed_nodes`: a poller that reads N nodes at the permitted rate
//! is never refused, for any N and any order. One bucket for all nodes was rejected: its
//! burst would have to hold a whole sweep, which a caller could then spend on one node.
//!
//! A malformed or forbidden request costs a penalty: the caller is refused for a while, and
//! for twice as long the next time. A refusal is immediate. Delaying the answer instead
//! would hold a task and a connection for each offender.

use crate::callers::bucket::{Rate, TokenBucket};
use crate::callers::peer::PeerId;
use crate::nodes::name::NodeName;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The parameters of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time after which one token comes back.
    pub interval: Duration,
    /// The tokens of a full bucket.
    pub burst: u32,
    /// The first penalty.
    pub penalty: Duration,
    /// The longest penalty, and the time after which a penalty is forgotten.
    pub penalty_max: Duration,
    /// The most callers remembered.
    pub max_peers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            burst: 2,
            // The values below have no configuration key; SPECIFICATION.md lists them.
            penalty: Duration::from_secs(2),
            penalty_max: Duration::from_secs(60),
            max_peers: 1024,
        }
    }
}

/// The bucket that a request takes its token from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket<'a> {
    /// The caller's bucket for everything but readings of allowed nodes.
    Own,
    /// The caller's bucket for one allowed node.
    Node(&'a NodeName),
}

/// The limit that a caller exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The bucket is empty.
    Rate,
    /// A penalty is running.
    Penalty,
    /// Too many connections of the caller are open.
    Connections,
    /// Its connections exceed the accept budget and are closed unread.
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

/// A refusal, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The limit.
    pub limit: Refusal,
    /// The time after which the caller may ask again; `None` where that is not a matter of time.
    pub retry_in: Option<Duration>,
}

impl From<Refusal> for Refused {
    fn from(limit: Refusal) -> Self {
        Self {
            limit,
            retry_in: None,
        }
    }
}

/// The buckets and penalties of all callers.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    peers: HashMap<PeerId, CallerState>,
}

#[derive(Debug, Default)]
struct CallerState {
    own: TokenBucket,
    nodes: HashMap<NodeName, TokenBucket>,
    penalty: Option<Penalty>,
    /// The instant from which its state is that of a new caller: all buckets are full, and the
    /// penalty is forgotten. Kept up to date, since looking through all buckets for it would cost
    /// callers times nodes.
    idle_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    length: Duration,
    until: Instant,
}

impl Limiter {
    /// A limiter that remembers no caller.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            peers: HashMap::new(),
        }
    }

    /// Replaces the limits; spent tokens and running penalties stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Checks for a running penalty, during which every request is refused.
    ///
    /// # Errors
    /// [`Refusal::Penalty`].
    pub fn check_penalty(&self, peer: &PeerId, now: Instant) -> Result<(), Refused> {
        match self.peers.get(peer).and_then(|caller| caller.penalty) {
            Some(penalty) if now < penalty.until => Err(Refused {
                limit: Refusal::Penalty,
                retry_in: Some(penalty.until - now),
            }),
            _ => Ok(()),
        }
    }

    /// Takes one token; an administrator needs none.
    ///
    /// # Errors
    /// [`Refusal::Rate`] when the bucket is empty.
    pub fn spend(
        &mut self,
        peer: &PeerId,
        bucket: Bucket<'_>,
        now: Instant,
    ) -> Result<(), Refused> {
        if !peer.is_limited() {
            return Ok(());
        }
        let rate = Rate {
            interval: self.limits.interval,
            burst: self.limits.burst,
        };
        let caller = self.caller(peer, now);
        let bucket = match bucket {
            Bucket::Own => &mut caller.own,
            // Bounded by the list of allowed nodes: a request for another one spends `own`.
            Bucket::Node(node) => caller.nodes.entry(node.clone()).or_default(),
        };
        let is_left = bucket.take(rate, now);
        let retry_in = bucket.next_token_in(rate, now);
        let full_at = bucket.full_at();
        caller.idle_at = caller.idle_at.max(full_at);
        if is_left {
            Ok(())
        } else {
            Err(Refused {
                limit: Refusal::Rate,
                retry_in: Some(retry_in),
            })
        }
    }

    /// Starts a penalty and returns its length: twice the last one, if that ended less than
    /// `penalty_max` ago. An administrator gets none.
    pub fn penalise(&mut self, peer: &PeerId, now: Instant) -> Duration {
        if !peer.is_limited() {
            return Duration::ZERO;
        }
        let limits = self.limits;
        let caller = self.caller(peer, now);
        // Counted from its end, so that waiting a long penalty out does not erase it.
        let recent = caller
            .penalty
            .filter(|p| now < p.until + limits.penalty_max);
        let length = recent.map_or(limits.penalty, |p| (p.length * 2).min(limits.penalty_max));
        let until = now + length;
        caller.penalty = Some(Penalty { length, until });
        caller.idle_at = caller.idle_at.max(Some(until + limits.penalty_max));
        length
    }

    /// Forgets callers whose state is that of a new one.
    pub fn sweep(&mut self, now: Instant) {
        self.peers.retain(|_, caller| {
            // A full bucket is like a new one, so forgetting it changes no answer.
            caller.nodes.retain(|_, bucket| !bucket.is_full(now));
            caller.idle_at.is_some_and(|idle_at| now < idle_at)
        });
    }

    /// The number of callers remembered.
    #[must_use]
    pub fn active_peers(&self) -> usize {
        self.peers.len()
    }

    /// The state of a caller. A new caller that exceeds `max_peers` replaces idle ones,
    /// else the one that is idle first: refusing it would let those that came first lock it
    /// out, and any other choice would let newcomers end the penalty of a busy one.
    fn caller(&mut self, peer: &PeerId, now: Instant) -> &mut CallerState {
        if !self.peers.contains_key(peer) && self.peers.len() >= self.limits.max_peers {
            self.sweep(now);
            if self.peers.len() >= self.limits.max_peers {
                // The search is linear in the callers, but runs only when a new caller meets a full
                // table.
                let idlest = self.peers.iter().min_by_key(|(_, caller)| caller.idle_at);
                if let Some(id) = idlest.map(|(id, _)| id.clone()) {
                    self.peers.remove(&id);
                }
            }
        }
        self.peers.entry(peer.clone()).or_default()
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
    fn poller_of_50_nodes_is_served() {
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
    fn bucket_gives_burst_then_rate() {
        let (mut limiter, now) = (Limiter::new(Limits::default()), Instant::now());
        let peer = PeerId::Uid(1000);
        let spend = |limiter: &mut Limiter, at| limiter.spend(&peer, Bucket::Own, at).is_ok();
        assert!(spend(&mut limiter, now) && spend(&mut limiter, now));
        assert!(!spend(&mut limiter, now));
        assert!(!spend(&mut limiter, now + SECOND * 4));
        let refused = limiter.spend(&peer, Bucket::Own, now + SECOND * 4);
        assert_eq!(refused.unwrap_err().retry_in, Some(SECOND));
        assert!(spend(&mut limiter, now + SECOND * 5));
        assert!(!spend(&mut limiter, now + SECOND * 9));
        assert!(spend(&mut limiter, now + SECOND * 10));
    }

    #[test]
    fn buckets_are_independent() {
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
    fn penalties_double_and_expire() {
        let (mut limiter, mut now) = (Limiter::new(Limits::default()), Instant::now());
        let peer = PeerId::Uid(1);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(limiter.penalise(&peer, now), SECOND * seconds);
            let refused = Refused {
                limit: Refusal::Penalty,
                retry_in: Some(SECOND * seconds),
            };
            assert_eq!(limiter.check_penalty(&peer, now), Err(refused));
            now += SECOND * seconds;
            assert_eq!(limiter.check_penalty(&peer, now), Ok(()));
        }
        now += SECOND * 60;
        assert_eq!(limiter.penalise(&peer, now), SECOND * 2);
        limiter.sweep(now + SECOND * 62);
        assert_eq!(limiter.active_peers(), 0);
    }

    #[test]
    fn remembered_callers_are_bounded() {
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

    /// A caller whose own bucket was never used, but who has spent or is punished.
    #[test]
    fn full_table_forgets_the_idlest() {
        let limits = Limits {
            max_peers: 2,
            ..Limits::default()
        };
        let now = Instant::now();
        let (punished, reader) = (PeerId::Uid(1), PeerId::Uid(2));
        for kept in [&punished, &reader] {
            let mut limiter = Limiter::new(limits);
            if *kept == punished {
                limiter.penalise(&punished, now);
            } else {
                while limiter.spend(&reader, Bucket::Node(&node(1)), now).is_ok() {}
            }
            // Each one of these is less busy.
            for uid in 10..20 {
                assert!(limiter.spend(&PeerId::Uid(uid), Bucket::Own, now).is_ok());
            }
            let is_kept = limiter.check_penalty(kept, now).is_err()
                || limiter.spend(kept, Bucket::Node(&node(1)), now).is_err();
            assert!(is_kept, "{kept}");
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
        /// A bucket gives at most its burst and the rate, whatever the schedule.
        #[test]
        fn no_schedule_exceeds_the_rate(
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
