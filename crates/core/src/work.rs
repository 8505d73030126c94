//! The work queue: how many exchanges with nodes run at a time, and for which caller.
//!
//! A *flight* is one exchange with one node, shared by all callers that wait for that node
//! (the "singleflight" pattern). A caller has a few slots, all callers together have some
//! more. Excess flights are queued, and callers take turns, so that a long list of one
//! caller does not delay the others.
//!
//! A slot limits work, and an exchange that waits long for its node is no longer work. The
//! driver *parks* such a flight: it continues without its slot, and the next flight to that
//! node starts parked. Otherwise two nodes that hang would occupy both slots of a caller,
//! and delay its other nodes, until the deadline. Parked flights need no cap of their own,
//! because a node has one flight at a time.

use crate::callers::peer::PeerId;
use crate::nodes::name::NodeName;
use std::collections::{HashMap, HashSet, VecDeque};

/// The most work at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Running flights of one caller.
    pub per_peer: usize,
    /// Running flights in all.
    pub total: usize,
    /// Waiting requests of one caller.
    pub waiting_per_peer: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            per_peer: 2,
            total: 8,
            waiting_per_peer: 128,
        }
    }
}

/// A request that waits for a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The caller has too many requests waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting")]
pub struct QueueFull;

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    /// Runs in a slot of this caller.
    Running(PeerId),
    /// Runs without a slot.
    Parked,
}

#[derive(Debug)]
struct Flight {
    phase: Phase,
    waiting: Vec<(Ticket, PeerId)>,
}

#[derive(Debug, Default)]
struct Caller {
    running: usize,
    waiting: usize,
    /// Nodes that it waits for. A flight that another caller's turn started stays here and
    /// is skipped later: removing it then would search the queues of all its callers.
    queue: VecDeque<NodeName>,
}

/// All flights and the callers that wait for them.
#[derive(Debug)]
pub struct WorkQueue {
    caps: Caps,
    flights: HashMap<NodeName, Flight>,
    callers: HashMap<PeerId, Caller>,
    /// Callers with queued flights, in the order of their turns.
    turns: VecDeque<PeerId>,
    /// Flights that start without a slot.
    parked: VecDeque<NodeName>,
    running: usize,
    queued: usize,
    last_ticket: u64,
    /// Nodes whose last flight was slow.
    slow: HashSet<NodeName>,
}

