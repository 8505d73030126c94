//! Nodes: one task each, which owns everything about its node.

mod connect;
mod document;
mod ending;
mod exchange;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod handle;
pub(crate) mod host_file;
mod host_key;
pub(crate) mod known_hosts;
pub(crate) mod login_key;
pub(crate) mod resolve;
mod stream;
mod task;

pub(crate) use connect::NodeContext;
pub(crate) use document::{SensorCounts, SharedHistory};
pub(crate) use exchange::{KeyScope, Sample};
#[cfg(test)]
pub(crate) use failure::HostKeyFailure;
pub(crate) use failure::NodeFailure;
#[cfg(test)]
pub(crate) use failure::Stage;
#[cfg(test)]
pub(crate) use failure::examples as failure_examples;
pub(crate) use handle::NodeHandle;
#[cfg(test)]
pub(crate) use handle::NodeInbox;

use crate::observe::files::{FileProblem, WatchedFile};
use connect::SshConnector;
use pulse_core::config::{Config, NodeSettings, Timeouts};
use pulse_core::nodes::hosts::Hosts;
use pulse_core::nodes::lookup::{self, ByAddress};
use pulse_core::nodes::name::NodeName;
use pulse_core::rpc::Retry;
use pulse_trust::Check;
use std::collections::BTreeMap;
use std::sync::Arc;
use task::{LocalFiles, NodeTask};

/// The settings of a node's task; a change makes a new task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeTaskSettings {
    /// Address, port and user.
    pub(crate) node: NodeSettings,
    pub(crate) timeouts: Timeouts,
    /// The most one reading may print, in bytes.
    pub(crate) max_output_bytes: usize,
    /// Refuses a node that runs any command for our key.
    pub(crate) require_forced_command: bool,
}

/// Starts the tasks of nodes: those that speak SSH, or scripts in tests.
pub(crate) trait NodeStarter: Send + Sync {
    /// Starts the task of one node, which lives as long as its handles.
    fn start(
        &self,
        name: &NodeName,
        settings: &NodeTaskSettings,
        history: &SharedHistory,
    ) -> NodeHandle;

    /// Reads `known_hosts` and the SSH key again, if their files have changed or could not be
    /// read. Connections whose host key is no longer accepted are closed then.
    fn check_files(&self, check: Check);

    /// What is wrong with `known_hosts` and the SSH key now.
    fn file_problems(&self) -> Vec<FileProblem>;

    /// The public half of the SSH key, as a line of `authorized_keys`.
    fn public_key(&self) -> String;
}

impl NodeStarter for Arc<NodeContext> {
    fn start(
        &self,
        name: &NodeName,
        settings: &NodeTaskSettings,
        history: &SharedHistory,
    ) -> NodeHandle {
        let (handle, inbox) = NodeHandle::new();
        let connector = SshConnector {
            name: name.clone(),
            settings: settings.clone(),
            context: Self::clone(self),
            history: Arc::clone(history),
        };
        tokio::spawn(NodeTask::run(
            name.clone(),
            settings.timeouts,
            connector,
            LocalFiles {
                pins: self.known_hosts.subscribe(),
                key: self.key.subscribe(),
            },
            Arc::clone(&self.recorder),
            inbox,
        ));
        handle
    }

    fn check_files(&self, check: Check) {
        self.known_hosts.check(check);
        self.key.check(check);
    }

    fn file_problems(&self) -> Vec<FileProblem> {
        let of = |file| move |error: String| FileProblem::new(file, error);
        let known_hosts = self.known_hosts.problem().map(of(WatchedFile::KnownHosts));
        let key = self.key.problem().map(of(WatchedFile::SshKey));
        known_hosts.into_iter().chain(key).collect()
    }

    fn public_key(&self) -> String {
        self.key.public_line()
    }
}

/// All nodes that may be read, with their tasks.
#[derive(Clone, Default)]
pub(crate) struct Nodes {
    listed: BTreeMap<NodeName, ListedNode>,
    by_address: Arc<ByAddress>,
}

#[derive(Clone)]
struct ListedNode {
    settings: NodeTaskSettings,
    handle: NodeHandle,
    history: SharedHistory,
}

impl Nodes {
    /// The nodes of a configuration. A node whose settings are unchanged keeps its task,
    /// with connection and sample. `hosts` has the addresses of those that are configured
    /// without one.
    pub(crate) fn of(
        config: &Config,
        hosts: &Hosts,
        starter: &dyn NodeStarter,
        previous: &Self,
    ) -> Self {
        let start = |(name, node): (&NodeName, &NodeSettings)| {
            let settings = NodeTaskSettings {
                node: node.clone(),
                timeouts: config.timeouts,
                max_output_bytes: config.max_ssh_output_bytes,
                require_forced_command: config.require_forced_command,
            };
            let previous = previous.listed.get_key_value(name);
            // A task is worth keeping unless it waits out a failure: a reload is how an operator
            // says that something was repaired.
            let kept = previous.filter(|(listed, before)| {
                before.settings == settings
                    // Another spelling is no other node, but logs have to name it as it is
                    // listed now.
                    && listed.as_str() == name.as_str()
                    && before.handle.blocked(Retry::WhenDue).is_none()
            });
            if let Some((_, node)) = kept {
                return (name.clone(), node.clone());
            }
            // Under another address or port is another machine, whose sensors have shown nothing
            // yet; another user of the login sees the same sensors.
            let machine = |node: &NodeSettings| (node.address, node.port);
            let history = previous
                .filter(|(_, before)| machine(&before.settings.node) == machine(node))
                .map(|(_, before)| Arc::clone(&before.history))
                .unwrap_or_default();
            let handle = starter.start(name, &settings, &history);
            let node = ListedNode {
                settings,
                handle,
                history,
            };
            (name.clone(), node)
        };
        let addresses = config.nodes.iter().flat_map(|(name, node)| {
            let known = match node.address {
                Some(address) => vec![address],
                None => hosts.lookup(name),
            };
            known.into_iter().map(move |address| (address, name))
        });
        Self {
            listed: config.nodes.iter().map(start).collect(),
            by_address: Arc::new(addresses.collect()),
        }
    }

    /// The task of a node.
    #[must_use]
    pub(crate) fn get(&self, name: &NodeName) -> Option<&NodeHandle> {
        self.listed.get(name).map(|node| &node.handle)
    }

    /// The name of a node as it is listed, however it was asked for: by its address too, if no
    /// other node has that.
    #[must_use]
    pub(crate) fn listed(&self, name: &NodeName) -> Option<&NodeName> {
        self.listed
            .get_key_value(name)
            .map(|(listed, _)| listed)
            .or_else(|| self.by_address.get(name.address()?))
    }

    /// True if the node is listed in this very spelling, which its metrics have.
    #[must_use]
    pub(crate) fn has_spelling(&self, name: &NodeName) -> bool {
        let listed = self.listed.get_key_value(name);
        listed.is_some_and(|(listed, _)| listed.as_str() == name.as_str())
    }

    /// The listed node that this unlisted name was probably meant to be.
    #[must_use]
    pub(crate) fn meant(&self, name: &NodeName) -> Option<&NodeName> {
        lookup::meant(name, self.names())
    }

    /// True if there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Every name, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &NodeName> + Clone {
        self.listed.keys()
    }

    /// Every node's listed name and task, sorted by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&NodeName, &NodeHandle)> {
        self.listed.iter().map(|(name, node)| (name, &node.handle))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
