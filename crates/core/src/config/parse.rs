//! The way from the file's text to [`Keys`], and from there to [`Config`].

use super::schema::{Environment, Fault, Value, VariableError};
use super::table::{FILE, Keys, PeerKeys};
use super::values::ConfigVersion;
use super::{
    Access, Audit, Config, ConfigError, Forward, MAX_CONFIG_BYTES, Metrics, NodeSettings,
    SocketAccess, Timeouts,
};
use crate::callers::capability::{Capabilities, Capability};
use crate::callers::limiter::Limits;
use crate::callers::peer::entry_capabilities;
use crate::nodes::name::NodeName;
use crate::work::Caps;
use pulse_sensors::shown::scrubbed;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const ROOT_ADMINISTERS_ELSEWHERE: &str = "uid 0 cannot have \"admin\" here, since root of any \
     container has uid 0 too: remove it; root of the host administers over control_socket";

impl Keys {
    /// Parses the text of a configuration file, and checks the keys that depend on each other.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column, for anything that is not exactly as
    /// it should be.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        read_file(text, MAX_CONFIG_BYTES, |keys: Self| {
            keys.check().map(|()| keys)
        })
    }

    /// Puts each variable of the environment in the place of its key.
    ///
    /// # Errors
    /// [`VariableError`] for a variable that is no value of its key.
    pub fn override_from(&mut self, environment: &Environment<'_>) -> Result<(), VariableError> {
        Value::override_from(self, &FILE, environment)
    }

    fn check(&self) -> Result<(), Fault> {
        self.check_nodes()?;
        self.check_peers()?;
        self.forward.check()?;
        self.socket_access()
            .check_group()
            .map_err(|message| Fault::at(&self.socket_group, message))?;
        self.audit.check()
    }

    fn check_nodes(&self) -> Result<(), Fault> {
        let mut names = BTreeSet::new();
        for entry in &self.allowed_nodes {
            let name = entry.get_ref().name();
            // Names that differ in case are equal.
            let Some(first) = names.replace(name) else {
                continue;
            };
            let spelt = if first.as_str() == name.as_str() {
                String::new()
            } else {
                format!(", first as \"{first}\": case makes no other node")
            };
            let message = format!("node \"{name}\" is listed twice{spelt}");
            return Err(Fault::at(entry, message));
        }
        Ok(())
    }

    fn check_peers(&self) -> Result<(), Fault> {
        let mut uids = BTreeSet::new();
        for entry in &self.allowed_peers {
            let peer = &entry.get_ref().0;
            // UID 0 on the callers' socket may be root of any container.
            if peer.uid == 0 && peer.held().has(Capability::Admin) {
                return Err(Fault::at(entry, ROOT_ADMINISTERS_ELSEWHERE));
            }
            if !uids.insert(peer.uid) {
                let message = format!("uid {} is listed twice", peer.uid);
                return Err(Fault::at(entry, message));
            }
        }
        Ok(())
    }

    fn socket_access(&self) -> SocketAccess {
        SocketAccess {
            mode: self.socket_mode,
            group: self.socket_group.get_ref().0.clone(),
        }
    }

    fn nodes(&self) -> BTreeMap<NodeName, NodeSettings> {
        self.allowed_nodes
            .iter()
            .map(Spanned::get_ref)
            .map(|entry| {
                let (name, node) = (entry.name(), &entry.0);
                let user = node.user.as_ref().unwrap_or(&self.ssh.user);
                let settings = NodeSettings {
                    address: node
                        .address
                        .map_or_else(|| name.address(), |address| Some(address.0)),
                    port: node.port.unwrap_or(self.ssh.port).0,
                    user: user.0.clone(),
                };
                (name.clone(), settings)
            })
            .collect()
    }

    fn uids(&self) -> HashMap<u32, Capabilities> {
        // An entry with capabilities is stronger than a bare user id.
        let bare = self.allowed_peer_uids.iter().copied();
        let entries = self.allowed_peers.iter().map(|entry| &entry.get_ref().0);
        bare.map(|uid| (uid, Capabilities::read_only()))
            .chain(entries.map(|peer| (peer.uid, peer.held())))
            .collect()
    }
}