impl WorkQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            flights: HashMap::new(),
            callers: HashMap::new(),
            turns: VecDeque::new(),
            parked: VecDeque::new(),
            running: 0,
            queued: 0,
            last_ticket: 0,
            slow: HashSet::new(),
        }
    }

    /// Replaces the caps; running flights continue.
    pub fn set_caps(&mut self, caps: Caps) {
        self.caps = caps;
    }

    /// Adds a request for a node: it joins the node's flight, or queues a new one. Call
    /// [`WorkQueue::start_next`] afterwards.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn request(&mut self, peer: &PeerId, node: &NodeName) -> Result<Ticket, QueueFull> {
        let caller = self.callers.entry(peer.clone()).or_default();
        if caller.waiting >= self.caps.waiting_per_peer {
            return Err(QueueFull);
        }
        caller.waiting += 1;
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let flight = self.flights.entry(node.clone()).or_insert_with(|| {
            let phase = if self.slow.contains(node) {
                self.parked.push_back(node.clone());
                Phase::Parked
            } else {
                self.queued += 1;
                Phase::Queued
            };
            Flight {
                phase,
                waiting: Vec::new(),
            }
        });
        let is_first = !flight.waiting.iter().any(|(_, waiting)| waiting == peer);
        flight.waiting.push((ticket, peer.clone()));
        // A caller that joins a queued flight queues it for itself too: the flight then
        // starts in the turn of whichever of its callers comes first.
        if is_first && flight.phase == Phase::Queued {
            if caller.queue.is_empty() && !self.turns.contains(peer) {
                self.turns.push_back(peer.clone());
            }
            caller.queue.push_back(node.clone());
        }
        Ok(ticket)
    }

    /// The next flight to start, if one may. Call until there is none.
    pub fn start_next(&mut self) -> Option<NodeName> {
        // Parked flights need no slot, so they never have to wait for one.
        if let Some(node) = self.parked.pop_front() {
            return Some(node);
        }
        // Each caller once: one that has used up its slots does not hold up the next.
        for _ in 0..self.turns.len() {
            let peer = self.turns.pop_front()?;
            let started = self.start_for(&peer);
            // One flight for each turn, then the caller goes to the end of the line.
            if self.callers.get(&peer).is_some_and(|c| !c.queue.is_empty()) {
                self.turns.push_back(peer);
            }
            if started.is_some() {
                return started;
            }
        }
        None
    }

    /// Removes a request whose caller gave up. A queued flight that no request waits for is
    /// dropped.
    pub fn leave(&mut self, node: &NodeName, ticket: Ticket) {
        let Some(flight) = self.flights.get_mut(node) else {
            return;
        };
        let Some(at) = flight.waiting.iter().position(|(t, _)| *t == ticket) else {
            return;
        };
        // The order of requests has no meaning: one flight answers all of them.
        let (_, peer) = flight.waiting.swap_remove(at);
        // A flight that runs is not cut short: the driver ends it with `finish`.
        if flight.phase == Phase::Queued && flight.waiting.is_empty() {
            self.flights.remove(node);
            self.queued -= 1;
            if let Some(caller) = self.callers.get_mut(&peer) {
                caller.queue.retain(|queued| queued != node);
            }
        }
        self.stop_waiting(&peer);
    }

    /// Ends the wait of a caller whose flight should go on: a queued flight keeps its only
    /// request, or nothing would start it. So a caller has at most one such request for a node.
    /// True if the request has left the queue.
    pub fn leave_running(&mut self, node: &NodeName, ticket: Ticket) -> bool {
        let is_needed = self.flights.get(node).is_some_and(|flight| {
            flight.phase == Phase::Queued
                && matches!(flight.waiting[..], [(only, _)] if only == ticket)
        });
        if !is_needed {
            self.leave(node, ticket);
        }
        !is_needed
    }

    /// Parks a flight that has waited long for its node. Call [`WorkQueue::start_next`]
    /// afterwards.
    pub fn park(&mut self, node: &NodeName) {
        let Some(flight) = self.flights.get_mut(node) else {
            return;
        };
        // One that is parked already has no slot to give back.
        if let Phase::Running(peer) = std::mem::replace(&mut flight.phase, Phase::Parked) {
            self.slow.insert(node.clone());
            self.release_slot(&peer);
        }
    }

    /// Ends a flight; returns the requests that waited for it. `quickly` is false for one
    /// that would have been parked. Call [`WorkQueue::start_next`] afterwards.
    pub fn finish(&mut self, node: &NodeName, quickly: bool) -> Vec<Ticket> {
        // A slow node stays so until a flight ends quickly, and costs no slot until then.
        if quickly {
            self.slow.remove(node);
        }
        let Some(flight) = self.flights.remove(node) else {
            return Vec::new();
        };
        match flight.phase {
            Phase::Running(peer) => self.release_slot(&peer),
            Phase::Queued => self.queued -= 1,
            Phase::Parked => {}
        }
        for (_, peer) in &flight.waiting {
            self.stop_waiting(peer);
        }
        flight
            .waiting
            .into_iter()
            .map(|(ticket, _)| ticket)
            .collect()
    }

    /// Forgets nodes that were removed from the configuration.
    pub fn retain_nodes(&mut self, keep: impl Fn(&NodeName) -> bool) {
        self.slow.retain(keep);
    }

    /// The number of flights in a slot.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// The number of queued flights.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    fn start_for(&mut self, peer: &PeerId) -> Option<NodeName> {
        let caller = self.callers.get_mut(peer)?;
        if caller.running >= self.caps.per_peer || self.running >= self.caps.total {
            return None;
        }
        while let Some(node) = caller.queue.pop_front() {
            let Some(flight) = self.flights.get_mut(&node) else {
                continue;
            };
            // Skips a flight that has started, or that this caller has left.
            if flight.phase == Phase::Queued && flight.waiting.iter().any(|(_, p)| p == peer) {
                flight.phase = Phase::Running(peer.clone());
                caller.running += 1;
                self.running += 1;
                self.queued -= 1;
                return Some(node);
            }
        }
        None
    }

    fn release_slot(&mut self, peer: &PeerId) {
        self.running -= 1;
        if let Some(caller) = self.callers.get_mut(peer) {
            caller.running -= 1;
        }
        self.forget_if_idle(peer);
    }

    fn stop_waiting(&mut self, peer: &PeerId) {
        if let Some(caller) = self.callers.get_mut(peer) {
            caller.waiting -= 1;
        }
        self.forget_if_idle(peer);
    }

    fn forget_if_idle(&mut self, peer: &PeerId) {
        let is_idle = |caller: &Caller| caller.running == 0 && caller.waiting == 0;
        if self.callers.get(peer).is_some_and(is_idle) {
            self.callers.remove(peer);
            // It waits for no flight, so it has nothing to start in its turn.
            self.turns.retain(|turn| turn != peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(i: usize) -> NodeName {
        NodeName::parse(&format!("pve{i}")).unwrap()
    }

    fn starts(queue: &mut WorkQueue) -> Vec<NodeName> {
        std::iter::from_fn(|| queue.start_next()).collect()
    }

    fn queue() -> WorkQueue {
        WorkQueue::new(Caps::default())
    }

    const A: PeerId = PeerId::Uid(1);
    const B: PeerId = PeerId::Uid(2);

    #[test]
    fn left_flights_start_later() {
        let mut queue = queue();
        let tickets: Vec<_> = (0..4)
            .map(|i| queue.request(&A, &node(i)).unwrap())
            .collect();
        let running = starts(&mut queue);
        assert_eq!(running, [node(0), node(1)]);
        assert!(queue.leave_running(&node(0), tickets[0]));
        assert!(!queue.leave_running(&node(2), tickets[2]));
        // A second request for the same node leaves, and the flight stays queued.
        let again = queue.request(&A, &node(2)).unwrap();
        assert!(queue.leave_running(&node(2), again));
        // One that is given up is dropped.
        queue.leave(&node(3), tickets[3]);
        assert_eq!(queue.queued(), 1);
        assert!(queue.finish(&node(0), true).is_empty());
        assert_eq!(starts(&mut queue), [node(2)]);
        assert_eq!(queue.finish(&node(2), true), [tickets[2]]);
        queue.finish(&node(1), true);
        assert!(queue.callers.is_empty() && queue.flights.is_empty());
    }

    #[test]
    fn caller_runs_two_and_all_eight() {
        let mut queue = queue();
        for peer in 0..6 {
            for i in 0..10 {
                queue
                    .request(&PeerId::Uid(peer), &node(peer as usize * 10 + i))
                    .unwrap();
            }
        }
        let mut running = starts(&mut queue);
        assert_eq!((running.len(), queue.running(), queue.queued()), (8, 8, 52));
        let mut order = Vec::new();
        while let Some(node) = running.pop() {
            assert_eq!(queue.finish(&node, true).len(), 1);
            order.push(node);
            running.extend(starts(&mut queue));
            assert!(queue.running() <= 8);
        }
        assert_eq!((order.len(), queue.running(), queue.queued()), (60, 0, 0));
    }

    #[test]
    fn callers_of_a_node_share_flight() {
        let mut queue = queue();
        let first = queue.request(&A, &node(1)).unwrap();
        assert_eq!(starts(&mut queue), [node(1)]);
        let second = queue.request(&B, &node(1)).unwrap();
        assert_eq!(starts(&mut queue), []);
        assert_eq!(queue.finish(&node(1), true), [first, second]);
        assert_eq!(queue.finish(&node(1), true), []);
    }

    #[test]
    fn joining_caller_lends_its_turn() {
        let mut queue = queue();
        for i in 0..50 {
            queue.request(&A, &node(i)).unwrap();
        }
        assert_eq!(starts(&mut queue).len(), 2);
        queue.request(&B, &node(49)).unwrap();
        assert_eq!(starts(&mut queue), [node(49)]);
    }

    #[test]
    fn hanging_node_takes_no_slot() {
        let mut queue = queue();
        for i in 0..4 {
            queue.request(&A, &node(i)).unwrap();
        }
        assert_eq!(starts(&mut queue), [node(0), node(1)]);
        queue.park(&node(0));
        queue.park(&node(0));
        queue.park(&node(1));
        assert_eq!(starts(&mut queue), [node(2), node(3)]);
        queue.finish(&node(0), false);
        // The node is known to be slow, so the flight starts although both slots are taken.
        queue.request(&A, &node(0)).unwrap();
        assert_eq!(starts(&mut queue), [node(0)]);
        queue.finish(&node(0), true);
        queue.request(&A, &node(0)).unwrap();
        assert_eq!(starts(&mut queue), []);
    }

    #[test]
    fn leaving_affects_own_wait_only() {
        let mut queue = queue();
        for i in 0..2 {
            queue.request(&A, &node(i)).unwrap();
        }
        assert_eq!(starts(&mut queue).len(), 2);
        let alone = queue.request(&A, &node(2)).unwrap();
        let shared = queue.request(&A, &node(3)).unwrap();
        let other = queue.request(&B, &node(3)).unwrap();
        queue.leave(&node(2), alone);
        queue.leave(&node(3), shared);
        queue.leave(&node(3), shared);
        assert_eq!(queue.queued(), 1);
        assert_eq!(starts(&mut queue), [node(3)]);
        assert_eq!(queue.finish(&node(3), true), [other]);
    }

    #[test]
    fn excess_requests_are_refused() {
        let mut queue = queue();
        for _ in 0..128 {
            queue.request(&A, &node(1)).unwrap();
        }
        assert_eq!(queue.request(&A, &node(2)), Err(QueueFull));
        assert!(queue.request(&B, &node(2)).is_ok());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Request(u32, usize),
        Leave(usize),
        Park(usize),
        Finish(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u32..5, 0usize..12).prop_map(|(p, n)| Step::Request(p, n)),
            1 => (0usize..64).prop_map(Step::Leave),
            1 => (0usize..16).prop_map(Step::Park),
            3 => (0usize..16).prop_map(Step::Finish),
        ]
    }

    proptest! {
        /// The caps hold, no node has two flights, no request is lost, and nothing is left
        /// at the end.
        #[test]
        fn no_schedule_breaks_caps(
            steps in proptest::collection::vec(step(), 0..400),
        ) {
            let mut queue = queue();
            let mut flying: Vec<NodeName> = Vec::new();
            let mut waiting: Vec<(NodeName, Ticket)> = Vec::new();
            for step in steps {
                match step {
                    Step::Request(peer, n) => {
                        if let Ok(ticket) = queue.request(&PeerId::Uid(peer), &node(n)) {
                            waiting.push((node(n), ticket));
                        }
                    }
                    Step::Leave(i) if i < waiting.len() => {
                        let (node, ticket) = waiting.swap_remove(i);
                        queue.leave(&node, ticket);
                    }
                    Step::Park(i) if i < flying.len() => queue.park(&flying[i]),
                    Step::Finish(i) if i < flying.len() => {
                        let node = flying.swap_remove(i);
                        let done = queue.finish(&node, i % 2 == 0);
                        waiting.retain(|(_, ticket)| !done.contains(ticket));
                    }
                    _ => {}
                }
                while let Some(node) = queue.start_next() {
                    prop_assert!(!flying.contains(&node));
                    flying.push(node);
                }
                prop_assert!(queue.running() <= 8);
                prop_assert!(queue.callers.values().all(|c| c.running <= 2));
            }
            while let Some(node) = flying.pop() {
                let done = queue.finish(&node, true);
                waiting.retain(|(_, ticket)| !done.contains(ticket));
                flying.extend(std::iter::from_fn(|| queue.start_next()));
            }
            prop_assert!(waiting.is_empty());
            prop_assert!(queue.flights.is_empty() && queue.callers.is_empty());
            prop_assert!(queue.turns.is_empty() && queue.running() == 0 && queue.queued() == 0);
        }
    }
}
