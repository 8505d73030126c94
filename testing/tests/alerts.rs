//! The alerts in `monitoring`: each begins once with its state and lasts as long, in a real
//! Prometheus that scrapes a real daemon.

use nix::sys::signal::Signal;
use pulse_e2e::forwarding::ForwardingHost;
use pulse_e2e::programs::{Need, find, skipped};
use pulse_e2e::prometheus::Prometheus;
use pulse_e2e::rsyslog::{Input, TlsLibrary};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, control, wait};
use pulse_simnode::SimConfig;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const RULES: &str = include_str!("../../monitoring/pulse-sensor-proxy.rules.yml");

const PROMETHEUS: Need = Need::Program("prometheus");
const COLLECTOR: Need = Need::Collector;
const RELP: Input = Input::Relp(TlsLibrary::OpenSsl);

/// A Prometheus with the rules, which waits for a second where they wait for minutes.
fn prometheus(home: &Home) -> Prometheus {
    let seconds = |line: &str| match line.trim_start().strip_prefix("for: ") {
        Some(_) => "    for: 1s".to_owned(),
        None => line.replace("[10m]", "[10s]"),
    };
    let rules: Vec<String> = RULES.lines().map(seconds).collect();
    let prometheus = Prometheus::start(home, &rules.join("\n"));
    wait::until("a scrape", || up(&prometheus) > 0.5);
    prometheus
}

fn up(prometheus: &Prometheus) -> f64 {
    prometheus
        .value("count_over_time(pulse_proxy_build_info[1h])")
        .unwrap_or(0.0)
}

/// True if the daemon was not scraped in time lately, as on a machine that is busy.
fn has_missed_a_scrape(prometheus: &Prometheus) -> bool {
    prometheus.value("min_over_time(up[20s])") != Some(1.0)
}

/// The alerts of this name that fire, each with the time of its beginning.
fn firing(prometheus: &Prometheus, name: &str) -> Vec<Value> {
    // A request that failed is no answer.
    let alerts = wait::until_some("the alerts", || prometheus.alerts());
    let fires = |alert: &&Value| alert["labels"]["alertname"] == name && alert["state"] == "firing";
    let begun = alerts.iter().filter(fires);
    begun.map(|alert| alert["activeAt"].clone()).collect()
}

/// Expects that the alert begins, stays for several scrapes while `act` is done, and ends after
/// `end`.
fn fires_once(prometheus: &Prometheus, name: &str, act: impl Fn(), end: impl FnOnce()) {
    let mut begun = wait::until_some(name, || {
        act();
        let begun = firing(prometheus, name);
        (begun.len() == 1).then_some(begun)
    });
    let scrapes = up(prometheus);
    wait::until("five scrapes", || {
        act();
        let now = firing(prometheus, name);
        if has_missed_a_scrape(prometheus) {
            // Without the series there is no alert, and it begins anew with them.
            begun = now;
        } else {
            assert_eq!(now, begun, "{name} did not stay");
        }
        up(prometheus) > scrapes + 4.5
    });
    end();
    wait::until("the end", || {
        act();
        firing(prometheus, name).is_empty()
    });
}

