//! From a request line to its reply: parses it, checks the capability, carries it out.

use super::health::HealthReport;
use super::registered::{self, Registered};
use super::sweep::{self, Entry};
use crate::observe::recorder::{AcceptError, ChangedFile};
use crate::readings::{Wait, WhenLate};
use crate::serve::Request;
use crate::state::Daemon;
use pulse_core::callers::capability::Capability;
use pulse_core::callers::peer::Peer;
use pulse_core::causes::Causes;
use pulse_core::rpc::{self, Call, Retry, RpcError, ServiceRefusal, Violation, response_line};
use pulse_forward::Forwarder;
use pulse_forward::forwarder::StreamCommand;
use pulse_forward::status::Status;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A reply.
pub(super) struct Reply {
    /// One line, its newline included.
    pub line: Vec<u8>,
    /// True if the caller asked to keep the connection.
    pub keep_alive: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Status {
        version: &'static str,
        public_key: String,
        ssh_dir: String,
        capabilities: Vec<&'static str>,
    },
    Temperature {
        /// The name as it was asked for.
        node: String,
        temperature: String,
    },
    Temperatures {
        nodes: Vec<Entry>,
    },
    Nodes {
        nodes: Vec<Registered>,
    },
    Health(HealthReport),
    Forwarding {
        forwarding: Status,
    },
    Replay {
        from: u64,
    },
    AcceptedLoss {
        through: u64,
    },
    Accepted {
        files: Vec<LostFile>,
    },
}

/// A file whose change was accepted.
#[derive(Serialize)]
struct LostFile {
    file: String,
    change: &'static str,
    /// The records that it had to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seq: Option<u64>,
}

/// Answers a request line. With a `refusal` the request is not carried out.
pub(super) async fn answer(
    daemon: &Arc<Daemon>,
    peer: &Arc<Peer>,
    line: &[u8],
    refusal: Option<ServiceRefusal>,
) -> Reply {
    let started = Instant::now();
    let asked = rpc::Request::parse(line);
    let given = asked.as_ref().ok().and_then(|r| r.correlation_id.clone());
    // A refused caller is identified anew by its next connection.
    let keep_alive = refusal.is_none() && asked.as_ref().is_ok_and(|r| r.keep_alive);
    let node = asked.as_ref().ok().and_then(rpc::Request::node);
    let node = node.map(str::to_owned);
    let request = Request {
        daemon: Arc::clone(daemon),
        peer: Arc::clone(peer),
        correlation_id: given
            .unwrap_or_else(crate::sys::random::correlation_id)
            .into(),
        wait: Wait {
            until: started + daemon.config().timeouts.request,
            then: WhenLate::GiveUp,
        },
        retry: Retry::WhenDue,
    };
    // The penalty comes first: while it lasts, a malformed request brings no further one.
    let admitted = match refusal {
        Some(refusal) => Err(refusal.into()),
        None => request.check_penalty(),
    };
    let (method, outcome) = match admitted.and(asked.map_err(RpcError::from)) {
        Err(error @ RpcError::Refused(_)) => ("none", Err(error)),
        Err(error) => ("invalid", Err(error)),
        Ok(asked) => match asked.call {
            None => (
                "unknown",
                request.spend_own().and(Err(RpcError::UnknownMethod)),
            ),
            Some(call) => (call.method().as_str(), carry_out(&request, call).await),
        },
    };
    let outcome = match node {
        Some(node) => outcome.map_err(|error| error.for_node(&node)),
        None => outcome,
    };
    reply(&request, method, started.elapsed(), &outcome, keep_alive)
}

/// Refuses a request that did not come whole.
pub(super) fn refuse(daemon: &Arc<Daemon>, peer: &Arc<Peer>, error: RpcError) -> Reply {
    let request = Request {
        daemon: Arc::clone(daemon),
        peer: Arc::clone(peer),
        correlation_id: crate::sys::random::correlation_id().into(),
        wait: Wait {
            until: Instant::now(),
            then: WhenLate::GiveUp,
        },
        retry: Retry::WhenDue,
    };
    // A penalty that runs already is not made longer by lines that were sent before its answer.
    let error = if let RpcError::Violation(_) = error {
        request.check_penalty().err().unwrap_or(error)
    } else {
        error
    };
    reply(&request, "invalid", Duration::ZERO, &Err(error), false)
}

/// Counts the outcome, penalises the caller where it has to be, and makes the line.
fn reply(
    request: &Request,
    method: &'static str,
    took: Duration,
    outcome: &Result<Data, RpcError>,
    keep_alive: bool,
) -> Reply {
    request.daemon.metrics.rpc(
        method,
        outcome.as_ref().map_or_else(RpcError::label, |_| "success"),
        took,
    );
    if let Err(RpcError::Violation(violation)) = outcome {
        request.penalise(violation);
    }
    Reply {
        line: response_line(
            request.correlation_id.to_string(),
            outcome.as_ref(),
            outcome
                .as_ref()
                .err()
                .and_then(|error| detail(&request.daemon, error)),
        ),
        keep_alive,
    }
}

/// The line for a caller that is refused before it has asked anything.
#[must_use]
pub(super) fn refusal(error: &RpcError) -> Vec<u8> {
    response_line::<()>(
        crate::sys::random::correlation_id(),
        Err(error),
        error.detail(),
    )
}

