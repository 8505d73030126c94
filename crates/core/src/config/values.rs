//! Values of the configuration, each parsed into a type that cannot be wrong, so
//! that a mistake is found where it stands.

use crate::address::unreachable;
use crate::authority::HostName;
use crate::capability::Capability;
use crate::name::{NodeName, shown};
use crate::pin::Pin;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The least severe message that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures that need somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
    /// Everything.
    Trace,
}

/// What is done about a layer of the confinement that the kernel lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// It is reported, and the daemon serves without it.
    BestEffort,
    /// The daemon does not start.
    Required,
    /// The daemon is not confined at all.
    Off,
}

/// A length of time, written `500ms`, `5s`, `2m` or `1h`; `0s` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval(pub(super) Duration);

/// Longer than this is a typing mistake.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) const fn seconds(seconds: u64) -> Interval {
    Interval(Duration::from_secs(seconds))
}

impl Interval {
    fn parse(text: &str) -> Option<Self> {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let length = Duration::from_millis(number.checked_mul(milliseconds)?);
        (length <= LONGEST).then_some(Self(length))
    }

    /// The length, for deadlines that cannot be none.
    pub(super) fn at_least_one_ms(self) -> Duration {
        self.0.max(Duration::from_millis(1))
    }
}

/// Implements `Deserialize` for a value written as a string.
macro_rules! from_text {
    ($type:ty, $parse:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<$type, String> = $parse;
                parse(&text).map_err(D::Error::custom)
            }
        }
    };
}

from_text!(Interval, |text| Self::parse(text).ok_or_else(|| format!(
    "\"{}\" is no length of time: write it like \"500ms\", \"5s\" or \"2m\", at most \"24h\"",
    shown(text)
)));

/// Where metrics are served, or `disabled`.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetricsAddress(pub(super) Option<SocketAddr>);

impl Default for MetricsAddress {
    fn default() -> Self {
        Self(Some(SocketAddr::from(([127, 0, 0, 1], 9456))))
    }
}

from_text!(MetricsAddress, |text| match text {
    "disabled" | "" => Ok(Self(None)),
    "default" => Ok(Self::default()),
    address => address.parse().map(|a| Self(Some(a))).map_err(|_| format!(
        "\"{}\" is no address with a port: write it like \"127.0.0.1:9456\", or \"disabled\"",
        shown(address)
    )),
});

/// A name that the metrics listener answers to.
pub(super) struct HostNameText(pub(super) HostName);

from_text!(HostNameText, |text| {
    let name = HostName::parse(text).map(Self);
    name.map_err(|error| format!("\"{}\" is no host name: {error}", shown(text)))
});

/// The audit log's live file.
pub(super) struct LogPath(pub(super) PathBuf);

from_text!(LogPath, |text| {
    let path = PathBuf::from(text);
    super::check_log_path(&path).map(|()| Self(path))
});

/// A directory that is named whole, and has something to itself.
pub(super) struct Directory(pub(super) PathBuf);

from_text!(Directory, |text| {
    let path = PathBuf::from(text);
    if path.is_absolute() && path.components().count() > 2 {
        Ok(Self(path))
    } else {
        Err(format!(
            "\"{}\" is no absolute path of a directory for this alone",
            shown(text)
        ))
    }
});

/// A socket in a directory of its own.
pub(super) struct SocketPath(pub(super) PathBuf);

from_text!(SocketPath, |text| {
    let path = PathBuf::from(text);
    let is_file = path.file_name().is_some() && !text.ends_with('/');
    if path.is_absolute() && is_file && path.components().count() > 3 {
        Ok(Self(path))
    } else {
        Err(format!(
            "\"{}\" is no absolute path of a socket in a directory for this alone",
            shown(text)
        ))
    }
});

/// A collector's public key.
pub(super) struct PinText(pub(super) Pin);

from_text!(PinText, |text| {
    let pin = text.parse().map(Self);
    pin.map_err(|error| format!("\"{}\" is no pin: {error}", shown(text)))
});

/// A user to log in as: what useradd(8) lets through.
#[derive(Clone, Debug)]
pub(super) struct UserName(pub(super) String);

from_text!(UserName, |text| {
    if is_account_name(text) {
        Ok(Self(text.to_owned()))
    } else {
        Err(format!("\"{}\" is no user name", shown(text)))
    }
});

/// A group's name: groupadd(8) lets the same through.
pub(super) fn group_name(text: &str) -> Result<String, String> {
    if is_account_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{}\" is no group name", shown(text)))
    }
}

