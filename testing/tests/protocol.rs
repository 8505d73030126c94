//! The protocol of the callers' socket, byte by byte.

use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, Daemon};
use serde_json::{Value, json};

/// Bytes of the longest request, its newline included.
const LIMIT: usize = 16_384;

const STATUS: &str = r#"{"method":"get_status"}"#;

/// The error text for one line, from a new daemon.
fn error_of(line: impl AsRef<[u8]>) -> String {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    client.send(&[line.as_ref(), b"\n"].concat());
    let error = client.error();
    assert!(client.rest().is_empty(), "the daemon closes the connection");
    error
}

/// A request of this many bytes, its newline included.
fn request_of(bytes: usize) -> Vec<u8> {
    let mut line = vec![b' '; bytes];
    line[..STATUS.len()].copy_from_slice(STATUS.as_bytes());
    line[bytes - 1] = b'\n';
    line
}

#[test]
fn malformed_requests_get_their_text() {
    for (line, text) in [
        (&b""[..], "empty request"),
        (b" \t ", "empty request"),
        (b"{", "invalid request format"),
        (b"get_status", "invalid request format"),
        (b"[]", "invalid request format"),
        (b"{\"method\":\"\xff\xfe\"}", "invalid request format"),
        (
            b"{\"method\":\"get_status\",\"params\":[]}",
            "invalid request format",
        ),
        (b"{\"method\":\"get_status\"}{}", "invalid request format"),
        (
            b"{\"method\":\"get_temperature\"}",
            "missing 'node' parameter",
        ),
        (
            b"{\"method\":\"get_temperature\",\"params\":{\"node\":7}}",
            "'node' parameter must be a string",
        ),
        (
            b"{\"method\":\"get_temperatures\",\"params\":{\"nodes\":[7]}}",
            "'nodes' parameter must be a list of strings",
        ),
    ] {
        assert_eq!(error_of(line), text, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn deep_json_overflows_no_stack() {
    let deep = format!(
        "{{\"method\":\"get_status\",\"params\":{{\"a\":{}",
        "[".repeat(16_000)
    );
    assert_eq!(error_of(deep), "invalid request format");
    let deep = "[".repeat(LIMIT - 1);
    assert_eq!(error_of(deep), "invalid request format");
}

#[test]
fn later_methods_are_unknown() {
    let daemon = Daemon::start(&Config::new());
    for method in ["ensure_cluster_keys", "request_cleanup", "GET_STATUS", ""] {
        let response = daemon.ask(&json!({"method": method}));
        assert_eq!(response["error"], "unknown method", "{method}");
    }
    // An unknown method costs no penalty.
    assert_eq!(
        daemon.ask(&json!({"method": "get_status"}))["success"],
        true
    );
}

#[test]
fn request_may_fill_the_limit() {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    client.send(&request_of(LIMIT));
    assert_eq!(client.answer()["success"], true);
}

#[test]
fn oversized_request_is_refused() {
    for excess in [1, 2, 100_000] {
        let daemon = Daemon::start(&Config::new());
        let mut client = daemon.connect();
        client.send(&request_of(LIMIT + excess));
        assert_eq!(client.error(), "payload too large", "{excess} too many");
        assert!(client.rest().is_empty());
    }
}

#[test]
fn endless_line_is_answered_and_cut() {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    let before = daemon.resident_kib();
    let chunk = [b'x'; 64 * 1024];
    let sent = (0..10_000).take_while(|_| client.try_send(&chunk).is_ok());
    let sent = sent.count() * chunk.len();
    assert!(sent < 4 << 20, "it accepted {sent} bytes");
    assert_eq!(client.error(), "payload too large");
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < 2048, "it grew by {grown} KiB");
}

#[test]
fn line_may_come_in_pieces() {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    for byte in STATUS.as_bytes() {
        client.send(&[*byte]);
    }
    client.end_sending();
    assert_eq!(client.answer()["success"], true);
    assert!(client.rest().is_empty());
}

#[test]
fn empty_connection_is_no_error() {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    client.end_sending();
    assert!(client.rest().is_empty());
    assert_eq!(
        daemon.ask(&json!({"method": "get_status"}))["success"],
        true
    );
}

#[test]
fn correlation_id_has_to_be_a_uuid() {
    let daemon = Daemon::start(&Config::new());
    let answered = |id: Value| {
        let response = daemon.ask(&json!({"method": "get_status", "correlation_id": id}));
        assert_eq!(response["success"], true, "{response}");
        response["correlation_id"].as_str().unwrap().to_owned()
    };
    let mine = "0190b6a5-7E57-7000-8000-0123456789ab";
    assert_eq!(answered(json!(mine)), mine);
    let mut replaced = vec![];
    for bad in [
        json!("x"),
        json!(""),
        json!(7),
        json!(null),
        json!("../../etc/passwd"),
    ] {
        let id = answered(bad);
        assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
        replaced.push(id);
    }
    replaced.dedup();
    assert_eq!(replaced.len(), 5, "each is fresh");
}

#[test]
fn error_has_the_callers_id() {
    let daemon = Daemon::start(&Config::new());
    let id = "0190b6a5-7e57-7000-8000-0123456789ab";
    let response = daemon.ask(&json!({"method": "request_cleanup", "correlation_id": id}));
    assert_eq!(
        response,
        json!({"correlation_id": id, "success": false, "error": "unknown method"})
    );
}

#[test]
fn keep_alive_serves_until_omitted() {
    let daemon = Daemon::start(&Config::new());
    let mut client = daemon.connect();
    for _ in 0..10 {
        client.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n");
        assert_eq!(client.answer()["success"], true);
    }
    // Two requests in one write; the second is without keep_alive.
    client.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n{\"method\":\"get_status\"}\n");
    assert_eq!(client.answer()["success"], true);
    assert_eq!(client.answer()["success"], true);
    assert!(client.rest().is_empty());
}

#[test]
fn status_lists_capabilities() {
    let daemon = Daemon::start(&Config::new());
    let response = daemon.ask(&json!({"method": "get_status", "params": null}));
    let data = &response["data"];
    assert_eq!(data["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(data["ssh_dir"], daemon.home().ssh_dir().to_str().unwrap());
    assert_eq!(data["capabilities"], json!(["read"]));
    let capabilities = &daemon.administer(&json!({"method": "get_status"}))["data"]["capabilities"];
    assert_eq!(*capabilities, json!(["read", "write", "admin"]));
}

/// A wait for nodes that answer, in milliseconds: shorter than `request_timeout`, and longer than a
/// busy machine needs.
const LONG_WAIT: u64 = 14_000;

#[test]
fn list_gives_each_node_age_or_error() {
    let fleet = Fleet::start(
        Config::new(),
        [("pve1", sim::healthy()), ("pve2", Behaviour::RefuseKey)],
    );
    let params = json!({"nodes": ["pve2", "pve3", "pve1", "-x"], "wait_ms": LONG_WAIT});
    let response = fleet
        .daemon
        .ask(&json!({"method": "get_temperatures", "params": params}));
    let asked = response["data"]["nodes"].as_array().unwrap();
    let names: Vec<_> = asked.iter().map(|n| n["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["pve2", "pve3", "pve1", "-x"], "in the order asked");
    for failed in [&asked[0], &asked[1], &asked[3]] {
        let error = failed["error"].as_str().unwrap();
        assert!(error.starts_with("node \""), "{error}");
        assert!(failed.get("temperature").is_none() && failed.get("age_ms").is_none());
    }
    assert!(sim::is_document(&asked[2]["temperature"]) && asked[2]["age_ms"].is_u64());
}

#[test]
fn missing_list_reads_every_node() {
    let fleet = Fleet::start(
        Config::new(),
        [("pve1", sim::healthy()), ("pve2", sim::healthy())],
    );
    let params = json!({"wait_ms": LONG_WAIT});
    let response = fleet
        .daemon
        .ask(&json!({"method": "get_temperatures", "params": params}));
    let nodes = response["data"]["nodes"].as_array().unwrap();
    let names: Vec<_> = nodes.iter().map(|n| n["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["pve1", "pve2"]);
    assert!(nodes.iter().all(|n| sim::is_document(&n["temperature"])));
}

#[test]
fn missing_allowlist_has_its_own_error() {
    let daemon = Daemon::start(&Config::new());
    let error = daemon.temperature("pve1").unwrap_err();
    let rejected = |reason| format!("node \"pve1\" rejected by validator ({reason}): ");
    assert!(
        error.starts_with(&rejected("no_validation_sources")),
        "{error}"
    );
    let node = sim::start(sim::healthy());
    let daemon = Daemon::start(&Config::new().node("pve2", node.addr()));
    let error = daemon.temperature("pve1").unwrap_err();
    assert!(
        error.starts_with(&rejected("node_not_allowlisted")),
        "{error}"
    );
    assert!(
        error.contains("add it to nodes.d or allowed_nodes"),
        "{error}"
    );
}

/// Pulse's diagnostics show each node with its state. No connection is made for it.
#[test]
fn registered_nodes_are_not_connected_to() {
    let nodes = [
        ("pve1", sim::healthy()),
        ("pve2", Behaviour::RefuseKey),
        ("pve3", sim::healthy()),
    ];
    let fleet = Fleet::start(Config::new(), nodes);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    assert!(fleet.daemon.temperature("pve2").is_err());
    let response = fleet.daemon.ask(&json!({"method": "register_nodes"}));
    let nodes = response["data"]["nodes"].as_array().unwrap();
    let shown: Vec<_> = nodes
        .iter()
        .map(|node| {
            (
                node["name"].as_str().unwrap(),
                node["ssh_ready"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [("pve1", true), ("pve2", false), ("pve3", false)]);
    for (node, part) in [
        (1, "node \"pve2\" refused our SSH key"),
        (2, "node \"pve3\" has no reading"),
    ] {
        let error = nodes[node]["error"].as_str().unwrap();
        assert!(error.contains(part), "{error}");
    }
    let connections = fleet.nodes().map(|(_, node)| node.counters().connections);
    assert!(connections.eq([1, 1, 0]));
}
