//! The configuration: strict TOML, parsed once into an immutable snapshot.
//!
//! The admin owns the file and the daemon never writes it. Unknown and duplicate
//! keys are errors, and every error says line and column, because a typing
//! mistake in a security setting must not pass for a default. Keys keep the names
//! that users of the earlier system know where they mean the same.

mod audit;
pub mod forward;
mod socket;
mod values;

use crate::authority::HostNames;
use crate::capability::{Capabilities, Capability};
use crate::limiter::Limits;
use crate::name::NodeName;
use crate::peer::entry_capabilities;
use crate::work::Caps;
pub use audit::{Audit, check_log_path};
pub use forward::Forward;
use pulse_sensors::shown::scrubbed;
use serde::Deserialize;
use socket::GroupText;
pub use socket::{SocketAccess, SocketFile, SocketGroup, SocketMode, TooWide};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use values::{
    CapabilityName, HostNameText, Interval, MetricsAddress, NodeEntry, PeerEntry, Port, Positive,
    SocketPath, UserName, seconds,
};
pub use values::{Confinement, LogLevel};

/// Where the file is unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/pulse-sensor-proxy/config.toml";

/// The largest file read, in bytes.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;

/// A mistake in the file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything the daemon is told, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The Unix socket of callers.
    pub socket: PathBuf,
    /// Who may connect to it.
    pub socket_access: SocketAccess,
    /// The Unix socket of administrators.
    pub control_socket: PathBuf,
    /// Where the SSH key and `known_hosts` are.
    pub ssh_dir: PathBuf,
    /// Where metrics are served; `None` switches them off.
    pub metrics_address: Option<SocketAddr>,
    /// How metrics are served.
    pub metrics: Metrics,
    /// The least severe message that is logged.
    pub log_level: LogLevel,
    /// What is done about a layer of the confinement that the kernel lacks.
    pub confinement: Confinement,
    /// Where decisions are put on record.
    pub audit: Audit,
    /// Where records are brought to.
    pub forward: Forward,
    /// The port of nodes that say none; may be connected to even while there are none.
    pub ssh_port: u16,
    /// The nodes that may be read.
    pub nodes: BTreeMap<NodeName, NodeSettings>,
    /// Who may ask.
    pub access: Access,
    /// How often and how much at a time.
    pub limits: Limits,
    /// How many exchanges at a time.
    pub caps: Caps,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// How long a sample is given again as it is.
    pub cache_ttl: Duration,
    /// The most that one reading may print, in bytes.
    pub max_ssh_output_bytes: usize,
    /// Every node is read in the background this often; `None` is never.
    pub poll_interval: Option<Duration>,
}

/// How metrics are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The names that requests may be for, beside addresses and `localhost`.
    pub host_names: HostNames,
}

/// One node of `allowed_nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its management address; else the name is looked up in `/etc/hosts`.
    pub address: Option<IpAddr>,
    /// The SSH port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
}

