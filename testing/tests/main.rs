//! End-to-end tests of the daemon, from the side of Pulse, of operators and of nodes.
//!
//! One module for each concern. Every test has its own daemon, so all of them can run in
//! parallel. A test whose prerequisites are missing prints the reason and passes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod alerts;
mod apparmor;
mod attacks;
mod audit;
mod broken_connections;
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
mod exhaustion;
mod findings;
mod flood;
mod forced_command;
mod forward_commands;
mod forwarding;
mod host_keys;
mod hostile_nodes;
mod hybrid_agreement;
mod key_exchange;
mod lifecycle;
mod log_files;
mod logins;
mod metrics;
mod mistakes_host;
mod mistakes_node;
mod names;
mod no_redundant_rule;
mod node_clocks;
mod node_faults;
mod operations;
mod ownership;
mod packaging;
mod privileges;
mod protocol;
mod readings;
mod recovery;
mod recovery_times;
mod refusals;
mod reload;
mod rendered;
mod restart;
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
