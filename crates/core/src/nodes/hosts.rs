//! The hosts file (hosts(5)), which replaces a resolver.
//!
//! Names are never looked up in DNS: the daemon then needs no UDP, which could forge
//! answers and exfiltrate data in queries, and who cannot write `/etc/hosts` cannot
//! redirect a reading.

use crate::nodes::address::{self, Unreachable};
use crate::nodes::name::NodeName;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// The most addresses kept for one name.
pub const MAX_ADDRESSES: usize = 16;

/// The most bytes read; a line that begins after them is left out.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The content of a hosts file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// By name in lower case.
    addresses: HashMap<Box<str>, Vec<IpAddr>>,
    /// Names with a link-local address, in lower case.
    link_local: HashSet<Box<str>>,
}

impl Hosts {
    /// Parses a hosts file; a line that is not understood is left out, as the system's own
    /// resolver does.
    ///
    /// Addresses that cannot be connected to are left out as well: those with a zone
    /// (`fe80::1%eth0`) and those of no host ([`address::unreachable`]). Some files map
    /// names to the unspecified address to block them, but Linux connects to the local host
    /// for it.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let mut hosts = Self::default();
        let mut read = 0;
        for line in text.as_ref().split_inclusive(|byte| *byte == b'\n') {
            if read >= MAX_BYTES {
                break;
            }
            read += line.len();
            // A comment may be in any encoding; the rest of the line is ASCII.
            let content = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let Ok(content) = str::from_utf8(content) else {
                continue;
            };
            let mut fields = content.split_ascii_whitespace();
            let written = fields.next().unwrap_or_default();
            let zoneless = written.split_once('%').map(|(address, _)| address);
            let Ok(address) = zoneless.unwrap_or(written).parse::<IpAddr>() else {
                continue;
            };
            let problem = address::unreachable(address);
            let address = address.to_canonical();
            // Only node names are looked up, so other names need no memory.
            for name in fields.filter(|name| NodeName::parse(name).is_ok()) {
                if problem == Some(Unreachable::LinkLocal) {
                    hosts.link_local.insert(name.to_ascii_lowercase().into());
                }
                if problem.is_some() || zoneless.is_some() {
                    continue;
                }
                let known = hosts
                    .addresses
                    .entry(name.to_ascii_lowercase().into())
                    .or_default();
                if known.len() < MAX_ADDRESSES && !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        hosts
    }

    /// True if the file gives this name a link-local address.
    #[must_use]
    pub fn has_link_local(&self, name: &NodeName) -> bool {
        self.link_local.contains(name.canonical())
    }

    /// The addresses of a node in the order of the file, each once, at most
    /// [`MAX_ADDRESSES`]; an address has itself. Empty for an unknown name.
    #[must_use]
    pub fn lookup(&self, name: &NodeName) -> Vec<IpAddr> {
        if let Some(address) = name.address() {
            return vec![address];
        }
        self.addresses
            .get(name.canonical())
            .cloned()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(text: &str, name: &str) -> Vec<String> {
        let addresses = Hosts::parse(text).lookup(&NodeName::parse(name).unwrap());
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_found_in_any_case() {
        let text = "127.0.0.1\tlocalhost\n\
                    # 10.0.0.9 pve1\n\
                    \n  10.0.0.1 \t PVE1.Example.org  pve1 # the first, 10.0.0.8 pve1\r\n\
                    10.0.0.2 pve2#pve1";
        for name in ["pve1", "PVE1", "pve1.example.org"] {
            assert_eq!(lookup(text, name), ["10.0.0.1"], "{name}");
        }
        assert_eq!(lookup(text, "pve2"), ["10.0.0.2"]);
        assert_eq!(lookup(text, "pve3"), [""; 0]);
        assert_eq!(lookup(text, "the"), [""; 0]);
    }

    #[test]
    fn link_local_names_are_kept() {
        let hosts = Hosts::parse("fe80::1%eth0 A\nfe80::2 b\n0.0.0.0 c\n2001:db8::1%1 d\n");
        for (name, expected) in [("a", true), ("b", true), ("c", false), ("d", false)] {
            let name = NodeName::parse(name).unwrap();
            assert_eq!(hosts.has_link_local(&name), expected, "{name}");
            assert!(hosts.lookup(&name).is_empty(), "{name}");
        }
    }

    #[test]
    fn addresses_keep_their_order() {
        let text = "2001:db8::1 n\n10.0.0.1 n n\n10.0.0.1 n\n2001:DB8:0::1 n\n";
        assert_eq!(lookup(text, "n"), ["2001:db8::1", "10.0.0.1"]);
    }

    #[test]
    fn unreachable_address_is_left_out() {
        let text = "fe80::1%eth0 n\nfe80::1 n\n0.0.0.0 n\n:: n\n::ffff:0.0.0.0 n\n\
                    224.0.0.1 n\nff02::1 n\n255.255.255.255 n\n10.0.0.1 n\n::ffff:10.0.0.1 n";
        assert_eq!(lookup(text, "n"), ["10.0.0.1"]);
    }

    #[test]
    fn bad_line_leaves_others_valid() {
        let text = b"10.0.0.256 n\n010.0.0.1 n\nn 10.0.0.3\n10.0.0.4\n\xff\xfe n\n\
                     10.0.0.5 \xff n\n10.0.0.6 n # caf\xe9\n10.0.0.7 a;b $(x) -o n";
        let addresses = Hosts::parse(text).lookup(&NodeName::parse("n").unwrap());
        let expected: Vec<IpAddr> = vec![[10, 0, 0, 6].into(), [10, 0, 0, 7].into()];
        assert_eq!(addresses, expected);
    }

    #[test]
    fn address_is_never_redirected() {
        assert_eq!(lookup("10.0.0.9 10.0.0.1", "10.0.0.1"), ["10.0.0.1"]);
        assert_eq!(lookup("10.0.0.9 ::1", "[::1]"), ["::1"]);
    }

    #[test]
    fn addresses_of_a_name_are_bounded() {
        let text: String = (0..100).map(|n| format!("10.0.0.{n} n\n")).collect();
        assert_eq!(lookup(&text, "n").len(), MAX_ADDRESSES);
    }

    #[test]
    fn huge_file_is_cut() {
        let text = format!("10.0.0.1 n #{}\n10.0.0.2 n\n", "x".repeat(MAX_BYTES));
        assert_eq!(lookup(&text, "n"), ["10.0.0.1"]);
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>) {
            let _ = Hosts::parse(bytes);
        }

        #[test]
        fn every_listed_name_is_found(octets: [u8; 4], name in "[a-z][a-z0-9-]{0,20}", noise in "[^\n]{0,40}") {
            let address = IpAddr::from(octets);
            prop_assume!(address::unreachable(address).is_none());
            let text = format!("#{noise}\n{address} {name} #{noise}\n");
            let found = Hosts::parse(text).lookup(&NodeName::parse(&name).unwrap());
            prop_assert_eq!(found, vec![address]);
        }
    }
}
