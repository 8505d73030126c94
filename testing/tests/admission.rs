//! Rate limits and penalties of one caller.

use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, wait};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LIMITED: &str = "rate limit exceeded";

/// The refusal of a request that names a node.
fn limited(node: &str) -> String {
    format!("node \"{node}\" not read: {LIMITED}")
}

fn status(daemon: &Daemon) -> Value {
    daemon.ask(&json!({"method": "get_status"}))
}

fn two_nodes() -> Fleet {
    let config = Config::new().with_two_tokens();
    Fleet::start(config, [("pve1", sim::healthy()), ("pve2", sim::healthy())])
}

#[test]
fn third_reading_of_one_node_is_refused() {
    let fleet = two_nodes();
    for _ in 0..2 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
    }
    assert_eq!(
        fleet.daemon.temperature("pve1").unwrap_err(),
        limited("pve1")
    );
    assert!(fleet.daemon.temperature("pve2").is_ok());
    assert_eq!(status(&fleet.daemon)["success"], true);
}

#[test]
fn unlisted_names_cost_only_the_caller() {
    let fleet = two_nodes();
    for name in ["pve3", "pve4"] {
        let error = fleet.daemon.temperature(name).unwrap_err();
        assert!(error.contains("(node_not_allowlisted)"), "{error}");
    }
    assert_eq!(
        fleet.daemon.temperature("pve5").unwrap_err(),
        limited("pve5")
    );
    assert_eq!(status(&fleet.daemon)["error"], LIMITED);
    assert!(fleet.daemon.temperature("pve1").is_ok());
}

#[test]
fn list_spends_each_nodes_budget() {
    let fleet = two_nodes();
    for _ in 0..2 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
    }
    // Shorter than `request_timeout`, and longer than a busy machine needs.
    let params = json!({"wait_ms": 14_000});
    let response = fleet
        .daemon
        .ask(&json!({"method": "get_temperatures", "params": params}));
    let nodes = response["data"]["nodes"].as_array().unwrap();
    // An error of this node alone: Pulse would blame the whole proxy for a global one.
    let error = nodes[0]["error"].as_str().unwrap();
    assert_eq!(error, limited("pve1"));
    assert!(sim::is_document(&nodes[1]["temperature"]));
}

#[test]
fn empty_list_is_charged() {
    let fleet = two_nodes();
    let nothing = json!({"method": "get_temperatures", "params": {"nodes": []}});
    for _ in 0..2 {
        assert_eq!(fleet.daemon.ask(&nothing)["success"], true);
    }
    assert_eq!(fleet.daemon.ask(&nothing)["error"], LIMITED);
    assert_eq!(status(&fleet.daemon)["error"], LIMITED);
}

#[test]
fn malformed_request_costs_two_seconds() {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    let punished = Instant::now();
    client.send(b"nonsense\n");
    assert_eq!(client.error(), "invalid request format");
    wait::until("the end of the penalty", || {
        let response = status(&daemon);
        let is_served = response["success"] == true;
        assert!(is_served || response["error"] == LIMITED, "{response}");
        is_served
    });
    assert!(punished.elapsed() >= Duration::from_secs(2));
    let penalties = penalties(&daemon, "invalid_request");
    assert!(
        (penalties - 1.0).abs() < f64::EPSILON,
        "a refused request adds no penalty"
    );
}

#[test]
fn penalty_reaches_open_connections() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let mut open = fleet.daemon.connect();
    let mut kept = fleet.daemon.connect();
    kept.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n");
    assert_eq!(kept.answer()["success"], true);
    assert!(fleet.daemon.temperature("-oProxyCommand=id").is_err());
    for client in [&mut open, &mut kept] {
        client.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n");
        assert_eq!(client.error(), LIMITED);
    }
}

#[test]
fn offences_are_counted_by_kind() {
    for (request, reason) in [
        (json!({"method": "get_temperature"}), "invalid_parameter"),
        (
            json!({"method": "get_temperature", "params": {"node": "$(id)"}}),
            "invalid_node_name",
        ),
        (
            json!({"method": "get_temperatures", "params": {"nodes": ["pve1", "$(id)"]}}),
            "invalid_node_name",
        ),
        (json!({"params": {}}), "invalid_request"),
    ] {
        let daemon = Daemon::start(&Config::new());
        let _ = daemon.ask(&request);
        assert!(
            (penalties(&daemon, reason) - 1.0).abs() < f64::EPSILON,
            "{request}"
        );
    }
}

fn penalties(daemon: &Daemon, reason: &str) -> f64 {
    let peer = format!("uid:{}", nix::unistd::geteuid());
    daemon.metric(&format!(
        "pulse_proxy_limiter_penalties_total{{reason=\"{reason}\",peer=\"{peer}\"}}"
    ))
}

/// Three rounds in real time; a test of the limiter has fifty nodes and a day in simulated
/// time.
#[test]
fn parallel_poller_is_never_refused() {
    let names: Vec<String> = (1..=20).map(|i| format!("pve{i}")).collect();
    let config = Config::new()
        .with_default_limits()
        .set_limit("per_peer_interval_ms", "500")
        .set_limit("per_peer_burst", "2");
    let nodes = names.iter().map(|name| (name.as_str(), sim::healthy()));
    let fleet = Fleet::start(config, nodes);
    let started = Instant::now();
    for round in 0..3 {
        let due = started + Duration::from_secs(1) * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        std::thread::scope(|scope| {
            for name in &names {
                let daemon = &fleet.daemon;
                scope.spawn(move || {
                    let reading = daemon.temperature(name);
                    assert!(reading.is_ok(), "round {round}, {name}: {reading:?}");
                });
            }
        });
    }
    let hits = fleet.daemon.metric("pulse_proxy_rate_limit_hits_total");
    assert!(hits.abs() < f64::EPSILON);
}
