//! The program under test, before and while it runs.

use nix::unistd::{User, getegid, geteuid};
use pulse_e2e::programs::{self, is_root};
use pulse_e2e::{Daemon, Home};
use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

/// Every system has this user, and it has nothing.
const NOBODY: &str = "nobody";

/// The daemon without this rule, or with all of them.
pub(super) fn command(left_out: Option<&str>) -> Command {
    let mut command = Command::new(programs::lacking_daemon());
    command.env_clear();
    if let Some(rule) = left_out {
        command.env("PULSE_LACKING", rule);
    }
    if is_root() {
        command.env("PULSE_SENSOR_PROXY_USER", NOBODY);
    }
    command
}

/// Who the daemon is once it serves.
pub(super) fn ids() -> (u32, u32) {
    if !is_root() {
        return (geteuid().as_raw(), getegid().as_raw());
    }
    let user = User::from_name(NOBODY).unwrap().unwrap();
    (user.uid.as_raw(), user.gid.as_raw())
}

/// Gives it what there is in its home already.
pub(super) fn own(home: &Home) {
    let (uid, gid) = ids();
    for path in [home.path("run"), home.ssh_dir()] {
        if path.exists() {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
}

/// One letter of ps(1).
pub(super) fn state(daemon: &Daemon) -> char {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let (_, state) = status.split_once("State:\t").unwrap();
    state.chars().next().unwrap()
}
