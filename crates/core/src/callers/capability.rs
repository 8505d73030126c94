//! Capabilities: what a caller is permitted to do.

use std::fmt;

/// A permission of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Read status and temperatures.
    Read,
    /// Reserved: no method requires it yet.
    Write,
    /// Inspect and replay forwarding.
    Admin,
}

impl Capability {
    /// Every capability, least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The name used in the configuration and in `get_status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The capability with this name.
    #[must_use]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of capabilities, empty by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

impl Capabilities {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Every capability.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.into_iter().collect()
    }

    /// `read` alone.
    #[must_use]
    pub fn read_only() -> Self {
        Self(Capability::Read.bit())
    }

    /// True if the set contains the capability.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// The union of both sets.
    #[must_use]
    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True for [`Capabilities::NONE`].
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names in the set, least first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Capability::ALL
            .into_iter()
            .filter(move |c| self.has(*c))
            .map(Capability::as_str)
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |set, c| set | c.bit()))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_has_exactly_its_members() {
        let set: Capabilities = [Capability::Read, Capability::Admin].into_iter().collect();
        assert_eq!(set.names().collect::<Vec<_>>(), ["read", "admin"]);
        assert!(!set.has(Capability::Write));
        assert!(Capabilities::NONE.is_empty());
        assert_eq!(Capabilities::all().names().count(), 3);
        assert_eq!(Capability::from_name("Admin"), None);
    }
}
