//! A refused caller always gets its line and never a reset or a broken pipe, whatever it sends
//! and when.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::{Config, Daemon};
use serde_json::{Value, json};

const NEEDS: [Need; 2] = [Need::Root, Need::Program("python3")];

const STRANGER: User = User {
    uid: 61_001,
    gid: 61_001,
};
/// The first of several strangers, each with a budget of its own.
const FIRST_OF_MANY: u32 = 61_010;
const READER: User = User {
    uid: 61_002,
    gid: 61_002,
};

fn outcomes(daemon: &Daemon, user: User, arguments: &[&str]) -> String {
    let socket = daemon.home().socket();
    let arguments = [&[socket.to_str().unwrap()], arguments].concat();
    python::run(python::REPEAT, Some(user), &arguments)
}

fn with_reader() -> Config {
    Config::new().set("allowed_peers", "[{ uid = 61002 }]")
}

#[test]
fn stranger_gets_a_line_500_times() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    let sizes = ["24", "16384", "16385", "200000"];
    for (size, uid) in sizes.into_iter().zip(FIRST_OF_MANY..) {
        for when in ["first", "late"] {
            let outcomes = outcomes(&daemon, User::number(uid), &["500", "1", size, when]);
            assert_eq!(
                outcomes, "{\"unauthorized\": 500}\n",
                "{size} bytes, {when}"
            );
        }
    }
}

#[test]
fn parallel_strangers_get_lines() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    for when in ["first", "late"] {
        let outcomes = outcomes(&daemon, STRANGER, &["500", "50", "1000", when]);
        assert_eq!(outcomes, "{\"unauthorized\": 500}\n", "{when}");
    }
}

#[test]
fn limited_caller_gets_a_line() {
    if skipped(&NEEDS) {
        return;
    }
    let config = with_reader()
        .with_default_limits()
        .set_limit("per_peer_burst", "1")
        .set_limit("per_peer_interval_ms", "3600000");
    let daemon = Daemon::start(&config);
    assert_eq!(
        outcomes(&daemon, READER, &["1", "1", "24", "first"]),
        "{\"success\": 1}\n"
    );
    for size in ["24", "16384"] {
        let outcomes = outcomes(&daemon, READER, &["500", "1", size, "first"]);
        assert_eq!(outcomes, "{\"rate limit exceeded\": 500}\n", "{size} bytes");
    }
}

#[test]
fn oversized_request_gets_a_line() {
    if skipped(&NEEDS) {
        return;
    }
    // Its first request is too large; during the penalty the others exceed the limit.
    for size in ["16385", "500000"] {
        let daemon = Daemon::start(&with_reader());
        let outcomes = outcomes(&daemon, READER, &["100", "1", size, "first"]);
        let too_large = count(&outcomes, "payload too large");
        let shut_out = count(&outcomes, "rate limit exceeded");
        assert_eq!(too_large + shut_out, 100, "{size} bytes: {outcomes}");
        assert!(too_large > 0, "{size} bytes: {outcomes}");
    }
}

#[test]
fn excess_connections_get_a_line() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&with_reader());
    let socket = daemon.home().socket();
    // Without nodes `core::config` allows a caller 64 open connections.
    let outcomes = python::run(
        python::CROWD,
        Some(READER),
        &[socket.to_str().unwrap(), "100", "64"],
    );
    let outcomes: Value = serde_json::from_str(&outcomes).unwrap();
    assert_eq!(outcomes, json!({"success": 64, "rate limit exceeded": 36}));
}

fn count(outcomes: &str, name: &str) -> u64 {
    let outcomes: Value = serde_json::from_str(outcomes).unwrap();
    outcomes[name].as_u64().unwrap_or(0)
}
