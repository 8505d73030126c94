//! Address families.

/// An address family in which the daemon may create sockets.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The family's constant (socket(2)).
    pub name: &'static str,
    /// The constant's value.
    pub number: u32,
    /// Why it is permitted.
    pub reason: &'static str,
}

/// Every permitted family, for TCP alone. Unix sockets are not among them: the daemon's own
/// sockets and those to systemd and the journal are open before the filter is installed.
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
