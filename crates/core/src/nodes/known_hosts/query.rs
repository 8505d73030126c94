//! The names under which a node is looked up.

use super::pattern::{HostPatterns, Match};
use crate::nodes::name::NodeName;
use std::net::IpAddr;

/// The port that is not written.
const DEFAULT_PORT: u16 = 22;

/// A node whose key is to be checked: its name, its port and its address.
///
/// Pins are looked up under one name only, [`HostQuery::known_as`]. Revocations are looked
/// up under every name of the node: with and without the port, by name and by address. A
/// revocation that matches too much costs a reading; one that is missed accepts a stolen
/// key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostQuery {
    /// In lower case, because host names are compared without case.
    name: String,
    known_as: String,
    /// The node's other names, for revocations.
    aliases: Vec<String>,
}

impl HostQuery {
    /// A node, the address that it resolved to (if known), and its port.
    #[must_use]
    pub fn new(name: &NodeName, address: Option<IpAddr>, port: u16) -> Self {
        let name = name.canonical().to_owned();
        let known_as = if port == DEFAULT_PORT {
            name.clone()
        } else {
            with_port(&name, port)
        };
        let mut aliases = vec![name.clone(), with_port(&name, port)];
        if let Some(address) = address {
            // The file has 10.0.0.1 for what a dual-stack socket calls ::ffff:10.0.0.1.
            let address = address.to_canonical().to_string();
            aliases.push(with_port(&address, port));
            aliases.push(address);
        }
        // `is_revoked_by` compares `known_as` first, on its own.
        aliases.retain(|alias| *alias != known_as);
        Self {
            name,
            known_as,
            aliases,
        }
    }

    /// The name to pin the node under: `pve1`, or `[pve1]:2222` for a port other than 22.
    #[must_use]
    pub fn known_as(&self) -> &str {
        &self.known_as
    }

    /// The node's other names.
    pub(super) fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(String::as_str)
    }

    /// The name in certificates, never with a port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_pinned_by(&self, hosts: &HostPatterns) -> bool {
        hosts.matches(&self.known_as) == Match::Yes
    }

    /// A line that excludes one of the node's names does not revoke by another one, unless
    /// it matches the name that the node is pinned under.
    pub(super) fn is_revoked_by(&self, hosts: &HostPatterns) -> bool {
        match hosts.matches(&self.known_as) {
            Match::Yes => true,
            Match::Excluded => false,
            // Excluded by one name and matched by another: the line was written for other
            // nodes, as in `10.0.0.*,!pve1`.
            Match::No => {
                let matches = || self.aliases.iter().map(|alias| hosts.matches(alias));
                matches().any(|m| m == Match::Yes) && matches().all(|m| m != Match::Excluded)
            }
        }
    }
}

fn with_port(host: &str, port: u16) -> String {
    format!("[{host}]:{port}")
}
