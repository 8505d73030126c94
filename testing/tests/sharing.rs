//! Shared readings, cached samples and background polling.

use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, wait};
use std::thread;
use std::time::{Duration, Instant};

const READING: &[u8] = b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"}}\n";

fn slow(delay: Duration) -> Behaviour {
    Behaviour::SlowBy {
        delay,
        document: sim::DOCUMENT.into(),
    }
}

#[test]
fn callers_share_one_exchange() {
    // A delay that is long enough for this machine to have all callers wait.
    let readings = [1, 10, 60].into_iter().find_map(|seconds| {
        let delay = Duration::from_secs(seconds);
        let fleet = Fleet::start(Config::new(), [("pve1", slow(delay))]);
        let started = Instant::now();
        let mut callers: Vec<_> = (0..10).map(|_| fleet.daemon.connect()).collect();
        for caller in &mut callers {
            caller.send(READING);
        }
        let home = fleet.daemon.home();
        wait::until("ten requests", || {
            home.records_of("command.start").len() == callers.len()
        });
        let is_waiting = started.elapsed() < delay / 2;
        for caller in &mut callers {
            assert_eq!(caller.answer()["success"], true);
        }
        is_waiting.then(|| fleet.node("pve1").counters().readings)
    });
    assert_eq!(readings, Some(1));
}

#[test]
fn young_sample_is_reused() {
    let config = Config::new().set("cache_ttl", "'1h'");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    for _ in 0..5 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
    }
    assert_eq!(fleet.node("pve1").counters().readings, 1);
}

#[test]
fn old_sample_is_read_again() {
    let config = Config::new().set("cache_ttl", "'1ms'");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    for _ in 0..3 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fleet.node("pve1").counters().readings, 3);
}

#[test]
fn poller_reads_before_callers() {
    let config = Config::new()
        .set("cache_ttl", "'1h'")
        .set_ssh("poll_interval", "'100ms'");
    let fleet = Fleet::start(config, [("pve1", sim::healthy()), ("pve2", sim::healthy())]);
    for (_, node) in fleet.nodes() {
        sim::wait_for(node, |now| now.readings >= 1);
    }
    wait::until("the readings to be counted", || {
        let count = |node: &str| {
            fleet.daemon.metric(&format!(
                "pulse_proxy_ssh_requests_total{{node=\"{node}\",result=\"success\"}}"
            ))
        };
        count("pve1") >= 1.0 && count("pve2") >= 1.0
    });
    let readings = || fleet.node("pve1").counters().readings;
    // A poll may come in between, but not each time.
    wait::until("a request that reads no node", || {
        let before = readings();
        assert!(fleet.daemon.temperature("pve1").is_ok());
        readings() == before
    });
}

#[test]
fn readings_share_one_connection() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    for _ in 0..50 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
    }
    let counters = fleet.node("pve1").counters();
    assert_eq!(
        (counters.connections, counters.logins, counters.execs),
        (1, 1, 1)
    );
    assert_eq!(counters.readings, 50);
}

#[test]
fn idle_connection_is_reopened() {
    let config = Config::new().set_ssh("idle_timeout", "'100ms'");
    let fleet = Fleet::start(config, [("pve1", sim::healthy())]);
    for _ in 0..2 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
        sim::wait_for(fleet.node("pve1"), |now| now.open_connections == 0);
    }
    assert_eq!(fleet.node("pve1").counters().connections, 2);
}

#[test]
fn dead_connection_costs_no_reading() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    for _ in 0..5 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
        fleet.node("pve1").kick();
    }
    assert_eq!(fleet.node("pve1").counters().connections, 5);
}

#[test]
fn addresses_of_both_families_are_names() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let config = sim::SimConfig {
            listen: listen.parse().unwrap(),
            ..sim::SimConfig::new(sim::healthy())
        };
        let node = sim::start_with(config);
        let name = node.addr().ip().to_string();
        let home = std::sync::Arc::new(pulse_e2e::Home::new());
        home.trust(&node.host_key_line(&name));
        let daemon = pulse_e2e::Daemon::start_in(&home, &Config::new().node(&name, node.addr()));
        assert!(daemon.temperature(&name).is_ok());
        let bracketed = daemon.temperature(&format!("[{name}]"));
        assert_eq!(bracketed.is_ok(), name.contains(':'), "{bracketed:?}");
    }
}
