//! A host that forwards its records, and the daemon's view of its collectors.

use crate::certificates::{Authority, Validity, key_of};
use crate::config::Config;
use crate::control;
use crate::daemon::{Daemon, Ended};
use crate::home::Home;
use crate::rsyslog::{Collector, Input, Rsyslog};
use crate::service;
use crate::wait;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// The name in the collector's certificate.
pub const COLLECTOR: &str = "collector.test";
/// The name in the sender's certificate.
pub const SENDER: &str = "sender.test";

/// A host and its collector. The test starts the daemon, as often as it needs.
#[derive(Debug)]
pub struct ForwardingHost {
    /// The CA of both sides.
    pub authority: Authority,
    /// The collector, under the name [`COLLECTOR`].
    pub rsyslog: Rsyslog,
    /// The daemon's files, with a valid certificate for [`SENDER`].
    pub home: Arc<Home>,
    /// The configuration, which names the collector.
    pub config: Config,
}

impl ForwardingHost {
    /// Starts the collector.
    #[must_use]
    pub fn new(input: Input) -> Self {
        let authority = Authority::new();
        let rsyslog = collector(&authority, input);
        let home = Arc::new(Home::new());
        install_valid_credentials(&home, &authority);
        let collectors = [(COLLECTOR, rsyslog.address(), input.protocol())];
        Self {
            config: forward_to_all(&collectors),
            authority,
            rsyslog,
            home,
        }
    }

    /// Changes the configuration of the next start.
    #[must_use]
    pub fn configured(mut self, change: impl FnOnce(Config) -> Config) -> Self {
        self.config = change(self.config);
        self
    }

    /// Writes the configuration and starts the daemon.
    #[must_use]
    pub fn start(&self) -> Daemon {
        Daemon::start_in(&self.home, &self.config)
    }

    /// Runs `pulse-sensorctl`.
    #[must_use]
    pub fn control(&self, words: &[&str]) -> Ended {
        control::run(&self.home, words)
    }

    /// True when each record up to this one is at the collector, in any order.
    #[must_use]
    pub fn has_all(&self, last: u64) -> bool {
        has_all(&self.rsyslog, last)
    }
}

/// A collector that accepts records from [`SENDER`].
#[must_use]
pub fn collector(authority: &Authority, input: Input) -> Rsyslog {
    Rsyslog::start(&Collector {
        input,
        ca: &authority.certificate(),
        certificate: &authority.sign(COLLECTOR, Validity::Good),
        sender: SENDER,
    })
}

/// A daemon's configuration with the collector [`COLLECTOR`] at this address, over RELP.
#[must_use]
pub fn forward_to(address: SocketAddr) -> Config {
    forward_to_all(&[(COLLECTOR, address, "relp")])
}

/// A daemon's configuration with several collectors: name, address, protocol.
#[must_use]
pub fn forward_to_all(collectors: &[(&str, SocketAddr, &str)]) -> Config {
    let tables = collectors.iter().map(|(name, address, protocol)| {
        let (ip, port) = (address.ip(), address.port());
        format!("{{ name = '{name}', address = '{ip}', port = {port}, protocol = '{protocol}' }}")
    });
    let tables: Vec<String> = tables.collect();
    Config::new().set_forward("collectors", &format!("[{}]", tables.join(", ")))
}

/// Writes certificates and key to the daemon's credentials directory. The key is last, as
/// when an operator renews them.
pub fn install_credentials(home: &Home, ca: &Authority, certificate: &Path) {
    let directory = home.credentials();
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    for (from, name) in [
        (ca.certificate(), "ca.pem"),
        (certificate.to_owned(), "certificate.pem"),
        (key_of(certificate), "key.pem"),
    ] {
        let unfinished = directory.join(format!(".{name}"));
        fs::copy(from, &unfinished).unwrap();
        if name == "key.pem" {
            service::make_service_readable(home, &unfinished);
        } else {
            service::make_readable(&unfinished);
        }
        // By a rename: a running daemon reads the old file or the new one, never a part.
        fs::rename(unfinished, directory.join(name)).unwrap();
    }
}

/// [`install_credentials`] with a valid certificate for [`SENDER`].
pub fn install_valid_credentials(home: &Home, authority: &Authority) {
    install_credentials(home, authority, &authority.sign(SENDER, Validity::Good));
}

/// The `trouble` of the first collector of the first stream.
#[must_use]
pub fn trouble(daemon: &Daemon) -> Value {
    status(daemon)["streams"][0]["collectors"][0]["trouble"].clone()
}

/// The metric of failures at this step, for [`COLLECTOR`].
#[must_use]
pub fn failures(daemon: &Daemon, step: &str) -> f64 {
    daemon.metric(&format!(
        "pulse_proxy_audit_forward_failures_total\
         {{stream=\"failover\",collector=\"{COLLECTOR}\",step=\"{step}\"}}"
    ))
}

/// Requests a replay from a record on.
///
/// # Panics
/// When the daemon refuses.
pub fn replay(daemon: &Daemon, from: u64) {
    let response =
        daemon.administer(&json!({"method": "replay_forwarding", "params": {"from": from}}));
    assert_eq!(response["success"], true, "{response}");
}

/// Waits until a collector has each record of the live file, in any order.
pub fn wait_for_all(daemon: &Daemon, rsyslog: &Rsyslog) {
    wait::until("all records at the collector", || {
        has_all(rsyslog, daemon.home().records().len() as u64)
    });
}

fn has_all(rsyslog: &Rsyslog, last: u64) -> bool {
    let collected: BTreeSet<u64> = collected_seqs(rsyslog).into_iter().collect();
    (1..=last).all(|seq| collected.contains(&seq))
}

/// The data of `get_forwarding`.
#[must_use]
pub fn status(daemon: &Daemon) -> Value {
    daemon.administer(&json!({"method": "get_forwarding"}))["data"]["forwarding"].clone()
}

/// True when every record on disk is acknowledged, in each stream.
#[must_use]
pub fn is_queue_empty(daemon: &Daemon) -> bool {
    let status = status(daemon);
    let mut streams = status["streams"].as_array().unwrap().iter();
    streams.all(|stream| stream["queue"] == 0)
}

/// The sequence numbers of a collector's records, in order of arrival.
#[must_use]
pub fn collected_seqs(rsyslog: &Rsyslog) -> Vec<u64> {
    rsyslog
        .collected()
        .iter()
        // rsyslog may be writing the last line.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|record| record["seq"].as_u64().unwrap())
        .collect()
}
