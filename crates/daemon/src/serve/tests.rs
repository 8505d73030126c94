//! Requests from their line to the reply, with scripted nodes and paused time.

mod connections;

use super::dispatch::{Reply, answer};
use super::session::admit_or_refuse;
use crate::node::{HostKeyFailure, NodeFailure, Stage};
use crate::testing::{Fixture, SECOND, Step, peer};
use pulse_core::callers::capability::Capabilities;
use pulse_core::callers::peer::Peer;
use pulse_core::event::EventType;
use pulse_core::rpc::MAX_REQUEST_BYTES;
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream as Client;

const MS: Duration = Duration::from_millis(1);
const CONFIG: &str = "allowed_nodes = ['a', 'b']\n[rate_limit]\nper_peer_burst = 100";
const READ_A: &str = r#"{"method":"get_temperature","params":{"node":"a"}}"#;

fn fixture() -> Fixture {
    Fixture::new(CONFIG, |_| Step::succeeds_after(MS * 10))
}

impl Fixture {
    async fn answer(&self, capabilities: Capabilities, line: &str) -> Value {
        let peer = peer(7, capabilities);
        let Reply { line, .. } = answer(&self.daemon, &peer, line.as_bytes(), None).await;
        serde_json::from_slice(&line).unwrap()
    }

    /// A caller's end of a connection that was just accepted.
    fn connect(&self, capabilities: Capabilities) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let caller = Peer::clone(&peer(7, capabilities));
        admit_or_refuse(ours, caller, None, &self.daemon, &self.drain.subscribe());
        Client::from_std(theirs).unwrap()
    }

    /// As a caller with `read`.
    async fn ask(&self, line: &str) -> Value {
        self.answer(Capabilities::read_only(), line).await
    }
}

