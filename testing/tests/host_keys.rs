//! Host keys: pinned ones are trusted, and no others.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sshd::{keygen, make_key, printing_options};
use pulse_e2e::{Config, RealNode, SshdOptions, sim};
use std::fs;

/// A node that accepts the daemon's key; the test pins the node's host key, or does not.
fn node_with(options: &SshdOptions) -> RealNode {
    let node = RealNode::start_untrusted(Config::new(), options);
    let key = node.daemon.home().public_key();
    node.sshd.authorize(&printing_options(), &key);
    node
}

fn node() -> RealNode {
    node_with(&SshdOptions::default())
}

fn certified() -> RealNode {
    node_with(&SshdOptions {
        certified_for: Some("pve1,192.0.2.1"),
        ..SshdOptions::default()
    })
}

fn assert_trusted(node: &RealNode) {
    let document = node.daemon.temperature("pve1").unwrap();
    assert!(sim::is_document(&document), "{document}");
}

/// The error of a refused host key: about this node alone, and before any login.
fn refusal(node: &RealNode) -> String {
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(error.starts_with("node \"pve1\" "), "{error}");
    assert_eq!(node.sshd.count("Accepted"), 0, "{error}");
    error
}

fn changes(node: &RealNode) -> f64 {
    node.daemon
        .metric("pulse_proxy_hostkey_changes_total{node=\"pve1\"}")
}

fn fingerprint_in(text: &str) -> &str {
    let start = text.find("SHA256:").expect("a fingerprint");
    &text[start..start + "SHA256:".len() + 43]
}

#[test]
fn plain_and_hashed_pins_are_trusted() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node();
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    assert_trusted(&node);
    let hashed = self::node();
    let home = hashed.daemon.home();
    home.trust(&hashed.sshd.host_key_line("pve1"));
    keygen(&["-H", "-f", "known_hosts"], &home.ssh_dir());
    let text = fs::read_to_string(home.known_hosts()).unwrap();
    assert!(text.starts_with("|1|") && !text.contains("pve1"), "{text}");
    assert_trusted(&hashed);
}

#[test]
fn unknown_host_key_is_refused() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node();
    let error = refusal(&node);
    assert!(error.contains("not in known_hosts"), "{error}");
    let shown = node.sshd.path("shown");
    fs::copy(node.sshd.path("host_key.pub"), &shown).unwrap();
    let output = std::process::Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(shown)
        .output()
        .unwrap();
    let real = String::from_utf8(output.stdout).unwrap();
    assert_eq!(fingerprint_in(&error), fingerprint_in(&real));
    assert!(
        changes(&node).abs() < f64::EPSILON,
        "an unknown key is no change"
    );
}

#[test]
fn changed_host_key_is_refused() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node();
    make_key(&node.daemon.home().ssh_dir(), "other");
    let other = fs::read_to_string(node.daemon.home().ssh_dir().join("other.pub")).unwrap();
    let port = node.sshd.address().port();
    node.daemon.home().trust(&format!("[pve1]:{port} {other}"));
    let error = refusal(&node);
    assert!(error.contains("another host key"), "{error}");
    assert!((changes(&node) - 1.0).abs() < f64::EPSILON);
    assert!(!node.daemon.home().records_of("hostkey.mismatch").is_empty());
    // A hard error: another request fails without another connection.
    assert_eq!(fingerprint_in(&refusal(&node)), fingerprint_in(&error));
    assert_eq!(node.sshd.count("Connection from"), 1);
}

#[test]
fn corrected_pin_counts_after_reload() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node();
    assert!(refusal(&node).contains("not in known_hosts"));
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    node.daemon.reload();
    assert_trusted(&node);
}

#[test]
fn pin_is_bound_to_name_and_port() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node();
    let key = node.sshd.public_key("host_key");
    let port = node.sshd.address().port();
    for name in [
        "pve1".to_owned(),
        format!("[pve2]:{port}"),
        "[pve1]:22".into(),
    ] {
        node.daemon.home().trust(&format!("{name} {key}"));
    }
    assert!(refusal(&node).contains("not in known_hosts"));
}

#[test]
fn pinned_authority_is_trusted() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = certified();
    let authority = node.sshd.public_key("authority");
    let home = node.daemon.home();
    home.trust(&format!("@cert-authority [pve1]:* {authority}"));
    assert_trusted(&node);
}

#[test]
fn other_nodes_certificate_is_refused() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node_with(&SshdOptions {
        certified_for: Some("pve2"),
        ..SshdOptions::default()
    });
    let authority = node.sshd.public_key("authority");
    let home = node.daemon.home();
    home.trust(&format!("@cert-authority * {authority}"));
    assert!(refusal(&node).contains("host certificate"));
}

#[test]
fn unpinned_authority_is_refused() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = certified();
    make_key(&node.daemon.home().ssh_dir(), "other");
    let other = fs::read_to_string(node.daemon.home().ssh_dir().join("other.pub")).unwrap();
    let home = node.daemon.home();
    home.trust(&format!("@cert-authority * {other}"));
    refusal(&node);
}

#[test]
fn revoked_key_is_refused() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = node();
    let key = node.sshd.public_key("host_key");
    let home = node.daemon.home();
    home.trust(&node.sshd.host_key_line("pve1"));
    home.trust(&format!("@revoked * {key}"));
    assert!(refusal(&node).contains("revoked host key"));

    let certified = certified();
    let authority = certified.sshd.public_key("authority");
    let key = certified.sshd.public_key("host_key");
    let home = certified.daemon.home();
    home.trust(&format!("@cert-authority * {authority}"));
    home.trust(&format!("@revoked [pve1]:* {key}"));
    assert!(refusal(&certified).contains("revoked host key"));
}

#[test]
fn revoked_authority_is_refused() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = certified();
    let authority = node.sshd.public_key("authority");
    let home = node.daemon.home();
    home.trust(&format!("@cert-authority * {authority}"));
    home.trust(&format!("@revoked * {authority}"));
    refusal(&node);
}

/// An RSA key of Proxmox VE's, shortened.
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQU=";

#[test]
fn unusable_pins_are_explained() {
    let node = sim::start(sim::healthy());
    let port = node.addr().port();
    let refused = |line: &str| {
        let home = std::sync::Arc::new(pulse_e2e::Home::new());
        home.trust(line);
        let config = Config::new().node("pve1", node.addr());
        let daemon = pulse_e2e::Daemon::start_in(&home, &config);
        let error = daemon.temperature("pve1").unwrap_err();
        let changes = daemon.metric("pulse_proxy_hostkey_changes_total{node=\"pve1\"}");
        assert!(changes.abs() < f64::EPSILON, "{error}");
        error
    };
    let pin = format!("add it as \"[pve1]:{port}\"");
    // As a Proxmox cluster keeps it.
    let error = refused(&format!("pve1 {RSA}"));
    for part in [
        "not in known_hosts",
        &pin,
        "line for \"pve1\"",
        "ssh-rsa is not supported",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    let error = refused(&format!("[pve1]:{port} {RSA}"));
    for part in ["pins only ssh-rsa, which is not supported", &pin] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(!error.contains("in between"), "{error}");
}
