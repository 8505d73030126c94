//! The daemon's SSH key, and nodes that refuse it.

use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sshd::printing_options;
use pulse_e2e::{Config, RealNode, SshdOptions, sim, wait};
use std::os::unix::fs::PermissionsExt;

const ATTEMPT: &str = "Connection from";

#[test]
fn refused_login_is_not_repeated() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = RealNode::start_untrusted(Config::new(), &SshdOptions::default());
    let home = node.daemon.home();
    home.trust(&node.sshd.host_key_line("pve1"));
    for _ in 0..5 {
        let error = node.daemon.temperature("pve1").unwrap_err();
        assert!(
            error.starts_with("node \"pve1\" refused our SSH key"),
            "{error}"
        );
        assert!(
            error.contains("pulse-sensorctl keys show"),
            "the remedy: {error}"
        );
    }
    wait::until("sshd's log", || node.sshd.count("Connection closed") == 1);
    assert_eq!(node.sshd.count(ATTEMPT), 1);

    node.daemon.reload();
    assert!(node.daemon.temperature("pve1").is_err());
    assert!(node.daemon.temperature("pve1").is_err());
    wait::until("sshd's log", || node.sshd.count("Connection closed") == 2);
    assert_eq!(node.sshd.count(ATTEMPT), 2, "a reload tries again, once");

    node.sshd.authorize(&printing_options(), &home.public_key());
    node.daemon.reload();
    assert!(sim::is_document(&node.daemon.temperature("pve1").unwrap()));
}

#[test]
fn only_attempt_is_a_refusal() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    // The server disconnects with a message, instead of refusing the login.
    let options = SshdOptions {
        lines: vec!["MaxAuthTries 1".to_owned()],
        ..SshdOptions::default()
    };
    let node = RealNode::start_untrusted(Config::new(), &options);
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(error.contains("refused our SSH key"), "{error}");
}

#[test]
fn error_has_the_next_attempts_time() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = RealNode::start_untrusted(Config::new(), &SshdOptions::default());
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    assert!(node.daemon.temperature("pve1").is_err());
    let error = node.daemon.temperature("pve1").unwrap_err();
    let (_, seconds) = error.split_once("next attempt in ").expect("a time");
    let (seconds, remedy) = seconds.split_once(" s, or now with ").expect("a remedy");
    assert_eq!(remedy, "\"pulse-sensorctl temps --retry\"");
    let seconds: u32 = seconds.parse().unwrap();
    assert!((590..=750).contains(&seconds), "{error}");
}

#[test]
fn key_is_made_once_and_private() {
    let daemon = pulse_e2e::Daemon::start(&Config::new());
    let home = std::sync::Arc::clone(daemon.home());
    let made = home.public_key();
    assert!(made.starts_with("ssh-ed25519 "), "{made}");
    let mode = |name: &str| {
        let file = std::fs::metadata(home.ssh_dir().join(name)).unwrap();
        file.permissions().mode() & 0o7777
    };
    assert_eq!((mode("."), mode("id_ed25519")), (0o700, 0o600));
    let status = daemon.ask(&serde_json::json!({"method": "get_status"}));
    assert_eq!(status["data"]["public_key"], made);
    daemon.stop();
    let again = pulse_e2e::Daemon::start_in(&home, &Config::new());
    assert_eq!(home.public_key(), made);
    again.stop();
}

#[test]
fn configured_user_logs_in() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = RealNode::start("", Config::new().set_ssh("user", "'nobody-here'"));
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(error.contains("for user \"nobody-here\""), "{error}");
    wait::until("sshd's log", || {
        node.sshd.count("Invalid user nobody-here") > 0
    });
}
