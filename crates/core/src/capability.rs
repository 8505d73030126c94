//! What a caller may do.

use std::fmt;

/// One thing a caller may be permitted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Ask for status and temperatures.
    Read,
    /// Reserved: nothing needs it yet.
    Write,
    /// Change which nodes are known, and their keys.
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

    /// The capability of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of capabilities; empty unless something was granted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Nothing at all.
    pub const NONE: Self = Self(0);

    /// Everything: root of the host and the daemon's own user.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.into_iter().collect()
    }

    /// `read` and no more.
    #[must_use]
    pub fn read_only() -> Self {
        Self(Capability::Read.bit())
    }

    /// Whether the set has this one.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// What is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is permitted.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names in the set, least first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let held = Capability::ALL.into_iter().filter(move |c| self.has(*c));
        held.map(Capability::as_str)
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
    fn a_set_holds_what_it_was_given_and_nothing_else() {
        let set: Capabilities = [Capability::Read, Capability::Admin].into_iter().collect();
        assert_eq!(set.names().collect::<Vec<_>>(), ["read", "admin"]);
        assert!(!set.has(Capability::Write));
        assert!(Capabilities::NONE.is_empty());
        assert_eq!(Capabilities::all().names().count(), 3);
        assert_eq!(Capability::from_name("Admin"), None);
    }
}
