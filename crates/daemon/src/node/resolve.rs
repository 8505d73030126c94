//! Resolution of a node's name to the address to connect to.
//!
//! Names come from the configuration and `/etc/hosts`, never from DNS: so the daemon needs no
//! UDP, no helper threads and no trust in a name server. The connection goes to the very
//! address that the egress guard has permitted; a name is not resolved twice.

use crate::node::host_file::HOSTS;
use pulse_core::config::NodeSettings;
use pulse_core::nodes::address::unreachable;
use pulse_core::nodes::name::NodeName;
use std::net::{IpAddr, SocketAddr};

/// Decides which addresses may be connected to.
pub(crate) trait EgressGuard: Send + Sync {
    /// True if a connection to this address is permitted.
    fn permits(&self, address: IpAddr) -> bool;
}

/// Permits every address that a host can have.
pub(crate) struct AnyUnicast;

impl EgressGuard for AnyUnicast {
    fn permits(&self, address: IpAddr) -> bool {
        unreachable(address).is_none()
    }
}

/// A node without an address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAddress {
    /// Neither the configuration nor `/etc/hosts` has one.
    Unknown,
    /// The configuration has none, and `/etc/hosts` only a link-local one.
    LinkLocal,
    /// The configuration has none, and `/etc/hosts` cannot be used, for this reason.
    HostsRefused(String),
    /// The egress guard permits none of its addresses.
    NotPermitted,
}

/// Finds addresses, and checks them with a guard.
pub(crate) struct Resolver {
    guard: Box<dyn EgressGuard>,
}

impl Resolver {
    /// A resolver with this guard.
    #[must_use]
    pub(crate) fn new(guard: impl EgressGuard + 'static) -> Self {
        Self {
            guard: Box::new(guard),
        }
    }

    /// The address to connect to: the first one that is permitted.
    ///
    /// # Errors
    /// [`NoAddress`] says why there is none.
    pub(crate) fn resolve(
        &self,
        node: &NodeName,
        settings: &NodeSettings,
    ) -> Result<SocketAddr, NoAddress> {
        let found = match settings.address {
            Some(address) => vec![address],
            // Checked each time: connections are rare, and an edited file takes effect at once.
            None => {
                let hosts = HOSTS.read();
                let found = hosts.lookup(node);
                if found.is_empty() && hosts.has_link_local(node) {
                    return Err(NoAddress::LinkLocal);
                }
                found
            }
        };
        if found.is_empty() {
            // Only a lookup in `/etc/hosts` can find none.
            return Err(HOSTS
                .problem()
                .map_or(NoAddress::Unknown, NoAddress::HostsRefused));
        }
        found
            .into_iter()
            .find(|address| self.guard.permits(*address))
            .map(|address| SocketAddr::new(address, settings.port))
            .ok_or(NoAddress::NotPermitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(address: &str) -> Result<SocketAddr, NoAddress> {
        let settings = NodeSettings {
            address: Some(address.parse().unwrap()),
            port: 22,
            user: "pulse-sensor".into(),
        };
        Resolver::new(AnyUnicast).resolve(&NodeName::parse("pve1").unwrap(), &settings)
    }

    #[test]
    fn impossible_addresses_are_refused() {
        assert!(resolve("192.0.2.1").is_ok());
        for address in [
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "::",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
            "fe80::1",
        ] {
            assert_eq!(resolve(address), Err(NoAddress::NotPermitted), "{address}");
        }
    }
}
