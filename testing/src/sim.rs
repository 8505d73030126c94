//! Simulated nodes in the tests' own process.

use crate::config::Config;
use crate::daemon::Daemon;
use crate::home::Home;
use crate::wait;
pub use pulse_simnode::{
    Behaviour, Counters, HostAuthority, PrivateKey, SimConfig, SimNode, fresh_key, slow_files, tree,
};
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Runtime};

/// The document of a simulated helper: one processor at 41.5 °C.
pub const DOCUMENT: &str =
    r#"{"sensors":{"coretemp-isa-0000":{"Package id 0":{"temp1_input":41.5}}},"smart":[]}"#;

/// True when a response's document is that of [`DOCUMENT`].
#[must_use]
pub fn is_document(document: &serde_json::Value) -> bool {
    document["sensors"]["coretemp-isa-0000"]["Package id 0"]["temp1_input"] == 41.5
}

/// A node without a fault.
#[must_use]
pub fn healthy() -> Behaviour {
    Behaviour::Synthetic {
        document: DOCUMENT.into(),
    }
}

/// A node whose helper answers with [`DOCUMENT`] and this time, in the format of RFC 3339.
#[must_use]
pub fn with_clock(time: &str) -> Behaviour {
    let open = DOCUMENT.strip_suffix('}').unwrap_or_default();
    let helper = r#""node_helper":{"version":"0.2.0"}"#;
    Behaviour::Synthetic {
        document: format!(r#"{open},"collected_at":"{time}",{helper}}}"#).into(),
    }
}

/// The runtime of the simulated nodes.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    })
}

/// Starts a node with default settings.
#[must_use]
pub fn start(behaviour: Behaviour) -> SimNode {
    start_with(SimConfig::new(behaviour))
}

/// Starts a node with these settings.
#[must_use]
pub fn start_with(config: SimConfig) -> SimNode {
    runtime().block_on(SimNode::start(config)).unwrap()
}

/// Waits until a node's counters satisfy `reached`.
///
/// # Panics
/// When they do not within [`wait::timeout`].
pub fn wait_for(node: &SimNode, reached: impl FnMut(&Counters) -> bool) -> Counters {
    runtime()
        .block_on(async { tokio::time::timeout(wait::timeout(), node.wait_for(reached)).await })
        .unwrap_or_else(|_| panic!("timed out with {:?}", node.counters()))
}

/// A daemon and simulated nodes, whose host keys it has pinned.
#[derive(Debug)]
pub struct Fleet {
    /// The daemon.
    pub daemon: Daemon,
    nodes: Vec<(String, SimNode)>,
}

impl Fleet {
    /// Starts nodes with these names and behaviours, then the daemon.
    #[must_use]
    pub fn start<'a>(
        mut config: Config,
        nodes: impl IntoIterator<Item = (&'a str, Behaviour)>,
    ) -> Self {
        let home = Arc::new(Home::new());
        let nodes: Vec<_> = nodes
            .into_iter()
            .map(|(name, behaviour)| (name.to_owned(), start(behaviour)))
            .collect();
        for (name, node) in &nodes {
            home.trust(&node.host_key_line(name));
            config = config.node(name, node.addr());
        }
        Self {
            daemon: Daemon::start_in(&home, &config),
            nodes,
        }
    }

    /// The node with this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn node(&self, name: &str) -> &SimNode {
        let mut nodes = self.nodes.iter();
        &nodes
            .find(|(n, _)| n == name)
            .expect("a node of the fleet")
            .1
    }

    /// The nodes and their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &SimNode)> {
        self.nodes.iter().map(|(name, node)| (name.as_str(), node))
    }
}
