//! `get_temperatures`: several nodes at the same time, each with an outcome of its own.

use crate::node::Sample;
use crate::readings::{Wait, WhenLate};
use crate::serve::Request;
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::{InvalidNodeName, NodeSelection, RpcError, Sweep, whole_ms};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The wait for the slowest node, unless the caller names another: longer than it takes to
/// connect to a node, shorter than the patience of people.
const WAIT: Duration = Duration::from_secs(2);

/// One node's outcome.
#[derive(Serialize)]
pub(super) struct Entry {
    /// The name as it was asked for.
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
    Pending {
        /// Clients that know no `pending` take it for a failure of the node.
        error: String,
        pending: bool,
    },
    Failed {
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_in_ms: Option<u64>,
    },
}

fn document<S: Serializer>(sample: &Arc<Sample>, serializer: S) -> Result<S::Ok, S::Error> {
    sample.json.serialize(serializer)
}

/// Reads several nodes at the same time, each with a token of its own. Nodes that have not
/// answered when the wait ends are pending: their readings go on, for the caller's next request.
pub(super) async fn read(request: &Request, asked: Sweep) -> Result<Vec<Entry>, RpcError> {
    let nodes = selected(request, asked.nodes);
    // Each node costs a token when it is read; a request that reads none is not free either.
    if !nodes.iter().any(Result::is_ok) {
        request.spend_own()?;
    }
    // One request, one penalty, however many names are wrong.
    if let Some(Err(invalid)) = nodes.iter().find(|node| node.is_err()) {
        request.penalise(&invalid.clone().into());
    }
    // As long as asked, and no longer than a request may take. The readings go on in any case:
    // also after the longest wait, queued ones have not had their time yet.
    let until = Instant::now().checked_add(asked.wait.unwrap_or(WAIT));
    let wait = Wait {
        until: until.map_or(request.wait.until, |until| until.min(request.wait.until)),
        then: WhenLate::GoOn,
    };
    // Entries stand in the order of the request.
    let mut entries = BTreeMap::new();
    let mut tasks = JoinSet::new();
    for (i, node) in nodes.into_iter().enumerate() {
        match node {
            Ok(node) => {
                let request = Request {
                    wait,
                    retry: asked.retry,
                    ..request.clone()
                };
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

/// The nodes that are asked for, each once: a second entry would cost a second token for the
/// same sample.
fn selected(request: &Request, nodes: NodeSelection) -> Vec<Result<NodeName, InvalidNodeName>> {
    let listed = &request.daemon.readings.settings().nodes;
    let mut nodes = match nodes {
        NodeSelection::Listed(nodes) => nodes,
        NodeSelection::All => return listed.names().cloned().map(Ok).collect(),
    };
    // The request was freed of repeated names when it was parsed. Here a name and its address
    // are one node.
    let mut seen = HashSet::new();
    nodes.retain(|node| match node {
        Ok(node) => seen.insert(listed.listed(node).unwrap_or(node).clone()),
        Err(_) => true,
    });
    nodes
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
        let text = error.to_string();
        Self {
            node: node.as_written().to_owned(),
            outcome: match error {
                RpcError::Pending { .. } => EntryOutcome::Pending {
                    error: text,
                    pending: true,
                },
                _ => EntryOutcome::Failed {
                    error: text,
                    retry_in_ms: error.retry_in().map(whole_ms),
                },
            },
        }
    }

    fn invalid(name: &InvalidNodeName) -> Self {
        Self {
            node: name.shown.clone(),
            outcome: EntryOutcome::Failed {
                error: name.to_string(),
                retry_in_ms: None,
            },
        }
    }
}
