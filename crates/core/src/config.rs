//! The configuration: strict TOML, parsed once into an immutable snapshot.
//!
//! The administrator owns the file and the daemon never writes it. Unknown and duplicate keys
//! are errors, each with line and column, because a typing mistake in a security setting must
//! not pass for a default. Keys keep the names of the earlier system where they mean the same.
//!
//! `table` declares every key once; `schema` makes from that the typed [`Keys`] and their
//! descriptions ([`FILE`]); `parse` checks the keys that depend on each other and combines them
//! into the [`Config`] that the daemon works with. `node_files` adds the nodes of `nodes.d`, a file
//! each.

mod audit;
pub mod forward;
mod node_files;
mod parse;
mod render;
mod schema;
mod socket;
mod table;
mod values;

use crate::callers::capability::Capabilities;
use crate::callers::limiter::Limits;
use crate::metrics::host_header::HostNames;
use crate::nodes::name::NodeName;
use crate::work::Caps;
pub use audit::{Audit, check_log_path};
pub use forward::Forward;
pub use node_files::{
    MAX_NODE_FILE_BYTES, MAX_NODES_ENTRIES, NODES_DIRECTORY, NodeFiles, NodesEntry, unread_remark,
};
pub use render::{dictionary, packaged};
use schema::Value;
pub use schema::{Change, Environment, Key, Shape, VariableError};
pub use socket::{SocketAccess, SocketFile, SocketGroup, SocketMode, TooWide};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
pub use table::{FILE, Keys};
pub use values::{Confinement, LogLevel};

/// The path of the file, unless another is given.
pub const DEFAULT_PATH: &str = "/etc/pulse-sensor-proxy/config.toml";

/// The largest file read, in bytes.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;

/// A mistake in the file, and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The mistake, and what is expected.
    pub message: String,
}

/// The settings of the daemon, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The Unix socket of callers.
    pub socket: PathBuf,
    /// The users that can connect to it.
    pub socket_access: SocketAccess,
    /// The Unix socket of administrators.
    pub control_socket: PathBuf,
    /// The directory of the SSH key and `known_hosts`.
    pub ssh_dir: PathBuf,
    /// The address of the metrics; `None` turns them off.
    pub metrics_address: Option<SocketAddr>,
    /// The metrics listener.
    pub metrics: Metrics,
    /// The least severe message that is logged.
    pub log_level: LogLevel,
    /// The confinement, and the consequence of a layer that the kernel lacks.
    pub confinement: Confinement,
    /// The audit log.
    pub audit: Audit,
    /// Forwarding of the audit log.
    pub forward: Forward,
    /// The port of nodes that name none; the confinement permits it even without such nodes.
    pub ssh_port: u16,
    /// The nodes that callers may read.
    pub nodes: BTreeMap<NodeName, NodeSettings>,
    /// The rights of callers.
    pub access: Access,
    /// The rate of each caller.
    pub limits: Limits,
    /// The number of concurrent exchanges with nodes.
    pub caps: Caps,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// The age up to which a sample answers further requests.
    pub cache_ttl: Duration,
    /// The maximum output of one reading, in bytes.
    pub max_ssh_output_bytes: usize,
    /// Refuses nodes on which the daemon's key has no forced command.
    pub require_forced_command: bool,
    /// The interval at which the daemon reads every node by itself.
    pub poll_interval: Option<Duration>,
    /// The keys that all of this is made from; a reload starts from them.
    pub keys: Keys,
}

/// The metrics listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The names of `Host` that are answered, besides addresses and `localhost`.
    pub host_names: HostNames,
}

/// One node of `allowed_nodes` or `nodes.d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// The management address; without it, `/etc/hosts` is searched for the name.
    pub address: Option<IpAddr>,
    /// The SSH port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
}

/// The rights of callers, by their identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Capabilities by user id.
    pub uids: HashMap<u32, Capabilities>,
    /// Group ids that may read.
    pub gids: Vec<u32>,
    /// Permits root of an unprivileged container to read.
    pub allow_idmapped_root: bool,
    /// The users whose subordinate ranges count for that.
    pub idmap_users: Vec<String>,
}

/// Deadlines and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the request line.
    pub read: Duration,
    /// For sending the reply.
    pub write: Duration,
    /// For a reading as a whole.
    pub request: Duration,
    /// For connecting to a node and logging in.
    pub connect: Duration,
    /// Between keepalives on an idle connection.
    pub keepalive: Duration,
    /// After which an unused connection is closed.
    pub idle: Duration,
}

impl Config {
    /// Parses the text of a configuration file, without the environment.
    ///
    /// # Errors
    /// As [`Keys::parse`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Keys::parse(text).map(Self::from)
    }

    /// The configuration that a reload puts into force: `new`, with the running values of the
    /// keys that need a restart. Also those keys that `new` has changed, as dotted keys.
    #[must_use]
    pub fn reloaded(&self, new: Self) -> (Self, Vec<String>) {
        let mut keys = new.keys;
        let mut kept = Vec::new();
        // The keys are kept before values are made of them: some values depend on several.
        keys.keep(&self.keys, &FILE, "", &mut kept);
        (Self::from(keys), kept)
    }

    /// The SSH ports that may be connected to, in order, each once.
    #[must_use]
    pub fn ssh_ports(&self) -> BTreeSet<u16> {
        let of_nodes = self.nodes.values().map(|node| node.port);
        of_nodes.chain([self.ssh_port]).collect()
    }

    /// Every port that may be connected to: of nodes and of collectors.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        self.ssh_ports()
            .union(&self.forward.ports())
            .copied()
            .collect()
    }
}

impl Default for Config {
    /// The configuration of an empty file.
    #[allow(
        clippy::expect_used,
        reason = "a default that is no value of its key fails every test"
    )]
    fn default() -> Self {
        Self::parse("").expect("defaults are values of their keys")
    }
}

#[cfg(test)]
mod tests;
