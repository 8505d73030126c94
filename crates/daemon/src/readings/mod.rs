//! From a request to a sample: cache, queue, flight.
//!
//! A flight is an exchange with one node that any number of callers wait for. It
//! runs in a task of its own, so a caller that goes away takes only its wait with
//! it. Slots are given back before any waiting caller is told the outcome: one
//! that asks again at once is not refused for its own last request.

pub(crate) mod poll;

use crate::node::{NodeFailure, NodeHandle, Nodes, Sample};
use crate::observe::metrics::{self, Metrics};
use pulse_core::event::{FailureReason, HostKeyReason};
use pulse_core::name::NodeName;
use pulse_core::peer::PeerId;
use pulse_core::work::{Caps, Ticket, WorkQueue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// After this long without an answer an exchange gives its slot to others.
const PARK_AFTER: Duration = Duration::from_millis(250);

/// What a reading comes to.
pub(crate) type Outcome = Result<Arc<Sample>, NodeFailure>;

/// How readings are made; swapped whole on a reload.
#[derive(Clone)]
pub(crate) struct ReadingSettings {
    /// The nodes and their tasks.
    pub nodes: Nodes,
    /// How long a sample is given again as it is.
    pub cache_ttl: Duration,
    /// How long an exchange may take.
    pub deadline: Duration,
}

/// All readings under way.
pub(crate) struct Readings {
    settings: RwLock<Arc<ReadingSettings>>,
    flights: Mutex<Flights>,
    metrics: Arc<Metrics>,
}

struct Flights {
    queue: WorkQueue,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
}

impl Readings {
    /// Nothing under way yet.
    #[must_use]
    pub(crate) fn new(settings: ReadingSettings, caps: Caps, metrics: Arc<Metrics>) -> Self {
        let flights = Flights {
            queue: WorkQueue::new(caps),
            waiting: HashMap::new(),
        };
        Self {
            settings: RwLock::new(Arc::new(settings)),
            flights: Mutex::new(flights),
            metrics,
        }
    }

    /// The settings in force.
    #[must_use]
    pub(crate) fn settings(&self) -> Arc<ReadingSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes new settings; flights under way go on.
    pub(crate) fn set(&self, settings: ReadingSettings, caps: Caps) {
        let mut flights = self.flights();
        flights.queue.set_caps(caps);
        flights
            .queue
            .retain_nodes(|node| settings.nodes.get(node).is_some());
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Reads a node for a caller, or lets it share what others have or get.
    /// Dropping the future gives up the wait and nothing else.
    ///
    /// # Errors
    /// Whatever kept the node from being read before the deadline.
    pub(crate) async fn read(
        self: &Arc<Self>,
        peer: &PeerId,
        node: &NodeName,
        deadline: Instant,
    ) -> Outcome {
        let settings = self.settings();
        let handle = settings.nodes.get(node).ok_or(NodeFailure::Removed)?;
        if let Some(sample) = handle.fresh_sample(settings.cache_ttl) {
            return Ok(sample);
        }
        if let Some(failure) = handle.blocked() {
            return Err(failure);
        }
        let (mut wait, outcome) = self.join(peer, node)?;
        self.start_flights();
        let outcome = timeout_at(deadline, outcome).await;
        wait.over = outcome.is_ok();
        match outcome {
            Ok(outcome) => outcome.unwrap_or(Err(NodeFailure::Removed)),
            Err(_) => Err(NodeFailure::TimedOut),
        }
    }

    fn join(
        self: &Arc<Self>,
        peer: &PeerId,
        node: &NodeName,
    ) -> Result<(Wait, oneshot::Receiver<Outcome>), NodeFailure> {
        let (sender, outcome) = oneshot::channel();
        let mut flights = self.flights();
        let ticket = flights.queue.request(peer, node).map_err(|_| {
            self.metrics.refused("queue_full", peer);
            NodeFailure::QueueFull
        })?;
        flights.waiting.insert(ticket, sender);
        let wait = Wait {
            readings: Arc::clone(self),
            node: node.clone(),
            ticket,
            over: false,
        };
        Ok((wait, outcome))
    }

    /// Starts whatever the queue lets start.
    fn start_flights(self: &Arc<Self>) {
        let mut flights = self.flights();
        while let Some(node) = flights.queue.start_next() {
            tokio::spawn(Arc::clone(self).fly(node));
        }
        self.show(&flights.queue);
    }

    async fn fly(self: Arc<Self>, node: NodeName) {
        let settings = self.settings();
        let started = Instant::now();
        let outcome = match settings.nodes.get(&node) {
            Some(handle) => {
                self.exchange(handle, &node, started + settings.deadline)
                    .await
            }
            None => Err(NodeFailure::Removed),
        };
        let took = started.elapsed();
        self.count(&node, &outcome, took);
        self.land(&node, &outcome, took < PARK_AFTER);
        self.start_flights();
    }

    /// One exchange, parked when it takes long.
    async fn exchange(
        self: &Arc<Self>,
        handle: &NodeHandle,
        node: &NodeName,
        deadline: Instant,
    ) -> Outcome {
        let exchange = handle.read(deadline);
        tokio::pin!(exchange);
        if let Ok(outcome) = tokio::time::timeout(PARK_AFTER, &mut exchange).await {
            return outcome;
        }
        self.flights().queue.park(node);
        self.start_flights();
        exchange.await
    }

    fn land(&self, node: &NodeName, outcome: &Outcome, quickly: bool) {
        let mut flights = self.flights();
        for ticket in flights.queue.finish(node, quickly) {
            if let Some(waiting) = flights.waiting.remove(&ticket) {
                // One that has just given up does not listen any more.
                let _ = waiting.send(outcome.clone());
            }
        }
    }

    fn count(&self, node: &NodeName, outcome: &Outcome, took: Duration) {
        let result = match outcome {
            Ok(sample) => {
                let dropped = sample.dropped.implausible + sample.dropped.malformed;
                self.metrics.dropped(node, dropped);
                "success"
            }
            Err(failure) => {
                let reason = failure.reason();
                match reason {
                    FailureReason::HostKey(HostKeyReason::Changed) => {
                        self.metrics.host_key_changed(node);
                    }
                    FailureReason::Oversized => self.metrics.oversized(node),
                    _ => {}
                }
                reason.as_str()
            }
        };
        self.metrics.exchange(node, result, took);
    }

    fn show(&self, queue: &WorkQueue) {
        self.metrics.queue_depth.set(metrics::gauge(queue.queued()));
        self.metrics.inflight.set(metrics::gauge(queue.running()));
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's place among those who wait.
struct Wait {
    readings: Arc<Readings>,
    node: NodeName,
    ticket: Ticket,
    over: bool,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.over {
            let mut flights = self.readings.flights();
            flights.waiting.remove(&self.ticket);
            flights.queue.leave(&self.node, self.ticket);
        }
    }
}

#[cfg(test)]
mod tests;
