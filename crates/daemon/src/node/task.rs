//! The task that owns one node: its connection, its backoff, its last sample.
//!
//! Requests come in one at a time, because the work queue lets one exchange per node
//! start. A caller that gives up waiting changes nothing here: the exchange has its own
//! deadline, and its sample is kept for the next caller.

use super::exchange::{KeyScope, Sample};
use super::failure::{
    HostKeyFailure, NodeFailure, SharedStage, Stage, Withdrawn, no_forced_command,
};
use super::handle::{Answer, Cause, Delay, NodeInbox, NodeStatus};
use super::host_key::Identity;
use crate::observe::recorder::Recorder;
use pulse_core::config::Timeouts;
use pulse_core::event::Event;
use pulse_core::nodes::backoff::{Backoff, FailureKind, Penalties};
use pulse_core::nodes::clock::NodeClock;
use pulse_core::nodes::known_hosts::pins::Pins;
use pulse_core::nodes::name::NodeName;
use russh::keys::PrivateKey;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// Opens connections to one node: by SSH, or by a script in tests.
pub(super) trait Connector: Send + 'static {
    type Session: NodeSession;

    /// Reads the local files again, if they have changed.
    fn check_files(&self);

    /// Connects, checks the host key and logs in, and sets the stage that it has reached. The
    /// caller sets the deadline and may drop the future at any time.
    fn open(
        &self,
        stage: &SharedStage,
    ) -> impl Future<Output = Result<Self::Session, NodeFailure>> + Send;

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

    /// Reads the node once. The caller drops the future after the deadline; whatever is not needed
    /// for the sample ends by then. After a failure the session must be dropped: an answer may
    /// still be on its way.
    fn read(
        &mut self,
        deadline: Instant,
    ) -> impl Future<Output = Result<Sample, NodeFailure>> + Send;
}

/// The task of one node.
pub(super) struct NodeTask<C: Connector> {
    name: NodeName,
    timeouts: Timeouts,
    connector: C,
    recorder: Arc<dyn Recorder>,
    status: watch::Sender<NodeStatus>,
    stage: SharedStage,
    session: Option<C::Session>,
    /// The address of the last attempt to open one, for log messages: the name may have another
    /// one by now.
    address: Option<SocketAddr>,
    /// The files; the pins that the session was judged by, and the files of the last attempt to
    /// open one, count as seen.
    files: LocalFiles,
    backoff: Backoff,
    penalties: Penalties,
}

/// The files of this host that decide about connections.
pub(super) struct LocalFiles {
    /// `known_hosts`.
    pub(super) pins: watch::Receiver<Pins>,
    /// The SSH key.
    pub(super) key: watch::Receiver<Arc<PrivateKey>>,
}

/// The interval in which the certificate of an open connection is checked. A timer for its
/// expiry would miss a clock that is set.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

