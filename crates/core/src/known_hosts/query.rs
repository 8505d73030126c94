//! Under which names a node is looked up.

use super::pattern::{HostPatterns, Match};
use crate::name::NodeName;
use std::net::IpAddr;

/// The port whose hosts are written without one.
const DEFAULT_PORT: u16 = 22;

/// A node to be judged: its name, its port, and where it was found.
///
/// Pins are looked up under one text only, [`HostQuery::known_as`]. Revocations
/// are looked up under every text that stands for this node: with the port and
/// without, by name and by address. A revocation that was meant a little more
/// narrowly costs a reading; one that is missed trusts a thief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostQuery {
    /// In lower case: host names are compared without case.
    name: String,
    known_as: String,
    /// The node's other texts, for revocations.
    aliases: Vec<String>,
}

impl HostQuery {
    /// A node, the address it resolved to (if that is known yet), and its port.
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
            // A dual-stack socket's ::ffff:10.0.0.1 is 10.0.0.1 to whoever revokes.
            let address = address.to_canonical().to_string();
            aliases.push(with_port(&address, port));
            aliases.push(address);
        }
        aliases.retain(|alias| *alias != known_as);
        Self {
            name,
            known_as,
            aliases,
        }
    }

    /// The text to pin the node under: `pve1`, or `[pve1]:2222` when the port is
    /// not 22.
    #[must_use]
    pub fn known_as(&self) -> &str {
        &self.known_as
    }

    /// What a certificate calls the node: its name, never with a port.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_pinned_by(&self, hosts: &HostPatterns) -> bool {
        hosts.matches(&self.known_as) == Match::Yes
    }

    /// A line that excludes the node by one of its texts does not reach it by
    /// another, unless it means exactly what the node is known as.
    pub(super) fn is_revoked_by(&self, hosts: &HostPatterns) -> bool {
        match hosts.matches(&self.known_as) {
            Match::Yes => true,
            Match::Excluded => false,
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
