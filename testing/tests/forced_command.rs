//! The daemon's key on a node: with a forced command, without one, and with an account that has no
//! shell.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, tree};
use pulse_e2e::sshd::helper_command;
use pulse_e2e::{Config, RealNode, SshdOptions, control};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

const MISSING: &str = "pulse_proxy_forced_command_missing{node=\"pve1\"}";
const EVENT: &str = "forced_command.missing";

/// A node with lm-sensors, and a key with these options.
fn node_with(options: &str, config: Config) -> RealNode {
    let node = RealNode::start(options, config);
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = -j ] && exec echo '{}'\n",
        sim::DOCUMENT
    );
    node.sshd.install("sensors", &script);
    node
}

fn requiring() -> Config {
    Config::new().set("config_version", "2")
}

fn is_missing(node: &RealNode) -> bool {
    node.daemon.metric(MISSING) > 0.5
}

fn records(node: &RealNode) -> Vec<(String, String)> {
    let records = node.daemon.home().records_of(EVENT);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    records
        .iter()
        .map(|record| (text(&record["decision"]), text(&record["reason"])))
        .collect()
}

/// A node on which the forced command is in force, as far as the daemon says.
fn assert_forced(node: &RealNode) {
    for _ in 0..2 {
        assert!(node.daemon.temperature("pve1").is_ok());
    }
    assert!(node.daemon.scrape().contains(&format!("{MISSING} 0")));
    assert_eq!(records(node), []);
    let status = control::run(node.daemon.home(), &["status"]);
    let warning = "runs any command";
    assert!(!status.output.contains(warning), "{}", status.output);
}

#[test]
fn forced_helper_is_no_finding() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let devices = tempfile::tempdir().unwrap();
    let (_, manifest) = tree::all()[0];
    tree::unpack(manifest, devices.path()).unwrap();
    let options = format!("restrict,command=\"{}\"", helper_command(devices.path()));
    assert_forced(&RealNode::start(&options, requiring()));
}

#[test]
fn forced_sensors_is_no_finding() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let options = "restrict,command=\"sensors -j\"";
    for config in [Config::new(), requiring()] {
        assert_forced(&node_with(options, config));
    }
    // It has another program that is missing, after its document.
    let options = "restrict,command=\"sensors -j; pulse-no-such-program\"";
    assert_forced(&node_with(options, requiring()));
}

#[test]
fn shell_is_warned_of() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node_with("", Config::new());
    for _ in 0..3 {
        assert!(sim::is_document(&node.daemon.temperature("pve1").unwrap()));
    }
    assert!(is_missing(&node));
    // Once, however often the node is read.
    let record = ("allowed".to_owned(), "no_forced_command".to_owned());
    assert_eq!(records(&node), [record]);
    let log = node.daemon.log();
    assert_eq!(log.matches("runs any command for our SSH key").count(), 1);
    let status = control::run(node.daemon.home(), &["status"]);
    assert_eq!(status.code, 1, "{}", status.output);
    assert!(
        status.output.contains("node \"pve1\" runs any command"),
        "{}",
        status.output
    );
    let json = control::run(node.daemon.home(), &["status", "--json"]);
    assert!(
        json.output
            .contains(r#""warning":"node \"pve1\" runs any command"#),
        "{}",
        json.output
    );
    control::assert_follows("status", &json);
}

#[test]
fn shell_is_refused_if_required() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node_with("", requiring());
    let error = node.daemon.temperature("pve1").unwrap_err();
    for part in [
        "node \"pve1\" runs any command for our SSH key",
        "pulse-sensorctl keys show",
        "require_forced_command = false",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(is_missing(&node));
    let record = ("failed".to_owned(), "no_forced_command".to_owned());
    assert_eq!(records(&node), [record]);
    let status = control::run(node.daemon.home(), &["status"]);
    assert_eq!(status.code, 1, "{}", status.output);
    // The operator permits it.
    let config = requiring()
        .set_ssh("require_forced_command", "false")
        .node("pve1", node.sshd.address());
    node.daemon.home().write_config(&config);
    node.daemon.reload();
    assert!(node.daemon.temperature("pve1").is_ok());
}

#[test]
fn account_without_shell_is_no_finding() {
    if skipped(&[Need::Sshd, Need::Root]) {
        return;
    }
    // Debian's user without a shell.
    let config = Config::new().set_ssh("user", "'nobody'");
    let node = RealNode::start_untrusted(config, &SshdOptions::default());
    let home = node.daemon.home();
    home.trust(&node.sshd.host_key_line("pve1"));
    node.sshd.authorize("", &home.public_key());
    // sshd reads the keys as the user.
    set_permissions(node.sshd.path(""), Permissions::from_mode(0o755)).unwrap();
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(
        error.contains("could not run the command: exit code 1"),
        "{error}"
    );
    assert!(!is_missing(&node));
    assert_eq!(records(&node), []);
}
