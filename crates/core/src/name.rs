//! Node names: parsed once at the edge, never checked again.
//!
//! A name comes from callers we do not trust and ends up in logs, metric labels
//! and `known_hosts` look-ups, so the type holds nothing that could be read as
//! an option, a path, a pattern or markup. It never reaches a shell: there is none.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest host name accepted, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// How much of an invalid name an error message shows, in characters.
const SHOWN_CHARS: usize = 64;

/// A valid node name: an IPv4 or IPv6 address, or a host name.
///
/// Host names are 1–64 bytes of `[A-Za-z0-9._-]` that start with a letter or a
/// digit. IPv6 addresses may come in brackets; they are kept without, in the
/// canonical form of RFC 5952. Zones and ports are refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Repr);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Address(IpAddr, String),
    Host(String),
}

/// Why a text is not a node name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text was empty.
    #[error("a node name cannot be empty")]
    Empty,
    /// The text was longer than [`MAX_NAME_BYTES`].
    #[error("a node name has at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// The first character was neither a letter nor a digit.
    #[error("a node name starts with a letter or a digit")]
    BadStart,
    /// A character outside `[A-Za-z0-9._-]`.
    #[error("a node name has only letters, digits, '.', '_' and '-'")]
    BadCharacter,
    /// Four dotted numbers, or something in brackets, that is no address.
    #[error("this looks like an IP address but is none")]
    BadAddress,
}

impl NodeName {
    /// Parses a name as a caller or the configuration wrote it.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if let Some(address) = parse_address(text)? {
            return Ok(Self(Repr::Address(address, address.to_string())));
        }
        check_host(text)?;
        Ok(Self(Repr::Host(text.to_owned())))
    }

    /// The name as text: an address in its canonical form, a host as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Address(_, text) | Repr::Host(text) => text,
        }
    }

    /// The address, when the name is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match &self.0 {
            Repr::Address(address, _) => Some(*address),
            Repr::Host(_) => None,
        }
    }
}

fn parse_address(text: &str) -> Result<Option<IpAddr>, NameError> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(NameError::BadAddress)?;
        let address = inner.parse::<Ipv6Addr>();
        return address
            .map(|a| Some(IpAddr::V6(a)))
            .map_err(|_| NameError::BadAddress);
    }
    if text.contains(':') {
        // No host name has a colon, so this is an address, a port or an attack.
        let address = text.parse::<Ipv6Addr>();
        return address
            .map(|a| Some(IpAddr::V6(a)))
            .map_err(|_| NameError::BadAddress);
    }
    if is_dotted_numbers(text) {
        let address = text.parse::<Ipv4Addr>();
        return address
            .map(|a| Some(IpAddr::V4(a)))
            .map_err(|_| NameError::BadAddress);
    }
    Ok(None)
}

/// Four groups of digits: `inet_aton` would read `010.1.1.1` as octal, so only
/// what [`Ipv4Addr`] takes is an address, and the rest is nothing.
fn is_dotted_numbers(text: &str) -> bool {
    text.split('.').count() == 4 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn check_host(text: &str) -> Result<(), NameError> {
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(NameError::BadStart);
    }
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.bytes().all(valid) {
        Ok(())
    } else {
        Err(NameError::BadCharacter)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl serde::Serialize for NodeName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An invalid name made fit to be shown: cut to 64 characters, and everything
/// that is not printable ASCII (or is a quote or backslash) escaped.
///
/// An error message travels to Pulse's log and to terminals, so a hostile name
/// must not be able to move a cursor or break a line there.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String = chars
        .by_ref()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_default)
        .collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> NameError {
        NodeName::parse(text).unwrap_err()
    }

    #[test]
    fn host_names_and_addresses_are_accepted() {
        for text in [
            "pve1",
            "a",
            "0x",
            "pve-1.example.org",
            "a_b",
            "1.2.3",
            "10.0.0.1.x",
            "999",
        ] {
            assert_eq!(NodeName::parse(text).unwrap().as_str(), text);
        }
        for (text, canonical) in [
            ("10.0.0.1", "10.0.0.1"),
            ("[2001:db8:0::1]", "2001:db8::1"),
            ("::1", "::1"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ] {
            let name = NodeName::parse(text).unwrap();
            assert_eq!(name.as_str(), canonical);
            assert!(name.address().is_some());
        }
    }

    #[test]
    fn each_rule_is_enforced() {
        assert_eq!(error(""), NameError::Empty);
        assert_eq!(error(&"a".repeat(65)), NameError::TooLong);
        assert!(NodeName::parse(&"a".repeat(64)).is_ok());
        assert_eq!(error("-oProxyCommand=x"), NameError::BadStart);
        assert_eq!(error(".."), NameError::BadStart);
        assert_eq!(error("_x"), NameError::BadStart);
        for text in [
            "a b",
            "a/b",
            "a;b",
            "a\n",
            "a\0",
            "pvе1",
            "a\u{200b}",
            "a%eth0",
            "a=b",
            "a$(b)",
        ] {
            assert_eq!(error(text), NameError::BadCharacter, "{text:?}");
        }
        for text in [
            "1.2.3.256",
            "010.1.1.1",
            "1.2.3.",
            "[1.2.3.4]",
            "[::1",
            "[::1]:22",
            "fe80::1%eth0",
            "[fe80::1%eth0]",
            "host:22",
            "1.2.3.4:22",
            "[]",
            "[pve1]",
            "...",
        ] {
            assert!(NodeName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_hostile_name_is_shown_cut_and_escaped() {
        assert_eq!(shown("a\x1b[2J\"\n"), "a\\u{1b}[2J\\\"\\n");
        assert_eq!(shown("pvе1"), "pv\\u{435}1");
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
