//! The `known_hosts` parser against the rules of sshd(8), and against files and keys that
//! `ssh-keygen` made.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail a test by a panic"
)]

mod certificates;
mod keys;
mod lines;
mod names;
mod properties;
mod verdicts;

use pulse_core::nodes::known_hosts::{HostQuery, KeyVerdict, KnownHosts};
use pulse_core::nodes::name::NodeName;

/// A file without a bad line.
fn known(text: &str) -> KnownHosts {
    let (known, bad_lines) = KnownHosts::parse(text).unwrap();
    assert_eq!(bad_lines, [], "{text}");
    known
}

/// A node on port 22, with no address known yet.
fn host(name: &str) -> HostQuery {
    host_on(name, 22)
}

fn host_on(name: &str, port: u16) -> HostQuery {
    HostQuery::new(&NodeName::parse(name).unwrap(), None, port)
}

fn host_at(name: &str, address: &str, port: u16) -> HostQuery {
    let address = address.parse().unwrap();
    HostQuery::new(&NodeName::parse(name).unwrap(), Some(address), port)
}

/// True if the file trusts the first node's key for a node of that name.
fn trusts(text: &str, name: &str) -> bool {
    verdict(text, &host(name)) == KeyVerdict::Trusted
}

/// The verdict on the first node's key.
fn verdict(text: &str, host: &HostQuery) -> KeyVerdict {
    known(text).check_key(host, &keys::PVE1.blob())
}
