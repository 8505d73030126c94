//! The two ends of a node's task: requests go in, a status comes out.
//!
//! Readings know nodes by their handles alone. The other end is a task that speaks SSH
//! ([`super::task`]), or a script in tests.

use super::exchange::{KeyScope, Sample};
use super::failure::{NodeFailure, SharedStage, no_forced_command};
use pulse_core::nodes::clock::NodeClock;
use pulse_core::nodes::known_hosts::pins::Pins;
use pulse_core::rpc::Retry;
use russh::keys::PrivateKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// The outcome of one reading.
pub(crate) type Answer = Result<Arc<Sample>, NodeFailure>;

/// A node as its task last left it.
#[derive(Default)]
pub(crate) struct NodeStatus {
    /// The last good sample.
    pub(crate) sample: Option<Arc<Sample>>,
    /// The time for which the node is left alone after a failure.
    pub(crate) delay: Option<Delay>,
    /// The last outcome: of a reading, or of a check of the host key of an idle connection. It
    /// outlives `delay`, since a node that may be tried again has not been read yet.
    pub(crate) last: Option<Result<(), NodeFailure>>,
    /// The commands that the node runs for our key, as it was found last. It outlives samples and
    /// connections, as not every one of them finds it out.
    pub(crate) key_scope: KeyScope,
    /// The node's clock of the last sample, if it is wrong.
    pub(crate) wrong_clock: Option<NodeClock>,
}

/// The time for which a node is left alone after a failure.
pub(crate) struct Delay {
    pub(crate) failure: NodeFailure,
    pub(crate) until: Instant,
    /// The time from which on the delay may end early.
    pub(crate) earliest: Instant,
    pub(crate) cause: Cause,
}

/// The part of this host that a failure may come from. When it changes, the delay ends early.
pub(crate) enum Cause {
    /// None: only the node can change.
    Node,
    /// `known_hosts`, and its state before the attempt.
    Pins(watch::Receiver<Pins>),
    /// The SSH key, likewise.
    Key(watch::Receiver<Arc<PrivateKey>>),
}

impl Cause {
    /// True if it has changed since the attempt. Any change of its content counts: only a
    /// connection shows whether the node has a key of a type that is pinned now.
    pub(crate) fn has_changed(&self) -> bool {
        // An error means that the sender is gone: the daemon ends.
        match self {
            Self::Node => false,
            Self::Pins(pins) => pins.has_changed().unwrap_or(false),
            Self::Key(key) => key.has_changed().unwrap_or(false),
        }
    }
}

impl Delay {
    /// The reason that the node is not tried at `now`, if it is not.
    fn refusal(&self, now: Instant, retry: Retry) -> Option<NodeFailure> {
        let last = || Box::new(self.failure.clone());
        // Zero for a time in the past; the delay itself stays until the next outcome.
        let retry_in = self.until.duration_since(now);
        if retry_in.is_zero() {
            return None;
        }
        if retry == Retry::WhenDue && !self.cause.has_changed() {
            return Some(NodeFailure::Waiting {
                last: last(),
                retry_in,
            });
        }
        let retry_in = self.earliest.duration_since(now).min(retry_in);
        (!retry_in.is_zero()).then(|| NodeFailure::TriedJustNow {
            last: last(),
            retry_in,
        })
    }
}

/// A reading that is asked for.
pub(crate) struct NodeRequest {
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The end that the task of a node has.
pub(crate) struct NodeInbox {
    /// Ends when the last handle is dropped.
    pub(crate) requests: mpsc::Receiver<NodeRequest>,
    pub(crate) status: watch::Sender<NodeStatus>,
    pub(crate) stage: SharedStage,
}

/// The end that readings have. Dropping every handle ends the task.
#[derive(Clone)]
pub(crate) struct NodeHandle {
    requests: mpsc::Sender<NodeRequest>,
    status: watch::Receiver<NodeStatus>,
    stage: SharedStage,
}

impl NodeHandle {
    /// Both ends for a node.
    pub(crate) fn new() -> (Self, NodeInbox) {
        // The work queue has one exchange with a node at a time.
        let (requests, inbox) = mpsc::channel(1);
        let (publish, status) = watch::channel(NodeStatus::default());
        let inbox = NodeInbox {
            requests: inbox,
            status: publish,
            stage: SharedStage::default(),
        };
        let handle = Self {
            requests,
            status,
            stage: inbox.stage.clone(),
        };
        (handle, inbox)
    }

    /// The last sample, if it is younger than `ttl`.
    pub(crate) fn fresh_sample(&self, ttl: Duration) -> Option<Arc<Sample>> {
        self.status
            .borrow()
            .sample
            .as_ref()
            .filter(|sample| sample.taken.elapsed() < ttl)
            .cloned()
    }

    /// The reason that the node is left alone for now, if it is.
    pub(crate) fn blocked(&self, retry: Retry) -> Option<NodeFailure> {
        let status = self.status.borrow();
        status.delay.as_ref()?.refusal(Instant::now(), retry)
    }

    /// The last outcome, without a question to the node: the sample, or the failure after it.
    /// `None` if there is neither.
    pub(crate) fn last_outcome(&self) -> Option<Answer> {
        if let Some(waiting) = self.blocked(Retry::WhenDue) {
            return Some(Err(waiting));
        }
        let status = self.status.borrow();
        match status.last.as_ref()? {
            Ok(()) => status.sample.clone().map(Ok),
            Err(failure) => Some(Err(failure.clone())),
        }
    }

    /// True from a failure until the next good reading, also while the node is left alone.
    pub(crate) fn is_failing(&self) -> bool {
        matches!(self.status.borrow().last, Some(Err(_)))
    }

    /// The sentence about a node that runs any command for our key, and is read all the same. It
    /// follows the node's name.
    pub(crate) fn key_warning(&self) -> Option<String> {
        match &self.status.borrow().key_scope {
            KeyScope::AnyCommand { user } => Some(no_forced_command(user)),
            KeyScope::Unknown | KeyScope::ForcedCommand => None,
        }
    }

    /// The sentence about a clock that differs from this host's. It follows the node's name.
    pub(crate) fn clock_warning(&self) -> Option<String> {
        let status = self.status.borrow();
        status.wrong_clock.map(|clock| clock.to_string())
    }

    /// The failure of a caller whose deadline has passed: it names the stage of the reading.
    pub(crate) fn late(&self) -> NodeFailure {
        NodeFailure::TimedOut(self.stage.get())
    }

    /// Reads the node.
    ///
    /// # Errors
    /// The failure that kept it from being read before the deadline.
    pub(crate) async fn read(&self, deadline: Instant) -> Answer {
        let (answer, outcome) = oneshot::channel();
        match timeout_at(
            deadline,
            self.requests.send(NodeRequest { deadline, answer }),
        )
        .await
        {
            Err(_) => Err(self.late()),
            // The task has ended.
            Ok(Err(_)) => Err(NodeFailure::Removed),
            // No timeout here: the task observes the deadline, and its error has the reason.
            Ok(Ok(())) => outcome.await.unwrap_or(Err(NodeFailure::Removed)),
        }
    }
}
