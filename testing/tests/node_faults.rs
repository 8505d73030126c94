//! Nodes that misbehave: each fails alone, in bounded time and memory, and is read again when
//! it works again.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Behaviour, Fleet, SimConfig};
use pulse_e2e::{Config, Daemon, Home, wait};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The deadline, with a margin for a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// A request timeout that healthy nodes keep and tests can wait for. One caller may read all
/// nodes at a time.
fn short_timeout() -> Config {
    Config::new()
        .set("request_timeout", "'4s'")
        .set_limit("per_peer_concurrency", "200")
        .set_limit("global_concurrency", "200")
}

/// Every fault: a node's name, its behaviour, and a part of the error.
fn faults() -> Vec<(&'static str, Behaviour, &'static str)> {
    let document: Arc<str> = sim::DOCUMENT.into();
    let slow = Behaviour::SlowBy {
        delay: Duration::from_secs(3600),
        document,
    };
    let prints_banner = |every| Behaviour::Banner { every };
    vec![
        ("hangs", Behaviour::Hang, "did not answer in time"),
        (
            "greets",
            Behaviour::HangAfterGreeting,
            "did not answer in time",
        ),
        ("slow", slow, "did not answer in time"),
        ("floods", Behaviour::Flood, "sent more than"),
        ("babbles", Behaviour::Garbage, ""),
        ("closes", Behaviour::CloseAtOnce, "sent no temperatures"),
        ("drops", Behaviour::DropConnection, "broke off"),
        ("refuses", Behaviour::RefuseKey, "refused our SSH key"),
        ("blackhole", Behaviour::Blackhole, "did not answer in time"),
        ("banner", prints_banner(Duration::ZERO), ""),
        ("drips", prints_banner(Duration::from_millis(20)), ""),
        ("deaf", Behaviour::StopsReading, "did not answer in time"),
        (
            "fails",
            Behaviour::Legacy {
                output: b"".into(),
                exit: 1,
            },
            "exit code 1",
        ),
        (
            "empty",
            Behaviour::Legacy {
                output: b"Hello.\n".into(),
                exit: 0,
            },
            "sent no temperatures",
        ),
    ]
}

#[test]
fn faults_are_isolated_and_bounded() {
    let faults = faults();
    let named = faults
        .iter()
        .map(|(name, behaviour, _)| (*name, behaviour.clone()));
    let fleet = Fleet::start(short_timeout(), named.chain([("well", sim::healthy())]));
    let before = fleet.daemon.resident_kib();
    thread::scope(|scope| {
        for (name, _, part) in &faults {
            let daemon = &fleet.daemon;
            scope.spawn(move || assert_fails(daemon, name, part));
        }
        assert!(fleet.daemon.temperature("well").is_ok());
    });
    let grown = fleet.daemon.resident_kib().saturating_sub(before);
    assert!(grown < 24 * 1024, "it grew by {grown} KiB");

    fleet
        .nodes()
        .for_each(|(_, node)| node.set_behaviour(sim::healthy()));
    fleet.daemon.reload();
    for (name, _) in fleet.nodes() {
        let reading = fleet.daemon.temperature(name);
        assert!(reading.is_ok(), "{name} works again: {reading:?}");
    }
}

fn assert_fails(daemon: &Daemon, name: &str, part: &str) {
    let started = Instant::now();
    let error = daemon.temperature(name).unwrap_err();
    let took = started.elapsed();
    assert!(error.starts_with(&format!("node \"{name}\" ")), "{error}");
    assert!(error.contains(part), "{name}: {error}");
    assert!(took < BOUND, "{name}: {took:?}");
    // The node is not retried for a while; the error is immediate.
    let error = daemon.temperature(name).unwrap_err();
    assert!(error.starts_with(&format!("node \"{name}\" ")), "{error}");
}

#[test]
fn later_faults_are_isolated_too() {
    let faults = faults();
    let well = faults.iter().map(|(name, ..)| (*name, sim::healthy()));
    let fleet = Fleet::start(short_timeout(), well);
    for (name, ..) in &faults {
        let reading = fleet.daemon.temperature(name);
        assert!(reading.is_ok(), "{name}: {reading:?}");
    }
    for (name, behaviour, _) in faults {
        fleet.node(name).set_behaviour(behaviour);
        if matches!(name, "refuses" | "blackhole" | "banner" | "drips") {
            // These faults need a new connection.
            fleet.node(name).kick();
        }
    }
    thread::scope(|scope| {
        for (name, _) in fleet.nodes() {
            let daemon = &fleet.daemon;
            scope.spawn(move || assert_fails(daemon, name, ""));
        }
    });
}

#[test]
fn flood_is_counted_and_bounded() {
    let config = Config::new().set("max_ssh_output_bytes", "65536");
    let fleet = Fleet::start(config, [("pve1", Behaviour::Flood)]);
    let before = fleet.daemon.resident_kib();
    for _ in 0..10 {
        let error = fleet.daemon.temperature("pve1").unwrap_err();
        assert!(error.contains("sent more than 65536 bytes"), "{error}");
        fleet.daemon.reload();
    }
    let grown = fleet.daemon.resident_kib().saturating_sub(before);
    assert!(grown < 12 * 1024, "it grew by {grown} KiB");
    let counted = "pulse_proxy_ssh_output_oversized_total{node=\"pve1\"}";
    assert!((fleet.daemon.metric(counted) - 10.0).abs() < f64::EPSILON);
}

