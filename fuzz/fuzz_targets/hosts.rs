//! A hosts file gives only addresses to which a connection is possible, and never redirects an
//! address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::hosts::{Hosts, MAX_ADDRESSES};
use pulse_core::nodes::name::NodeName;
use std::net::IpAddr;

fuzz_target!(|file: &[u8]| {
    let hosts = Hosts::parse(file);
    let text = String::from_utf8_lossy(file);
    let names = text
        .split_whitespace()
        .filter_map(|word| NodeName::parse(word).ok());
    for name in names {
        let found = hosts.lookup(&name);
        match name.address() {
            Some(address) => assert_eq!(found, [address]),
            None => check_addresses(&found),
        }
    }
});

fn check_addresses(found: &[IpAddr]) {
    assert!(found.len() <= MAX_ADDRESSES);
    assert!(found.iter().all(|address| !address.is_unspecified()));
    let once = |(i, address)| !found[..i].contains(address);
    assert!(found.iter().enumerate().all(once));
}
