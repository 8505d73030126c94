//! Readings: from the sample cache, or from an exchange that callers share.
//!
//! An exchange with a node runs in a task of its own, and any number of callers wait for it:
//! one that gives up ends its own wait and nothing else. Slots are released before the
//! callers are answered, so that a caller that asks again at once finds its slot free.

pub(crate) mod poll;

use crate::node::{KeyScope, NodeFailure, NodeHandle, Nodes, Sample};
use crate::observe::metrics::{self, Metrics};
use crate::observe::recorder::Recorder;
use pulse_core::callers::peer::PeerId;
use pulse_core::event::{Event, FailureReason, HostKeyReason, ReadingFailure};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::Retry;
use pulse_core::work::{Caps, Ticket, WorkQueue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// The time after which an exchange without an answer gives up its slot.
const PARK_AFTER: Duration = Duration::from_millis(250);

/// The outcome of a reading.
pub(crate) type Outcome = Result<Arc<Sample>, NodeFailure>;

/// The settings of readings; replaced whole by a reload.
#[derive(Clone)]
pub(crate) struct ReadingSettings {
    /// The nodes and their tasks.
    pub nodes: Nodes,
    /// The age up to which a sample is served again.
    pub cache_ttl: Duration,
    /// The deadline of an exchange.
    pub deadline: Duration,
}

/// The time that a caller waits for a reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub until: Instant,
    /// The fate of a reading that takes longer.
    pub then: WhenLate,
}

/// The fate of a reading whose caller waits no longer. One that has begun always ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenLate {
    /// The caller has waited for as long as a reading may take.
    GiveUp,
    /// The caller is told that the reading goes on, and asks again.
    GoOn,
}

/// The readings under way.
pub(crate) struct Readings {
    settings: RwLock<Arc<ReadingSettings>>,
    exchanges: Mutex<Exchanges>,
    metrics: Arc<Metrics>,
    recorder: Arc<dyn Recorder>,
}

struct Exchanges {
    queue: WorkQueue,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
}

impl Readings {
    #[must_use]
    pub(crate) fn new(
        settings: ReadingSettings,
        caps: Caps,
        metrics: Arc<Metrics>,
        recorder: Arc<dyn Recorder>,
    ) -> Self {
        let exchanges = Exchanges {
            queue: WorkQueue::new(caps),
            waiting: HashMap::new(),
        };
        Self {
            settings: RwLock::new(Arc::new(settings)),
            exchanges: Mutex::new(exchanges),
            metrics,
            recorder,
        }
    }

