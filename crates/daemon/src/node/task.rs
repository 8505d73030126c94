//! The task that owns one node: its connection, its backoff, its last sample.
//!
//! Requests come in one at a time, because the work queue lets one exchange per node
//! start. A caller that gives up waiting changes nothing here: the exchange has its own
//! deadline, and its sample is kept for the next caller.

use super::connect::NotOpened;
use super::exchange::Sample;
use super::failure::{HostKeyFailure, NodeFailure, Withdrawn};
use super::handle::{Answer, NodeInbox, NodeStatus};
use super::host_key::Identity;
use crate::observe::recorder::Recorder;
use pulse_core::config::Timeouts;
use pulse_core::event::Event;
use pulse_core::nodes::backoff::{Backoff, FailureKind};
use pulse_core::nodes::known_hosts::pins::Pins;
use pulse_core::nodes::name::NodeName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// Opens connections to one node: by SSH, or by a script in tests.
pub(super) trait Connector: Send + 'static {
    type Session: NodeSession;

    /// Connects, checks the host key and logs in. The caller sets the deadline and may drop
    /// the future at any time.
    fn open(&self) -> impl Future<Output = Result<Self::Session, NotOpened>> + Send;

    /// The address that is connected to, if the node has one.
    fn address(&self) -> Option<SocketAddr>;
}

/// An open connection to a node.
pub(super) trait NodeSession: Send + 'static {
    /// The host key that the node has proved to own.
    fn identity(&self) -> &Arc<Identity>;

    /// The node's end.
    fn address(&self) -> SocketAddr;

    /// True if the node has closed it.
    fn is_closed(&self) -> bool;

    /// Reads the node once. After a failure the session must be dropped: an answer may
    /// still be on its way.
    fn read(&mut self) -> impl Future<Output = Result<Sample, NodeFailure>> + Send;
}

/// The task of one node.
pub(super) struct NodeTask<C: Connector> {
    name: NodeName,
    timeouts: Timeouts,
    connector: C,
    recorder: Arc<dyn Recorder>,
    status: watch::Sender<NodeStatus>,
    session: Option<C::Session>,
    /// The pins; those that the session was judged by count as seen.
    pins: watch::Receiver<Pins>,
    /// The host key that the node showed last, if it was not accepted.
    refused: Option<Arc<Identity>>,
    backoff: Backoff,
}

/// The interval in which the certificate of an open connection is checked. A timer for its
/// expiry would miss a clock that is set.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The effect of changed pins on a node.
enum Judged {
    /// The host key of its open connection is no longer accepted.
    Withdrawn(Withdrawn),
    /// The reason that it could not be connected to is gone.
    Healed,
}

impl<C: Connector> NodeTask<C> {
    /// Serves requests until the last handle is dropped.
    pub(super) async fn run(
        name: NodeName,
        timeouts: Timeouts,
        connector: C,
        pins: watch::Receiver<Pins>,
        recorder: Arc<dyn Recorder>,
        inbox: NodeInbox,
    ) {
        let NodeInbox {
            mut requests,
            status,
        } = inbox;
        let mut task = Self {
            name,
            timeouts,
            connector,
            recorder,
            status,
            session: None,
            pins,
            refused: None,
            backoff: Backoff::default(),
        };
        loop {
            let idle_until = task.idle_until();
            tokio::select! {
                // Pins before requests: no request may use a connection whose key they revoke.
                biased;
                judged = task.judged_anew() => match judged {
                    Judged::Withdrawn(withdrawn) => task.withdraw(&withdrawn).await,
                    Judged::Healed => {
                        // The failures are forgotten: the node may be tried at once.
                        task.refused = None;
                        task.backoff.succeeded();
                        task.status.send_modify(|status| status.blocked = None);
                    }
                },
                request = timeout_at(idle_until, requests.recv()) => match request {
                    Ok(Some(request)) => {
                        let answer = task.read(request.deadline).await;
                        // The caller may have given up; the sample is published all the same.
                        let _ = request.answer.send(answer);
                    }
                    Ok(None) => return,
                    Err(_) => task.close("idle"),
                },
            }
        }
    }

    /// Waits for a change of the pins that has an effect on this node.
    async fn judged_anew(&mut self) -> Judged {
        if let Some(session) = &self.session {
            let failure = withdrawn(&mut self.pins, session.identity()).await;
            return Judged::Withdrawn(Withdrawn {
                address: session.address(),
                failure,
            });
        }
        // Without a connection: until the pins accept the host key that they have refused, are
        // usable again, or may have the first key that the node can be asked for.
        loop {
            // The file is watched for as long as there are nodes.
            if self.pins.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let Ok(known_hosts) = self.pins.borrow_and_update().for_new.clone() else {
                continue;
            };
            let is_healed = match &self.status.borrow().blocked {
                // A node that had no usable key has perhaps got one, and the operator has pinned it.
                Some((_, NodeFailure::KnownHosts(_) | NodeFailure::NoHostKey)) => true,
                _ => self
                    .refused
                    .as_ref()
                    .is_some_and(|refused| refused.judge(&known_hosts).is_ok()),
            };
            if is_healed {
                return Judged::Healed;
            }
        }
    }

