//! Node names, parsed once where they enter.
//!
//! A name comes from untrusted callers and goes into logs, metric labels and `known_hosts`
//! look-ups, so a [`NodeName`] contains nothing that could be taken for an option, a path,
//! a pattern or markup. No shell ever sees it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The longest host name accepted, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The most characters of an invalid name that an error message shows.
const SHOWN_CHARS: usize = 64;

/// A node name: an IPv4 or IPv6 address, or a host name.
///
/// Host names are 1 to 64 bytes of `[A-Za-z0-9._-]` that start with a letter or a digit.
/// IPv6 addresses may be in brackets. Zones and ports are refused.
///
/// All spellings of one node are equal, and hash and sort alike: host names in any case
/// (RFC 4343), addresses in any notation, an IPv4 address mapped to IPv6
/// (`::ffff:192.0.2.1`) as the IPv4 address. Otherwise each spelling would have its own
/// budget in the limiter, its own connection and its own entry in `allowed_nodes`.
#[derive(Clone, Debug)]
pub struct NodeName {
    key: Key,
    /// A host name as written, an address in canonical form.
    text: String,
    /// An address as written, if that is another form.
    written: Option<String>,
}

/// The part of a name that is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    /// IPv4 if it is an IPv4 address mapped to IPv6.
    Address(IpAddr),
    /// In lower case.
    Host(String),
}

impl PartialEq for NodeName {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for NodeName {}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NodeName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for NodeName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// The rule for node names that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a node name cannot be empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("a node name has at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// The first character is neither a letter nor a digit.
    #[error("a node name starts with a letter or a digit")]
    BadStart,
    /// A character outside `[A-Za-z0-9._-]`.
    #[error("a node name has only letters, digits, '.', '_' and '-'")]
    BadCharacter,
    /// Four dotted numbers, or a text in brackets, that is not an address.
    #[error("this looks like an IP address but is none")]
    BadAddress,
    /// An IPv6 address with a zone, such as `fe80::1%eth0`.
    #[error("an address with a zone is not supported: use another address of the node")]
    Zone,
    /// An address with a port.
    #[error("it has a port: write that as \"port = 22\", beside the name and the address")]
    Port,
}

impl NodeName {
    /// Parses a name from a caller or from the configuration.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        // Before the check for a host name, which four numbers with dots would pass.
        if let Some(address) = parse_address(text)? {
            let address = address.to_canonical();
            let canonical = address.to_string();
            return Ok(Self {
                key: Key::Address(address),
                written: (canonical != text).then(|| text.to_owned()),
                text: canonical,
            });
        }
        if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(NameError::BadStart);
        }
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !text.bytes().all(is_valid) {
            return Err(NameError::BadCharacter);
        }
        Ok(Self {
            key: Key::Host(text.to_ascii_lowercase()),
            text: text.to_owned(),
            written: None,
        })
    }

    /// The name: an address in canonical form (RFC 5952), a host name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name exactly as written, for the reply to its caller.
    #[must_use]
    pub fn as_written(&self) -> &str {
        self.written.as_ref().unwrap_or(&self.text)
    }

    /// The same text for all spellings, for look-ups: an address in canonical form, a host
    /// name in lower case.
    #[must_use]
    pub fn canonical(&self) -> &str {
        match &self.key {
            Key::Address(_) => &self.text,
            Key::Host(name) => name,
        }
    }

    /// The address, if the name is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match &self.key {
            Key::Address(address) => Some(*address),
            Key::Host(_) => None,
        }
    }
}

/// The address, if the text has the form of one.
fn parse_address(text: &str) -> Result<Option<IpAddr>, NameError> {
    let address = if let Some(inner) = text.strip_prefix('[') {
        // Without its end it has something else behind it, such as a port.
        inner
            .strip_suffix(']')
            .unwrap_or(text)
            .parse()
            .map(IpAddr::V6)
    } else if text.contains(':') {
        // No host name has a colon: with one, this is an address or has a port.
        text.parse().map(IpAddr::V6)
    } else if text.split('.').count() == 4 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    {
        // `inet_aton` reads `010.1.1.1` as octal. Four numbers that `Ipv4Addr` refuses are
        // refused as a host name too, so that nothing else resolves them.
        text.parse().map(IpAddr::V4)
    } else {
        return Ok(None);
    };
    address.map(Some).map_err(|_| {
        let zoneless = text.trim_matches(['[', ']']).split_once('%');
        if zoneless.is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok()) {
            NameError::Zone
        } else if text.parse::<SocketAddr>().is_ok() {
            NameError::Port
        } else {
            NameError::BadAddress
        }
    })
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

/// An invalid name for an error message: cut to 64 characters; quotes, backslashes and all
/// that is not printable ASCII escaped.
///
/// Error messages end up in Pulse's log and in terminals, where a hostile name must not
/// move the cursor or start a new line.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut chars = text.chars();
    // Cut before it is escaped, so that no escape sequence is cut in two.
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
    use std::hash::{BuildHasher, RandomState};

    fn error(text: &str) -> NameError {
        NodeName::parse(text).unwrap_err()
    }

    #[test]
    fn host_names_and_addresses_parse() {
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
            ("[2001:DB8:0::1]", "2001:db8::1"),
            ("::1", "::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            let name = NodeName::parse(text).unwrap();
            assert_eq!((name.as_str(), name.canonical()), (canonical, canonical));
            assert_eq!(name.as_written(), text);
            assert_eq!(name.address(), Some(canonical.parse().unwrap()));
        }
    }

    #[test]
    fn spellings_of_a_node_are_equal() {
        let name = |text| NodeName::parse(text).unwrap();
        let state = RandomState::new();
        let hash = |name: &NodeName| state.hash_one(name);
        for spellings in [
            &["pve1.Example.org", "PVE1.EXAMPLE.ORG", "pve1.example.org"][..],
            &["::1", "[::1]", "0:0:0:0:0:0:0:1", "[0::0:1]"],
            &["2001:DB8::A", "2001:db8:0::a"],
            &["192.0.2.1", "::ffff:192.0.2.1", "[::FFFF:c000:201]"],
        ] {
            for (one, other) in spellings
                .iter()
                .flat_map(|a| spellings.iter().map(move |b| (a, b)))
            {
                let (one, other) = (name(one), name(other));
                assert_eq!(one, other);
                assert_eq!(one.cmp(&other), Ordering::Equal);
                assert_eq!(hash(&one), hash(&other));
                assert_eq!(one.canonical(), other.canonical());
            }
        }
        for (one, other) in [
            ("pve1", "pve2"),
            ("pve1", "pve1.example.org"),
            ("::1", "127.0.0.1"),
        ] {
            assert_ne!(name(one), name(other));
            assert_ne!(name(one).canonical(), name(other).canonical());
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
            "host:22",
            "[]",
            "[pve1]",
            "...",
        ] {
            assert!(NodeName::parse(text).is_err(), "{text:?}");
        }
        for text in ["fe80::1%eth0", "[fe80::1%eth0]", "fe80::1%2"] {
            assert_eq!(error(text), NameError::Zone, "{text:?}");
        }
        for text in ["[::1]:22", "1.2.3.4:22"] {
            assert_eq!(error(text), NameError::Port, "{text:?}");
        }
    }

    #[test]
    fn hostile_name_is_cut_and_escaped() {
        assert_eq!(shown("a\x1b[2J\"\n"), "a\\u{1b}[2J\\\"\\n");
        assert_eq!(shown("pvе1"), "pv\\u{435}1");
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