/// The cause or the time that the text of an error leaves out, for people.
fn detail(daemon: &Daemon, error: &RpcError) -> Option<String> {
    if error.refusal() != Some(ServiceRefusal::RecorderUnavailable) {
        return error.detail();
    }
    let health = daemon.recorder.health();
    // It is kept after the recovery, and then says nothing about this request.
    let error = health.last_error.filter(|_| !health.available);
    error.map(|error| error.to_string())
}

async fn carry_out(request: &Request, call: Call) -> Result<Data, RpcError> {
    let needed = call.needs();
    if !request.peer.capabilities.has(needed) {
        return Err(match needed {
            Capability::Admin => Violation::AdminRequired.into(),
            _ => RpcError::Unauthorized,
        });
    }
    // Health and forwarding can be inspected while the audit log is unavailable, and a loss is
    // accepted then.
    if !matches!(
        call,
        Call::GetHealth | Call::GetForwarding | Call::AcceptLoss
    ) {
        request.check_recorder()?;
    }
    match call {
        Call::GetStatus => request.spend_own().map(|()| status(request)),
        Call::GetTemperature(node) => {
            let node = node?;
            let sample = request.read(&node).await?;
            Ok(Data::Temperature {
                node: node.as_written().to_owned(),
                temperature: sample.json.get().to_owned(),
            })
        }
        Call::GetTemperatures(asked) => Ok(Data::Temperatures {
            nodes: sweep::read(request, asked?).await?,
        }),
        Call::RegisterNodes => request.spend_own().map(|()| Data::Nodes {
            nodes: registered::all(&request.daemon.readings.settings().nodes),
        }),
        Call::GetHealth => request.spend_own().map(|()| {
            let is_administrator = request.peer.capabilities.has(Capability::Admin);
            Data::Health(HealthReport::of(&request.daemon, is_administrator))
        }),
        Call::GetForwarding => request.spend_own().and_then(|()| {
            let forwarding = forwarding(&request.daemon)?;
            Ok(Data::Forwarding { forwarding })
        }),
        Call::ReplayForwarding(from) => {
            let from = from.ok_or(RpcError::NoSuchRecord)?.get();
            request.spend_own()?;
            let forwarder = forwarder(&request.daemon)?;
            let status = forwarder.status();
            if from > status.seq {
                return Err(RpcError::NoSuchRecord);
            }
            let first = status.first_seq;
            if from < first {
                return Err(RpcError::RecordRemoved { first });
            }
            // The command is queued: each stream goes back by itself. A full queue refuses it.
            if forwarder.send_command(&StreamCommand::Replay(from)) {
                Ok(Data::Replay { from })
            } else {
                Err(RpcError::ForwardingBusy)
            }
        }
        Call::AcceptForwardingLoss(through) => {
            let through = through.ok_or(RpcError::NoSuchLoss)?.get();
            request.spend_own()?;
            let forwarder = forwarder(&request.daemon)?;
            // One status for both: what comes while the record is written is not accepted.
            let status = forwarder.status();
            let lost = status.lost_through(through).ok_or(RpcError::NoSuchLoss)?;
            // On record before the loss disappears from the status.
            request.record_accepted_loss(&lost).await?;
            if forwarder.accept_losses(&status, through) {
                Ok(Data::AcceptedLoss { through })
            } else {
                Err(RpcError::ForwardingBusy)
            }
        }
        Call::AcceptLoss => {
            request.spend_own()?;
            let accepted = request
                .daemon
                .recorder
                .accept_loss(request.peer.id.to_string())
                .await;
            let files = accepted.map_err(|error| match error {
                AcceptError::NothingLost => RpcError::NothingLost,
                error => RpcError::LossNotAccepted(Causes(&error).to_string()),
            })?;
            Ok(Data::Accepted {
                files: files.into_iter().map(LostFile::from).collect(),
            })
        }
    }
}

impl From<ChangedFile> for LostFile {
    fn from(changed: ChangedFile) -> Self {
        Self {
            file: changed.file,
            change: changed.change.as_str(),
            first_seq: changed.records.map(|(first, _)| first),
            last_seq: changed.records.map(|(_, last)| last),
        }
    }
}

fn forwarder(daemon: &Daemon) -> Result<&Forwarder, RpcError> {
    daemon.forwarder.as_deref().ok_or(RpcError::NotForwarding)
}

/// The streams, and the one that keeps old segments of the log, if one does.
///
/// # Errors
/// [`RpcError::NotForwarding`] without a collector.
pub(super) fn forwarding(daemon: &Daemon) -> Result<Status, RpcError> {
    let mut status = forwarder(daemon)?.status();
    if let Some(hold) = daemon.recorder.health().upkeep.pressing_hold()
        && let Some(stream) = status
            .streams
            .iter_mut()
            .find(|stream| hold.stream() == Some(&stream.name))
    {
        stream.keeps_segments = Some(hold.to_string());
    }
    Ok(status)
}

fn status(request: &Request) -> Data {
    Data::Status {
        version: env!("CARGO_PKG_VERSION"),
        public_key: request.daemon.public_key(),
        ssh_dir: request.daemon.config().ssh_dir.display().to_string(),
        capabilities: request.peer.capabilities.names().collect(),
    }
}
