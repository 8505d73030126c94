//! Addresses that no node and no collector can have.
//!
//! A connection to them fails at best. At worst it leads elsewhere than written: Linux
//! connects to this very host when it is asked for `0.0.0.0` or `::`, also in the clothes
//! of IPv6 (`::ffff:0.0.0.0`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The reason that nothing can be reached at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// `0.0.0.0` or `::`.
    #[error("the unspecified address is no host's: a connection to it leads to this very host")]
    Unspecified,
    /// The rest of 0.0.0.0/8 (RFC 6890).
    #[error("addresses of 0.0.0.0/8 are no host's")]
    ThisNetwork,
    /// 224.0.0.0/4 or `ff00::/8`.
    #[error("a multicast address is a group's and no host's")]
    Multicast,
    /// 255.255.255.255.
    #[error("the broadcast address is everybody's and no host's")]
    Broadcast,
    /// `fe80::/10`, whose addresses mean something beside an interface's name alone.
    #[error("a link-local address takes a zone, which is not supported: use another one")]
    LinkLocal,
}

/// Why there can be no host at an address, if so. IPv4 addresses within IPv6
/// (`::ffff:0:0/96`) are judged as what they are.
#[must_use]
pub fn unreachable(address: IpAddr) -> Option<Unreachable> {
    match address.to_canonical() {
        IpAddr::V4(v4) => unreachable_v4(v4),
        IpAddr::V6(v6) => unreachable_v6(&v6),
    }
}

fn unreachable_v4(address: Ipv4Addr) -> Option<Unreachable> {
    if address.is_unspecified() {
        Some(Unreachable::Unspecified)
    } else if matches!(address.octets(), [0, ..]) {
        Some(Unreachable::ThisNetwork)
    } else if address.is_multicast() {
        Some(Unreachable::Multicast)
    } else if address.is_broadcast() {
        Some(Unreachable::Broadcast)
    } else {
        None
    }
}

fn unreachable_v6(address: &Ipv6Addr) -> Option<Unreachable> {
    if address.is_unspecified() {
        Some(Unreachable::Unspecified)
    } else if address.is_multicast() {
        Some(Unreachable::Multicast)
    } else if address.is_unicast_link_local() {
        Some(Unreachable::LinkLocal)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(address: &str) -> Option<Unreachable> {
        unreachable(address.parse().unwrap())
    }

    #[test]
    fn hosts_addresses_pass() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.1.1",
            // Documentation, and what some networks use all the same.
            "192.0.2.1",
            "240.0.0.1",
            "::1",
            "2001:db8::1",
            "fd00::1",
            "::ffff:192.0.2.1",
        ] {
            assert_eq!(judged(address), None, "{address}");
        }
    }

    #[test]
    fn what_is_no_hosts_has_its_reason_in_either_family() {
        for (address, reason) in [
            ("0.0.0.0", Unreachable::Unspecified),
            ("::", Unreachable::Unspecified),
            ("0.1.2.3", Unreachable::ThisNetwork),
            ("224.0.0.1", Unreachable::Multicast),
            ("239.255.255.255", Unreachable::Multicast),
            ("ff02::1", Unreachable::Multicast),
            ("255.255.255.255", Unreachable::Broadcast),
            ("fe80::1", Unreachable::LinkLocal),
        ] {
            assert_eq!(judged(address), Some(reason), "{address}");
            let mapped = format!("::ffff:{address}");
            if !address.contains(':') {
                assert_eq!(judged(&mapped), Some(reason), "{mapped}");
            }
        }
    }
}