#[test]
fn nodes_channels_are_refused() {
    let opens = Behaviour::OpensChannels {
        document: sim::DOCUMENT.into(),
    };
    let fleet = Fleet::start(Config::new(), [("pve1", opens)]);
    let before = fleet.daemon.resident_kib();
    for _ in 0..10 {
        // Its answer may arrive before it is dropped.
        let _ = fleet.daemon.temperature("pve1");
        fleet.daemon.reload();
    }
    assert_eq!(fleet.node("pve1").counters().channels_taken, 0);
    let grown = fleet.daemon.resident_kib().saturating_sub(before);
    assert!(grown < 12 * 1024, "it grew by {grown} KiB");
}

#[test]
fn certified_nodes_channels_are_refused() {
    let authority = sim::HostAuthority::fresh("pve1").unwrap();
    let opens = Behaviour::OpensChannels {
        document: sim::DOCUMENT.into(),
    };
    let node = sim::start_with(SimConfig {
        host_authority: Some(authority.clone()),
        ..SimConfig::new(opens)
    });
    let home = Arc::new(Home::new());
    home.trust(&authority.known_hosts_line("*"));
    let daemon = Daemon::start_in(&home, &Config::new().node("pve1", node.addr()));
    let before = daemon.resident_kib();
    for _ in 0..10 {
        let _ = daemon.temperature("pve1");
        daemon.reload();
    }
    let counters = node.counters();
    assert!(counters.connections > 0, "its certificate was refused");
    assert_eq!(counters.channels_taken, 0);
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < 12 * 1024, "it grew by {grown} KiB");
    // The daemon dropped it for another reason than its certificate.
    assert!(
        !daemon.log().contains("host certificate"),
        "{}",
        daemon.log()
    );
    daemon.stop();
}

#[test]
fn exchanged_host_key_is_refused() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let node = fleet.node("pve1");
    node.set_host_key(sim::fresh_key().unwrap()).unwrap();
    node.kick();
    sim::wait_for(node, |now| now.open_connections == 0);
    for _ in 0..3 {
        let error = fleet.daemon.temperature("pve1").unwrap_err();
        assert!(
            error.starts_with("node \"pve1\" showed another host key"),
            "{error}"
        );
    }
    assert_eq!(node.counters().logins, 1, "no login with the other key");
    assert_eq!(
        node.counters().connections,
        2,
        "one connection with the other key"
    );
    let changes = fleet
        .daemon
        .metric("pulse_proxy_hostkey_changes_total{node=\"pve1\"}");
    assert!((changes - 1.0).abs() < f64::EPSILON);
}

#[test]
fn returned_node_is_read_again() {
    let well = || SimConfig::new(sim::healthy());
    let node = sim::start_with(well());
    let (address, host_key) = (node.addr(), sim::fresh_key().unwrap());
    node.set_host_key(host_key.clone()).unwrap();
    let home = Arc::new(Home::new());
    home.trust(&node.host_key_line("pve1"));
    sim::runtime().block_on(node.shutdown());
    let daemon = Daemon::start_in(&home, &Config::new().node("pve1", address));
    let error = daemon.temperature("pve1").unwrap_err();
    assert!(
        error.starts_with("node \"pve1\" cannot be reached"),
        "{error}"
    );
    let _back = sim::start_with(SimConfig {
        listen: address,
        host_key: Some(host_key),
        ..well()
    });
    // Without a reload: the backoff after one failure is a second.
    wait::until("a reading", || daemon.temperature("pve1").is_ok());
}

#[test]
fn abandoned_connects_leak_no_socket() {
    // Only root can read a confined daemon's descriptors.
    if skipped(&[Need::Root]) {
        return;
    }
    let node = sim::start(Behaviour::Blackhole);
    let names: Vec<String> = (1..=100).map(|i| format!("pve{i}")).collect();
    let config = names
        .iter()
        .fold(short_timeout(), |c, name| c.node(name, node.addr()));
    let daemon = Daemon::start(&config);
    let before = daemon.descriptors();
    let params = serde_json::json!({"wait_ms": 3_600_000});
    let request = serde_json::json!({"method": "get_temperatures", "params": params});
    let response = daemon.ask(&request);
    let entries = response["data"]["nodes"].as_array().unwrap();
    assert_eq!(entries.len(), 100);
    // The readings begin after the request, so most of them end after it.
    for entry in entries {
        let error = entry["error"].as_str().unwrap();
        let is_late = entry["pending"] == true || error.contains("did not answer in time");
        assert!(is_late, "{entry}");
    }
    sim::wait_for(&node, |now| {
        now.connections == 100 && now.open_connections == 0
    });
    wait::until("their sockets", || daemon.descriptors() <= before);
}