#[tokio::test(start_paused = true)]
async fn node_is_asked_between_two_records() {
    let fixture = fixture();
    let reply = fixture.ask(READ_A).await;
    assert_eq!(reply["data"]["temperature"], "{\"chip\":{}}");
    let expected = ["command.start allowed", "asked", "command.finish completed"];
    assert_eq!(fixture.records.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn retry_is_on_record_and_needs_admin() {
    let fixture = fixture();
    let line = r#"{"method":"get_temperatures","params":{"nodes":["a"],"retry":true}}"#;
    let reply = fixture.answer(Capabilities::all(), line).await;
    assert_eq!(reply["success"], true, "{reply}");
    let records = fixture.records.lines();
    assert_eq!(records[0], "command.start allowed retry");
    let reply = fixture.ask(line).await;
    assert_eq!(reply["error"], "method requires admin capability");
    let record = "command.validation_failed denied admin_required";
    assert_eq!(fixture.records.lines()[records.len()..], [record]);
}

#[tokio::test(start_paused = true)]
async fn without_a_start_record_nobody_is_asked() {
    let fixture = fixture();
    fixture.records.fail_at(EventType::CommandStart);
    let reply = fixture.ask(READ_A).await;
    let refusal = "node \"a\" not read: audit log unavailable";
    assert_eq!(reply["error"], refusal);
    assert!(fixture.script.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_finish_record_nothing_is_told() {
    let fixture = fixture();
    fixture.records.fail_at(EventType::CommandFinish);
    let reply = fixture.ask(READ_A).await;
    let refusal = "node \"a\" not read: audit log unavailable";
    assert_eq!(reply["error"], refusal);
    assert!(reply.get("data").is_none());
}

#[tokio::test(start_paused = true)]
async fn unavailable_log_refuses_every_reading() {
    let fixture = fixture();
    fixture.records.become_unavailable();
    for (line, refusal) in [
        (READ_A, "node \"a\" not read: audit log unavailable"),
        (r#"{"method":"get_status"}"#, "audit log unavailable"),
    ] {
        assert_eq!(fixture.ask(line).await["error"], refusal);
    }
    // What is wrong with it can still be asked for.
    let line = r#"{"method":"get_forwarding"}"#;
    let reply = fixture.answer(Capabilities::all(), line).await;
    assert_eq!(reply["error"], "forwarding is not configured");
    assert!(fixture.script.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn caller_that_leaves_is_on_record() {
    let fixture = fixture();
    let peer = peer(7, Capabilities::read_only());
    let gone = tokio::time::timeout(
        MS * 5,
        answer(&fixture.daemon, &peer, READ_A.as_bytes(), None),
    );
    assert!(gone.await.is_err());
    let expected = [
        "command.start allowed",
        "asked",
        "command.finish failed abandoned",
    ];
    assert_eq!(fixture.records.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn violation_shuts_its_caller_out_for_a_while() {
    let fixture = fixture();
    for (line, reason) in [
        ("{", "invalid_request"),
        (
            r#"{"method":"get_temperature","params":{"node":"-x"}}"#,
            "invalid_node_name",
        ),
        (r#"{"method":"get_forwarding"}"#, "admin_required"),
    ] {
        let before = fixture.records.lines().len();
        assert!(fixture.ask(line).await["error"].is_string());
        let record = format!("command.validation_failed denied {reason}");
        assert_eq!(fixture.records.lines()[before..], [record]);
        let refusal = "node \"a\" not read: rate limit exceeded";
        assert_eq!(fixture.ask(READ_A).await["error"], refusal);
        let other = peer(8, Capabilities::read_only());
        let reply = answer(&fixture.daemon, &other, READ_A.as_bytes(), None).await;
        let reply: Value = serde_json::from_slice(&reply.line).unwrap();
        assert_eq!(reply["success"], true, "{reply}");
        tokio::time::sleep(SECOND * 3_600).await;
        assert_eq!(fixture.ask(READ_A).await["success"], true);
    }
}

/// The beginning is what Pulse knows, and the rest is for people.
fn assert_unlisted(error: &Value, node: &str) {
    let beginning = format!("node \"{node}\" rejected by validator (node_not_allowlisted): ");
    let error = error.as_str().unwrap();
    assert!(error.starts_with(&beginning), "{error}");
    assert!(error.contains("allowed_nodes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn unlisted_node_costs_no_penalty() {
    let fixture = fixture();
    let line = r#"{"method":"get_temperature","params":{"node":"c"}}"#;
    assert_unlisted(&fixture.ask(line).await["error"], "c");
    assert_eq!(fixture.ask(READ_A).await["success"], true);
    let record = "command.validation_failed denied node_not_allowlisted";
    assert_eq!(fixture.records.lines()[0], record);
}

/// Pulse polls all nodes that it knows at once, and gives up the whole proxy for five minutes
/// after three refusals that do not name a node.
#[tokio::test(start_paused = true)]
async fn unlisted_nodes_cost_no_listed_one() {
    let config = "allowed_nodes = ['a', 'b', 'c']";
    let fixture = Fixture::new(config, |_| Step::succeeds_after(MS * 10));
    // Ten minutes.
    for _ in 0..60 {
        for node in ["u1", "a", "u2", "u3", "b", "u4", "u5", "c", "u6", "u7"] {
            let line = format!(r#"{{"method":"get_temperature","params":{{"node":"{node}"}}}}"#);
            let reply = fixture.ask(&line).await;
            if node.starts_with('u') {
                let error = reply["error"].as_str().unwrap();
                assert!(error.starts_with(&format!("node \"{node}\" ")), "{error}");
            } else {
                assert_eq!(reply["success"], true, "{node}: {reply}");
            }
        }
        tokio::time::sleep(SECOND * 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_node_of_a_list_has_its_own_outcome() {
    let fixture = fixture();
    let line = r#"{"method":"get_temperatures","params":{"nodes":["a","c","-x"]}}"#;
    let mut reply = fixture.ask(line).await;
    let nodes = &mut reply["data"]["nodes"];
    assert_unlisted(&nodes[1]["error"].take(), "c");
    let expected = json!([
        {"node": "a", "temperature": {"chip": {}}, "age_ms": 1},
        {"node": "c", "error": null},
        {"node": "-x", "error": "node \"-x\" rejected by validator (invalid_node_name)"},
    ]);
    assert_eq!(*nodes, expected);
}

const ALL: &str = r#"{"method":"get_temperatures"}"#;

/// A fleet with one silent node.
fn with_silent(config: &str) -> Fixture {
    Fixture::new(config, |node| {
        let is_silent = node.as_str() == "a";
        Step::succeeds_after(if is_silent { SECOND * 4 } else { MS })
    })
}

#[tokio::test(start_paused = true)]
async fn sweep_waits_two_seconds() {
    let fixture = with_silent(CONFIG);
    let started = tokio::time::Instant::now();
    let reply = fixture.ask(ALL).await;
    assert!(started.elapsed() < SECOND * 2 + MS * 10);
    let nodes = &reply["data"]["nodes"];
    let error = "node \"a\" is still being read: ask again in some seconds";
    let pending = json!({"node": "a", "pending": true, "error": error});
    assert_eq!((&nodes[0], &nodes[1]["node"]), (&pending, &json!("b")));
    assert!(nodes[1]["temperature"].is_object());
    let last = fixture.records.lines().pop().unwrap();
    assert_eq!(last, "command.finish failed timeout");
    // The reading has gone on: the second request finds it, and asks nobody for it.
    tokio::time::sleep(SECOND).await;
    let reply = fixture.ask(ALL).await;
    assert!(
        reply["data"]["nodes"][0]["temperature"].is_object(),
        "{reply}"
    );
    let asked = fixture.script.asked();
    assert_eq!(asked.iter().filter(|node| *node == "a").count(), 1);
}

/// A caller that waits for nothing cannot keep a refusal for security off the record.
#[tokio::test(start_paused = true)]
async fn late_refusal_is_on_record() {
    let changed = HostKeyFailure::Changed {
        fingerprint: "SHA256:x".to_owned(),
        expected: Vec::new(),
    };
    for (failure, record) in [
        (changed.into(), "hostkey.mismatch failed host_key_changed"),
        (
            NodeFailure::AddressNotPermitted,
            "egress.denied denied address_not_permitted",
        ),
        (
            NodeFailure::NoForcedCommand {
                user: "u".to_owned(),
            },
            "forced_command.missing failed no_forced_command",
        ),
        (NodeFailure::NoAddress, "command.finish failed timeout"),
    ] {
        let fixture = Fixture::new("allowed_nodes = ['a']", move |_| Step {
            after: MS * 10,
            outcome: Err(failure.clone()),
        });
        let now = r#"{"method":"get_temperatures","params":{"wait_ms":0}}"#;
        let reply = fixture.ask(now).await;
        assert_eq!(reply["data"]["nodes"][0]["pending"], true, "{reply}");
        tokio::time::sleep(SECOND).await;
        assert_eq!(fixture.records.lines().last().unwrap(), record);
        // Whoever waits has the outcome in the record of its own request, once.
        let before = fixture.records.lines().len();
        fixture.ask(READ_A).await;
        assert_eq!(fixture.records.lines()[before..].len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn callers_may_wait_otherwise() {
    for (wait, pending, within) in [
        ("0", [true, true], MS * 10),
        ("100", [true, false], MS * 110),
        ("5000", [false, false], MS * 4_010),
        // No longer than a request may take.
        ("18446744073709551615", [false, false], MS * 4_010),
    ] {
        let fixture = with_silent(CONFIG);
        let started = tokio::time::Instant::now();
        let line = format!(r#"{{"method":"get_temperatures","params":{{"wait_ms":{wait}}}}}"#);
        let reply = fixture.ask(&line).await;
        assert!(
            started.elapsed() <= within,
            "{wait}: {:?}",
            started.elapsed()
        );
        let nodes = &reply["data"]["nodes"];
        assert_eq!(
            [0, 1].map(|i| nodes[i]["pending"] == true),
            pending,
            "{wait}"
        );
    }
}

/// Six nodes at 200 ms each, two at a time, and 300 ms for a request: when it ends, two readings
/// are under way and two have not begun.
#[tokio::test(start_paused = true)]
async fn longest_wait_drops_nothing() {
    let config = "request_timeout = '300ms'\ncache_ttl = '60s'\n\
                  allowed_nodes = ['a', 'b', 'c', 'd', 'e', 'f']";
    for params in [r#"{"wait_ms":60000}"#, r#"{"wait_ms":300}"#, "{}"] {
        let fixture = Fixture::new(config, |_| Step::succeeds_after(MS * 200));
        let line = format!(r#"{{"method":"get_temperatures","params":{params}}}"#);
        let started = tokio::time::Instant::now();
        let reply = fixture.ask(&line).await;
        assert!(started.elapsed() <= MS * 310, "{params}");
        let nodes = reply["data"]["nodes"].as_array().unwrap();
        let pending: Vec<bool> = nodes.iter().map(|node| node["pending"] == true).collect();
        let late = [false, false, true, true, true, true];
        assert_eq!(pending, late, "{params}: {reply}");
        tokio::time::sleep(SECOND).await;
        assert_eq!(fixture.script.asked().len(), 6, "{params}");
    }
}

#[tokio::test(start_paused = true)]
async fn address_is_the_listed_node() {
    let config = "allowed_nodes = [{ name = 'Pve1', address = '192.0.2.1' }, \
                  { name = 'b', address = '192.0.2.2' }, \
                  { name = 'c', address = '192.0.2.2', port = 2222 }]";
    let fixture = Fixture::new(config, |_| Step::succeeds_after(MS));
    let read = async |node: &str| {
        let line = format!(r#"{{"method":"get_temperature","params":{{"node":"{node}"}}}}"#);
        fixture.ask(&line).await
    };
    // A budget of two, whatever the spelling.
    for node in ["::ffff:192.0.2.1", "PVE1"] {
        assert_eq!(read(node).await["data"]["node"], node);
        tokio::time::sleep(MS * 2_100).await;
    }
    let refusal = "node \"192.0.2.1\" not read: rate limit exceeded";
    assert_eq!(read("192.0.2.1").await["error"], refusal);
    assert_eq!(fixture.script.asked(), ["Pve1", "Pve1"]);
    // An address of two listed nodes is nobody's.
    assert_unlisted(&read("192.0.2.2").await["error"], "192.0.2.2");
}

/// `/etc/hosts` has moved the node since it was read: its samples come from 192.0.2.1.
#[tokio::test(start_paused = true)]
async fn moved_node_loses_its_old_address() {
    let config = "allowed_nodes = [{ name = 'a', address = '192.0.2.5' }]\n\
                  [rate_limit]\nper_peer_burst = 100";
    let fixture = Fixture::new(config, |_| Step::succeeds_after(MS));
    let line = r#"{"method":"get_temperature","params":{"node":"192.0.2.5"}}"#;
    let reply = fixture.ask(line).await;
    assert_unlisted(&reply["error"], "192.0.2.5");
    assert!(reply.get("data").is_none(), "{reply}");
    let record = "command.validation_failed denied node_not_allowlisted";
    assert_eq!(fixture.records.lines().last().unwrap(), record);
    let line = r#"{"method":"get_temperatures","params":{"nodes":["192.0.2.5"]}}"#;
    assert_unlisted(
        &fixture.ask(line).await["data"]["nodes"][0]["error"],
        "192.0.2.5",
    );
    // Its name is still that of the machine.
    assert_eq!(fixture.ask(READ_A).await["success"], true);
}

#[tokio::test(start_paused = true)]
async fn name_and_address_are_read_once() {
    let config = "allowed_nodes = [{ name = 'a', address = '192.0.2.1' }]";
    let fixture = Fixture::new(config, |_| Step::succeeds_after(MS));
    let line = r#"{"method":"get_temperatures","params":{"nodes":["192.0.2.1","a"]}}"#;
    let reply = fixture.ask(line).await;
    let nodes = reply["data"]["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &nodes[0]["node"]), (1, &json!("192.0.2.1")));
}

#[tokio::test(start_paused = true)]
async fn near_name_is_for_readers_only() {
    let fixture = Fixture::new("allowed_nodes = ['pve2', 'x']", |_| {
        Step::succeeds_after(MS)
    });
    let line = r#"{"method":"get_temperature","params":{"node":"pve22"}}"#;
    let error = fixture.ask(line).await["error"].take();
    assert!(
        error.as_str().unwrap().contains("did you mean \"pve2\"?"),
        "{error}"
    );
    let error = fixture.answer(Capabilities::NONE, line).await["error"].take();
    assert_eq!(error, "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn registered_nodes_are_not_asked() {
    let fixture = Fixture::new(CONFIG, |_| Step::succeeds_after(MS));
    let line = r#"{"method":"register_nodes"}"#;
    fixture.ask(READ_A).await;
    let unread = "node \"b\" has no reading yet: request its temperature";
    let expected = json!([
        {"name": "a", "ssh_ready": true},
        {"name": "b", "ssh_ready": false, "error": unread},
    ]);
    let before = fixture.records.lines();
    assert_eq!(fixture.ask(line).await["data"]["nodes"], expected);
    tokio::time::sleep(SECOND * 660).await;
    let old = "node \"a\" was last read 11 min ago: request its temperature";
    let nodes = &fixture.ask(line).await["data"]["nodes"];
    assert_eq!(
        nodes[0],
        json!({"name": "a", "ssh_ready": false, "error": old})
    );
    assert_eq!(fixture.script.asked(), ["a"]);
    assert_eq!(fixture.records.lines(), before);
    let reply = fixture.answer(Capabilities::NONE, line).await;
    assert_eq!(reply["error"], "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn limit_says_when_it_ends() {
    let config = CONFIG.replace("100", "1");
    let fixture = Fixture::new(&config, |_| Step::succeeds_after(MS));
    fixture.ask(READ_A).await;
    // The reading itself took some milliseconds of the 5 s.
    let is_near = |value: &Value| (4_900..=5_000).contains(&value.as_u64().unwrap());
    let reply = fixture.ask(READ_A).await;
    assert!(is_near(&reply["retry_in_ms"]), "{reply}");
    assert_eq!(reply["detail"], "the next request is served in 5 s");
    let entry = fixture.ask(ALL).await["data"]["nodes"][0].take();
    assert!(is_near(&entry["retry_in_ms"]), "{entry}");
    fixture.ask("{").await;
    let reply = fixture.ask(READ_A).await;
    assert_eq!(reply["retry_in_ms"], 2000);
}

#[tokio::test(start_paused = true)]
async fn health_tells_nodes_and_daemon() {
    let fixture = Fixture::new(CONFIG, |node| Step {
        after: MS,
        outcome: match node.as_str() {
            "a" => Ok(()),
            _ => Err(NodeFailure::TimedOut(Stage::Queued)),
        },
    });
    let line = r#"{"method":"get_health"}"#;
    let unread = "node \"b\" has no reading yet: request its temperature";
    fixture.ask(READ_A).await;
    tokio::time::advance(SECOND * 7).await;
    // The record of the reading took a millisecond.
    let a = json!({"name": "a", "state": "answering", "age_ms": 7001});
    let health = &fixture.ask(line).await["data"];
    let b = json!({"name": "b", "state": "unread", "error": unread});
    // A caller with `read` is told of the nodes alone.
    assert_eq!(*health, json!({"nodes": [a, b]}));
    let read_b = READ_A.replace("\"a\"", "\"b\"");
    fixture.ask(&read_b).await;
    let a = json!({"name": "a", "state": "answering", "age_ms": 7004});
    let error = format!("node \"b\" {}", NodeFailure::TimedOut(Stage::Queued));
    let b = json!({"name": "b", "state": "failing", "error": error});
    // Also while the audit log cannot be written.
    fixture.records.become_unavailable();
    let health = fixture.answer(Capabilities::all(), line).await["data"].take();
    assert_eq!(health["nodes"], json!([a, b]));
    assert_eq!(health["audit"]["writable"], false);
    assert_eq!(health["forwarding"], Value::Null);
    assert_eq!(health["confinement"]["missing"], json!([]));
    let problem = "the configuration was not reloaded".to_owned();
    fixture.daemon.set_config_problem(Some(problem.clone()));
    let health = fixture.answer(Capabilities::all(), line).await["data"].take();
    let found = json!({"file": "configuration", "error": problem});
    let files = health["files"].as_array().unwrap();
    assert!(files.contains(&found), "{health}");
    assert_eq!(fixture.script.asked(), ["a", "b"]);
    let reply = fixture.answer(Capabilities::NONE, line).await;
    assert_eq!(reply["error"], "unauthorized");
}

#[tokio::test(start_paused = true)]
async fn request_has_one_deadline() {
    let config = format!("request_timeout = '4s'\n{CONFIG}");
    let fixture = Fixture::new(&config, |_| Step::succeeds_after(SECOND * 60));
    let started = tokio::time::Instant::now();
    let reply = fixture.ask(READ_A).await;
    let error = reply["error"].as_str().unwrap();
    assert!(
        error.starts_with("node \"a\" did not answer in time"),
        "{error}"
    );
    assert!(started.elapsed() <= SECOND * 4 + MS * 10);
    let last = fixture.records.lines().pop().unwrap();
    assert_eq!(last, "command.finish failed timeout");
}
