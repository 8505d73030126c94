//! The task that owns one node: its connection, its backoff, its last sample.
//!
//! Requests come in one at a time, because the work queue lets one flight per
//! node up. Whoever gives up waiting changes nothing here: the exchange has its
//! own deadline, and what it brings is kept for the next caller.

use super::connect::{Connection, NodeContext, NotOpened};
use super::exchange::{Sample, Session};
use super::failure::{HostKeyFailure, NodeFailure, Withdrawn};
use super::host_key::Identity;
use pulse_core::backoff::{Backoff, FailureKind};
use pulse_core::config::{NodeSettings, Timeouts};
use pulse_core::event::Event;
use pulse_core::known_hosts::pins::Pins;
use pulse_core::name::NodeName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// What a node task is told; a change makes a new task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeTaskSettings {
    /// Where and as whom.
    pub node: NodeSettings,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The most one reading may print, in bytes.
    pub max_output_bytes: usize,
}

/// What everybody may know of a node.
#[derive(Clone, Default)]
pub(super) struct NodeStatus {
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
pub(crate) struct NodeHandle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<NodeStatus>,
}

impl NodeHandle {
    /// Starts the task of a node.
    #[must_use]
    pub(crate) fn start(
        name: NodeName,
        settings: NodeTaskSettings,
        context: Arc<NodeContext>,
    ) -> Self {
        let (requests, inbox) = mpsc::channel(1);
        let (publish, status) = watch::channel(NodeStatus::default());
        let task = NodeTask {
            name,
            settings,
            pins: context.known_hosts.subscribe(),
            context,
            publish,
            session: None,
            refused: None,
            backoff: Backoff::default(),
        };
        tokio::spawn(task.run(inbox));
        Self { requests, status }
    }

    /// The last sample, if it is younger than this.
    #[must_use]
    pub(crate) fn fresh_sample(&self, ttl: Duration) -> Option<Arc<Sample>> {
        let status = self.status.borrow();
        status
            .sample
            .as_ref()
            .filter(|sample| sample.taken.elapsed() < ttl)
            .cloned()
    }

    /// Why the node is left alone for now, if it is.
    #[must_use]
    pub(crate) fn blocked(&self) -> Option<NodeFailure> {
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
    pub(crate) async fn read(&self, deadline: Instant) -> Answer {
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
    context: Arc<NodeContext>,
    publish: watch::Sender<NodeStatus>,
    session: Option<Session>,
    /// Tells of other pins; those that the session was judged by count as seen.
    pins: watch::Receiver<Pins>,
    /// The host key that the node showed last, if it was not accepted.
    refused: Option<Arc<Identity>>,
    backoff: Backoff,
}

/// How often a host certificate is looked at while its connection lasts: clocks are set,
/// so the end of its time is not waited for.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What other pins mean for a node.
enum Judged {
    /// The host key of its open connection is not accepted any more.
    Withdrawn(Withdrawn),
    /// What kept it from being connected to is mended.
    Mended,
}

impl NodeTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        loop {
            let idle_until = self.idle_until();
            tokio::select! {
                biased;
                judged = self.judged_anew() => match judged {
                    Judged::Withdrawn(withdrawn) => self.withdraw(&withdrawn).await,
                    Judged::Mended => self.mend(),
                },
                request = timeout_at(idle_until, inbox.recv()) => match request {
                    Ok(Some(request)) => {
                        let answer = self.read(request.deadline).await;
                        // Nobody may be waiting any more; the sample is published all the same.
                        let _ = request.answer.send(answer);
                    }
                    Ok(None) => return,
                    Err(_) => self.close("idle"),
                },
            }
        }
    }

    /// Waits until other pins mean something for this node.
    async fn judged_anew(&mut self) -> Judged {
        match &self.session {
            Some(session) => {
                let failure = withdrawn(&mut self.pins, session.identity()).await;
                Judged::Withdrawn(Withdrawn {
                    address: session.address(),
                    failure,
                })
            }
            None => {
                self.mended().await;
                Judged::Mended
            }
        }
    }

