//! The daemon, end to end: as Pulse, as operators and as nodes see it.
//!
//! One module for each concern; every test has a daemon of its own, so all of
//! them may run at once. What cannot run on this machine says so and passes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod apparmor;
mod attacks;
mod audit;
mod claims;
mod clients;
mod clock;
mod collector;
mod confinement;
mod container;
mod control_groups;
mod control_socket;
mod disks;
mod engines;
mod flood;
mod forward_commands;
mod forwarding;
mod host_keys;
mod hostile_nodes;
mod hybrid_agreement;
mod key_exchange;
mod lifecycle;
mod logins;
mod metrics;
mod names;
mod no_redundant_rule;
mod node_faults;
mod operations;
mod ownership;
mod packaging;
mod privileges;
mod protocol;
mod readings;
mod refusals;
mod reload;
mod rendered;
mod retention;
mod scrapers;
mod sharing;
mod siege;
mod silence;
mod slow_nodes;
mod socket;
mod strangers;
mod unit;
mod withdrawn;