    /// The time at which an open connection has been idle for too long.
    fn idle_until(&self) -> Instant {
        let idle = match self.session {
            Some(_) => self.timeouts.idle,
            // Without a connection nothing becomes idle; one wake-up a day does no harm.
            None => Duration::from_secs(24 * 3600),
        };
        Instant::now() + idle
    }

    async fn read(&mut self, deadline: Instant) -> Answer {
        if self.session.as_ref().is_some_and(NodeSession::is_closed) {
            self.close("closed by the node");
        }
        let reused = self.session.is_some();
        let mut outcome = self.attempt(deadline).await;
        if let Err(NodeFailure::Withdrawn(withdrawn)) = outcome {
            // The new pins may accept the node's new key.
            self.withdraw(&withdrawn).await;
            outcome = self.attempt(deadline).await;
        } else if reused && matches!(outcome, Err(NodeFailure::Ssh(_))) {
            // The connection was dead already, which is no failure of the node.
            outcome = self.attempt(deadline).await;
        }
        match outcome {
            Ok(sample) => Ok(self.succeeded(sample)),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Sample, NodeFailure> {
        let exchange = async {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.open().await?,
            };
            let (identity, address) = (Arc::clone(session.identity()), session.address());
            let sample = tokio::select! {
                // The pins first: an answer over a revoked key is not used, even if it is there.
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
        let (session, sample) = timeout_at(deadline, exchange)
            .await
            .unwrap_or(Err(NodeFailure::TimedOut))?;
        self.session = Some(session);
        Ok(sample)
    }

    async fn open(&mut self) -> Result<C::Session, NodeFailure> {
        // Later changes are noticed by whoever uses the session.
        self.pins.mark_unchanged();
        match timeout(self.timeouts.connect, self.connector.open())
            .await
            .unwrap_or_else(|_| Err(NodeFailure::TimedOut.into()))
        {
            Ok(session) => {
                self.refused = None;
                tracing::debug!(
                    "node \"{}\" ({}): connected, host key {}",
                    self.name,
                    session.address(),
                    session.identity().fingerprint()
                );
                Ok(session)
            }
            Err(NotOpened { failure, refused }) => {
                self.refused = refused;
                Err(failure)
            }
        }
    }

    fn succeeded(&mut self, sample: Sample) -> Arc<Sample> {
        if self.backoff.failures() > 0 {
            tracing::info!("{} answers again", self.subject());
        }
        self.backoff.succeeded();
        let sample = Arc::new(sample);
        self.status.send_replace(NodeStatus {
            sample: Some(Arc::clone(&sample)),
            blocked: None,
            last: Some(Ok(())),
        });
        sample
    }

    fn failed(&mut self, failure: NodeFailure) -> NodeFailure {
        self.session = None;
        let now = Instant::now();
        let wait = self
            .backoff
            .failed(failure.kind(), crate::sys::random::fraction());
        let retry = wait.as_secs_f32();
        let subject = match failure {
            // It has the address already.
            NodeFailure::Unreachable { .. } => format!("node \"{}\"", self.name),
            _ => self.subject(),
        };
        // Warnings only for the first failure in a row and for those that need an operator: the
        // others would fill the log.
        if self.backoff.failures() == 1 || failure.kind() == FailureKind::Refused {
            tracing::warn!("{subject} {failure}; next attempt in {retry:.1} s");
        } else {
            tracing::debug!("{subject} {failure}; next attempt in {retry:.1} s");
        }
        // The sample stays: it is served until it is too old.
        self.status.send_modify(|status| {
            status.blocked = Some((now + wait, failure.clone()));
            status.last = Some(Err(failure.clone()));
        });
        failure
    }

    /// Closes a connection whose host key is no longer accepted, and drops its sample.
    async fn withdraw(&mut self, Withdrawn { address, failure }: &Withdrawn) {
        self.session = None;
        let sentence = format!(
            "the open connection to {address} is closed, its host key is no longer accepted: the node {failure}"
        );
        self.status.send_modify(|status| {
            status.sample = None;
            status.last = Some(Err(failure.clone().into()));
        });
        tracing::warn!("node \"{}\": {sentence}", self.name);
        let event = Event::HostKeyWithdrawn {
            node: &self.name,
            reason: failure.reason(),
            error: &sentence,
        };
        // The connection is closed even if the record fails, which the recorder logs.
        let _ = self.recorder.record(&event).await;
    }

    /// The node with its address, as the subject of a log message: the journal shows no more than
    /// the message.
    fn subject(&self) -> String {
        match self.connector.address() {
            Some(address) => format!("node \"{}\" ({address})", self.name),
            None => format!("node \"{}\"", self.name),
        }
    }

    fn close(&mut self, why: &str) {
        if self.session.take().is_some() {
            tracing::debug!("{}: connection closed: {why}", self.subject());
        }
    }
}

/// Waits until an accepted host key is no longer accepted, and gives the reason. Changes of
/// the pins while nobody waits are noticed by the next wait.
async fn withdrawn(pins: &mut watch::Receiver<Pins>, identity: &Identity) -> HostKeyFailure {
    // A certificate may have expired since it was judged; a plain key is accepted until the
    // pins change.
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
        if let Err(failure) = identity.judge(&pins.borrow_and_update().for_open) {
            return failure;
        }
    }
}
