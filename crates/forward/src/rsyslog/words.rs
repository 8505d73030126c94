//! Values that are safe between quotes in rsyslog's configuration.

use crate::rsyslog::RELP_PORT;
use pulse_core::nodes::name::{NameError, NodeName, shown};
use std::fmt;
use std::str::FromStr;

/// The longest path that the kernel opens (`PATH_MAX` without the terminating zero).
const MAX_PATH_BYTES: usize = 4095;

/// Why a text cannot be a value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// The path is relative, or has characters with a meaning in rsyslog's syntax.
    #[error(
        "\"{0}\": expected an absolute path of letters, digits and any of / . _ - + @ :, since \
         rsyslog gives a meaning to other characters"
    )]
    Path(String),
    /// Not a host name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a port.
    #[error("\"{0}\": expected a port from 1 to 65535 after the name")]
    Port(String),
}

/// An absolute path without quotes, properties (`%`), variables (`$`) and patterns (`*`) of
/// rsyslog's syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl FromStr for Path {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@:".contains(&b);
        if text.starts_with('/') && text.len() <= MAX_PATH_BYTES && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WordError::Path(shown(text)))
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name and port of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A host name, or an address.
    pub name: NodeName,
    /// Its port for RELP.
    pub port: u16,
}

impl FromStr for Target {
    type Err = WordError;

    /// `NAME`, `NAME:PORT`, `ADDRESS`, or `[ADDRESS]:PORT` of IPv6.
    fn from_str(text: &str) -> Result<Self, WordError> {
        if let Ok(name) = NodeName::parse(text) {
            let port = RELP_PORT;
            return Ok(Self { name, port });
        }
        let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let name = NodeName::parse(name)?;
        // `parse` alone would accept `+514`.
        let is_number = port.bytes().all(|b| b.is_ascii_digit());
        match port.parse() {
            Ok(port) if port > 0 && is_number => Ok(Self { name, port }),
            _ => Err(WordError::Port(shown(text))),
        }
    }
}

/// The names of which the other side's certificate must have one. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permitted(Vec<NodeName>);

impl Permitted {
    /// These names. `None` when there are none: rsyslog would then permit any certificate.
    #[must_use]
    pub fn new(names: Vec<NodeName>) -> Option<Self> {
        (!names.is_empty()).then_some(Self(names))
    }
}

impl From<NodeName> for Permitted {
    fn from(name: NodeName) -> Self {
        Self(vec![name])
    }
}

impl fmt::Display for Permitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.0.iter().map(|name| format!("\"{name}\"")).collect();
        write!(f, "[{}]", quoted.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_special_characters() {
        for good in ["/", "/etc/pulse/ca.pem", "/a-b/c_d/e+f@g:1"] {
            assert_eq!(good.parse::<Path>().unwrap().to_string(), good);
        }
        let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
        for bad in [
            "", "ca.pem", "./ca", "/a\"b", "/a'b", "/a\\b", "/a%msg%", "/a$b", "/a`b", "/a*",
            "/a?", "/a[b]", "/a{b}", "/a b", "/a\nb", "/a\0", "/a\u{7f}", "/é", "/a#b", "/a;b",
            &long,
        ] {
            let error = bad.parse::<Path>().unwrap_err().to_string();
            assert!(error.contains("absolute path"), "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn a_target_has_an_optional_port() {
        for (text, name, port) in [
            ("logs.example.org", "logs.example.org", 6514),
            ("logs:20514", "logs", 20_514),
            ("192.0.2.7:1", "192.0.2.7", 1),
            ("2001:db8::1", "2001:db8::1", 6514),
            ("[2001:db8::1]:65535", "2001:db8::1", 65_535),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.name.as_str(), target.port), (name, port), "{text}");
        }
        for bad in [
            "", ":1", "a:", "a:0", "a:+1", "a:65536", "a:b", "a\":1", "a b", "-a", "*.org", "a:1:2",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_names_are_refused() {
        assert_eq!(Permitted::new(Vec::new()), None);
        let names = ["a", "b.example"].map(|name| NodeName::parse(name).unwrap());
        let permitted = Permitted::new(names.to_vec()).unwrap();
        assert_eq!(permitted.to_string(), r#"["a", "b.example"]"#);
    }
}
