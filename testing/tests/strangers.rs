//! Authorization: a caller's credentials, as the kernel reports them, against the
//! configuration.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, wait};
use serde_json::{Value, json};

const NEEDS: [Need; 2] = [Need::Root, Need::Program("python3")];

const STRANGER: User = User {
    uid: 61_001,
    gid: 61_001,
};
const READER: User = User {
    uid: 61_002,
    gid: 61_002,
};
const ADMIN: User = User {
    uid: 61_003,
    gid: 61_003,
};
/// A member of a group that may read; the user itself is not listed.
const MEMBER: User = User {
    uid: 61_004,
    gid: 61_100,
};

fn config() -> Config {
    Config::new()
        .set(
            "allowed_peers",
            "[{ uid = 61002 }, { uid = 61003, capabilities = ['admin'] }]",
        )
        .set("allowed_peer_uids", "[0, 61005]")
        .set("allowed_peer_gids", "[61100]")
}

fn ask(daemon: &Daemon, user: User, request: &Value) -> Value {
    let socket = daemon.home().socket();
    let arguments = [socket.to_str().unwrap(), &request.to_string()];
    serde_json::from_str(&python::run(python::PULSE, Some(user), &arguments)).unwrap()
}

fn status(daemon: &Daemon, user: User) -> Value {
    ask(daemon, user, &json!({"method": "get_status"}))
}

#[test]
fn stranger_gets_unauthorized() {
    if skipped(&NEEDS) {
        return;
    }
    let fleet = Fleet::start(config(), [("pve1", sim::healthy())]);
    let reading = json!({"method": "get_temperature", "params": {"node": "pve1"}});
    for request in [
        &reading,
        &json!({"method": "get_status"}),
        &json!("nonsense"),
    ] {
        let response = ask(&fleet.daemon, STRANGER, request);
        assert_eq!(response["error"], "unauthorized", "{request}");
        assert_eq!(response["success"], false);
    }
    assert_eq!(fleet.node("pve1").counters().connections, 0);
    let home = fleet.daemon.home();
    wait::until("the record", || {
        !home.records_of("connection.denied").is_empty()
    });
}

#[test]
fn capabilities_are_those_of_the_file() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&config());
    for user in [READER, User::number(61_005), MEMBER] {
        let response = status(&daemon, user);
        assert_eq!(
            response["data"]["capabilities"],
            json!(["read"]),
            "{user:?}"
        );
    }
    // A caller with `admin` alone: on this socket every request requires `read`.
    assert_eq!(status(&daemon, ADMIN)["error"], "unauthorized");
}

#[test]
fn reader_may_read() {
    if skipped(&NEEDS) {
        return;
    }
    let fleet = Fleet::start(config(), [("pve1", sim::healthy())]);
    let request = json!({"method": "get_temperature", "params": {"node": "pve1"}});
    for user in [READER, MEMBER] {
        let response = ask(&fleet.daemon, user, &request);
        assert_eq!(response["success"], true, "{user:?}: {response}");
    }
}

#[test]
fn callers_have_separate_budgets() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&config().with_two_tokens());
    for _ in 0..2 {
        assert_eq!(status(&daemon, READER)["success"], true);
    }
    assert_eq!(status(&daemon, READER)["error"], "rate limit exceeded");
    assert_eq!(status(&daemon, MEMBER)["success"], true);
}

#[test]
fn penalty_hits_one_caller() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&config());
    let response = ask(&daemon, READER, &json!([]));
    assert_eq!(response["error"], "invalid request format");
    assert_eq!(status(&daemon, MEMBER)["success"], true);
}

#[test]
fn reload_changes_callers() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    assert_eq!(status(&daemon, READER)["error"], "unauthorized");
    daemon.home().write_config(&config());
    daemon.reload();
    assert_eq!(status(&daemon, READER)["success"], true);
    daemon.home().write_config(&Config::new());
    daemon.reload();
    assert_eq!(status(&daemon, READER)["error"], "unauthorized");
}

#[test]
fn strangers_do_not_fill_the_log() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    let socket = daemon.home().socket();
    let arguments = [socket.to_str().unwrap(), "300", "1", "100", "late"];
    let seen = python::run(python::REPEAT, Some(STRANGER), &arguments);
    assert_eq!(seen, "{\"unauthorized\": 300}\n");
    wait::until("the record", || {
        !daemon.home().records_of("connection.denied").is_empty()
    });
    let records = daemon.home().records_of("connection.denied").len();
    assert!(
        (1..100).contains(&records),
        "{records} records for 300 connections"
    );
    let counted = "pulse_proxy_rpc_requests_total{method=\"none\",result=\"unauthorized\"}";
    assert!((daemon.metric(counted) - 300.0).abs() < f64::EPSILON);
}