impl PeerKeys {
    fn held(&self) -> Capabilities {
        let named: Vec<_> = self.capabilities.iter().map(|name| name.0).collect();
        entry_capabilities(&named)
    }
}

impl From<Keys> for Config {
    fn from(keys: Keys) -> Self {
        let nodes = keys.nodes();
        let rate = &keys.rate_limit;
        Self {
            socket: keys.socket.clone(),
            socket_access: keys.socket_access(),
            control_socket: keys.control_socket.0.clone(),
            ssh_dir: keys.ssh_dir.clone(),
            metrics_address: keys.metrics_address.0,
            metrics: Metrics {
                host_names: keys
                    .metrics
                    .host_names
                    .iter()
                    .map(|name| name.0.clone())
                    .collect(),
            },
            log_level: keys.log_level,
            confinement: keys.confinement,
            audit: Audit::from(&keys.audit),
            forward: Forward::from(&keys.forward),
            ssh_port: keys.ssh.port.0,
            access: Access {
                uids: keys.uids(),
                gids: keys.allowed_peer_gids.clone(),
                allow_idmapped_root: keys.allow_idmapped_root,
                idmap_users: keys.allowed_idmap_users.clone(),
            },
            limits: Limits {
                interval: Duration::from_millis(u64::from(rate.per_peer_interval_ms.0)),
                burst: rate.per_peer_burst.0,
                // The penalties and the number of callers remembered are no settings.
                ..Limits::default()
            },
            caps: Caps {
                per_peer: rate.per_peer_concurrency.0 as usize,
                total: rate.global_concurrency.0 as usize,
                // Room for two sweeps over the whole list and some single readings.
                waiting_per_peer: 2 * nodes.len() + 64,
            },
            timeouts: Timeouts {
                read: keys.read_timeout.at_least_one_ms(),
                write: keys.write_timeout.at_least_one_ms(),
                request: keys.request_timeout.at_least_one_ms(),
                connect: keys.ssh.connect_timeout.at_least_one_ms(),
                keepalive: keys.ssh.keepalive_interval.at_least_one_ms(),
                idle: keys.ssh.idle_timeout.at_least_one_ms(),
            },
            cache_ttl: keys.cache_ttl.0,
            max_ssh_output_bytes: keys.max_ssh_output_bytes.0 as usize,
            require_forced_command: keys
                .ssh
                .require_forced_command
                .unwrap_or(keys.config_version >= ConfigVersion::Two),
            poll_interval: Some(keys.ssh.poll_interval.0).filter(|every| !every.is_zero()),
            nodes,
            keys,
        }
    }
}

/// Parses the text of a file as a table's value is parsed, and checks that.
///
/// # Errors
/// As [`Keys::parse`], also for a text of more than `limit` bytes.
pub(super) fn read_file<T: Value, Checked>(
    text: &str,
    limit: usize,
    check: impl FnOnce(T) -> Result<Checked, Fault>,
) -> Result<Checked, ConfigError> {
    let locate = |start: usize, message: &str| {
        let (line, column) = position(text, start);
        ConfigError {
            line,
            column,
            // It may quote a key, which may hold anything.
            message: scrubbed(message).into_owned(),
        }
    };
    // Before the text is parsed, which takes memory in proportion to it.
    if text.len() > limit {
        return Err(locate(0, &format!("the file is over {limit} bytes")));
    }
    let file = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        locate(start, error.message())
    })?;
    let file = Spanned::new(file.span(), DeValue::Table(file.into_inner()));
    T::read(&file)
        .and_then(check)
        .map_err(|fault| locate(fault.span.start, &fault.message))
}

/// Line and column of a byte offset, counted from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
