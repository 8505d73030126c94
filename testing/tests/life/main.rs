//! The life of the packages in a fresh Debian under systemd: installed, configured, upgraded while a
//! caller polls, removed, purged.
//!
//! The tests change the machine, so they run in a container, with `cargo xtask package-test`.
//! Elsewhere they print that and pass.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "the runner shows how far a test has come"
)]

mod hazards;
mod machine;
mod page;
mod penalty;
mod tree;

use machine::{CONFIG, NODES, configure, packages, reading, run, try_run};
use pulse_e2e::programs::{find, skipped};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tree::Tree;

/// Files that a purge leaves: of dpkg, apt and systemd, logs, caches, and the backups that the
/// programs make which change the user database.
const LEFT: [&str; 13] = [
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
    "/var/cache",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/log",
    "/var/tmp",
];

const LOG: &str = "/var/log/pulse/sensor-proxy";

#[test]
fn packages_leave_nothing() {
    if skipped(&[machine::need()]) {
        return;
    }
    let before = Tree::read();
    // A Debian may have given the id to an account of its own.
    let is_free = ["passwd", "group"]
        .iter()
        .all(|database| !try_run("getent", &[*database, "995"]).status.success());
    println!("install");
    install();
    let uid = run("id", &["-u", "pulse-sensor-proxy"]);
    assert_eq!(uid.trim() == "995", is_free, "{uid}");
    configure();
    assert!(reading(1).contains("42"), "{}", reading(1));

    println!("upgrade and downgrade, while a caller polls");
    let readings = upgrade_under_a_poller();
    assert!(readings > 10, "{readings}");

    println!("remove");
    run(
        "apt-get",
        &[
            "remove",
            "-q",
            "-y",
            "pulse-sensor-proxy",
            "pulse-sensor-node",
        ],
    );
    assert!(
        Path::new(CONFIG).exists(),
        "a removal keeps the configuration"
    );
    let processes = try_run("pgrep", &["-x", "pulse-sensor-pr"]);
    assert!(!processes.status.success(), "the daemon has ended");
    assert!(!Path::new("/run/pulse-sensor-proxy").exists());
    run("sshd", &["-t"]);

    println!("purge");
    let purged = purge();
    assert!(Path::new(LOG).join("audit.log").exists());
    run("id", &["pulse-sensor-proxy"]);
    // Typed, as they were printed.
    let (_, commands) = purged.split_once("To remove both:").unwrap();
    // dpkg writes to a terminal of apt's, so lines end with a carriage return, too.
    let mut commands = commands.trim_start().lines();
    let append_only = commands.next().unwrap().trim();
    assert_eq!(append_only, format!("chattr -R -a {LOG}"));
    if find("chattr").is_some() {
        // The file system of a container may have no such mark.
        try_run("sh", &["-c", append_only]);
    }
    run("sh", &["-c", commands.next().unwrap().trim()]);
    assert!(!Path::new("/var/log/pulse").exists());
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);

    println!("install, with the id in use");
    if is_free {
        run("useradd", &["--uid", "995", "--system", "other"]);
    }
    let before = Tree::read();
    install();
    let uid = run("id", &["-u", "pulse-sensor-proxy"]);
    assert_ne!(uid.trim(), "995");
    configure();
    assert!(reading(1).contains("42"), "{}", reading(1));
    let owner = fs::metadata(LOG).unwrap().uid();
    assert_eq!(owner.to_string(), uid.trim());
    purge();
    remove_log();
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);

    println!("purged unconfigured, which leaves no account");
    install();
    purge();
    assert_eq!(before.difference(&Tree::read(), &LEFT), [""; 0]);
    assert!(!Path::new("/var/log/pulse").exists());
}

/// Purges both packages. Returns what that printed.
fn purge() -> String {
    let packages = ["pulse-sensor-proxy", "pulse-sensor-node"];
    run("apt-get", &[&["purge", "-q", "-y"], &packages[..]].concat())
}

/// Removes the audit log and its account, as the purge and docs/install.md say.
fn remove_log() {
    run("rm", &["-r", LOG]);
    run("rmdir", &["--ignore-fail-on-non-empty", "/var/log/pulse"]);
    run("userdel", &["pulse-sensor-proxy"]);
    assert!(!Path::new("/var/log/pulse").exists());
}

/// Installs the first version of both packages, and finds it waiting for a configuration.
fn install() {
    run(
        "apt-get",
        &[&["install", "-q", "-y"], &packages("first")[..]].concat(),
    );
    assert_eq!(
        run("systemctl", &["--failed", "--no-legend", "--plain"]),
        ""
    );
    assert_unconfigured();
}

/// Units are enabled and wait, `systemctl status` names the file that is missing, and sshd would
/// take a key for the helper's account.
fn assert_unconfigured() {
    for unit in ["pulse-sensor-proxy.socket", "pulse-sensor-proxy.service"] {
        assert_eq!(run("systemctl", &["is-enabled", unit]).trim(), "enabled");
        let status = try_run("systemctl", &["status", "--no-pager", unit]);
        let status = String::from_utf8(status.stdout).unwrap();
        let why = format!("ConditionPathExists={CONFIG} was not met");
        assert!(status.contains(&why), "{status}");
    }
    let settings = run(
        "sshd",
        &["-T", "-C", "user=pulse-sensor,host=x,addr=127.0.0.1"],
    );
    let keys = "authorizedkeysfile /etc/ssh/authorized_keys.d/%u";
    assert!(settings.contains(keys), "{settings}");
    let other = run("sshd", &["-T", "-C", "user=root,host=x,addr=127.0.0.1"]);
    assert!(!other.contains(keys), "{other}");
    assert_eq!(run("systemctl", &["is-active", "ssh"]).trim(), "active");
    let shadow = fs::read_to_string("/etc/shadow").unwrap();
    let account = shadow
        .lines()
        .find(|line| line.starts_with("pulse-sensor:"));
    assert!(
        account.unwrap().starts_with("pulse-sensor:*:"),
        "{account:?}"
    );
}

/// Installs the second version of the packages, and the first again. Returns the number of readings
/// meanwhile, none of which failed.
fn upgrade_under_a_poller() -> usize {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let poller = scope.spawn(|| {
            let mut readings = 0;
            while !is_done.load(Ordering::Relaxed) {
                for node in NODES {
                    assert!(reading(node).contains("42"));
                    readings += 1;
                }
                // Below the limiter's rate for one caller.
                thread::sleep(Duration::from_millis(10));
            }
            readings
        });
        for (version, revision) in [("second", "-2"), ("first", "-1")] {
            let words = ["install", "-q", "-y", "--allow-downgrades"];
            run("apt-get", &[&words, &packages(version)[..]].concat());
            let query = ["-W", "-f", "${Version}", "pulse-sensor-proxy"];
            let installed = run("dpkg-query", &query);
            assert!(installed.ends_with(revision), "{installed}");
        }
        is_done.store(true, Ordering::Relaxed);
        poller.join().unwrap()
    })
}
