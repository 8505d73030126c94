//! `register_nodes`: the nodes and the outcomes of their last readings, without a connection.
//!
//! Pulse's diagnostics ask for it. The method of that name used to connect to each node and
//! to install keys; here it answers from what is known, and changes nothing.

use crate::node::{NodeHandle, Nodes};
use pulse_core::nodes::name::NodeName;
use serde::Serialize;
use std::time::Duration;

/// A node whose last reading is older may have changed since.
const READY_FOR: Duration = Duration::from_mins(10);

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
        .map(|(name, handle)| Registered::of(name, handle))
        .collect()
}

impl Registered {
    fn of(name: &NodeName, handle: &NodeHandle) -> Self {
        const REMEDY: &str = "request its temperature";
        let problem = match handle.last_outcome() {
            None => Some(format!("has no reading yet: {REMEDY}")),
            Some(Err(failure)) => Some(failure.to_string()),
            Some(Ok(sample)) => {
                let age = sample.taken.elapsed();
                (age >= READY_FOR)
                    .then(|| format!("was last read {} min ago: {REMEDY}", age.as_secs() / 60))
            }
        };
        Self {
            name: name.as_str().to_owned(),
            ssh_ready: problem.is_none(),
            error: problem.map(|problem| format!("node \"{name}\" {problem}")),
        }
    }
}
