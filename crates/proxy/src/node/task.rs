//! The task that owns one node: its connection, its backoff, its last sample.
//!
//! Requests come in one at a time, because the work queue lets one flight per
//! node up. Whoever gives up waiting changes nothing here: the exchange has its
//! own deadline, and what it brings is kept for the next caller.

use super::connect::{Access, Connection};
use super::exchange::{Sample, Session};
use super::failure::NodeFailure;
use pulse_core::backoff::{Backoff, FailureKind};
use pulse_core::config::{NodeSettings, Timeouts};
use pulse_core::name::NodeName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// What a node task is told; a change makes a new task.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTaskSettings {
    /// Where and as whom.
    pub node: NodeSettings,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The most one reading may print, in bytes.
    pub max_output_bytes: usize,
}

/// What everybody may know of a node.
#[derive(Clone, Default)]
pub struct NodeStatus {
    /// The last good sample.
    pub sample: Option<Arc<Sample>>,
    /// Until when the node is left alone, and why.
    pub blocked: Option<(Instant, NodeFailure)>,
    /// Whether a connection is open.
    pub connected: bool,
}

type Answer = Result<Arc<Sample>, NodeFailure>;

struct Request {
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
}

/// The way to a node's task. Dropping every handle ends the task.
#[derive(Clone)]
pub struct NodeHandle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<NodeStatus>,
}

impl NodeHandle {
    /// Starts the task of a node.
    #[must_use]
    pub fn start(name: NodeName, settings: NodeTaskSettings, access: Arc<Access>) -> Self {
        let (requests, inbox) = mpsc::channel(1);
        let (publish, status) = watch::channel(NodeStatus::default());
        let task = NodeTask {
            name,
            settings,
            access,
            publish,
            session: None,
            backoff: Backoff::default(),
        };
        tokio::spawn(task.run(inbox));
        Self { requests, status }
    }

    /// The last sample, if it is younger than this.
    #[must_use]
    pub fn fresh_sample(&self, ttl: Duration) -> Option<Arc<Sample>> {
        let status = self.status.borrow();
        status
            .sample
            .as_ref()
            .filter(|sample| sample.taken.elapsed() < ttl)
            .cloned()
    }

    /// Why the node is left alone for now, if it is.
    #[must_use]
    pub fn blocked(&self) -> Option<NodeFailure> {
        let status = self.status.borrow();
        let (until, last) = status.blocked.as_ref()?;
        let retry_in = until
            .checked_duration_since(Instant::now())
            .filter(|t| !t.is_zero())?;
        Some(NodeFailure::Waiting {
            last: Box::new(last.clone()),
            retry_in,
        })
    }

    /// Reads the node.
    ///
    /// # Errors
    /// Whatever kept it from being read before the deadline.
    pub async fn read(&self, deadline: Instant) -> Answer {
        let (answer, outcome) = oneshot::channel();
        let request = Request { deadline, answer };
        let sent = timeout_at(deadline, self.requests.send(request)).await;
        match sent {
            Err(_) => Err(NodeFailure::TimedOut),
            Ok(Err(_)) => Err(NodeFailure::Removed),
            Ok(Ok(())) => outcome.await.unwrap_or(Err(NodeFailure::Removed)),
        }
    }
}

struct NodeTask {
    name: NodeName,
    settings: NodeTaskSettings,
    access: Arc<Access>,
    publish: watch::Sender<NodeStatus>,
    session: Option<Session>,
    backoff: Backoff,
}

impl NodeTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        loop {
            let request = match timeout_at(self.idle_until(), inbox.recv()).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(_) => {
                    self.close("idle");
                    continue;
                }
            };
            let answer = self.read(request.deadline).await;
            // Nobody may be waiting any more; the sample is published all the same.
            let _ = request.answer.send(answer);
        }
    }

    /// When an open connection has been quiet for too long.
    fn idle_until(&self) -> Instant {
        let idle = match self.session {
            Some(_) => self.settings.timeouts.idle,
            None => Duration::from_secs(24 * 3600),
        };
        Instant::now() + idle
    }

    async fn read(&mut self, deadline: Instant) -> Answer {
        let reused = self.has_open_session();
        let mut outcome = self.attempt(deadline).await;
        if reused && matches!(outcome, Err(NodeFailure::Ssh(_))) {
            // The connection had died unnoticed; that says nothing of the node.
            outcome = self.attempt(deadline).await;
        }
        match outcome {
            Ok(sample) => Ok(self.succeeded(sample)),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn has_open_session(&mut self) -> bool {
        if self.session.as_ref().is_some_and(Session::is_closed) {
            self.close("closed by the node");
        }
        self.session.is_some()
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Sample, NodeFailure> {
        let exchange = async {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.open().await?,
            };
            let sample = session.read().await?;
            Ok((session, sample))
        };
        // A session is put back only after a success: else it is dropped, and
        // with it the connection.
        let outcome = timeout_at(deadline, exchange).await;
        let (session, sample) = outcome.unwrap_or(Err(NodeFailure::TimedOut))?;
        self.session = Some(session);
        Ok(sample)
    }

    async fn open(&self) -> Result<Session, NodeFailure> {
        let timeouts = &self.settings.timeouts;
        let open = Connection::open(&self.access, &self.name, &self.settings.node, timeouts);
        let connection = tokio::time::timeout(timeouts.connect, open).await;
        let connection = connection.unwrap_or(Err(NodeFailure::TimedOut))?;
        tracing::debug!(node = %self.name, address = %connection.address, host_key = %connection.host_key, "connected");
        Ok(Session::new(connection, self.settings.max_output_bytes))
    }

    fn succeeded(&mut self, sample: Sample) -> Arc<Sample> {
        if self.backoff.failures() > 0 {
            tracing::info!(node = %self.name, "answers again");
        }
        self.backoff.succeeded();
        let sample = Arc::new(sample);
        let kept = Arc::clone(&sample);
        self.publish.send_modify(|status| {
            *status = NodeStatus {
                sample: Some(kept),
                blocked: None,
                connected: true,
            };
        });
        sample
    }

    fn failed(&mut self, failure: NodeFailure) -> NodeFailure {
        self.session = None;
        let now = Instant::now();
        let wait = self
            .backoff
            .failed(failure.kind(), now.into_std(), crate::random::fraction());
        if self.backoff.failures() == 1 || failure.kind() == FailureKind::Refused {
            tracing::warn!(node = %self.name, reason = failure.label(), retry_in = ?wait, "{failure}");
        } else {
            tracing::debug!(node = %self.name, reason = failure.label(), retry_in = ?wait, "{failure}");
        }
        let blocked = Some((now + wait, failure.clone()));
        self.publish.send_modify(|status| {
            status.blocked = blocked;
            status.connected = false;
        });
        failure
    }

    fn close(&mut self, why: &str) {
        if self.session.take().is_some() {
            tracing::debug!(node = %self.name, why, "connection closed");
            self.publish.send_modify(|status| status.connected = false);
        }
    }
}
