//! A request on its way: admitted, put on record, read, put on record again.
//! What is decided here is decided by `core`; this carries it out.

use crate::node::{NodeFailure, Sample};
use crate::readings::Outcome;
use crate::state::Daemon;
use pulse_core::event::{Decision, Event, EventType};
use pulse_core::limiter::Bucket;
use pulse_core::name::NodeName;
use pulse_core::peer::Peer;
use pulse_core::rpc::{Rejection, RpcError};
use std::sync::Arc;
use tokio::time::Instant;

/// Who asks, under which id, until when.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) peer: Arc<Peer>,
    /// The correlation id.
    pub(crate) id: Arc<str>,
    pub(crate) deadline: Instant,
}

impl Request {
    /// Whether anything may be done for anybody: not without a record.
    pub(crate) fn check_recorder(&self) -> Result<(), RpcError> {
        if self.daemon.recorder.is_available() {
            Ok(())
        } else {
            Err(RpcError::RecorderUnavailable)
        }
    }

    /// A caller may have connected before it earned its penalty.
    pub(crate) fn check_penalty(&self) -> Result<(), RpcError> {
        let now = std::time::Instant::now();
        let penalty = self.daemon.limiter().check_penalty(&self.peer.id, now);
        penalty.map_err(|refusal| self.daemon.limited(&self.peer, refusal))
    }

    /// Takes a token from the caller's own bucket.
    pub(crate) fn spend_own(&self) -> Result<(), RpcError> {
        self.spend(Bucket::Own)
    }

    fn spend(&self, bucket: Bucket<'_>) -> Result<(), RpcError> {
        let now = std::time::Instant::now();
        let spent = self.daemon.limiter().spend(&self.peer.id, bucket, now);
        spent.map_err(|refusal| self.daemon.limited(&self.peer, refusal))
    }

    /// Penalises the caller for a malformed or forbidden request.
    pub(crate) fn punish(&self, error: &RpcError) {
        if !error.is_penalised() {
            return;
        }
        if let RpcError::InvalidNodeName { .. } = error {
            self.daemon.metrics.node_refused(error.label());
        }
        self.daemon
            .limiter()
            .penalise(&self.peer.id, std::time::Instant::now());
        self.daemon.metrics.penalised(error.label(), &self.peer.id);
        let event = self.event(EventType::ValidationFailed, Decision::Denied);
        self.daemon.recorder.note(&Event {
            reason: Some(error.label()),
            error: Some(&error.to_string()),
            ..event
        });
    }

    /// One reading, from admission to its second record.
    pub(crate) async fn read(&self, node: &NodeName) -> Result<Arc<Sample>, RpcError> {
        self.admit(node)?;
        self.read_admitted(node).await
    }

    /// One reading that needs no admission: it is on record before the node is
    /// asked, and its outcome before anybody hears of it.
    ///
    /// The caller is answered with the name that it asked for; records, metrics and the queue
    /// know the node by the one that is listed.
    pub(crate) async fn read_admitted(&self, node: &NodeName) -> Result<Arc<Sample>, RpcError> {
        let settings = self.daemon.readings.settings();
        let listed = settings.nodes.listed(node).unwrap_or(node);
        let start = Event {
            node: Some(listed),
            ..self.event(EventType::CommandStart, Decision::Allowed)
        };
        self.record(&start).await?;
        let mut pending = Pending::new(self, listed);
        let readings = &self.daemon.readings;
        let outcome = readings.read(&self.peer.id, listed, self.deadline).await;
        pending.is_over = true;
        self.record_outcome(listed, &outcome, pending.started)
            .await?;
        outcome.map_err(|failure| match failure {
            NodeFailure::AddressNotPermitted => RpcError::Rejected {
                node: node.clone(),
                reason: Rejection::AddressNotPermitted,
            },
            failure => RpcError::Failed {
                node: node.clone(),
                failure: failure.to_string(),
            },
        })
    }

    /// Whether the node is on the list and the caller has a token for it.
    fn admit(&self, node: &NodeName) -> Result<(), RpcError> {
        let settings = self.daemon.readings.settings();
        if settings.nodes.get(node).is_some() {
            return self.spend(Bucket::Node(node));
        }
        self.spend_own()?;
        let reason = if settings.nodes.is_empty() {
            Rejection::NoValidationSources
        } else {
            Rejection::NotAllowlisted
        };
        self.daemon.metrics.node_refused(reason.as_str());
        let event = self.event(EventType::ValidationFailed, Decision::Denied);
        self.daemon.recorder.note(&Event {
            node: Some(node),
            reason: Some(reason.as_str()),
            ..event
        });
        Err(RpcError::Rejected {
            node: node.clone(),
            reason,
        })
    }

    async fn record_outcome(
        &self,
        node: &NodeName,
        outcome: &Outcome,
        started: Instant,
    ) -> Result<(), RpcError> {
        let text = outcome.as_ref().err().map(ToString::to_string);
        let (kind, decision) = match outcome {
            Ok(_) => (EventType::CommandFinish, Decision::Completed),
            Err(NodeFailure::AddressNotPermitted) => (EventType::EgressDenied, Decision::Denied),
            Err(failure) if failure.is_host_key() => (EventType::HostKeyMismatch, Decision::Failed),
            Err(_) => (EventType::CommandFinish, Decision::Failed),
        };
        self.record(&Event {
            node: Some(node),
            exchange: outcome.as_ref().ok().map(|sample| &sample.exchange),
            reason: outcome.as_ref().err().map(NodeFailure::label),
            error: text.as_deref(),
            duration: Some(started.elapsed()),
            ..self.event(kind, decision)
        })
        .await
    }

    fn event(&self, kind: EventType, decision: Decision) -> Event<'_> {
        let event = Event::new(kind, decision);
        Event {
            correlation_id: Some(&self.id),
            peer: Some(&self.peer),
            ..event
        }
    }

    async fn record(&self, event: &Event<'_>) -> Result<(), RpcError> {
        let recorded = self.daemon.recorder.record(event).await;
        recorded.map_err(|_| RpcError::RecorderUnavailable)
    }
}

/// A reading that has begun and has no outcome yet. A caller that goes away takes
/// its wait with it; that is its outcome then.
struct Pending<'a> {
    request: &'a Request,
    node: &'a NodeName,
    started: Instant,
    is_over: bool,
}

impl<'a> Pending<'a> {
    fn new(request: &'a Request, node: &'a NodeName) -> Self {
        Self {
            request,
            node,
            started: Instant::now(),
            is_over: false,
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let event = self
            .request
            .event(EventType::CommandFinish, Decision::Failed);
        self.request.daemon.recorder.note(&Event {
            node: Some(self.node),
            reason: Some("abandoned"),
            error: Some("the caller went away"),
            duration: Some(self.started.elapsed()),
            ..event
        });
    }
}
