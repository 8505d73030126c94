//! Harness of the end-to-end tests: the real daemon as a process, and its counterparts.
//!
//! Nothing here uses the daemon's code. The daemon is a program with a configuration, a
//! socket, a log and signals, observed from outside as its users and its nodes observe it.
//! No test needs a fixed port, a fixed path or a network beyond loopback, so all of them can
//! run in parallel.
//!
//! | module | is about |
//! |---|---|
//! | [`programs`] | finding and building programs; skipping tests that lack one |
//! | [`Home`], [`Config`] | a daemon's files |
//! | [`Daemon`] | starting, signalling and stopping the daemon |
//! | [`Client`] | a caller on the Unix socket, byte by byte |
//! | [`observe`] | the daemon's metrics, memory and descriptors |
//! | [`findings`] | results of the confinement probe, stored for `docs/hardening.md` |
//! | [`service`] | the user that the daemon runs as, and that user's files |
//! | [`flood`] | callers that connect without a pause |
//! | [`python`] | callers in Python, also as other users |
//! | [`relay`] | connections to a node that break off |
//! | [`Sshd`] | Debian's OpenSSH server as a node |
//! | [`control`] | `pulse-sensorctl` |
//! | [`container`] | the daemon in a container |
//! | [`engines`] | root in a container of each common engine |
//! | [`sim`] | simulated nodes |
//! | [`certificates`], [`rsyslog`] | a CA; Debian's rsyslog as a collector |
//! | [`forwarding`] | a host that forwards records to a collector |
//! | [`uml`] | user-mode Linux, with AppArmor |
//! | [`wait`] | waiting for a state, with a deadline |
#![allow(clippy::unwrap_used, reason = "a test harness fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "the runner shows it beside the failure"
)]

pub mod certificates;
mod client;
mod config;
pub mod container;
pub mod control;
mod control_group;
mod daemon;
pub mod engines;
pub mod findings;
pub mod flood;
pub mod forwarding;
mod home;
pub mod observe;
pub mod programs;
pub mod prometheus;
pub mod python;
pub mod relay;
pub mod rsyslog;
pub mod service;
pub mod sim;
pub mod sshd;
pub mod uml;
mod unit;
pub mod wait;

pub use client::Client;
pub use config::Config;
pub use control_group::ControlGroup;
pub use daemon::{Daemon, Ended, run, run_in};
pub use home::{Home, unused_address};
pub use sshd::{RealNode, Sshd, SshdOptions};
