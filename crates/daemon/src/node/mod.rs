//! Nodes: one task each, which owns everything about its node.

mod connect;
mod exchange;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
pub(crate) mod host_file;
mod host_key;
pub(crate) mod known_hosts;
pub(crate) mod resolve;
mod stream;
mod task;

pub(crate) use connect::NodeContext;
pub(crate) use exchange::Sample;
pub(crate) use failure::NodeFailure;
pub(crate) use task::{NodeHandle, NodeTaskSettings};

use pulse_core::config::Config;
use pulse_core::name::NodeName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All nodes that may be read, with their tasks.
#[derive(Clone, Default)]
pub(crate) struct Nodes(BTreeMap<NodeName, (NodeTaskSettings, NodeHandle)>);

impl Nodes {
    /// The nodes of a configuration. A node whose settings are unchanged keeps
    /// its task, with connection and sample, unless `afresh` is asked for.
    #[must_use]
    pub(crate) fn of(config: &Config, context: &Arc<NodeContext>, previous: &Self) -> Self {
        let start = |(name, node): (&NodeName, _)| {
            let settings = NodeTaskSettings {
                node: Clone::clone(node),
                timeouts: config.timeouts,
                max_output_bytes: config.max_ssh_output_bytes,
            };
            let handle = previous.unchanged(name, &settings).unwrap_or_else(|| {
                NodeHandle::start(name.clone(), settings.clone(), Arc::clone(context))
            });
            (name.clone(), (settings, handle))
        };
        Self(config.nodes.iter().map(start).collect())
    }

    /// A task is worth keeping unless it waits out a failure: a reload is how an
    /// operator says that something was mended.
    fn unchanged(&self, name: &NodeName, settings: &NodeTaskSettings) -> Option<NodeHandle> {
        let (listed, (before, handle)) = self.0.get_key_value(name)?;
        // Another spelling is no other node, but logs have to name it as it is listed now.
        let is_unchanged = before == settings && listed.as_str() == name.as_str();
        (is_unchanged && handle.blocked().is_none()).then(|| handle.clone())
    }

    /// The task of a node.
    #[must_use]
    pub(crate) fn get(&self, name: &NodeName) -> Option<&NodeHandle> {
        self.0.get(name).map(|(_, handle)| handle)
    }

    /// The name of a node as it is listed, however it was asked for.
    #[must_use]
    pub(crate) fn listed(&self, name: &NodeName) -> Option<&NodeName> {
        self.0.get_key_value(name).map(|(listed, _)| listed)
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every name, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.0.keys()
    }
}
