//! Addresses that no node and no collector can have.
//!
//! A connection to one of them fails, or reaches another host than the one written: Linux
//! connects to the local host for `0.0.0.0` and `::`, and also for `::ffff:0.0.0.0`.

use std::net::{IpAddr, Ipv4Addr};

/// The reason that no host can have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// `0.0.0.0` or `::`.
    #[error("the unspecified address belongs to no host: Linux would connect to this host itself")]
    Unspecified,
    /// The rest of 0.0.0.0/8 (RFC 6890).
    #[error("addresses in 0.0.0.0/8 belong to no host")]
    ThisNetwork,
    /// 224.0.0.0/4 or `ff00::/8`.
    #[error("a multicast address belongs to a group of hosts")]
    Multicast,
    /// 255.255.255.255.
    #[error("the broadcast address belongs to all hosts")]
    Broadcast,
    /// `fe80::/10`, which is ambiguous without the name of an interface.
    #[error("a link-local address needs a zone, which is not supported: use another address")]
    LinkLocal,
}

/// The reason that no host can have this address; `None` for an address of a host. An IPv4
/// address mapped to IPv6 (`::ffff:0:0/96`) is treated as the IPv4 address.
#[must_use]
pub fn unreachable(address: IpAddr) -> Option<Unreachable> {
    let address = address.to_canonical();
    if address.is_unspecified() {
        return Some(Unreachable::Unspecified);
    }
    if address.is_multicast() {
        return Some(Unreachable::Multicast);
    }
    match address {
        IpAddr::V4(v4) if v4.octets().starts_with(&[0]) => Some(Unreachable::ThisNetwork),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(Unreachable::Broadcast),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(Unreachable::LinkLocal),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(address: &str) -> Option<Unreachable> {
        unreachable(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_hosts_pass() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.1.1",
            // Reserved for documentation and future use, but used by some networks.
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
    fn other_addresses_have_reasons() {
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
