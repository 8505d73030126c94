//! `register_nodes`: the nodes and the outcomes of their last readings, without a connection.
//!
//! Pulse's diagnostics ask for it. The method of that name used to connect to each node and
//! to install keys; here it answers from what is known, and changes nothing.

use super::health::{NodeHealth, NodeState};
use crate::node::Nodes;
use serde::Serialize;

/// A listed node.
#[derive(Serialize)]
pub(super) struct Registered {
    name: String,
    /// True if its last reading succeeded, and not long ago.
    ssh_ready: bool,
    /// The reason that it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every listed node, sorted by name.
pub(super) fn all(nodes: &Nodes) -> Vec<Registered> {
    nodes
        .all()
        .map(|(name, handle)| NodeHealth::of(name, handle))
        .map(|health| Registered {
            name: health.name,
            ssh_ready: health.state == NodeState::Answering,
            error: health.error,
        })
        .collect()
}