fn is_account_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    starts_well && text.len() <= 32 && text.bytes().all(valid)
}

from_text!(NodeNameText, |text| {
    let name = NodeName::parse(text);
    let name = name.map_err(|e| format!("\"{}\" is no node name: {e}", shown(text)))?;
    name.address().map_or(Ok(()), |a| reachable(a).map(drop))?;
    Ok(Self(name))
});

/// The name of a node or a collector. One that is an address is one that some host can
/// have.
pub(super) struct NodeNameText(pub(super) NodeName);

/// A capability by its name.
pub(super) struct CapabilityName(pub(super) Capability);

from_text!(CapabilityName, |text| {
    let capability = Capability::from_name(text).map(Self);
    capability.ok_or_else(|| {
        format!(
            "\"{}\" is no capability: there are \"read\", \"write\", \"admin\"",
            shown(text)
        )
    })
});

/// A number from 1 to 1,000,000,000.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positive(pub(super) u32);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u32::try_from(number) {
            Ok(number @ 1..=1_000_000_000) => Ok(Self(number)),
            _ => Err(D::Error::custom(
                "expected a number from 1 to 1,000,000,000",
            )),
        }
    }
}

/// An address that some host can have, in its canonical family.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostAddress(pub(super) IpAddr);

from_text!(HostAddress, |text| {
    let address = text.parse::<IpAddr>();
    let address = address.map_err(|_| format!("\"{}\" is no IP address", shown(text)))?;
    reachable(address).map(Self)
});

/// The address in its canonical family.
///
/// # Errors
/// The reason that no host can have it.
pub(super) fn reachable(address: IpAddr) -> Result<IpAddr, String> {
    match unreachable(address) {
        None => Ok(address.to_canonical()),
        Some(reason) => Err(format!("nothing can be reached at {address}: {reason}")),
    }
}

/// A port that can be connected to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port(pub(super) u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::try_from(i64::deserialize(deserializer)?) {
            Ok(port @ 1..) => Ok(Self(port)),
            _ => Err(D::Error::custom("a port is a number from 1 to 65535")),
        }
    }
}

/// A number of bytes that a disk may have, from 1 to 10^15.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::try_from(i64::deserialize(deserializer)?) {
            Ok(number @ 1..=1_000_000_000_000_000) => Ok(Self(number)),
            _ => Err(D::Error::custom(
                "expected a number of bytes from 1 to 1,000,000,000,000,000",
            )),
        }
    }
}

/// A node: its name alone, or a table.
pub(super) struct NodeEntry {
    pub(super) name: NodeName,
    pub(super) address: Option<HostAddress>,
    pub(super) port: Option<Port>,
    pub(super) user: Option<UserName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeTable {
    name: NodeNameText,
    address: Option<HostAddress>,
    port: Option<Port>,
    user: Option<UserName>,
}

impl<'de> Deserialize<'de> for NodeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = NodeEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node name, or { name = \"…\", address = \"…\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<NodeEntry, E> {
                let NodeNameText(name) =
                    NodeNameText::deserialize(serde::de::value::StrDeserializer::new(text))?;
                Ok(NodeEntry {
                    name,
                    address: None,
                    port: None,
                    user: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NodeEntry, A::Error> {
                let table = NodeTable::deserialize(MapAccessDeserializer::new(map))?;
                let NodeNameText(name) = table.name;
                Ok(NodeEntry {
                    name,
                    address: table.address,
                    port: table.port,
                    user: table.user,
                })
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// A caller: a bare UID, or a table.
pub(super) struct PeerEntry {
    pub(super) uid: u32,
    pub(super) capabilities: Vec<CapabilityName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    uid: u32,
    #[serde(default)]
    capabilities: Vec<CapabilityName>,
}

impl<'de> Deserialize<'de> for PeerEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = PeerEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id, or { uid = …, capabilities = [\"read\"] }")
            }

            fn visit_i64<E: Error>(self, uid: i64) -> Result<PeerEntry, E> {
                let uid = u32::try_from(uid).map_err(|_| E::custom("this is no user id"))?;
                Ok(PeerEntry {
                    uid,
                    capabilities: Vec::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PeerEntry, A::Error> {
                let table = PeerTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PeerEntry {
                    uid: table.uid,
                    capabilities: table.capabilities,
                })
            }
        }
        deserializer.deserialize_any(Entry)
    }
}