/// Who may ask, as the file says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Capabilities by user id.
    pub uids: HashMap<u32, Capabilities>,
    /// Group ids that may read.
    pub gids: Vec<u32>,
    /// Whether root of an unprivileged container may read.
    pub allow_idmapped_root: bool,
    /// Whose subordinate ranges count for that.
    pub idmap_users: Vec<String>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the request line.
    pub read: Duration,
    /// For the whole reply to be taken.
    pub write: Duration,
    /// For a reading, all in all.
    pub request: Duration,
    /// For one connection to a node, until it has let us in.
    pub connect: Duration,
    /// Between keepalives on a quiet connection.
    pub keepalive: Duration,
    /// After which an unused connection is closed.
    pub idle: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    socket: PathBuf,
    socket_mode: SocketMode,
    socket_group: Spanned<GroupText>,
    control_socket: SocketPath,
    ssh_dir: PathBuf,
    metrics_address: MetricsAddress,
    metrics: MetricsTable,
    log_level: LogLevel,
    confinement: Confinement,
    allowed_nodes: Vec<Spanned<NodeEntry>>,
    allowed_peers: Vec<Spanned<PeerEntry>>,
    allowed_peer_uids: Vec<u32>,
    allowed_peer_gids: Vec<u32>,
    allow_idmapped_root: bool,
    allowed_idmap_users: Vec<String>,
    read_timeout: Interval,
    write_timeout: Interval,
    request_timeout: Interval,
    cache_ttl: Interval,
    max_ssh_output_bytes: Positive,
    rate_limit: RateLimit,
    ssh: Ssh,
    audit: audit::Table,
    forward: forward::Table,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct MetricsTable {
    host_names: Vec<HostNameText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RateLimit {
    per_peer_interval_ms: Positive,
    per_peer_burst: Positive,
    per_peer_concurrency: Positive,
    global_concurrency: Positive,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ssh {
    user: UserName,
    port: Port,
    connect_timeout: Interval,
    keepalive_interval: Interval,
    idle_timeout: Interval,
    poll_interval: Interval,
}

impl Default for File {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/pulse-sensor-proxy/pulse-sensor-proxy.sock"),
            socket_mode: SocketAccess::default().mode,
            socket_group: Spanned::new(0..0, GroupText::default()),
            control_socket: SocketPath(PathBuf::from("/run/pulse-sensor-proxy-admin/control.sock")),
            ssh_dir: PathBuf::from("/var/lib/pulse-sensor-proxy/ssh"),
            metrics_address: MetricsAddress::default(),
            metrics: MetricsTable::default(),
            log_level: LogLevel::Info,
            confinement: Confinement::BestEffort,
            allowed_nodes: Vec::new(),
            allowed_peers: Vec::new(),
            allowed_peer_uids: Vec::new(),
            allowed_peer_gids: Vec::new(),
            allow_idmapped_root: true,
            allowed_idmap_users: vec!["root".to_owned()],
            read_timeout: seconds(5),
            write_timeout: seconds(10),
            request_timeout: seconds(15),
            cache_ttl: seconds(2),
            max_ssh_output_bytes: Positive(1 << 20),
            rate_limit: RateLimit::default(),
            ssh: Ssh::default(),
            audit: audit::Table::default(),
            forward: forward::Table::default(),
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            per_peer_interval_ms: Positive(5000),
            per_peer_burst: Positive(2),
            per_peer_concurrency: Positive(2),
            global_concurrency: Positive(8),
        }
    }
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            user: UserName("pulse-sensor".to_owned()),
            port: Port(22),
            connect_timeout: seconds(10),
            keepalive_interval: seconds(15),
            idle_timeout: seconds(600),
            poll_interval: seconds(0),
        }
    }
}

impl Config {
    /// Parses the text of a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column, for anything that is not exactly as
    /// it should be.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let locate = |span: Option<std::ops::Range<usize>>, message: String| {
            let (line, column) = position(text, span.map_or(0, |s| s.start));
            ConfigError {
                line,
                column,
                // It may quote a key, which may hold anything.
                message: scrubbed(&message).into_owned(),
            }
        };
        if text.len() > MAX_CONFIG_BYTES {
            return Err(locate(
                None,
                format!("the file is over {MAX_CONFIG_BYTES} bytes"),
            ));
        }
        let file: File =
            toml::from_str(text).map_err(|e| locate(e.span(), e.message().to_owned()))?;
        file.check()
            .map_err(|(span, message)| locate(Some(span), message))
    }
}

impl Config {
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
    /// What an empty file says.
    fn default() -> Self {
        // Defaults have no lists, and only lists and what goes together are checked.
        File::default().settle(Checked::default())
    }
}

const ROOT_ADMINISTERS_ELSEWHERE: &str = "uid 0 cannot have \"admin\" here, since root of any \
     container has uid 0 too: remove it; root of the host administers over control_socket";

type Misplaced = (std::ops::Range<usize>, String);

/// What takes more than one value to be right.
#[derive(Default)]
struct Checked {
    nodes: BTreeMap<NodeName, NodeSettings>,
    uids: HashMap<u32, Capabilities>,
    collectors: Vec<forward::Collector>,
    socket_access: SocketAccess,
}

impl File {
    fn check(mut self) -> Result<Config, Misplaced> {
        let checked = Checked {
            nodes: self.take_nodes()?,
            uids: self.take_uids()?,
            collectors: self.forward.take_collectors()?,
            socket_access: self.take_socket_access()?,
        };
        self.audit.check()?;
        Ok(self.settle(checked))
    }

    fn take_socket_access(&mut self) -> Result<SocketAccess, Misplaced> {
        let span = self.socket_group.span();
        let access = SocketAccess {
            mode: self.socket_mode,
            group: self.socket_group.get_mut().0.take(),
        };
        access.check_group().map_err(|message| (span, message))?;
        Ok(access)
    }

