//! What the end-to-end tests stand on: the real daemon as a process, and its
//! counterparts.
//!
//! Nothing here knows the daemon's code. It is a program with a configuration, a
//! socket, a log and signals, and everything is seen from outside, as its users
//! and its nodes see it. No test needs a fixed port, a fixed path or a network
//! beyond loopback, so all of them may run side by side.
//!
//! | module | is about |
//! |---|---|
//! | [`programs`] | finding and building what is run, and what is skipped without |
//! | [`Home`], [`Config`] | a daemon's files |
//! | [`Daemon`] | the daemon's life, and what it shows |
//! | [`Client`] | a caller, byte by byte |
//! | [`observe`] | its metrics, memory and descriptors |
//! | [`findings`] | what the probe found, kept for the page that shows all settings |
//! | [`service`] | the user that a daemon becomes, and what is that user's |
//! | [`flood`] | callers that connect as often as they can |
//! | [`python`] | callers in another language, and as other users |
//! | [`Sshd`] | Debian's OpenSSH server as a node |
//! | [`control`] | the operator's tool |
//! | [`container`] | the daemon in a container |
//! | [`engines`] | root in a container of each usual engine |
//! | [`sim`] | simulated nodes |
//! | [`certificates`], [`rsyslog`] | a CA, and Debian's rsyslog as a collector |
//! | [`forwarding`] | a daemon whose records go to a collector |
//! | [`uml`] | a machine of its own, with AppArmor |
//! | [`wait`] | waiting without sleeping for luck |
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
pub mod python;
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
pub use daemon::{Daemon, Ended, run};
pub use home::{Home, unused_address};
pub use sshd::{RealNode, Sshd, SshdOptions};
