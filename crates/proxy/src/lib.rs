//! The daemon: thin drivers around `pulse-core`.
//!
//! A reading's way through the modules: [`listener`] accepts and admits,
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
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod node;
mod opened;
mod poll;
mod random;
pub mod readings;
pub mod recorder;
mod request;
pub mod resolve;
pub mod run;
pub mod scrape;
mod service;
pub mod settings;
mod systemd;
mod watched;

pub use run::main;