    fn take_nodes(&mut self) -> Result<BTreeMap<NodeName, NodeSettings>, Misplaced> {
        let mut nodes: BTreeMap<NodeName, NodeSettings> = BTreeMap::new();
        for entry in std::mem::take(&mut self.allowed_nodes) {
            let span = entry.span();
            let entry = entry.into_inner();
            let settings = NodeSettings {
                address: entry
                    .address
                    .map_or_else(|| entry.name.address(), |address| Some(address.0)),
                port: entry.port.unwrap_or(self.ssh.port).0,
                user: entry
                    .user
                    .map_or_else(|| self.ssh.user.0.clone(), |user| user.0),
            };
            if let Some((first, _)) = nodes.get_key_value(&entry.name) {
                let name = &entry.name;
                let spelt = if first.as_str() == name.as_str() {
                    String::new()
                } else {
                    format!(", first as \"{first}\": case makes no other node")
                };
                return Err((span, format!("node \"{name}\" is listed twice{spelt}")));
            }
            nodes.insert(entry.name, settings);
        }
        Ok(nodes)
    }

    fn take_uids(&mut self) -> Result<HashMap<u32, Capabilities>, Misplaced> {
        let mut uids = HashMap::new();
        for entry in std::mem::take(&mut self.allowed_peers) {
            let span = entry.span();
            let entry = entry.into_inner();
            let named: Vec<_> = entry
                .capabilities
                .iter()
                .map(|CapabilityName(c)| *c)
                .collect();
            let capabilities = entry_capabilities(&named);
            // UID 0 on the callers' socket may be root of any container.
            if entry.uid == 0 && capabilities.has(Capability::Admin) {
                return Err((span, ROOT_ADMINISTERS_ELSEWHERE.to_owned()));
            }
            if uids.insert(entry.uid, capabilities).is_some() {
                return Err((span, format!("uid {} is listed twice", entry.uid)));
            }
        }
        for uid in std::mem::take(&mut self.allowed_peer_uids) {
            uids.entry(uid).or_insert_with(Capabilities::read_only);
        }
        Ok(uids)
    }

    fn settle(self, checked: Checked) -> Config {
        let Checked {
            nodes,
            uids,
            collectors,
            socket_access,
        } = checked;
        let caps = Caps {
            per_peer: self.rate_limit.per_peer_concurrency.0 as usize,
            total: self.rate_limit.global_concurrency.0 as usize,
            // Room for two sweeps over the whole list and some single readings.
            waiting_per_peer: 2 * nodes.len() + 64,
        };
        let interval = Duration::from_millis(u64::from(self.rate_limit.per_peer_interval_ms.0));
        Config {
            limits: Limits {
                interval,
                burst: self.rate_limit.per_peer_burst.0,
                ..Limits::default()
            },
            timeouts: self.timeouts(),
            poll_interval: Some(self.ssh.poll_interval.0).filter(|every| !every.is_zero()),
            access: Access {
                uids,
                gids: self.allowed_peer_gids,
                allow_idmapped_root: self.allow_idmapped_root,
                idmap_users: self.allowed_idmap_users,
            },
            socket: self.socket,
            socket_access,
            control_socket: self.control_socket.0,
            ssh_dir: self.ssh_dir,
            metrics_address: self.metrics_address.0,
            metrics: Metrics {
                host_names: self
                    .metrics
                    .host_names
                    .into_iter()
                    .map(|name| name.0)
                    .collect(),
            },
            log_level: self.log_level,
            confinement: self.confinement,
            audit: self.audit.settle(),
            forward: self.forward.settle(collectors),
            ssh_port: self.ssh.port.0,
            nodes,
            caps,
            cache_ttl: self.cache_ttl.0,
            max_ssh_output_bytes: self.max_ssh_output_bytes.0 as usize,
        }
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            read: self.read_timeout.at_least_one_ms(),
            write: self.write_timeout.at_least_one_ms(),
            request: self.request_timeout.at_least_one_ms(),
            connect: self.ssh.connect_timeout.at_least_one_ms(),
            keepalive: self.ssh.keepalive_interval.at_least_one_ms(),
            idle: self.ssh.idle_timeout.at_least_one_ms(),
        }
    }
}

/// Line and column of a byte offset, counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
