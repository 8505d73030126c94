//! The two ends of a node's task: requests go in, a status comes out.
//!
//! Readings know nodes by their handles alone. The other end is a task that speaks SSH
//! ([`super::task`]), or a script in tests.

use super::exchange::Sample;
use super::failure::NodeFailure;
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
    /// The end of the time for which the node is left alone, and the reason.
    pub(crate) blocked: Option<(Instant, NodeFailure)>,
    /// The last outcome: of a reading, or of a check of the host key of an idle connection. It
    /// outlives `blocked`, since a node that may be tried again has not been read yet.
    pub(crate) last: Option<Result<(), NodeFailure>>,
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
}

/// The end that readings have. Dropping every handle ends the task.
#[derive(Clone)]
pub(crate) struct NodeHandle {
    requests: mpsc::Sender<NodeRequest>,
    status: watch::Receiver<NodeStatus>,
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
        };
        (Self { requests, status }, inbox)
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
    pub(crate) fn blocked(&self) -> Option<NodeFailure> {
        let (until, last) = self.status.borrow().blocked.clone()?;
        // Zero for a time in the past; the entry itself stays until the next outcome.
        let retry_in = until.duration_since(Instant::now());
        (!retry_in.is_zero()).then(|| NodeFailure::Waiting {
            last: Box::new(last),
            retry_in,
        })
    }

    /// The last outcome, without a question to the node: the sample, or the failure after it.
    /// `None` if there is neither.
    pub(crate) fn last_outcome(&self) -> Option<Answer> {
        if let Some(waiting) = self.blocked() {
            return Some(Err(waiting));
        }
        let status = self.status.borrow();
        match status.last.as_ref()? {
            Ok(()) => status.sample.clone().map(Ok),
            Err(failure) => Some(Err(failure.clone())),
        }
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
            Err(_) => Err(NodeFailure::TimedOut),
            // The task has ended.
            Ok(Err(_)) => Err(NodeFailure::Removed),
            // No timeout here: the task observes the deadline, and its error has the reason.
            Ok(Ok(())) => outcome.await.unwrap_or(Err(NodeFailure::Removed)),
        }
    }
}
