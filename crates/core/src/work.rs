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
    requests: Vec<FlightRequest>,
}

#[derive(Debug)]
struct FlightRequest {
    ticket: Ticket,
    peer: PeerId,
    /// Its caller waits no longer. It stays, so that the flight starts.
    is_left: bool,
}

impl Flight {
    /// Marks a request as left, and gives its caller. `None` if the flight has started, or keeps
    /// a request of that caller already.
    fn keep(&mut self, ticket: Ticket) -> Option<PeerId> {
        let is_it = |request: &FlightRequest| request.ticket == ticket;
        let peer = self.requests.iter().find(|r| is_it(r))?.peer.clone();
        let is_kept = self.requests.iter().any(|r| r.is_left && r.peer == peer);
        if self.phase != Phase::Queued || is_kept {
            return None;
        }
        self.requests.iter_mut().find(|r| is_it(r))?.is_left = true;
        Some(peer)
    }
}

#[derive(Debug, Default)]
struct Caller {
    running: usize,
    waiting: usize,
    /// Requests that it has left in queued flights, at most one for each node. They are not
    /// waiting, so they take no room from its next requests.
    left: usize,
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
                requests: Vec::new(),
            }
        });
        let is_first = !flight.requests.iter().any(|request| request.peer == *peer);
        flight.requests.push(FlightRequest {
            ticket,
            peer: peer.clone(),
            is_left: false,
        });
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
        let Some(at) = flight.requests.iter().position(|r| r.ticket == ticket) else {
            return;
        };
        // The order of requests has no meaning: one flight answers all of them.
        let request = flight.requests.swap_remove(at);
        // A flight that runs is not cut short: the driver ends it with `finish`.
        if flight.phase == Phase::Queued && flight.requests.is_empty() {
            self.flights.remove(node);
            self.queued -= 1;
            if let Some(caller) = self.callers.get_mut(&request.peer) {
                caller.queue.retain(|queued| queued != node);
            }
        }
        self.end_request(&request);
    }

    /// Ends the wait of a caller whose flight should go on. A queued flight keeps one request of
    /// each such caller: the other requests may be given up, and then nothing would start it.
    /// True if the request has left the queue.
    pub fn leave_running(&mut self, node: &NodeName, ticket: Ticket) -> bool {
        let kept = self.flights.get_mut(node);
        let Some(peer) = kept.and_then(|flight| flight.keep(ticket)) else {
            self.leave(node, ticket);
            return true;
        };
        if let Some(caller) = self.callers.get_mut(&peer) {
            caller.waiting -= 1;
            caller.left += 1;
        }
        false
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
        for request in &flight.requests {
            self.end_request(request);
        }
        let tickets = flight.requests.into_iter();
        tickets.map(|request| request.ticket).collect()
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
            if flight.phase == Phase::Queued && flight.requests.iter().any(|r| r.peer == *peer) {
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

    fn end_request(&mut self, request: &FlightRequest) {
        if let Some(caller) = self.callers.get_mut(&request.peer) {
            if request.is_left {
                caller.left -= 1;
            } else {
                caller.waiting -= 1;
            }
        }
        self.forget_if_idle(&request.peer);
    }

    fn forget_if_idle(&mut self, peer: &PeerId) {
        let is_idle =
            |caller: &Caller| caller.running == 0 && caller.waiting == 0 && caller.left == 0;
        if self.callers.get(peer).is_some_and(is_idle) {
            self.callers.remove(peer);
            // It waits for no flight, so it has nothing to start in its turn.
            self.turns.retain(|turn| turn != peer);
        }
    }
}

#[cfg(test)]
mod tests;
