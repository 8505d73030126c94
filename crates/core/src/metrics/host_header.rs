//! The `Host` header of HTTP requests: the names that the metrics listener answers to.
//!
//! A web page can make its own name resolve to 127.0.0.1 after it is loaded (DNS
//! rebinding). Its scripts can then read a local listener, which the browser takes for the
//! page's own site. But the browser sends the page's name as `Host`, and an attacker cannot
//! redirect an address or `localhost`. So requests for these are answered, and requests for
//! other names only if the operator listed the name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// Resolvers map it to loopback addresses without asking DNS (RFC 6761, section 6.3).
const LOCALHOST: &str = "localhost";

/// A host name in lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// The reason that a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// The text is empty, too long, or has an invalid character.
    #[error("a host name has 1 to {MAX_NAME_BYTES} letters, digits, '.', '-' and '_', and no port")]
    NotAName,
    /// The text is an IP address.
    #[error("requests for an IP address are always answered")]
    Address,
}

/// The host of an authority (RFC 3986, section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// An IP address; IPv6 in brackets.
    Address,
    Name(HostName),
}

/// The names that are answered in addition to addresses and `localhost`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames(BTreeSet<HostName>);

/// The version of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, where `Host` is optional.
    Http10,
    /// HTTP/1.1, where `Host` is required.
    Http11,
}

/// The reason that a request is refused because of its `Host`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostRefusal {
    /// HTTP/1.1 without the header (RFC 9112, section 3.2).
    #[error("the Host header is missing")]
    Missing,
    /// Several headers: proxies and servers may use different ones.
    #[error("there is more than one Host header")]
    Repeated,
    /// Not an address or a name with an optional port.
    #[error("the Host header is malformed")]
    Malformed,
    /// A name that is not listed.
    #[error(
        "metrics are not served under the name \"{0}\": use the IP address, or add the name to host_names in the table [metrics] of the configuration"
    )]
    NotListed(HostName),
}

impl HostName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`HostNameError`].
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        // With brackets as in a URL, or without as in most configurations.
        let unbracketed = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        // Before the characters are checked: an address needs no entry, and its error says so.
        if text.parse::<Ipv4Addr>().is_ok()
            || unbracketed.unwrap_or(text).parse::<Ipv6Addr>().is_ok()
        {
            return Err(HostNameError::Address);
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(valid) {
            return Err(HostNameError::NotAName);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromIterator<HostName> for HostNames {
    fn from_iter<T: IntoIterator<Item = HostName>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

impl HostNames {
    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &HostName> {
        self.0.iter()
    }

    /// True if no name is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the values of all `Host` headers of a request.
    ///
    /// # Errors
    /// [`HostRefusal`] if the request is not to be answered.
    pub fn check<'a>(
        &self,
        version: Version,
        mut values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), HostRefusal> {
        let Some(value) = values.next() else {
            return match version {
                // Browsers that run scripts use HTTP/1.1 or later.
                Version::Http10 => Ok(()),
                Version::Http11 => Err(HostRefusal::Missing),
            };
        };
        if values.next().is_some() {
            return Err(HostRefusal::Repeated);
        }
        match parse(value) {
            None => Err(HostRefusal::Malformed),
            Some(Host::Name(name)) if name.0 != LOCALHOST && !self.0.contains(&name) => {
                Err(HostRefusal::NotListed(name))
            }
            Some(Host::Address | Host::Name(_)) => Ok(()),
        }
    }
}

/// The host of a `Host` header. The port is ignored, since tunnels and address translation
/// change it.
fn parse(value: &[u8]) -> Option<Host> {
    // Blanks around a header's value are no part of it (RFC 9110, section 5.5).
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            // A zone (RFC 6874) has no meaning here, and `parse` refuses it.
            address.parse::<Ipv6Addr>().ok()?;
            (
                Host::Address,
                port.strip_prefix(':').or(port.is_empty().then_some(""))?,
            )
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let host = match HostName::parse(host) {
                Ok(name) => Host::Name(name),
                Err(HostNameError::Address) => Host::Address,
                Err(HostNameError::NotAName) => return None,
            };
            (host, port)
        }
    };
    // A port may be empty (RFC 3986, section 3.2.3); the longest has five digits.
    (port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit())).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> HostNames {
        let names = ["Pulse.example.org", "pve1"];
        names
            .map(|name| HostName::parse(name).unwrap())
            .into_iter()
            .collect()
    }

    fn check(value: &str) -> Result<(), HostRefusal> {
        listed().check(Version::Http11, [value.as_bytes()].into_iter())
    }

    #[test]
    fn listed_hosts_are_answered() {
        for value in [
            "127.0.0.1",
            "127.0.0.1:9456",
            "192.0.2.7:1",
            "[::1]",
            "[::1]:9456",
            "[::ffff:127.0.0.1]:80",
            "[::1]:",
            "localhost",
            "LOCALHOST:9456",
            "localhost.",
            "pve1:65535",
            "pulse.EXAMPLE.org",
            "pulse.example.org.:9456",
            " 127.0.0.1\t",
        ] {
            assert_eq!(check(value), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn unlisted_name_is_refused() {
        for value in [
            "evil.example",
            "pve1.evil.example",
            "xpve1",
            "localhost.evil.example:9456",
            "127.0.0.1.evil.example",
            "0x7f.1",
            "127.1",
            "2130706433",
        ] {
            let refusal = check(value).unwrap_err();
            assert!(matches!(refusal, HostRefusal::NotListed(_)), "{value:?}");
            let name = value.split(':').next().unwrap();
            let text = refusal.to_string();
            assert!(text.contains(name) && text.contains("host_names"), "{text}");
        }
    }

    #[test]
    fn other_texts_are_malformed() {
        for value in [
            "",
            ":9456",
            ".",
            "::1",
            "[::1",
            "[::1]9456",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "127.0.0.1:x",
            "127.0.0.1:123456",
            "127.0.0.1:80:80",
            "127.0.0.1, evil.example",
            "user@127.0.0.1",
            "localhost/",
            "a b",
            "<script>",
            "\u{202e}localhost",
        ] {
            assert_eq!(check(value), Err(HostRefusal::Malformed), "{value:?}");
        }
        let bytes: [&[u8]; 1] = [b"\xff"];
        let refusal = listed().check(Version::Http11, bytes.into_iter());
        assert_eq!(refusal, Err(HostRefusal::Malformed));
        assert_eq!(check(&"a".repeat(254)), Err(HostRefusal::Malformed));
    }

    #[test]
    fn host_is_required_once() {
        let none = || std::iter::empty();
        assert_eq!(listed().check(Version::Http10, none()), Ok(()));
        let missing = listed().check(Version::Http11, none());
        assert_eq!(missing, Err(HostRefusal::Missing));
        for version in [Version::Http10, Version::Http11] {
            let twice: [&[u8]; 2] = [b"localhost", b"localhost"];
            let refusal = listed().check(version, twice.into_iter());
            assert_eq!(refusal, Err(HostRefusal::Repeated));
            let other: [&[u8]; 1] = [b"evil.example"];
            assert!(listed().check(version, other.into_iter()).is_err());
        }
    }

    #[test]
    fn address_is_no_host_name() {
        for text in ["127.0.0.1", "::1", "[::1]"] {
            assert_eq!(HostName::parse(text), Err(HostNameError::Address), "{text}");
        }
        for text in ["", "a:1", "*", "a/b"] {
            assert_eq!(
                HostName::parse(text),
                Err(HostNameError::NotAName),
                "{text}"
            );
        }
    }
}
