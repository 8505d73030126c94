//! A slow node never delays another one. The order proves it, not the clock: every healthy node
//! has answered while the others are still silent.

use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, control};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

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
    let names = names();
    let fleet = Fleet::start(
        Config::new(),
        names.iter().map(|name| (name.as_str(), sim::healthy())),
    );
    for (name, _) in fleet.nodes() {
        assert!(fleet.daemon.temperature(name).is_ok());
    }
    for (_, node) in fleet.nodes().filter(|(name, _)| name.starts_with("bad")) {
        node.set_behaviour(Behaviour::Hang);
    }
    for sweep in 0..2 {
        // Longer than a busy machine needs for the others, and shorter than `request_timeout`.
        let params = serde_json::json!({"wait_ms": 6_000});
        let request = serde_json::json!({"method": "get_temperatures", "params": params});
        let response = fleet.daemon.ask(&request);
        for entry in response["data"]["nodes"].as_array().unwrap() {
            let name = entry["node"].as_str().unwrap();
            let good = sim::is_document(&entry["temperature"]);
            assert_eq!(good, name.starts_with("well"), "sweep {sweep}: {entry}");
        }
    }
}

#[test]
fn silent_node_is_pending() {
    let nodes = [("pve1", sim::healthy()), ("pve2", Behaviour::Hang)];
    // The test would wait for an hour otherwise.
    let fleet = Fleet::start(Config::new().set("request_timeout", "'1h'"), nodes);
    // The default wait is for open connections.
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let request = serde_json::json!({"method": "get_temperatures"});
    let response = fleet.daemon.ask(&request);
    let nodes = &response["data"]["nodes"];
    assert!(sim::is_document(&nodes[0]["temperature"]), "{response}");
    assert_eq!(nodes[1]["pending"], true, "{response}");
    let error = nodes[1]["error"].as_str().unwrap();
    assert!(
        error.starts_with("node \"pve2\" is still being read"),
        "{error}"
    );
    let json = control::run(fleet.daemon.home(), &["temps", "--json", "--timeout", "1"]);
    control::assert_follows("temps", &json);
    assert_eq!(json.code, 1, "{json:?}");
    assert!(json.output.contains("\"pending\":true"), "{json:?}");
    // One exchange: the second request has joined the first one's.
    let again = fleet.daemon.ask(&request);
    assert_eq!(again["data"]["nodes"][1]["pending"], true, "{again}");
    assert_eq!(fleet.node("pve2").counters().execs, 1);
}

/// The tool on a terminal: what has been read is shown while another node is silent.
#[test]
fn terminal_is_filled_in() {
    const SCRIPT: &str = "script";
    if skipped(&[Need::Optional(SCRIPT)]) {
        return;
    }
    let slow = Behaviour::SlowBy {
        delay: Duration::from_millis(2_500),
        document: sim::DOCUMENT.into(),
    };
    for (rows, is_drawn) in [(24, true), (4, false)] {
        let nodes = [
            ("pve1", sim::healthy()),
            ("pve2", slow.clone()),
            ("pve3", sim::healthy()),
        ];
        let fleet = Fleet::start(Config::new(), nodes);
        let command = format!(
            "stty rows {rows} cols 80; {} temps --color never --socket {}",
            programs::control().display(),
            fleet.daemon.home().socket().display()
        );
        let mut child = Command::new(SCRIPT)
            .args(["-q", "-e", "-c", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        let waiting = text.find("still being read").expect(&text);
        let (early, late) = text.split_at(waiting);
        assert!(early.contains("pve1  coretemp"), "{text}");
        assert!(late.contains("pve2  coretemp"), "{text}");
        // A longer table than the window is printed once.
        assert_eq!(text.matches("NODE").count() > 1, is_drawn, "{text}");
        let shown = text.matches("pve3  coretemp").count();
        assert_eq!(shown > 1, is_drawn, "{text}");
        assert!(
            text.ends_with("\u{1b}[?25h"),
            "the cursor is shown again: {text:?}"
        );
    }
}
