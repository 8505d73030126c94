//! Callers that connect without a pause neither fill the log nor keep others from readings.

use pulse_e2e::flood::{Attack, Flood, FullBacklog, PollOutcome};
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::python::{self, User};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, wait};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const NEEDS: [Need; 2] = [Need::Root, Need::Program("python3")];

const STRANGER: User = User {
    uid: 61_001,
    gid: 61_001,
};
const READER: User = User {
    uid: 61_002,
    gid: 61_002,
};

/// The users of a subordinate range.
const RANGE: Attack = Attack::Connect {
    first: 2_000_000,
    count: 65_536,
};

const CLOSED: &str = "pulse_proxy_connections_closed_unread_total";
const REFUSED: &str = "pulse_proxy_rpc_requests_total{method=\"none\",result=\"unauthorized\"}";

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pulse-flood"))
}

fn connect_as(user: User) -> Attack {
    Attack::Connect {
        first: user.uid,
        count: 1,
    }
}

fn flood(daemon: &Daemon, attack: Attack) -> Flood {
    Flood::start(program(), &daemon.home().socket(), attack)
}

/// The number of recorded refusals of callers without a capability, summaries included.
fn recorded_refusals(home: &Home) -> u64 {
    let records = home.records();
    let refusals = records.iter().filter(|record| {
        record["event_type"] == "connection.denied" || record["limiter"] == "accepts"
    });
    let count = |record: &Value| 1 + record["suppressed"].as_u64().unwrap_or(0);
    refusals.map(count).sum()
}

#[test]
fn user_range_does_not_fill_log() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    let home = daemon.home().clone();
    let length = || fs::metadata(home.audit_log()).unwrap().len();
    let (before, began) = (length(), Instant::now());
    let flood = flood(&daemon, RANGE);
    let refused = || daemon.metric(CLOSED) + daemon.metric(REFUSED);
    wait::until("many connections", || refused() > 50_000.0);
    let connections = flood.stop();
    wait::until("the last refusals", || refused() >= connections as f64);
    let (grown, seconds) = (length() - before, began.elapsed().as_secs_f64());
    // The bound is 10 kB a second, plus a burst of ten records and seals.
    let most = 10_000.0 * seconds + 16_000.0;
    assert!(
        (grown as f64) < most,
        "{grown} bytes in {seconds} s for {connections} connections"
    );
    daemon.stop();
    assert_eq!(
        recorded_refusals(&home),
        connections,
        "every refusal is counted"
    );
    let named = home.records().into_iter().filter_map(|record| {
        let [first, last] =
            ["first_peer", "last_peer"].map(|name| record[name].as_str().map(str::to_owned));
        first.zip(last)
    });
    let named: Vec<_> = named.collect();
    let is_of_range = |peer: &str| peer.starts_with("uid:20");
    assert!(!named.is_empty());
    assert!(
        named
            .iter()
            .all(|(first, last)| is_of_range(first) && is_of_range(last))
    );
}

#[test]
fn flood_hides_no_readers_refusal() {
    if skipped(&NEEDS) {
        return;
    }
    let config = Config::new()
        .with_default_limits()
        .set("allowed_peers", "[{ uid = 61002 }]");
    let daemon = Daemon::start(&config);
    let flood = flood(&daemon, RANGE);
    wait::until("a flood", || daemon.metric(CLOSED) > 1_000.0);
    let socket = daemon.home().socket();
    let request = json!({"method": "get_status"}).to_string();
    // GROUPED connects without a deadline, so it waits while the backlog is full.
    let user = READER.uid.to_string();
    let arguments = ["/dev/null", &user, socket.to_str().unwrap(), &request];
    let ask = || python::run(python::GROUPED, None, &arguments);
    wait::until("a refusal by the limiter", || ask().contains("rate limit"));
    flood.stop();
    wait::until("its record", || {
        let refusals = daemon.home().records_of("limiter.rejection");
        refusals
            .iter()
            .any(|record| record["peer"] == "uid:61002" && record["limiter"] == "rate")
    });
}

#[test]
fn sums_are_written_when_due_and_at_end() {
    if skipped(&NEEDS) {
        return;
    }
    let daemon = Daemon::start(&Config::new());
    let home = daemon.home().clone();
    let socket = home.socket();
    let arguments = [socket.to_str().unwrap(), "200", "1", "100", "first"];
    let connect = || python::run(python::REPEAT, Some(STRANGER), &arguments);
    assert_eq!(connect(), "{\"unauthorized\": 200}\n");
    wait::until("the sum", || recorded_refusals(&home) == 200);
    assert_eq!(connect(), "{\"unauthorized\": 200}\n");
    daemon.stop();
    assert_eq!(recorded_refusals(&home), 400);
    let last = home
        .records()
        .into_iter()
        .rev()
        .find(|record| !record["event_type"].as_str().unwrap().starts_with("log."));
    assert_eq!(last.unwrap()["event_type"], "proxy.stop");
}

/// At least 99 % of the readings succeed. Medians, and callers that do not wait while the
/// backlog is full, depend on the machine's load: `cargo xtask bench floods` measures these.
fn assert_readings_succeed(config: Config, attack: Attack) {
    const COUNT: u32 = 100;
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    let daemon = &fleet.daemon;
    assert!(daemon.temperature("pve1").is_ok());
    let socket = daemon.home().socket();
    let readings = |attack| {
        let flood = flood(daemon, attack);
        if attack != Attack::Spin {
            wait::until("a flood", || daemon.metric(CLOSED) > 10_000.0);
        }
        let interval = Duration::from_millis(20);
        let polled = PollOutcome::readings(&socket, "pve1", COUNT, interval, FullBacklog::Wait);
        flood.stop();
        polled
    };
    let (spinning, connecting) = (readings(Attack::Spin), readings(attack));
    let [spinning_times, connecting_times] =
        [&spinning, &connecting].map(|polled| polled.times.len());
    assert!(
        connecting_times * 100 >= spinning_times * 99,
        "{connecting_times} of {spinning_times} readings: {:?}",
        connecting.failures
    );
}

#[test]
fn stranger_flood_stops_no_reading() {
    if skipped(&NEEDS) {
        return;
    }
    assert_readings_succeed(Config::new(), connect_as(STRANGER));
}

#[test]
fn user_range_flood_stops_no_reading() {
    if skipped(&NEEDS) {
        return;
    }
    assert_readings_succeed(Config::new(), RANGE);
}

#[test]
fn reader_flood_stops_no_reading() {
    if skipped(&NEEDS) {
        return;
    }
    let config = Config::new()
        .set_limit("per_peer_interval_ms", "10")
        .set_limit("per_peer_burst", "1000")
        .set("allowed_peers", "[{ uid = 61002 }]");
    assert_readings_succeed(config, connect_as(READER));
}
