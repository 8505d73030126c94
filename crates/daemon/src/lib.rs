//! The daemon: thin drivers around `pulse-core`.
//!
//! A reading's way through the modules: `backlog` accepts, [`listener`] admits,
//! [`connection`] reads the line, [`dispatch`] decides, `request` admits and
//! records, [`readings`] queues and shares, [`node`] asks the node over SSH.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_wrap,
        clippy::disallowed_methods,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod backlog;
pub mod cli;
mod confine_probe;
mod confinement;
pub mod connection;
pub mod daemon;
pub mod dispatch;
pub mod exposition;
mod forwarding;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host_file;
pub mod key;
pub mod known_hosts;
mod ledger;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod node;
mod opened;
mod ours;
mod poll;
mod random;
pub mod readings;
pub mod recorder;
mod request;
pub mod resolve;
mod retention;
pub mod run;
pub mod scrape;
mod service;
pub mod settings;
mod socket_access;
mod sys;
mod systemd;
mod watched;

pub use run::main;
