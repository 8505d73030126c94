//! Proof that `cargo xtask unit-test` runs the daemons under the shipped unit.

use crate::confinement::{NO_CAPABILITIES, assert_confined, only, status_of};
use pulse_e2e::programs::{self, Need, skipped};
use pulse_e2e::sim::{self, Fleet};
use pulse_e2e::{Config, Daemon, Home, observe};
use std::fs;
use std::sync::Arc;

#[test]
fn shipped_unit_confines_every_daemon() {
    if skipped(&[Need::Unit]) {
        return;
    }
    let config = Config::new();
    let home = Arc::new(Home::new());
    let daemons = [
        Daemon::start(&config),
        Daemon::start_program(&programs::lacking_daemon(), &home, &config),
        Fleet::start(config, [("pve1", sim::healthy())]).daemon,
    ];
    for daemon in daemons {
        let pid = daemon.pid();
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(group.contains("/pulse-"), "{group}");
        // The unit's seccomp filters are in addition to the daemon's own.
        assert!(filters(pid) > filters(std::process::id()) + 1);
        assert_confined(&daemon);
        assert_eq!(status_of(&daemon, "CapBnd:"), only(NO_CAPABILITIES));
        let programs = fs::read_dir(format!("/proc/{pid}/root/usr/bin")).unwrap();
        let programs: Vec<_> = programs.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(programs, ["pulse-sensor-proxy"]);
    }
}

fn filters(pid: u32) -> u32 {
    let count = observe::status(pid, "Seccomp_filters:");
    count.first().unwrap().parse().unwrap()
}
