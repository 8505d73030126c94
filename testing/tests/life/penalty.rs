//! sshd's penalties (`PerSourcePenalties` in `sshd_config(5)`, from OpenSSH 9.8 on): the release
//! decides whether the node has them.

use super::machine::{answer, configure, need, run, try_run};
use super::tree::Tree;
use super::{LEFT, install, purge, remove_log};
use pulse_e2e::programs::skipped;
use pulse_e2e::wait;

/// Failed logins that exceed the shortest penalty that is enforced: 5 s each, from 15 s on.
const FAILURES: u32 = 6;

fn has_penalties() -> bool {
    let settings = run("sshd", &["-T"]);
    settings.contains("persourcepenalties ") && !settings.contains("persourcepenalties no")
}

#[test]
fn penalised_host_is_told() {
    if skipped(&[need()]) {
        return;
    }
    if !has_penalties() {
        println!("this release's sshd has no penalties");
        return;
    }
    let before = Tree::read();
    install();
    configure();
    wait::until("a reading", || answer(1)["success"] == true);
    // Somebody else on this host fails to log in.
    let key = "/run/pulse-test-key";
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key]);
    for _ in 0..FAILURES {
        let options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"];
        let known_hosts = ["-o", "UserKnownHostsFile=/dev/null", "-i", key];
        let login = ["pulse-sensor@192.0.2.11", "true"];
        let refused = try_run("ssh", &[&options[..], &known_hosts, &login].concat());
        assert!(!refused.status.success());
    }
    // Without the open connection, to which nothing happens.
    run("systemctl", &["restart", "pulse-sensor-proxy.service"]);
    let refused = answer(1);
    let error = refused["error"].as_str().unwrap();
    for part in [
        "Not allowed at this time",
        "PerSourcePenalties",
        "systemctl restart ssh",
    ] {
        assert!(error.contains(part), "{error}");
    }
    // The remedy that the sentence names.
    run("systemctl", &["restart", "ssh"]);
    wait::until("a reading", || answer(1)["success"] == true);
    purge();
    remove_log();
    for file in [key.to_owned(), format!("{key}.pub")] {
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);
}
