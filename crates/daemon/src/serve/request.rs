//! A request: admitted by the limiter, recorded, carried out, recorded again.

use crate::node::{NodeFailure, NodeHandle, Sample};
use crate::readings::Wait;
use crate::state::Daemon;
use pulse_core::callers::limiter::Bucket;
use pulse_core::callers::peer::Peer;
use pulse_core::event::{Event, FailureReason, ReadingFailure, RequestId};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::{Retry, RpcError, ServiceRefusal, Unlisted, Violation};
use std::sync::Arc;
use tokio::time::Instant;

/// A request under way.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) correlation_id: Arc<str>,
    pub(crate) wait: Wait,
    pub(crate) retry: Retry,
}

impl Request {
    /// Refuses everything while no record can be written.
    pub(crate) fn check_recorder(&self) -> Result<(), RpcError> {
        if self.daemon.recorder.is_available() {
            Ok(())
        } else {
            Err(ServiceRefusal::RecorderUnavailable.into())
        }
    }

    /// A caller may have been penalised since it connected.
    pub(crate) fn check_penalty(&self) -> Result<(), RpcError> {
        self.daemon.limit(&self.peer, |limiter, now| {
            limiter.check_penalty(&self.peer.id, now)
        })
    }

    /// Takes a token from the caller's own bucket.
    pub(crate) fn spend_own(&self) -> Result<(), RpcError> {
        self.spend(Bucket::Own)
    }

    fn spend(&self, bucket: Bucket<'_>) -> Result<(), RpcError> {
        self.daemon.limit(&self.peer, |limiter, now| {
            limiter.spend(&self.peer.id, bucket, now)
        })
    }

    /// Penalises the caller for a request that is malformed or forbidden.
    pub(crate) fn penalise(&self, violation: &Violation) {
        let daemon = &self.daemon;
        if let Violation::InvalidNodeName(_) = violation {
            daemon.metrics.node_refused(violation.label());
        }
        daemon.limiter().penalise(&self.peer.id, crate::sys::now());
        daemon.metrics.penalised(violation.label(), &self.peer.id);
        daemon.recorder.note(&Event::Violation {
            request: self.id(),
            violation,
        });
    }

    /// Reads a node, if the caller may have it read now.
    pub(crate) async fn read(&self, node: &NodeName) -> Result<Arc<Sample>, RpcError> {
        self.admit(node)?;
        let sample = self.read_admitted(node).await?;
        // The list has the addresses of its loading, and a connection that of its opening. If
        // `/etc/hosts` has given a name another address between the two, the sample is another
        // machine's than the one that was asked for.
        let is_name = self.daemon.readings.settings().nodes.get(node).is_some();
        let address = sample.address.ip().to_canonical();
        if !is_name && node.address().is_some_and(|asked| asked != address) {
            return Err(self.unlisted(node));
        }
        Ok(sample)
    }

    /// Reads a node without admission. The start is on record before the node is asked, and the
    /// outcome before the caller is told.
    ///
    /// Errors have the name that was asked for; records, metrics and the queue have the name
    /// that is listed.
    pub(crate) async fn read_admitted(&self, node: &NodeName) -> Result<Arc<Sample>, RpcError> {
        let settings = self.daemon.readings.settings();
        // A node that a reload has just removed is still put on record, as it was asked for.
        let listed = settings.nodes.listed(node).unwrap_or(node);
        self.record(&Event::CommandStart {
            request: self.id(),
            node: listed,
            retry: self.retry,
        })
        .await?;
        // From here on there is a start on record, so the end has to follow in any case.
        let mut pending = Pending {
            request: self,
            node: listed,
            started: Instant::now(),
            is_over: false,
        };
        let is_waiting = |handle: &NodeHandle| handle.blocked(Retry::WhenDue).is_some();
        if settings.nodes.get(listed).is_some_and(is_waiting) {
            // A file that was corrected since the last check ends the wait.
            self.daemon.check_node_files();
        }
        let outcome = self
            .daemon
            .readings
            .read(&self.peer.id, listed, self.wait, self.retry)
            .await;
        pending.is_over = true;
        let error = outcome.as_ref().err().map(ToString::to_string);
        self.record(&Event::CommandFinish {
            request: self.id(),
            node: listed,
            duration: pending.started.elapsed(),
            outcome: match &outcome {
                Ok(sample) => Ok(&sample.exchange),
                Err(failure) => Err(ReadingFailure {
                    reason: failure.reason(),
                    error: error.as_deref().unwrap_or_default(),
                }),
            },
        })
        .await?;
        outcome.map_err(|failure| match failure {
            NodeFailure::AddressNotPermitted => {
                RpcError::AddressNotPermitted { node: node.clone() }
            }
            NodeFailure::Pending => RpcError::Pending { node: node.clone() },
            failure => RpcError::Failed {
                node: node.clone(),
                failure: failure.to_string(),
            },
        })
    }

    /// Puts on record that the caller accepts the loss of records to a collector.
    pub(crate) async fn record_accepted_loss(&self, lost: &str) -> Result<(), RpcError> {
        self.record(&Event::ForwardingLossAccepted {
            request: self.id(),
            lost,
        })
        .await
    }

    /// Checks that the node is listed, and takes the caller's token for it.
    fn admit(&self, node: &NodeName) -> Result<(), RpcError> {
        let settings = self.daemon.readings.settings();
        if let Some(listed) = settings.nodes.listed(node) {
            return self.spend(Bucket::Node(listed));
        }
        // A wrong name costs a token too, so that names cannot be guessed without a limit.
        self.spend_own()?;
        Err(self.unlisted(node))
    }

    /// Counts and records a node that is not listed; gives the error for the caller.
    fn unlisted(&self, node: &NodeName) -> RpcError {
        let settings = self.daemon.readings.settings();
        let reason = if settings.nodes.is_empty() {
            Unlisted::NoValidationSources
        } else {
            Unlisted::NotAllowlisted
        };
        self.daemon.metrics.node_refused(reason.as_str());
        self.daemon.recorder.note(&Event::Unlisted {
            request: self.id(),
            node,
            reason,
        });
        RpcError::Unlisted {
            node: node.clone(),
            reason,
            // After the token is spent, which bounds the comparisons.
            meant: settings.nodes.meant(node).cloned().map(Box::new),
        }
    }

    fn id(&self) -> RequestId<'_> {
        RequestId {
            correlation_id: &self.correlation_id,
            peer: &self.peer,
        }
    }

    async fn record(&self, event: &Event<'_>) -> Result<(), RpcError> {
        self.daemon
            .recorder
            .record(event)
            .await
            .map_err(|_| ServiceRefusal::RecorderUnavailable.into())
    }
}

/// A reading without an outcome yet. Dropped so, because the caller has gone away, it is
/// recorded as abandoned.
struct Pending<'a> {
    request: &'a Request,
    node: &'a NodeName,
    started: Instant,
    is_over: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.request.daemon.recorder.note(&Event::CommandFinish {
            request: self.request.id(),
            node: self.node,
            duration: self.started.elapsed(),
            outcome: Err(ReadingFailure {
                reason: FailureReason::Abandoned,
                error: "the caller went away",
            }),
        });
    }
}