    /// The settings in force.
    #[must_use]
    pub(crate) fn settings(&self) -> Arc<ReadingSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the settings; exchanges under way go on.
    pub(crate) fn set(&self, settings: ReadingSettings, caps: Caps) {
        let mut exchanges = self.exchanges();
        exchanges.queue.set_caps(caps);
        exchanges
            .queue
            .retain_nodes(|node| settings.nodes.get(node).is_some());
        let settings = Arc::new(settings);
        let before = {
            let mut current = self
                .settings
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, Arc::clone(&settings))
        };
        // After the exchange: a reading that ends now writes before it, or no longer.
        for node in before.nodes.names() {
            if !settings.nodes.has_spelling(node) {
                self.metrics.forget_node(node);
            }
        }
    }

    /// Sets gauges of a node after a reading, unless a reload has removed the node or spelled it
    /// otherwise meanwhile: nothing would remove these gauges any more.
    fn publish(&self, node: &NodeName, set: impl FnOnce(&Metrics)) {
        // Held while writing, so that no reload comes in between.
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        if settings.nodes.has_spelling(node) {
            set(&self.metrics);
        }
    }

    /// Sets the gauge of each node that says whether it fails. At each scrape, so that a node that
    /// nobody asks for has its series too, and a host key that was withdrawn between readings
    /// counts.
    pub(crate) fn publish_failing(&self) {
        // Held while writing, as in `publish`.
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        for (node, handle) in settings.nodes.all() {
            self.metrics.node_failing(node, handle.is_failing());
        }
    }

    /// Reads a node for a caller: gives a fresh sample, joins the exchange under way, or
    /// starts one. Dropping the future gives up the wait and nothing else.
    ///
    /// # Errors
    /// The failure that kept the node from being read before the deadline.
    pub(crate) async fn read(
        self: &Arc<Self>,
        peer: &PeerId,
        node: &NodeName,
        wait: Wait,
        retry: Retry,
    ) -> Outcome {
        let settings = self.settings();
        let handle = settings.nodes.get(node).ok_or(NodeFailure::Removed)?;
        if let Some(sample) = handle.fresh_sample(settings.cache_ttl) {
            return Ok(sample);
        }
        if let Some(failure) = handle.blocked(retry) {
            return Err(failure);
        }
        let (mut place, outcome) = self.join(peer, node)?;
        self.start_exchanges();
        let outcome = timeout_at(wait.until, outcome).await;
        match (outcome, wait.then) {
            (Ok(outcome), _) => {
                place.over = true;
                outcome.unwrap_or(Err(NodeFailure::Removed))
            }
            // The drop of `place` takes this caller out of the queue.
            (Err(_), WhenLate::GiveUp) => Err(handle.late()),
            (Err(_), WhenLate::GoOn) => {
                place.leave_running();
                Err(NodeFailure::Pending)
            }
        }
    }

    fn join(
        self: &Arc<Self>,
        peer: &PeerId,
        node: &NodeName,
    ) -> Result<(Place, oneshot::Receiver<Outcome>), NodeFailure> {
        let (sender, outcome) = oneshot::channel();
        // One lock for both steps: the exchange must not finish between them, or nothing would
        // answer this caller.
        let mut exchanges = self.exchanges();
        let ticket = exchanges.queue.request(peer, node).map_err(|_| {
            self.metrics.refused("queue_full", peer);
            NodeFailure::QueueFull
        })?;
        exchanges.waiting.insert(ticket, sender);
        let place = Place {
            readings: Arc::clone(self),
            node: node.clone(),
            ticket,
            over: false,
        };
        Ok((place, outcome))
    }

    /// Starts the exchanges for which the queue has a slot.
    fn start_exchanges(self: &Arc<Self>) {
        let mut exchanges = self.exchanges();
        while let Some(node) = exchanges.queue.start_next() {
            tokio::spawn(Arc::clone(self).run(node));
        }
        let (queued, running) = (exchanges.queue.queued(), exchanges.queue.running());
        self.metrics.queue_depth.set(metrics::gauge(queued));
        self.metrics.inflight.set(metrics::gauge(running));
    }

    async fn run(self: Arc<Self>, node: NodeName) {
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
        let result = match &outcome {
            Ok(sample) => {
                self.metrics
                    .dropped(&node, sample.dropped.implausible + sample.dropped.malformed);
                let is_clock_wrong = settings
                    .nodes
                    .get(&node)
                    .is_some_and(|handle| handle.clock_warning().is_some());
                self.publish(&node, |metrics| {
                    metrics.sensors(&node, sample.sensors);
                    metrics.clock(&node, sample.clock, is_clock_wrong);
                    if sample.key_scope != KeyScope::Unknown {
                        let is_missing = sample.key_scope != KeyScope::ForcedCommand;
                        metrics.forced_command_missing(&node, is_missing);
                    }
                });
                "success"
            }
            Err(failure) => {
                let reason = failure.reason();
                match reason {
                    FailureReason::HostKey(HostKeyReason::Changed) => {
                        self.metrics.host_key_changed(&node);
                    }
                    FailureReason::Oversized => self.metrics.oversized(&node),
                    FailureReason::NoForcedCommand => self.publish(&node, |metrics| {
                        metrics.forced_command_missing(&node, true);
                    }),
                    _ => {}
                }
                reason.as_str()
            }
        };
        self.metrics.exchange(&node, result, took);
        let is_answered = self.finish(&node, &outcome, took < PARK_AFTER);
        // The slot of this exchange is free now.
        self.start_exchanges();
        if !is_answered && let Err(failure) = &outcome {
            self.record_refusal(&node, failure).await;
        }
    }

    /// Records a refusal for security that no caller is there to be told of. The records of the
    /// requests have ended as pending or abandoned, and later requests meet the node's wait.
    async fn record_refusal(&self, node: &NodeName, failure: &NodeFailure) {
        // A withdrawn host key has its record already.
        if let NodeFailure::HostKey(_)
        | NodeFailure::AddressNotPermitted
        | NodeFailure::NoForcedCommand { .. } = failure
        {
            let event = Event::LateRefusal {
                node,
                failure: ReadingFailure {
                    reason: failure.reason(),
                    error: &failure.to_string(),
                },
            };
            // Nothing depends on the record here; the recorder logs that it has failed.
            let _ = self.recorder.record(&event).await;
        }
    }

    /// One exchange; it is parked when it takes long.
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
        // A node that hangs until its deadline must not keep the others waiting.
        self.exchanges().queue.park(node);
        self.start_exchanges();
        exchange.await
    }

    /// Ends an exchange; true if a caller was there for its outcome.
    fn finish(&self, node: &NodeName, outcome: &Outcome, quickly: bool) -> bool {
        let mut exchanges = self.exchanges();
        let mut is_answered = false;
        for ticket in exchanges.queue.finish(node, quickly) {
            if let Some(waiting) = exchanges.waiting.remove(&ticket) {
                // The caller may have given up just now.
                is_answered |= waiting.send(outcome.clone()).is_ok();
            }
        }
        is_answered
    }

    fn exchanges(&self) -> MutexGuard<'_, Exchanges> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's place in the queue; dropped before its end, it leaves the queue.
struct Place {
    readings: Arc<Readings>,
    node: NodeName,
    ticket: Ticket,
    over: bool,
}

impl Place {
    /// Leaves the queue if the reading goes on without this caller. Otherwise its request stays
    /// until the exchange has ended, which then answers nobody.
    fn leave_running(mut self) {
        let mut exchanges = self.readings.exchanges();
        if exchanges.queue.leave_running(&self.node, self.ticket) {
            exchanges.waiting.remove(&self.ticket);
        }
        drop(exchanges);
        self.over = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.over {
            let mut exchanges = self.readings.exchanges();
            exchanges.waiting.remove(&self.ticket);
            exchanges.queue.leave(&self.node, self.ticket);
        }
    }
}

#[cfg(test)]
mod tests;
