//! What administrators have done before the packages come, or while they are there.

use super::machine::{configure, packages, run, try_run};
use super::{LEFT, purge, remove_log};
use crate::machine::{need, reading};
use crate::tree::Tree;
use pulse_e2e::programs::skipped;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const DROP_IN: &str = "/etc/ssh/sshd_config.d/pulse-sensor-node.conf";
const SERVICE: &str = "pulse-sensor-proxy.service";
const SOCKET: &str = "pulse-sensor-proxy.socket";

/// Installs a version of both packages, whichever is installed. Returns what that printed.
fn install(version: &str) -> String {
    let words = [
        "install",
        "-q",
        "-y",
        "--reinstall",
        "--allow-downgrades",
        "-o",
        "APT::Cmd::Disable-Script-Warning=1",
    ];
    // Maintainer scripts print errors to their own stream.
    let output = try_run("apt-get", &[&words, &packages(version)[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text + &errors
}

fn has_account(name: &str) -> bool {
    try_run("getent", &["passwd", name]).status.success()
}

fn main_pid(unit: &str) -> String {
    run("systemctl", &["show", "-P", "MainPID", unit])
}

#[test]
fn sshd_survives_the_package() {
    if skipped(&[need()]) {
        return;
    }
    let before = Tree::read();
    println!("an error in sshd's configuration");
    let wrong = "/etc/ssh/sshd_config.d/zz-wrong.conf";
    fs::write(wrong, "NoSuchKeyword yes\n").unwrap();
    let said = install("first");
    assert!(
        said.contains("dpkg-reconfigure pulse-sensor-node"),
        "{said}"
    );
    assert!(!Path::new(DROP_IN).exists());
    assert_eq!(run("systemctl", &["is-active", "ssh"]).trim(), "active");

    println!("fixed");
    fs::remove_file(wrong).unwrap();
    run("dpkg-reconfigure", &["pulse-sensor-node"]);
    assert!(fs::symlink_metadata(DROP_IN).unwrap().is_file());
    let edited = fs::read_to_string(DROP_IN).unwrap() + "    AllowTcpForwarding no\n";
    fs::write(DROP_IN, &edited).unwrap();

    println!("a locked account");
    run("usermod", &["--lock", "pulse-sensor"]);
    install("second");
    let shadow = run("getent", &["shadow", "pulse-sensor"]);
    assert!(shadow.starts_with("pulse-sensor:!"), "{shadow}");
    assert_eq!(fs::read_to_string(DROP_IN).unwrap(), edited);

    println!("half of the package's files");
    fs::remove_dir_all("/usr/share/pulse-sensor-node").unwrap();
    run("sshd", &["-t"]);
    purge();
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);
}

#[test]
fn node_in_use_is_purged() {
    if skipped(&[need()]) {
        return;
    }
    let before = Tree::read();
    install("first");
    configure();
    assert!(reading(1).contains("42"));
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    try_run("pulse-sensorctl", &["temps"]);
                }
            });
        }
        thread::sleep(Duration::from_secs(2));
        // A session that loginctl does not know.
        let sleep = ["--reuid=pulse-sensor", "--clear-groups", "sleep", "600"];
        scope.spawn(move || try_run("setpriv", &sleep));
        let purged = try_run("apt-get", &["purge", "-q", "-y", "pulse-sensor-node"]);
        is_done.store(true, Ordering::Relaxed);
        // Otherwise the scope would wait for it.
        try_run("pkill", &["-KILL", "-x", "sleep"]);
        let said = String::from_utf8_lossy(&purged.stderr);
        assert!(purged.status.success(), "{said}");
        assert!(!said.contains("remains"), "{said}");
    });
    assert!(!has_account("pulse-sensor"));

    println!("the audit log's account");
    fs::remove_dir_all(super::LOG).unwrap();
    let purged = run("apt-get", &["purge", "-q", "-y", "pulse-sensor-proxy"]);
    assert!(
        purged.contains("To remove it: userdel pulse-sensor-proxy"),
        "{purged}"
    );
    run("userdel", &["pulse-sensor-proxy"]);
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);
}

#[test]
fn source_installation_is_replaced() {
    if skipped(&[need()]) {
        return;
    }
    let before = Tree::read();
    println!("an old daemon runs, with an edited profile");
    let unit = Path::new("/etc/systemd/system").join(SERVICE);
    fs::write(&unit, "[Service]\nExecStart=/bin/sleep infinity\n").unwrap();
    let profile = "/etc/apparmor.d/pulse-sensor-proxy";
    fs::create_dir_all("/etc/apparmor.d").unwrap();
    fs::write(profile, "# Edited.\n").unwrap();
    run("systemctl", &["daemon-reload"]);
    run("systemctl", &["start", SERVICE]);
    let old = main_pid(SERVICE);
    fs::remove_file(unit).unwrap();
    let said = install("first");
    assert!(said.contains(&format!("systemctl start {SOCKET} {SERVICE}")));
    assert_ne!(main_pid(SERVICE), old);
    assert!(fs::symlink_metadata(profile).unwrap().is_symlink());
    let saved = fs::read_to_string(format!("{profile}.dpkg-old")).unwrap();
    assert_eq!(saved, "# Edited.\n");

    println!("a daemon without its socket");
    configure();
    run("systemctl", &["stop", SOCKET]);
    run("systemctl", &["restart", SERVICE]);
    install("second");
    for unit in [SERVICE, SOCKET] {
        assert_eq!(run("systemctl", &["is-active", unit]).trim(), "active");
    }
    assert!(reading(1).contains("42"));
    purge();
    remove_log();
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);
}