#[test]
fn promtool_accepts_the_alerts() {
    if skipped(&[Need::Program("promtool")]) {
        return;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring");
    for (verb, file) in [
        ("check", "pulse-sensor-proxy.rules.yml"),
        ("test", "pulse-sensor-proxy.tests.yml"),
    ] {
        let output = Command::new(find("promtool").unwrap())
            .args([verb, "rules", file])
            .current_dir(&directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
    }
    let home = Home::new();
    let config = home.path("prometheus.yml");
    fs::write(&config, page_configuration(&directory)).unwrap();
    let output = Command::new(find("promtool").unwrap())
        .args(["check", "config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(output.status.success(), "the page: {output:?}");
    let tests = fs::read_to_string(directory.join("pulse-sensor-proxy.tests.yml")).unwrap();
    for name in alerts() {
        let has = |part: &str| tests.contains(&format!("{part}: {name}\n"));
        assert!(has("alertname"), "no test of {name}");
    }
}

/// The configuration in `docs/operations.md`, with the rules of this directory.
fn page_configuration(directory: &Path) -> String {
    let (_, block) = include_str!("../../docs/operations.md")
        .split_once("    scrape_configs:\n")
        .unwrap();
    let lines = block.lines().map_while(|line| line.strip_prefix("    "));
    let installed = "/etc/prometheus";
    let text = lines.collect::<Vec<_>>().join("\n");
    assert!(text.contains(installed), "{text}");
    format!("scrape_configs:\n{text}\n").replace(installed, directory.to_str().unwrap())
}

/// The names of the alerts.
fn alerts() -> impl Iterator<Item = &'static str> {
    RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
}

/// An alert on a metric that does not exist never fires.
#[test]
fn alerts_are_on_metrics_that_exist() {
    if skipped(&[COLLECTOR]) {
        return;
    }
    // Any clock is a value.
    let node = sim::start(sim::with_clock("2026-01-01T00:00:00Z"));
    let host = ForwardingHost::new(RELP).configured(|config| config.node("pve1", node.addr()));
    host.home.trust(&node.host_key_line("pve1"));
    let daemon = host.start();
    assert!(daemon.temperature("pve1").is_ok());
    let scrape = daemon.scrape();
    let metrics: BTreeSet<&str> = RULES
        .lines()
        .filter(|line| line.trim_start().starts_with("expr:"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("pulse_proxy_"))
        // It has a value once the log has grown for a while.
        .filter(|word| *word != "pulse_proxy_audit_disk_full_seconds")
        .collect();
    assert!(metrics.len() > 10, "{metrics:?}");
    for metric in metrics {
        let is_sample = |line: &str| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        assert!(scrape.lines().any(is_sample), "{metric} is not in {scrape}");
    }
}

#[test]
fn failing_node_alerts_once() {
    if skipped(&[PROMETHEUS]) {
        return;
    }
    let well = || SimConfig::new(sim::healthy());
    let node = sim::start_with(well());
    let (address, host_key) = (node.addr(), sim::fresh_key().unwrap());
    node.set_host_key(host_key.clone()).unwrap();
    let home = Arc::new(Home::new());
    home.trust(&node.host_key_line("pve1"));
    let daemon = Daemon::start_in(&home, &Config::new().node("pve1", address));
    assert!(daemon.temperature("pve1").is_ok());
    let prometheus = prometheus(&home);
    assert!(firing(&prometheus, "PulseNodeFailing").is_empty());
    sim::runtime().block_on(node.shutdown());
    let poll = || drop(daemon.temperature("pve1"));
    let mut back = None;
    fires_once(&prometheus, "PulseNodeFailing", poll, || {
        back = Some(sim::start_with(SimConfig {
            listen: address,
            host_key: Some(host_key),
            ..well()
        }));
    });
}

#[test]
fn changed_log_alerts_once() {
    if skipped(&[PROMETHEUS]) {
        return;
    }
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    assert!(fleet.daemon.temperature("pve1").is_ok());
    let home = fleet.daemon.home();
    let prometheus = prometheus(home);
    assert!(firing(&prometheus, "PulseAuditLogUnavailable").is_empty());
    fs::remove_file(home.audit_log()).unwrap();
    let poll = || drop(fleet.daemon.temperature("pve1"));
    fires_once(&prometheus, "PulseAuditLogChanged", poll, || {
        // Its twin lasts as long.
        assert_eq!(firing(&prometheus, "PulseAuditLogUnavailable").len(), 1);
        let config = home.config_file();
        let accept = ["audit", "accept-loss", "--config", config.to_str().unwrap()];
        let accepted = control::run(home, &accept);
        assert_eq!(accepted.code, 0, "{accepted:?}");
    });
    wait::until("the log", || {
        firing(&prometheus, "PulseAuditLogUnavailable").is_empty()
    });
}

#[test]
fn absent_collector_alerts_once() {
    if skipped(&[PROMETHEUS, COLLECTOR]) {
        return;
    }
    let mut host = ForwardingHost::new(RELP);
    let daemon = host.start();
    let prometheus = prometheus(&host.home);
    wait::until("a collector that is up", || {
        daemon.reload();
        prometheus.value("pulse_proxy_audit_forward_remote_up") == Some(1.0)
    });
    host.rsyslog.stop(Signal::SIGTERM);
    fires_once(
        &prometheus,
        "PulseCollectorDown",
        || daemon.reload(),
        || host.rsyslog.restart(),
    );
}
