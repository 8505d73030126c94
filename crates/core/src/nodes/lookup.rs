//! The listed node that a caller means: by its address too, and by a name that is nearly right.

use super::name::NodeName;
use crate::nearest::nearest;
use std::collections::HashMap;
use std::net::IpAddr;

/// Listed nodes by their addresses. It has at most as many entries as the nodes have addresses.
#[derive(Clone, Debug, Default)]
pub struct ByAddress(HashMap<IpAddr, Owner>);

#[derive(Clone, Debug)]
enum Owner {
    One(NodeName),
    /// Two nodes have the address, such as two ports of one host: it says neither.
    Several,
}

impl ByAddress {
    /// The node with this address, if exactly one has it.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<&NodeName> {
        match self.0.get(&address.to_canonical())? {
            Owner::One(node) => Some(node),
            Owner::Several => None,
        }
    }
}

impl<'a> FromIterator<(IpAddr, &'a NodeName)> for ByAddress {
    fn from_iter<I: IntoIterator<Item = (IpAddr, &'a NodeName)>>(addresses: I) -> Self {
        let mut owners = HashMap::new();
        for (address, node) in addresses {
            owners
                .entry(address.to_canonical())
                .and_modify(|owner| {
                    if !matches!(owner, Owner::One(first) if first == node) {
                        *owner = Owner::Several;
                    }
                })
                .or_insert_with(|| Owner::One(node.clone()));
        }
        Self(owners)
    }
}

/// The listed name that an unlisted one was probably meant to be: the only one with the same
/// first label (`pve1.example.org` and `pve1`), or if none has that, the only near one. Of several
/// with the same label any could be meant, and none that is merely near. Addresses have none, since
/// each is as near to many others.
#[must_use]
pub fn meant<'a>(
    asked: &NodeName,
    listed: impl Iterator<Item = &'a NodeName> + Clone,
) -> Option<&'a NodeName> {
    if asked.address().is_some() {
        return None;
    }
    let names = listed.filter(|name| name.address().is_none());
    let label = |name: &'a NodeName| first_label(name.canonical());
    let mut same_host = names
        .clone()
        .filter(|name| label(name) == first_label(asked.canonical()));
    match (same_host.next(), same_host.next()) {
        (None, _) => {}
        (only, None) => return only,
        (_, Some(_)) => return None,
    }
    let near = nearest(asked.canonical(), names.clone().map(NodeName::canonical))?;
    names.clone().find(|name| name.canonical() == near)
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    #[test]
    fn shared_address_is_nobodys() {
        let (a, b) = (name("a"), name("b"));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let by_address: ByAddress = [
            (address("192.0.2.1"), &a),
            // Its lines of /etc/hosts may repeat an address.
            (address("::ffff:192.0.2.1"), &a),
            (address("2001:db8::1"), &a),
            (address("192.0.2.2"), &b),
            (address("192.0.2.3"), &a),
            (address("192.0.2.3"), &b),
            (address("192.0.2.3"), &a),
        ]
        .into_iter()
        .collect();
        for (asked, node) in [
            ("192.0.2.1", Some(&a)),
            ("::ffff:192.0.2.1", Some(&a)),
            ("2001:db8::1", Some(&a)),
            ("192.0.2.2", Some(&b)),
            ("192.0.2.3", None),
            ("192.0.2.4", None),
        ] {
            assert_eq!(by_address.get(address(asked)), node, "{asked}");
        }
    }

    #[test]
    fn one_near_name_is_meant() {
        for (asked, listed, expected) in [
            ("pve22", &["pve2", "node7"][..], Some("pve2")),
            ("PVE2.lan", &["Pve2", "pve3"], Some("Pve2")),
            ("pve2", &["pve2.lan", "pve3.lan"], Some("pve2.lan")),
            ("pve2", &["pve2.a", "pve2.b"], None),
            ("pve2", &["pve2.a", "pve2.b", "pve3"], None),
            ("pve4", &["pve1", "pve2"], None),
            ("xyz", &["pve1"], None),
            ("192.0.2.1", &["192.0.2.2"], None),
            ("pve1", &[], None),
        ] {
            let listed: Vec<_> = listed.iter().map(|text| name(text)).collect();
            let meant = meant(&name(asked), listed.iter());
            assert_eq!(meant.map(NodeName::as_str), expected, "{asked}");
        }
    }
}
