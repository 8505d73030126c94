//! Readings that are shared, remembered, or made in the background.

use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, wait};
use std::thread;
use std::time::Duration;

fn slow(milliseconds: u64) -> Behaviour {
    Behaviour::SlowBy {
        delay: Duration::from_millis(milliseconds),
        document: sim::DOCUMENT.into(),
    }
}

#[test]
fn callers_share_one_exchange() {
    let fleet = Fleet::start(Config::new(), [("pve1", slow(1000))]);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert!(fleet.daemon.temperature("pve1").is_ok()));
        }
    });
    // One more where a thread came late.
    let readings = fleet.node("pve1").counters().readings;
    assert!(
        (1..=2).contains(&readings),
        "{readings} readings for 10 callers"
    );
}

#[test]
fn young_sample_is_reused() {
    let config = Config::new().set("cache_ttl", "'1h'");
    let fleet = Fleet::start(config, [("pve1", sim::well())]);
    for _ in 0..5 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
    }
    assert_eq!(fleet.node("pve1").counters().readings, 1);
}

#[test]
fn old_sample_is_read_again() {
    let config = Config::new().set("cache_ttl", "'1ms'");
    let fleet = Fleet::start(config, [("pve1", sim::well())]);
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
    let fleet = Fleet::start(config, [("pve1", sim::well()), ("pve2", sim::well())]);
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
    let asked = |node: &str| fleet.node(node).counters().readings;
    let before = asked("pve1");
    assert!(fleet.daemon.temperature("pve1").is_ok());
    assert_eq!(asked("pve1"), before, "it was there already");
}

#[test]
fn readings_share_one_connection() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::well())]);
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
    let fleet = Fleet::start(config, [("pve1", sim::well())]);
    for _ in 0..2 {
        assert!(fleet.daemon.temperature("pve1").is_ok());
        sim::wait_for(fleet.node("pve1"), |now| now.open_connections == 0);
    }
    assert_eq!(fleet.node("pve1").counters().connections, 2);
}

#[test]
fn dead_connection_costs_no_reading() {
    let fleet = Fleet::start(Config::new(), [("pve1", sim::well())]);
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
            ..sim::SimConfig::new(sim::well())
        };
        let node = sim::start_with(config);
        let name = node.addr().ip().to_string();
        let home = std::sync::Arc::new(pulse_e2e::Home::new());
        home.trust(&node.host_key_line(&name));
        let config = Config::new().node(&name, node.addr());
        let daemon = pulse_e2e::Daemon::start_in(&home, &config);
        assert!(daemon.temperature(&name).is_ok());
        let bracketed = daemon.temperature(&format!("[{name}]"));
        assert_eq!(bracketed.is_ok(), name.contains(':'), "{bracketed:?}");
    }
}
