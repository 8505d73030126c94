//! From a corrected mistake to the first good reading: at the next request, within five seconds.

use pulse_e2e::programs::{Need, is_root, skipped};
use pulse_e2e::sshd::{make_key, printing_options};
use pulse_e2e::{Config, Ended, RealNode, SshdOptions, control, service, sim};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const MOST: Duration = Duration::from_secs(5);

/// The command that the errors of waiting nodes name.
const RETRY: &str = "pulse-sensorctl temps --retry";

/// A node that accepts the daemon's key, and whose host key is not pinned.
fn unpinned(options: &SshdOptions) -> RealNode {
    let node = RealNode::start_untrusted(Config::new(), options);
    let key = node.daemon.home().public_key();
    node.sshd.authorize(&printing_options(), &key);
    node
}

/// The error of a node that waits: it says how to try now.
fn waiting(node: &RealNode, words: &str) {
    for is_first in [true, false] {
        let error = node.daemon.temperature("pve1").unwrap_err();
        assert!(error.starts_with("node \"pve1\" "), "{error}");
        assert!(error.contains(words), "{error}");
        assert_eq!(error.contains(RETRY), !is_first, "{error}");
    }
}

/// Corrects the mistake; requests then succeed in time, without a reload.
fn recovers(node: &RealNode, correct: impl FnOnce()) {
    correct();
    let corrected = Instant::now();
    let document = loop {
        match node.daemon.temperature("pve1") {
            Ok(document) => break document,
            Err(error) => assert!(corrected.elapsed() < MOST, "{error}"),
        }
    };
    assert!(corrected.elapsed() < MOST, "{:?}", corrected.elapsed());
    assert!(sim::is_document(&document), "{document}");
    assert!(node.daemon.home().records_of("config.reloaded").is_empty());
}

#[test]
fn pinned_key_ends_the_wait() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = unpinned(&SshdOptions::default());
    waiting(&node, "not in known_hosts");
    let line = node.sshd.host_key_line("pve1");
    recovers(&node, || node.daemon.home().trust(&line));
}

/// The node has shown its plain key; its certificate is another one.
#[test]
fn pinned_authority_ends_the_wait() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = unpinned(&SshdOptions {
        certified_for: Some("pve1"),
        ..SshdOptions::default()
    });
    waiting(&node, "not in known_hosts");
    let line = format!("@cert-authority * {}", node.sshd.public_key("authority"));
    recovers(&node, || node.daemon.home().trust(&line));
}

#[test]
fn readable_pins_end_the_wait() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = unpinned(&SshdOptions::default());
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    let file = node.daemon.home().known_hosts();
    let set = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    // As root's umask of 077 leaves it.
    set(if is_root() { 0o600 } else { 0o000 });
    for _ in 0..3 {
        let error = node.daemon.temperature("pve1").unwrap_err();
        assert!(error.contains("known_hosts cannot be used"), "{error}");
        let remedy = format!("chmod 0644 {}", file.display());
        assert!(error.contains(&remedy), "{error}");
    }
    recovers(&node, || set(0o644));
}

#[test]
fn replaced_key_ends_the_wait() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = RealNode::start_untrusted(Config::new(), &SshdOptions::default());
    let home = node.daemon.home();
    home.trust(&node.sshd.host_key_line("pve1"));
    // The node knows the key of an earlier installation, which is in a backup.
    let backup = home.path("backup");
    fs::create_dir(&backup).unwrap();
    make_key(&backup, "id_ed25519");
    let known = fs::read_to_string(backup.join("id_ed25519.pub")).unwrap();
    node.sshd.authorize(&printing_options(), known.trim_end());
    waiting(&node, "refused our SSH key");
    let (from, to) = (backup.join("id_ed25519"), home.ssh_dir().join("id_ed25519"));
    recovers(&node, || {
        service::give(&from);
        fs::rename(&from, &to).unwrap();
    });
    let status = node.daemon.ask(&json!({"method": "get_status"}));
    assert_eq!(status["data"]["public_key"], known.trim_end());
    // What replaces it must be a key; until then the previous one is used.
    fs::write(&to, "no key").unwrap();
    node.daemon.reload();
    assert!(node.daemon.temperature("pve1").is_ok());
    let log = node.daemon.log();
    assert!(log.contains("cannot use the SSH key"), "{log}");
}

fn retry(node: &RealNode) -> Ended {
    control::run(
        node.daemon.home(),
        &["temps", "pve1", "--retry", "--json", "--timeout", "20"],
    )
}

/// A node whose administrator has not installed the daemon's key.
fn not_installed() -> RealNode {
    let node = RealNode::start_untrusted(Config::new(), &SshdOptions::default());
    node.daemon.home().trust(&node.sshd.host_key_line("pve1"));
    waiting(&node, "refused our SSH key");
    node
}

#[test]
fn installed_key_is_tried_on_request() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = not_installed();
    let key = node.daemon.home().public_key();
    node.sshd.authorize(&printing_options(), &key);
    let installed = Instant::now();
    // The daemon cannot know it.
    let error = node.daemon.temperature("pve1").unwrap_err();
    assert!(error.contains("refused our SSH key"), "{error}");
    let ended = loop {
        let ended = retry(&node);
        if ended.code == 0 {
            break ended;
        }
        assert!(ended.output.contains("just now"), "{ended:?}");
        assert!(installed.elapsed() < MOST, "{ended:?}");
    };
    assert!(installed.elapsed() < MOST, "{:?}", installed.elapsed());
    control::assert_follows("temps", &ended);
    assert!(node.daemon.temperature("pve1").is_ok());
    let starts = node.daemon.home().records_of("command.start");
    let is_retry = |record: &&Value| record["reason"] == "retry";
    let peers: Vec<_> = starts.iter().filter(is_retry).map(|r| &r["peer"]).collect();
    assert!(!peers.is_empty());
    assert!(
        peers.iter().all(|peer| *peer != &json!("poller")),
        "{peers:?}"
    );
}

#[test]
fn loop_of_retries_is_bounded() {
    if skipped(&[Need::Sshd]) {
        return;
    }
    let node = not_installed();
    let started = Instant::now();
    for _ in 0..8 {
        let ended = retry(&node);
        assert_eq!(ended.code, 1, "{ended:?}");
        control::assert_follows("temps", &ended);
    }
    // The first attempt, one at once, and one in five seconds.
    let most = 3 + started.elapsed().as_secs() / 5;
    let attempts = node.sshd.count("Connection from");
    assert!(attempts as u64 <= most, "{attempts} of {most}");
}

#[test]
fn retry_needs_admin() {
    let daemon = pulse_e2e::Daemon::start(&Config::new());
    let request = json!({"method": "get_temperatures", "params": {"retry": true}});
    let answer = daemon.ask(&request);
    assert_eq!(answer["error"], "method requires admin capability");
    assert_eq!(daemon.administer(&request)["success"], true);
}
