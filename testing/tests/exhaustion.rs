//! The daemon without file descriptors: it says so, blames nobody, and recovers.

use nix::sys::signal::Signal;
use pulse_e2e::programs::{Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, wait};
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Sets the soft limit of open files so that this many more can be opened.
fn leave(daemon: &Daemon, free: usize) {
    let pid = daemon.pid();
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let open: BTreeSet<usize> = names
        .map(|name| name.to_str().unwrap().parse().unwrap())
        .collect();
    // The kernel gives the lowest free number, which must be below the limit.
    let mut unused = (0..).filter(|number| !open.contains(number));
    let limit = unused.nth(free).unwrap();
    limit_to(daemon, &format!("{limit}:"));
}

/// As the daemon's user, who may change its limits without a capability (prlimit(2)).
fn limit_to(daemon: &Daemon, limit: &str) {
    let pid = daemon.pid().to_string();
    let process = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let id = |name: &str| {
        let line = process.lines().find_map(|line| line.strip_prefix(name));
        let ids = line.unwrap().split_whitespace().next();
        ids.unwrap().parse::<u32>().unwrap()
    };
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={limit}")])
        .gid(id("Gid:"))
        .uid(id("Uid:"))
        .status();
    assert!(status.unwrap().success());
}

fn needs() -> [Need; 2] {
    [Need::Root, Need::Optional("prlimit")]
}

#[test]
fn permitted_callers_are_not_denied() {
    if skipped(&needs()) {
        return;
    }
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let daemon = &fleet.daemon;
    assert!(daemon.temperature("pve1").is_ok());
    // One for the connection, and none to identify the caller.
    leave(daemon, 1);
    let error = daemon.temperature("pve1").unwrap_err();
    assert_eq!(error, "node \"pve1\" not read: out of file descriptors");
    let answer = daemon.ask(&json!({"method": "get_status"}));
    assert_eq!(answer["error"], "out of file descriptors");
    limit_to(daemon, "4096:");
    assert!(daemon.temperature("pve1").is_ok());
    let denials = daemon.home().records_of("connection.denied");
    assert!(denials.is_empty(), "{denials:?}");
}

#[test]
fn nodes_are_not_blamed() {
    if skipped(&needs()) {
        return;
    }
    let fleet = Fleet::start(Config::new(), [("pve1", sim::healthy())]);
    let daemon = &fleet.daemon;
    // A segment, which the log looks at every few seconds: that needs no descriptor.
    let live = daemon.home().audit_log();
    let open = daemon.descriptors();
    std::fs::rename(&live, live.with_file_name("audit.log-000000000001")).unwrap();
    daemon.signal(Signal::SIGUSR1);
    // It opens the directory too, for a moment.
    wait::until("a new file", || {
        live.exists() && daemon.descriptors() == open
    });
    // For the connection and what is opened for a moment, and not for that to the node.
    let mut client = daemon.connect();
    client.send(b"{\"method\":\"get_status\",\"keep_alive\":true}\n");
    assert_eq!(client.answer()["success"], true);
    leave(daemon, 0);
    let read =
        b"{\"method\":\"get_temperature\",\"params\":{\"node\":\"pve1\"},\"keep_alive\":true}\n";
    for _ in 0..4 {
        client.send(read);
        let error = client.answer()["error"].as_str().unwrap().to_owned();
        assert_eq!(error, "node \"pve1\" not read: out of file descriptors");
    }
    limit_to(daemon, "4096:");
    // At once: the node has no wait.
    client.send(read);
    assert_eq!(client.answer()["success"], true);
}
