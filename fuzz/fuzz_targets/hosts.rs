//! A hosts file gives only addresses to which a connection is possible, and never redirects an
//! address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_core::nodes::hosts::{Hosts, MAX_ADDRESSES};
use pulse_core::nodes::name::NodeName;

fuzz_target!(|file: &[u8]| {
    let hosts = Hosts::parse(file);
    let text = String::from_utf8_lossy(file);
    // All words, those of comments and of bad lines included: any of them may be looked up.
    let words = text.split_whitespace();
    for name in words.filter_map(|word| NodeName::parse(word).ok()) {
        let found = hosts.lookup(&name);
        if let Some(address) = name.address() {
            assert_eq!(found, [address]);
            continue;
        }
        assert!(found.len() <= MAX_ADDRESSES);
        // Linux connects to the local host for the unspecified address.
        assert!(found.iter().all(|address| !address.is_unspecified()));
        let mut once = found.iter().enumerate();
        assert!(once.all(|(i, address)| !found[..i].contains(address)));
    }
});
