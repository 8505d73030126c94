//! Address families and ports.

/// An address family that sockets may be made in.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// As in socket(2).
    pub name: &'static str,
    /// Its number.
    pub number: u32,
    /// Why.
    pub reason: &'static str,
}

/// Every family that is permitted, for TCP alone. Unix sockets are not among
/// them: the listener, the journal's and systemd's are open by then.
pub const FAMILIES: &[Family] = &[INET, INET6];

pub(super) const INET: Family = Family {
    name: "AF_INET",
    number: 2,
    reason: "nodes and collectors with IPv4 addresses",
};
pub(super) const INET6: Family = Family {
    name: "AF_INET6",
    number: 10,
    reason: "nodes and collectors with IPv6 addresses",
};

/// Ports that TCP may connect to. None may be bound to.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Which key of the configuration says the numbers.
    pub key: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Every kind of port that is permitted.
pub const PORTS: &[Port] = &[
    Port {
        key: "allowed_nodes",
        reason: "the SSH ports of the nodes, as they were at the start",
    },
    Port {
        key: "forward.collectors",
        reason: "the collectors' ports",
    },
];