    /// Waits until the pins would accept the host key that they have refused, or can be
    /// used again.
    async fn mended(&mut self) {
        loop {
            // The file is watched for as long as there are nodes.
            if self.pins.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let pins = self.pins.borrow_and_update().for_new.clone();
            let Ok(known_hosts) = pins else { continue };
            let blocked = self.publish.borrow().blocked.clone();
            let is_mended = match blocked {
                Some((_, NodeFailure::KnownHosts(_))) => true,
                _ => self
                    .refused
                    .as_ref()
                    .is_some_and(|refused| refused.judge(&known_hosts).is_ok()),
            };
            if is_mended {
                return;
            }
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
        if let Err(NodeFailure::Withdrawn(withdrawn)) = outcome {
            // With the new pins the node may well be trusted: its key was exchanged.
            self.withdraw(&withdrawn).await;
            outcome = self.attempt(deadline).await;
        } else if reused && matches!(outcome, Err(NodeFailure::Ssh(_))) {
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
            let (identity, address) = (Arc::clone(session.identity()), session.address());
            let sample = tokio::select! {
                biased;
                failure = withdrawn(&mut self.pins, &identity) => {
                    return Err(NodeFailure::Withdrawn(Withdrawn { address, failure }));
                }
                sample = session.read() => sample?,
            };
            Ok((session, sample))
        };
        // A session is put back only after a success: else it is dropped, and
        // with it the connection.
        let outcome = timeout_at(deadline, exchange).await;
        let (session, sample) = outcome.unwrap_or(Err(NodeFailure::TimedOut))?;
        self.session = Some(session);
        Ok(sample)
    }

    async fn open(&mut self) -> Result<Session, NodeFailure> {
        // What changes from here on is noticed by whoever uses the session.
        self.pins.mark_unchanged();
        let timeouts = &self.settings.timeouts;
        let open = Connection::open(&self.context, &self.name, &self.settings.node, timeouts);
        let connection = tokio::time::timeout(timeouts.connect, open).await;
        let connection = connection.unwrap_or_else(|_| Err(NodeFailure::TimedOut.into()));
        let connection = match connection {
            Ok(connection) => connection,
            Err(NotOpened { failure, refused }) => {
                self.refused = refused;
                return Err(failure);
            }
        };
        self.refused = None;
        tracing::debug!(node = %self.name, address = %connection.address, host_key = %connection.identity.fingerprint(), "connected");
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
        let wait = self.backoff.failed(
            failure.kind(),
            now.into_std(),
            crate::sys::random::fraction(),
        );
        if self.backoff.failures() == 1 || failure.kind() == FailureKind::Refused {
            tracing::warn!(node = %self.name, reason = failure.reason().as_str(), retry_in = ?wait, "{failure}");
        } else {
            tracing::debug!(node = %self.name, reason = failure.reason().as_str(), retry_in = ?wait, "{failure}");
        }
        let blocked = Some((now + wait, failure.clone()));
        self.publish.send_modify(|status| {
            status.blocked = blocked;
            status.connected = false;
        });
        failure
    }

    /// Closes a connection whose host key is not accepted any more, and forgets what came
    /// over it.
    async fn withdraw(&mut self, Withdrawn { address, failure }: &Withdrawn) {
        self.session = None;
        let sentence = format!(
            "the open connection to {address} is closed, its host key is no longer accepted: the node {failure}"
        );
        self.publish.send_modify(|status| {
            status.connected = false;
            status.sample = None;
        });
        tracing::warn!("node \"{}\": {sentence}", self.name);
        let event = Event::HostKeyWithdrawn {
            node: &self.name,
            reason: failure.reason(),
            error: &sentence,
        };
        // The connection is closed whatever becomes of the record; the log says what does.
        let _ = self.context.recorder.record(&event).await;
    }

    /// A mistake that is mended heals at once.
    fn mend(&mut self) {
        self.refused = None;
        self.backoff.succeeded();
        self.publish.send_modify(|status| status.blocked = None);
    }

    fn close(&mut self, why: &str) {
        if self.session.take().is_some() {
            tracing::debug!(node = %self.name, why, "connection closed");
            self.publish.send_modify(|status| status.connected = false);
        }
    }
}

/// Waits until a host key that was accepted is not any more, and gives the reason. What
/// happens to pins while nobody waits is noticed the next time.
async fn withdrawn(pins: &mut watch::Receiver<Pins>, identity: &Identity) -> HostKeyFailure {
    // The time of a certificate may have ended since it was looked at; a plain key is
    // accepted until the pins change.
    let mut is_due = identity.is_certified();
    loop {
        if !is_due {
            let check = tokio::time::sleep(CERTIFICATE_CHECK_INTERVAL);
            tokio::select! {
                changed = pins.changed() => if changed.is_err() {
                    // The file is watched for as long as there are nodes.
                    std::future::pending::<()>().await;
                },
                () = check, if identity.is_certified() => {}
            }
        }
        is_due = false;
        let known_hosts = Arc::clone(&pins.borrow_and_update().for_open);
        if let Err(failure) = identity.judge(&known_hosts) {
            return failure;
        }
    }
}
