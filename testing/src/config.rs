//! A configuration file as an operator writes it.

use crate::home::Home;
use crate::programs::user_name;
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Rate limits that no test reaches by accident.
const NO_LIMIT: [(&str, &str); 2] = [("per_peer_interval_ms", "1"), ("per_peer_burst", "1000000")];

/// The content of a configuration file. Values are TOML.
#[derive(Clone, Debug)]
pub struct Config {
    keys: BTreeMap<String, String>,
    metrics: BTreeMap<String, String>,
    rate_limit: BTreeMap<String, String>,
    ssh: BTreeMap<String, String>,
    audit: BTreeMap<String, String>,
    forward: BTreeMap<String, String>,
    nodes: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// No nodes, no cache, no effective rate limit; metrics are served, and the user who
    /// runs the tests may read.
    #[must_use]
    pub fn new() -> Self {
        let mut config = Self {
            keys: BTreeMap::new(),
            metrics: BTreeMap::new(),
            rate_limit: BTreeMap::new(),
            ssh: BTreeMap::new(),
            audit: BTreeMap::new(),
            forward: BTreeMap::new(),
            nodes: Vec::new(),
        };
        config.rate_limit = NO_LIMIT.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        config
            .set("cache_ttl", "'0s'")
            .set("allowed_peer_uids", &format!("[{}]", geteuid()))
            .set_ssh("user", &format!("'{}'", user_name()))
    }

    /// Leaves the rate limits at the daemon's defaults.
    #[must_use]
    pub fn with_default_limits(mut self) -> Self {
        self.rate_limit.clear();
        self
    }

    /// The default burst of two tokens, and no other token for an hour.
    #[must_use]
    pub fn with_two_tokens(self) -> Self {
        self.with_default_limits()
            .set_limit("per_peer_interval_ms", "3600000")
    }

    /// Sets a key.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of `[metrics]`.
    #[must_use]
    pub fn set_metrics(mut self, key: &str, value: &str) -> Self {
        self.metrics.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of `[rate_limit]`.
    #[must_use]
    pub fn set_limit(mut self, key: &str, value: &str) -> Self {
        self.rate_limit.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of `[ssh]`.
    #[must_use]
    pub fn set_ssh(mut self, key: &str, value: &str) -> Self {
        self.ssh.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of `[audit]`.
    #[must_use]
    pub fn set_audit(mut self, key: &str, value: &str) -> Self {
        self.audit.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of `[forward]`.
    #[must_use]
    pub fn set_forward(mut self, key: &str, value: &str) -> Self {
        self.forward.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a node.
    #[must_use]
    pub fn node(mut self, name: &str, address: SocketAddr) -> Self {
        let (ip, port) = (address.ip(), address.port());
        self.nodes.push(format!(
            "{{ name = '{name}', address = '{ip}', port = {port} }}"
        ));
        self
    }

    /// Adds a node that is resolved by `/etc/hosts`.
    #[must_use]
    pub fn named_node(mut self, name: &str) -> Self {
        self.nodes.push(format!("'{name}'"));
        self
    }

    /// The file's text. Paths that the test did not set are those of the daemon's home.
    #[must_use]
    pub fn text(&self, home: &Home) -> String {
        let seen = |path: PathBuf| format!("{:?}", home.daemon_path(&path));
        let mut keys = BTreeMap::from([
            ("socket".to_owned(), seen(home.socket())),
            ("control_socket".to_owned(), seen(home.control_socket())),
            ("ssh_dir".to_owned(), seen(home.ssh_dir())),
            (
                "metrics_address".to_owned(),
                format!("'{}'", home.metrics_address()),
            ),
        ]);
        keys.extend(self.keys.clone());
        let mut audit = BTreeMap::from([
            ("log".to_owned(), seen(home.audit_log())),
            ("state_dir".to_owned(), seen(home.audit_state())),
        ]);
        audit.extend(self.audit.clone());
        let mut forward = BTreeMap::from([("credentials".to_owned(), seen(home.credentials()))]);
        forward.extend(self.forward.clone());
        let mut text = String::new();
        for (section, keys) in [
            ("", &keys),
            ("[metrics]", &self.metrics),
            ("[rate_limit]", &self.rate_limit),
            ("[ssh]", &self.ssh),
            ("[audit]", &audit),
            ("[forward]", &forward),
        ] {
            // Writing to a string cannot fail.
            if !keys.is_empty() {
                let _ = writeln!(text, "{section}");
            }
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
            // A key of the top level: in TOML it has to precede the first section.
            if section.is_empty() {
                let _ = writeln!(text, "allowed_nodes = [\n{}\n]", self.nodes.join(",\n"));
            }
        }
        text
    }
}
