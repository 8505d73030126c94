//! The service as it is installed: Debian's systemd starts it, Debian's AppArmor and
//! the unit hold it, Debian's sshd is its node.
//!
//! These tests change the machine they run in, so they have one of their own:
//! `cargo xtask vm-test`. Elsewhere they say so and pass. They run one after another,
//! and each begins with a service that is installed, stopped, and has no past.
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
