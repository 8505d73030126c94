//! Callers that send nothing, read nothing or disconnect: they do not delay others.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::{self, Running, User};
use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Client, Config, Daemon, Home, wait};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most that a reading may take while other callers are silent.
const PROMPT: Duration = Duration::from_millis(50);
const READING: &[u8] = b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"}}\n";

fn silent(daemon: &Daemon, uid: u32, count: &str) -> Running {
    let socket = daemon.home().socket();
    let arguments = [socket.to_str().unwrap(), count];
    Running::start(python::SILENT, Some(User::number(uid)), &arguments)
}

/// The lower quartile of several readings: on a busy machine some always take longer, and a
/// caller that is locked out gets none.
fn usual_time(fleet: &Fleet) -> Duration {
    let mut times: Vec<_> = (0..21)
        .map(|_| {
            let started = Instant::now();
            assert!(fleet.daemon.temperature("pve1").is_ok());
            started.elapsed()
        })
        .collect();
    times.sort();
    times[5]
}

/// On a machine that is too busy for the promise, at most ten times the duration without
/// silent callers.
fn assert_prompt(took: Duration, alone: Duration) {
    assert!(
        took < PROMPT.max(alone * 10),
        "{took:?}, {alone:?} without silent callers"
    );
}

fn total(outcomes: &Value) -> u64 {
    let outcomes = outcomes.as_object().unwrap();
    outcomes.values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn silent_clients_delay_nobody() {
    if skipped(&[Need::Root, Need::Program("python3")]) {
        return;
    }
    let config = Config::new()
        .set("read_timeout", "'3s'")
        .set("allowed_peers", "[61002]");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    let alone = usual_time(&fleet);
    for uid in [61_001, 61_002] {
        let mut crowd = silent(&fleet.daemon, uid, "200");
        assert_prompt(usual_time(&fleet), alone);
        // Each of them gets a line, and its connection is closed.
        let outcomes = crowd.finish();
        assert_eq!(total(&outcomes), 200, "{outcomes}");
        assert!(outcomes.get("null").is_none(), "{outcomes}");
        for error in outcomes.as_object().unwrap().keys() {
            assert!(!error.ends_with("Error"), "{outcomes}");
        }
    }
}

#[test]
fn eight_silent_users_delay_nobody() {
    if skipped(&[Need::Root, Need::Program("python3")]) {
        return;
    }
    let config = Config::new().set("read_timeout", "'3s'").set(
        "allowed_peer_uids",
        "[0, 61001, 61002, 61003, 61004, 61005, 61006, 61007, 61008]",
    );
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    let alone = usual_time(&fleet);
    let crowd: Vec<_> = (61_001..=61_008)
        .map(|uid| silent(&fleet.daemon, uid, "2"))
        .collect();
    assert_prompt(usual_time(&fleet), alone);
    for mut pair in crowd {
        assert_eq!(pair.finish(), json!({"read timeout": 2}));
    }
}

#[test]
fn silent_client_times_out() {
    let daemon = Daemon::start(&Config::new().set("read_timeout", "'1s'"));
    let started = Instant::now();
    let mut client = daemon.connect();
    assert_eq!(client.error(), "read timeout");
    assert!(client.rest().is_empty());
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!((daemon.metric("pulse_proxy_read_timeouts_total") - 1.0).abs() < f64::EPSILON);
    // A timeout costs no penalty.
    let response = daemon.ask(&json!({"method": "get_status"}));
    assert_eq!(response["success"], true);
}

#[test]
fn dripping_client_gains_no_time() {
    let daemon = Daemon::start(&Config::new().set("read_timeout", "'300ms'"));
    let mut client = daemon.connect();
    client.send(b" ");
    // Each byte comes long before the deadline: if it extended the deadline, this would not end.
    wait::until("the timeout", || {
        std::thread::sleep(Duration::from_millis(20));
        daemon.metric("pulse_proxy_read_timeouts_total") > 0.0 || client.try_send(b" ").is_err()
    });
    assert_eq!(client.error(), "read timeout");
}

/// A node whose document is larger than the socket's buffer.
fn verbose() -> Behaviour {
    // As many features as a document may have, with long labels and limits.
    let feature = |i| {
        format!("\"{i:060}\":{{\"temp{i}_input\":41.5,\"temp{i}_max\":80.5,\"temp{i}_crit\":90.5}}")
    };
    let features = (1..80).map(feature).collect::<Vec<_>>().join(",");
    let chip = |i| format!("\"jc42-i2c-{i}-18\":{{{features}}}");
    let chips = (0..50).map(chip).collect::<Vec<_>>().join(",");
    let document = format!("{{\"sensors\":{{{chips}}},\"smart\":[]}}");
    Behaviour::Synthetic {
        document: document.into(),
    }
}

fn with_verbose_node() -> Fleet {
    let config = Config::new()
        .set("write_timeout", "'3s'")
        .set("cache_ttl", "'1m'");
    let fleet = Fleet::start(config, [("pve1", verbose()), ("pve2", sim::healthy())]);
    let document = fleet.daemon.temperature("pve1").unwrap();
    assert!(fleet.daemon.temperature("pve2").is_ok());
    let length = document.to_string().len();
    assert!(length > 400_000, "{length}");
    fleet
}

#[test]
fn unreading_client_times_out() {
    // Only root can read a confined daemon's descriptors.
    if skipped(&[Need::Root]) {
        return;
    }
    let fleet = with_verbose_node();
    let before = fleet.daemon.descriptors();
    let mut clients: Vec<Client> = (0..20).map(|_| fleet.daemon.connect()).collect();
    for client in &mut clients {
        client.send(READING);
    }
    assert!(fleet.daemon.temperature("pve2").is_ok());
    assert!(fleet.daemon.temperature("pve1").is_ok());
    wait::until("their timeouts", || {
        fleet.daemon.metric("pulse_proxy_write_timeouts_total") >= 20.0
    });
    wait::until("their sockets", || fleet.daemon.descriptors() <= before);
}

#[test]
fn departed_clients_leak_nothing() {
    // Only root can read a confined daemon's descriptors.
    if skipped(&[Need::Root]) {
        return;
    }
    let fleet = with_verbose_node();
    let before = fleet.daemon.descriptors();
    for sent in [&b""[..], b"{\"meth", READING] {
        for _ in 0..15 {
            let mut client = fleet.daemon.connect();
            client.send(sent);
        }
    }
    wait::until("their sockets", || fleet.daemon.descriptors() <= before);
    assert!(fleet.daemon.temperature("pve2").is_ok());
}

#[test]
fn departed_client_stops_no_reading() {
    let config = Config::new().set("cache_ttl", "'1m'");
    let slow = Behaviour::SlowBy {
        delay: Duration::from_millis(500),
        document: sim::DOCUMENT.into(),
    };
    let fleet = Fleet::start(config, [("pve1", slow)]);
    let mut leaver = fleet.daemon.connect();
    leaver.send(READING);
    sim::wait_for(fleet.node("pve1"), |now| now.execs == 1);
    drop(leaver);
    // The exchange continues, and the next caller gets its result.
    assert!(fleet.daemon.temperature("pve1").is_ok());
    assert_eq!(fleet.node("pve1").counters().readings, 1);
}

/// Debian's default soft limit is 1,024 files; the test sets a lower one.
#[test]
fn callers_may_exceed_the_soft_limit() {
    if skipped(&[
        Need::Optional("prlimit"),
        Need::NoUnit("another program sets the limits"),
    ]) {
        return;
    }
    let home = Arc::new(Home::new());
    let node = |config: Config, i| config.node(&format!("pve{i}"), "127.0.0.1:1".parse().unwrap());
    // The limit of a caller's connections grows with the number of nodes.
    home.write_config(&(1..=200).fold(Config::new().set("read_timeout", "'1h'"), node));
    let daemon = Daemon::start_under(&home, &["prlimit", "--nofile=100:"]);
    let _silent: Vec<_> = (0..300).map(|_| daemon.connect()).collect();
    let response = daemon.ask(&json!({"method": "get_status"}));
    assert_eq!(response["success"], true);
}

#[test]
fn open_connection_survives_a_reload() {
    let daemon = Daemon::start(&Config::new().set("read_timeout", "'1s'"));
    let mut client = daemon.connect();
    daemon.reload();
    client.send(b"{\"method\":\"get_status\"}\n");
    assert_eq!(client.answer()["success"], true);
}
