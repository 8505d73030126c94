//! The installed service: Debian's systemd starts it, AppArmor and the unit confine it, and
//! Debian's sshd is its node.
//!
//! These tests change the machine, so they run in a virtual machine, with
//! `cargo xtask vm-test`. Elsewhere they print that and pass. They run one after another;
//! each starts with an installed, stopped service that has no files of an earlier run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "the runner shows it beside the failure"
)]

mod activation;
mod apparmor;
mod credential;
mod exposure;
mod forwarding;
mod guest;
mod kernel_log;
mod network;
mod node;
mod probe;
mod reload;
mod service;
mod supervision;
