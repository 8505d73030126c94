//! The program under test.

use pulse_e2e::{Daemon, programs, service};
use std::fs;
use std::process::Command;

/// The daemon without this rule; none for all rules.
pub(super) fn command(left_out: Option<&str>) -> Command {
    let mut command = Command::new(programs::lacking_daemon());
    command.env_clear().envs([service::SETTING]);
    if let Some(rule) = left_out {
        command.env("PULSE_LACKING", rule);
    }
    command
}

/// The process state, a letter of ps(1).
pub(super) fn state(daemon: &Daemon) -> char {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let (_, state) = status.split_once("State:\t").unwrap();
    state.chars().next().unwrap()
}
