//! A daemon's collector, and what it says of it.

use crate::certificates::{Authority, Validity, key_of};
use crate::config::Config;
use crate::daemon::Daemon;
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

/// The name in the collector's certificate.
pub const COLLECTOR: &str = "collector.test";
/// The name in ours.
pub const SENDER: &str = "sender.test";

/// A collector that takes records from [`SENDER`].
#[must_use]
pub fn collector(authority: &Authority, input: Input) -> Rsyslog {
    Rsyslog::start(&Collector {
        input,
        ca: &authority.certificate(),
        certificate: &authority.sign(COLLECTOR, Validity::Good),
        sender: SENDER,
    })
}

/// A daemon's configuration that names it.
#[must_use]
pub fn to(address: SocketAddr) -> Config {
    to_all(&[(COLLECTOR, address, "relp")])
}

/// As [`to`], for several: name, address, protocol.
#[must_use]
pub fn to_all(collectors: &[(&str, SocketAddr, &str)]) -> Config {
    let tables = collectors.iter().map(|(name, address, protocol)| {
        let (ip, port) = (address.ip(), address.port());
        format!("{{ name = '{name}', address = '{ip}', port = {port}, protocol = '{protocol}' }}")
    });
    let tables: Vec<String> = tables.collect();
    Config::new().set_forward("collectors", &format!("[{}]", tables.join(", ")))
}

/// Puts certificates where the daemon looks for them: the key last, as one who
/// exchanges them would.
pub fn equip(home: &Home, ca: &Authority, certificate: &Path) {
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
            service::let_read_alone(home, &unfinished);
        } else {
            service::let_read(&unfinished);
        }
        fs::rename(unfinished, directory.join(name)).unwrap();
    }
}

/// A good certificate for [`SENDER`], in place.
pub fn equip_well(home: &Home, authority: &Authority) {
    equip(home, authority, &authority.sign(SENDER, Validity::Good));
}

/// What is wrong with the first collector of the first stream.
#[must_use]
pub fn trouble(daemon: &Daemon) -> Value {
    status(daemon)["streams"][0]["collectors"][0]["trouble"].clone()
}

/// How often something was wrong with [`COLLECTOR`] at this step, as metrics tell it.
#[must_use]
pub fn failures(daemon: &Daemon, step: &str) -> f64 {
    daemon.metric(&format!(
        "pulse_proxy_audit_forward_failures_total\
         {{stream=\"failover\",collector=\"{COLLECTOR}\",step=\"{step}\"}}"
    ))
}

/// Asks for everything from a record on once more.
///
/// # Panics
/// When the daemon does not agree.
pub fn replay(daemon: &Daemon, from: u64) {
    let answer =
        daemon.administer(&json!({"method": "replay_forwarding", "params": {"from": from}}));
    assert_eq!(answer["success"], true, "{answer}");
}

/// Waits until a collector has each record that is in the live file, whatever its order.
///
/// # Panics
/// When it does not get them.
pub fn wait_for_all(daemon: &Daemon, rsyslog: &Rsyslog) {
    wait::until("everything at the collector", || {
        let has: BTreeSet<u64> = numbers(rsyslog).into_iter().collect();
        (1..=daemon.home().records().len() as u64).all(|seq| has.contains(&seq))
    });
}

/// What a daemon says of its collectors.
#[must_use]
pub fn status(daemon: &Daemon) -> Value {
    let answer = daemon.administer(&json!({"method": "get_forwarding"}));
    answer["data"]["forwarding"].clone()
}

/// Whether everything that is on disk is acknowledged.
#[must_use]
pub fn is_done(daemon: &Daemon) -> bool {
    let status = status(daemon);
    let mut streams = status["streams"].as_array().unwrap().iter();
    streams.all(|stream| stream["queue"] == 0)
}

/// What a collector has: the numbers of its records.
#[must_use]
pub fn numbers(rsyslog: &Rsyslog) -> Vec<u64> {
    let collected = rsyslog.collected();
    let records = collected
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .map(|record| record["seq"].as_u64().unwrap())
        .collect()
}