impl<C: Connector> NodeTask<C> {
    /// Serves requests until the last handle is dropped.
    pub(super) async fn run(
        name: NodeName,
        timeouts: Timeouts,
        connector: C,
        files: LocalFiles,
        recorder: Arc<dyn Recorder>,
        inbox: NodeInbox,
    ) {
        let NodeInbox {
            mut requests,
            status,
            stage,
        } = inbox;
        let mut task = Self {
            name,
            timeouts,
            connector,
            recorder,
            status,
            stage,
            session: None,
            address: None,
            files,
            backoff: Backoff::default(),
            penalties: Penalties::default(),
        };
        loop {
            let idle_until = task.idle_until();
            tokio::select! {
                // Pins before requests: no request may use a connection whose key they revoke.
                biased;
                withdrawn = task.withdrawn() => task.withdraw(&withdrawn).await,
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

    /// Waits until the host key of the open connection is no longer accepted; for ever without
    /// one.
    async fn withdrawn(&mut self) -> Withdrawn {
        let Some(session) = &self.session else {
            return std::future::pending().await;
        };
        let failure = withdrawn(&mut self.files.pins, session.identity()).await;
        Withdrawn {
            address: session.address(),
            failure,
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
        } else if reused
            && matches!(
                outcome,
                Err(NodeFailure::Ssh(_) | NodeFailure::Closed(_) | NodeFailure::HelperEnded { .. })
            )
        {
            // The connection, or the helper, was dead already, which is no failure of the node.
            outcome = self.attempt(deadline).await;
        }
        self.stage.set(Stage::Queued);
        match outcome {
            Ok(sample) => {
                self.check_key_scope(&sample.key_scope).await;
                self.check_clock(sample.clock);
                Ok(self.succeeded(sample))
            }
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Warns when the node is found to run any command for our key, once until it does not.
    async fn check_key_scope(&mut self, found: &KeyScope) {
        if *found == KeyScope::Unknown {
            return;
        }
        let mut before = KeyScope::Unknown;
        let is_news = self.status.send_if_modified(|status| {
            before = std::mem::replace(&mut status.key_scope, found.clone());
            before != *found
        });
        if !is_news {
            return;
        }
        let KeyScope::AnyCommand { user } = found else {
            if before != KeyScope::Unknown {
                tracing::info!(
                    "{} runs the forced command alone for our SSH key now",
                    self.subject()
                );
            }
            return;
        };
        let sentence = no_forced_command(user);
        tracing::warn!("{} {sentence}", self.subject());
        let event = Event::ForcedCommandMissing {
            node: &self.name,
            error: &sentence,
        };
        // The node is read all the same; the recorder logs that the record has failed.
        let _ = self.recorder.record(&event).await;
    }

    /// Warns when the node's clock and this host's differ, once until they agree.
    fn check_clock(&self, found: Option<NodeClock>) {
        let was_wrong = self.status.borrow().wrong_clock.is_some();
        let wrong = found.filter(|clock| clock.is_wrong(was_wrong));
        self.status.send_if_modified(|status| {
            status.wrong_clock = wrong;
            // Nobody waits for it.
            false
        });
        match (wrong, was_wrong) {
            (Some(clock), false) => tracing::warn!("{} {clock}", self.subject()),
            // Without a time nothing is known any more, neither good nor bad.
            (None, true) if found.is_some() => tracing::info!(
                "{} has a clock that agrees with this host's again",
                self.subject()
            ),
            _ => {}
        }
    }

    async fn attempt(&mut self, deadline: Instant) -> Result<Sample, NodeFailure> {
        let stage = self.stage.clone();
        let exchange = async {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.open().await?,
            };
            self.stage.set(Stage::Reading(session.address()));
            let (identity, address) = (Arc::clone(session.identity()), session.address());
            let sample = tokio::select! {
                // The pins first: an answer over a revoked key is not used, even if it is there.
                biased;
                failure = withdrawn(&mut self.files.pins, &identity) => {
                    return Err(NodeFailure::Withdrawn(Withdrawn { address, failure }));
                }
                sample = session.read(deadline) => sample?,
            };
            Ok((session, sample))
        };
        // A session is put back only after a success: else it is dropped, and
        // with it the connection.
        let (session, sample) = timeout_at(deadline, exchange)
            .await
            .unwrap_or_else(|_| Err(NodeFailure::TimedOut(stage.get())))?;
        self.session = Some(session);
        Ok(sample)
    }

    async fn open(&mut self) -> Result<C::Session, NodeFailure> {
        self.connector.check_files();
        // As in `open` below, before it waits for anything.
        self.address = self.connector.address();
        // The line for another key is another line of the node's `authorized_keys`.
        if self.files.key.has_changed().unwrap_or(false) {
            self.status
                .send_modify(|status| status.key_scope = KeyScope::Unknown);
        }
        // Later changes are noticed by whoever uses the session, or end the delay of a failure.
        self.files.pins.mark_unchanged();
        self.files.key.mark_unchanged();
        let session = timeout(self.timeouts.connect, self.connector.open(&self.stage))
            .await
            .unwrap_or_else(|_| Err(NodeFailure::TimedOut(self.stage.get())))?;
        tracing::debug!(
            "{}: connected, host key {}",
            self.subject(),
            session.identity().fingerprint()
        );
        Ok(session)
    }

    fn succeeded(&mut self, sample: Sample) -> Arc<Sample> {
        if matches!(self.status.borrow().last, Some(Err(_))) {
            tracing::info!("{} answers again", self.subject());
        }
        self.backoff.succeeded();
        let sample = Arc::new(sample);
        self.status.send_modify(|status| {
            status.sample = Some(Arc::clone(&sample));
            status.delay = None;
            status.last = Some(Ok(()));
        });
        sample
    }

    fn failed(&mut self, failure: NodeFailure) -> NodeFailure {
        self.session = None;
        let now = Instant::now();
        let kind = failure.kind();
        let is_corrected = |delay: &Delay| delay.cause.has_changed();
        if kind != FailureKind::Local
            && self
                .status
                .borrow()
                .delay
                .as_ref()
                .is_some_and(is_corrected)
        {
            // What went wrong before says nothing any more.
            self.backoff.succeeded();
        }
        let wait = self.backoff.failed(kind, crate::sys::random::fraction());
        let earliest = now + self.penalties.add(kind, now.into_std());
        let left = match &self.status.borrow().delay {
            Some(delay) if kind == FailureKind::Local && !delay.cause.has_changed() => {
                delay.until.duration_since(now)
            }
            _ => wait,
        };
        let next = if left.is_zero() {
            "at the next request".to_owned()
        } else {
            format!("in {:.1} s", left.as_secs_f32())
        };
        let subject = match failure {
            // It has the address already.
            NodeFailure::Unreachable { .. }
            | NodeFailure::NotSsh { .. }
            | NodeFailure::TimedOut(
                Stage::Connecting(_) | Stage::LoggingIn(_) | Stage::Reading(_),
            ) => format!("node \"{}\"", self.name),
            _ => self.subject(),
        };
        // The protocol's text has no remedy for it: the caller cannot do anything about it.
        let remedy = match failure {
            NodeFailure::Exhausted(exhaustion) => format!(": {}", exhaustion.remedy()),
            _ => String::new(),
        };
        // Warnings only for the first failure in a row and for those that need an operator: the
        // others would fill the log.
        let is_refusal = matches!(kind, FailureKind::HostKey | FailureKind::Refused);
        if self.backoff.failures() == 1 || is_refusal {
            tracing::warn!("{subject} {failure}{remedy}; next attempt {next}");
        } else {
            tracing::debug!("{subject} {failure}{remedy}; next attempt {next}");
        }
        let delay = (!wait.is_zero()).then(|| Delay {
            failure: failure.clone(),
            until: now + wait,
            earliest,
            cause: match kind {
                FailureKind::HostKey => Cause::Pins(self.files.pins.clone()),
                FailureKind::Refused => Cause::Key(self.files.key.clone()),
                FailureKind::Local | FailureKind::Unreachable | FailureKind::Transient => {
                    Cause::Node
                }
            },
        });
        // The sample stays: it is served until it is too old.
        self.status.send_modify(|status| {
            // A local failure says nothing about the node: a wait for it goes on.
            if kind != FailureKind::Local {
                status.delay = delay;
            }
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
        match self.address {
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
