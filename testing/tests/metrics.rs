//! The metrics, read by Prometheus and its tools.

use pulse_e2e::observe::http;
use pulse_e2e::programs::{Need, find, skipped};
use pulse_e2e::prometheus::Prometheus;
use pulse_e2e::sim::{self, Behaviour, Fleet};
use pulse_e2e::{Config, Daemon, wait};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// A daemon after events for each metric.
fn eventful() -> Fleet {
    let config = Config::new()
        .set("read_timeout", "'1s'")
        .set("max_ssh_output_bytes", "65536");
    let nodes = [
        ("pve1", sim::healthy()),
        ("flood", Behaviour::Flood),
        ("changed", sim::healthy()),
    ];
    let fleet = Fleet::start(config, nodes);
    let changed = fleet.node("changed");
    changed.set_host_key(sim::fresh_key().unwrap()).unwrap();
    for node in ["pve1", "flood", "changed", "unlisted"] {
        let _ = fleet.daemon.temperature(node);
    }
    assert_eq!(fleet.daemon.connect().error(), "read timeout");
    assert!(fleet.daemon.temperature("-x").is_err());
    assert!(fleet.daemon.temperature("pve1").is_err(), "the penalty");
    fleet
}

#[test]
fn documented_metrics_exist_and_count() {
    let fleet = eventful();
    let me = format!("uid:{}", nix::unistd::geteuid());
    let text = fleet.daemon.scrape();
    let version = env!("CARGO_PKG_VERSION");
    for sample in [
        "pulse_proxy_rpc_requests_total{method=\"get_temperature\",result=\"success\"} 1",
        "pulse_proxy_rpc_latency_seconds_count{method=\"get_temperature\"} 5",
        "pulse_proxy_ssh_requests_total{node=\"pve1\",result=\"success\"} 1",
        "pulse_proxy_ssh_latency_seconds_count{node=\"pve1\"} 1",
        "pulse_proxy_queue_depth 0",
        "pulse_proxy_rate_limit_hits_total 1",
        &format!("pulse_proxy_limiter_rejections_total{{reason=\"penalty\",peer=\"{me}\"}} 1"),
        &format!(
            "pulse_proxy_limiter_penalties_total{{reason=\"invalid_node_name\",peer=\"{me}\"}} 1"
        ),
        "pulse_proxy_limiter_active_peers ",
        "pulse_proxy_global_concurrency_inflight 0",
        "pulse_proxy_node_validation_failures_total{reason=\"node_not_allowlisted\"} 1",
        "pulse_proxy_node_validation_failures_total{reason=\"invalid_node_name\"} 1",
        "pulse_proxy_read_timeouts_total 1",
        "pulse_proxy_write_timeouts_total 0",
        "pulse_proxy_hostkey_changes_total{node=\"changed\"} 1",
        "pulse_proxy_ssh_output_oversized_total{node=\"flood\"} 1",
        "pulse_proxy_omitted_sensors{node=\"pve1\"} 0",
        "pulse_proxy_sensor_chips{node=\"pve1\",state=\"unreadable\"} 0",
        &format!("pulse_proxy_build_info{{version=\"{version}\"}} 1"),
    ] {
        assert!(text.contains(sample), "{sample} is missing from\n{text}");
    }
}

#[test]
fn unknown_names_become_no_labels() {
    let fleet = eventful();
    let text = fleet.daemon.scrape();
    assert!(
        !text.contains("unlisted") && !text.contains("\"-x\""),
        "{text}"
    );
}

#[test]
fn promtool_accepts_the_metrics() {
    if skipped(&[Need::Program("promtool")]) {
        return;
    }
    let fleet = eventful();
    let mut promtool = Command::new(find("promtool").unwrap())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(fleet.daemon.scrape().as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
}

#[test]
fn prometheus_scrapes_every_sample() {
    if skipped(&[Need::Program("promtool"), Need::Optional("prometheus")]) {
        return;
    }
    let fleet = eventful();
    let prometheus = Prometheus::start(fleet.daemon.home(), "groups: []");
    let build = wait::until_some("a scrape", || prometheus.value("pulse_proxy_build_info"));
    assert!((build - 1.0).abs() < f64::EPSILON);
    for query in [
        "pulse_proxy_rpc_requests_total{method=\"get_temperature\",result=\"success\"}",
        "pulse_proxy_ssh_latency_seconds_count{node=\"pve1\"}",
        "pulse_proxy_hostkey_changes_total",
        "histogram_quantile(0.5,pulse_proxy_ssh_latency_seconds_bucket{node=\"pve1\"})",
    ] {
        assert!(prometheus.value(query).is_some_and(|v| v > 0.0), "{query}");
    }
}

#[test]
fn accept_header_selects_format() {
    let daemon = Daemon::start(&Config::new());
    let scrape = |accept: &str| {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        http(daemon.home().metrics_address(), &head)
    };
    let open = scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.1");
    assert!(
        open.head
            .contains("Content-Type: application/openmetrics-text; version=1.0.0")
    );
    assert!(open.body.ends_with("# EOF\n"));
    let text = scrape("*/*");
    assert!(
        text.head
            .contains("Content-Type: text/plain; version=0.0.4")
    );
    assert!(
        text.body
            .contains("# TYPE pulse_proxy_read_timeouts_total counter\n")
    );
}

#[test]
fn metrics_can_be_switched_off() {
    for value in ["'disabled'", "''"] {
        let daemon = Daemon::start(&Config::new().set("metrics_address", value));
        assert!(TcpStream::connect(daemon.home().metrics_address()).is_err());
        assert_eq!(
            daemon.ask(&json!({"method": "get_status"}))["success"],
            true
        );
    }
}

#[test]
fn other_requests_get_their_status() {
    let daemon = Daemon::start(&Config::new());
    let address = daemon.home().metrics_address();
    let long = format!("GET /metrics HTTP/1.0\r\nA: {}\r\n\r\n", "a".repeat(9000));
    for (head, status) in [
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        (
            "GET /metrics?name=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "200",
        ),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        (
            "GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "404",
        ),
        (
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("\u{0}\u{1}\u{2}\r\n\r\n", "400"),
        (&long, "400"),
    ] {
        let answer = http(address, head);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            answer.head.starts_with(&expected),
            "{head:?}: {}",
            answer.head
        );
        assert!(answer.head.contains("Connection: close"));
    }
}
