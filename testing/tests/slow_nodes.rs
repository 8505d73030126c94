//! A slow node never delays another one. The order proves it, not the clock: every healthy node
//! has answered while the others are still silent.

use pulse_e2e::Config;
use pulse_e2e::sim::{self, Behaviour, Fleet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Names of which the bad ones sort first: the worst order for a queue.
fn names() -> Vec<String> {
    let bad = (1..=8).map(|i| format!("bad{i}"));
    bad.chain((1..=12).map(|i| format!("well{i}"))).collect()
}

fn fleet_with(behaviour: &Behaviour) -> Fleet {
    // No test waits for this timeout.
    let config = Config::new().set("request_timeout", "'1h'");
    let names = names();
    let nodes = names.iter().map(|name| {
        let well = name.starts_with("well");
        let behaviour = if well {
            sim::healthy()
        } else {
            behaviour.clone()
        };
        (name.as_str(), behaviour)
    });
    Fleet::start(config, nodes)
}

/// One caller reads all nodes at a time, and then the healthy ones again.
fn assert_others_answer(fleet: &Fleet) {
    let names = names();
    let (bad, well) = names.split_at(8);
    let early = AtomicUsize::new(0);
    let mut hung: Vec<_> = bad.iter().map(|name| ask(fleet, name)).collect();
    thread::scope(|scope| {
        for name in well {
            scope.spawn(|| {
                assert!(fleet.daemon.temperature(name).is_ok());
                early.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(early.into_inner(), 12);
    for name in well {
        assert!(fleet.daemon.temperature(name).is_ok());
    }
    fleet
        .nodes()
        .for_each(|(_, node)| node.set_behaviour(sim::healthy()));
    // The bad ones were pending throughout; closing their connections ends them.
    fleet.nodes().for_each(|(_, node)| node.kick());
    for client in &mut hung {
        let error = client.error();
        assert!(error.starts_with("node \"bad"), "{error}");
    }
}

fn ask(fleet: &Fleet, name: &str) -> pulse_e2e::Client {
    let mut client = fleet.daemon.connect();
    let request = serde_json::json!({"method": "get_temperature", "params": {"node": name}});
    client.send(format!("{request}\n").as_bytes());
    client
}

#[test]
fn hung_nodes_delay_no_others() {
    assert_others_answer(&fleet_with(&Behaviour::Hang));
}

#[test]
fn mute_nodes_delay_no_others() {
    assert_others_answer(&fleet_with(&Behaviour::Blackhole));
}

#[test]
fn sweep_brings_healthy_nodes() {
    let config = Config::new().set("request_timeout", "'8s'");
    let names = names();
    let fleet = Fleet::start(
        config,
        names.iter().map(|name| (name.as_str(), sim::healthy())),
    );
    for (name, _) in fleet.nodes() {
        assert!(fleet.daemon.temperature(name).is_ok());
    }
    for (_, node) in fleet.nodes().filter(|(name, _)| name.starts_with("bad")) {
        node.set_behaviour(Behaviour::Hang);
    }
    for sweep in 0..2 {
        let request = serde_json::json!({"method": "get_temperatures"});
        let response = fleet.daemon.ask(&request);
        for entry in response["data"]["nodes"].as_array().unwrap() {
            let name = entry["node"].as_str().unwrap();
            let good = sim::is_document(&entry["temperature"]);
            assert_eq!(good, name.starts_with("well"), "sweep {sweep}: {entry}");
        }
    }
}
