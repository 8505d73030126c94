//! From a request line to its reply: parses it, checks the capability, carries it out.

use crate::node::Sample;
use crate::serve::Request;
use crate::state::Daemon;
use pulse_core::callers::capability::Capability;
use pulse_core::callers::peer::Peer;
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::{
    self, Call, InvalidNodeName, NodeSelection, RpcError, Violation, response_line,
};
use pulse_forward::Forwarder;
use pulse_forward::forwarder::StreamCommand;
use pulse_forward::status::Status;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
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
    Forwarding {
        forwarding: Status,
    },
    Replay {
        from: u64,
    },
}

/// One node of `get_temperatures`.
#[derive(Serialize)]
struct Entry {
    node: String,
    #[serde(flatten)]
    outcome: EntryOutcome,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EntryOutcome {
    Read {
        #[serde(serialize_with = "document")]
        temperature: Arc<Sample>,
        /// The age of the sample.
        age_ms: u64,
    },
    Failed {
        error: String,
    },
}

fn document<S: Serializer>(sample: &Arc<Sample>, serializer: S) -> Result<S::Ok, S::Error> {
    sample.json.serialize(serializer)
}

/// Answers a request line.
pub(super) async fn answer(daemon: &Arc<Daemon>, peer: &Arc<Peer>, line: &[u8]) -> Reply {
    let started = Instant::now();
    let asked = rpc::Request::parse(line);
    let given = asked.as_ref().ok().and_then(|r| r.correlation_id.clone());
    let keep_alive = asked.as_ref().is_ok_and(|r| r.keep_alive);
    let node = asked.as_ref().ok().and_then(rpc::Request::node);
    let node = node.map(str::to_owned);
    let request = Request {
        daemon: Arc::clone(daemon),
        peer: Arc::clone(peer),
        correlation_id: given
            .unwrap_or_else(crate::sys::random::correlation_id)
            .into(),
        deadline: started + daemon.config().timeouts.request,
    };
    // The penalty comes first: while it lasts, a malformed request brings no further one.
    let (method, outcome) = match request.check_penalty().and(asked.map_err(RpcError::from)) {
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
        deadline: Instant::now(),
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
        line: response_line(request.correlation_id.to_string(), outcome.as_ref()),
        keep_alive,
    }
}

/// The line for a caller that is refused before it has asked anything.
#[must_use]
pub(super) fn refusal(error: &RpcError) -> Vec<u8> {
    response_line::<()>(crate::sys::random::correlation_id(), Err(error))
}

async fn carry_out(request: &Request, call: Call) -> Result<Data, RpcError> {
    let needed = call.method().needs();
    if !request.peer.capabilities.has(needed) {
        return Err(match needed {
            Capability::Admin => Violation::AdminRequired.into(),
            _ => RpcError::Unauthorized,
        });
    }
    // Forwarding can be inspected while the audit log is unavailable.
    if call != Call::GetForwarding {
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
        Call::GetTemperatures(nodes) => Ok(Data::Temperatures {
            nodes: read_all(request, nodes?).await?,
        }),
        Call::GetForwarding => request.spend_own().and_then(|()| {
            let forwarding = forwarding(request)?;
            Ok(Data::Forwarding { forwarding })
        }),
        Call::ReplayForwarding(from) => {
            let from = from.ok_or(RpcError::NoSuchRecord)?.get();
            request.spend_own()?;
            let forwarder = forwarder(request)?;
            let status = forwarder.status();
            if from > status.seq {
                return Err(RpcError::NoSuchRecord);
            }
            let first = status.first_seq;
            if from < first {
                return Err(RpcError::RecordRemoved { first });
            }
            // The command is queued: each stream goes back by itself. A full queue refuses it.
            if forwarder.send_command(StreamCommand::Replay(from)) {
                Ok(Data::Replay { from })
            } else {
                Err(RpcError::ForwardingBusy)
            }
        }
    }
}

fn forwarder(request: &Request) -> Result<&Forwarder, RpcError> {
    request
        .daemon
        .forwarder
        .as_deref()
        .ok_or(RpcError::NotForwarding)
}

/// The streams, and the one that keeps old segments of the log, if one does.
fn forwarding(request: &Request) -> Result<Status, RpcError> {
    let mut status = forwarder(request)?.status();
    if let Some(hold) = request.daemon.recorder.health().upkeep.pressing_hold()
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
        public_key: request.daemon.public_key.clone(),
        ssh_dir: request.daemon.config().ssh_dir.display().to_string(),
        capabilities: request.peer.capabilities.names().collect(),
    }
}

/// Reads several nodes at the same time, each with a token of its own.
async fn read_all(request: &Request, nodes: NodeSelection) -> Result<Vec<Entry>, RpcError> {
    let nodes = match nodes {
        NodeSelection::Listed(nodes) => nodes,
        NodeSelection::All => {
            let settings = request.daemon.readings.settings();
            settings.nodes.names().cloned().map(Ok).collect()
        }
    };
    // Each node costs a token when it is read; a request that reads none is not free either.
    if !nodes.iter().any(Result::is_ok) {
        request.spend_own()?;
    }
    // One request, one penalty, however many names are wrong.
    if let Some(Err(invalid)) = nodes.iter().find(|node| node.is_err()) {
        request.penalise(&invalid.clone().into());
    }
    // Entries stand in the order of the request.
    let mut entries = BTreeMap::new();
    let mut tasks = JoinSet::new();
    for (i, node) in nodes.into_iter().enumerate() {
        match node {
            Ok(node) => {
                let request = request.clone();
                tasks.spawn(async move { (i, entry(&request, &node).await) });
            }
            Err(invalid) => drop(entries.insert(i, Entry::invalid(&invalid))),
        }
    }
    // The tasks are aborted with this future, when the caller goes away.
    while let Some(done) = tasks.join_next().await {
        if let Ok((i, entry)) = done {
            entries.insert(i, entry);
        }
    }
    Ok(entries.into_values().collect())
}

async fn entry(request: &Request, node: &NodeName) -> Entry {
    match request.read(node).await {
        Ok(sample) => Entry {
            node: node.as_written().to_owned(),
            outcome: EntryOutcome::Read {
                age_ms: u64::try_from(sample.taken.elapsed().as_millis()).unwrap_or(u64::MAX),
                temperature: sample,
            },
        },
        // With the node's name, since the caller may have asked for several nodes.
        Err(error) => Entry::failed(node, &error.for_node(node.as_written())),
    }
}

impl Entry {
    fn failed(node: &NodeName, error: &RpcError) -> Self {
        Self {
            node: node.as_written().to_owned(),
            outcome: EntryOutcome::Failed {
                error: error.to_string(),
            },
        }
    }

    fn invalid(name: &InvalidNodeName) -> Self {
        Self {
            node: name.shown.clone(),
            outcome: EntryOutcome::Failed {
                error: name.to_string(),
            },
        }
    }
}
