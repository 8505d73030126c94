//! Values of the configuration, each parsed into a type that cannot be wrong, so that a
//! mistake is reported at its place.

use super::schema::{Fault, Raw, Shape, Value, integer, number, other_type, text};
use super::table::{NodeKeys, PeerKeys};
use crate::callers::capability::Capability;
use crate::metrics::host_header::HostName;
use crate::nodes::address::unreachable;
use crate::nodes::name::{NameError, NodeName, shown};
use crate::pin::Pin;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Declares an enum whose variants are words of the file.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl Value for $name {
            const SHAPE: Shape =
                Shape::Choice(&[$($word),*]);

            fn read(
                raw: &Raw<'_>,
            ) -> Result<Self, Fault> {
                match text::<Self>(raw)? {
                    $($word => Ok(Self::$variant),)*
                    other => {
                        // The word may be as long as the file.
                        let message =
                            format!("unknown variant `{other:.64}`, expected {}", Self::SHAPE);
                        Err(Fault::at(raw, message))
                    }
                }
            }
        }
    };
}
pub(super) use choice;

choice! {
    /// The least severe message that is logged.
    pub enum LogLevel {
        /// Failures that need an administrator.
        Error = "error",
        /// Events that may need one.
        Warn = "warn",
        /// Events.
        Info = "info",
        /// Causes of events.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// The consequence of a layer of the confinement that the kernel lacks.
    pub enum Confinement {
        /// The daemon logs it and serves without it.
        BestEffort = "best-effort",
        /// The daemon does not start.
        Required = "required",
        /// The daemon is not confined at all.
        Off = "off",
    }
}

/// Implements [`Value`] for a type that is written as a string.
macro_rules! from_text {
    ($type:ty, $shape:literal, $parse:expr) => {
        impl Value for $type {
            const SHAPE: Shape = Shape::Scalar($shape);

            fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
                let parse: fn(&str) -> Result<$type, String> = $parse;
                parse(text::<Self>(raw)?).map_err(|message| Fault::at(raw, message))
            }
        }
    };
}
pub(super) use from_text;

/// Implements [`Value`] for a type that is written as a number of a range.
macro_rules! from_number {
    ($type:ident, $shape:literal, $range:expr) => {
        impl Value for $type {
            const SHAPE: Shape = Shape::Scalar($shape);

            fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
                number::<Self, _>(raw, $range).map(Self)
            }
        }
    };
}

/// The version of the file's format, which decides defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConfigVersion {
    /// Also that of a file without a version.
    One,
    /// `ssh.require_forced_command` is true by default.
    Two,
}

impl Value for ConfigVersion {
    const SHAPE: Shape = Shape::Scalar("the number 1 or 2");

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        match number::<Self, _>(raw, 1..=i64::MAX)? {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            version => Err(Fault::at(
                raw,
                format!(
                    "this daemon is older than the file: it reads versions 1 and 2, and this is \
                     version {version}"
                ),
            )),
        }
    }
}

/// A duration, written `500ms`, `5s`, `2m` or `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval(pub(super) Duration);

/// Longer than this is a typing mistake.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Interval {
    fn parse(text: &str) -> Option<Self> {
        // Digits before the unit: `parse` alone accepts a sign.
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

from_text!(
    Interval,
    "a duration such as \"500ms\", \"5s\" or \"2m\", at most \"24h\"",
    |text| Self::parse(text).ok_or_else(|| format!(
        "\"{}\" is no length of time: write it like \"500ms\", \"5s\" or \"2m\", at most \"24h\"",
        shown(text)
    ))
);

from_text!(String, "a name", |text| Ok(text.to_owned()));

from_text!(PathBuf, "a path", |text| Ok(Self::from(text)));

/// The address where metrics are served, or `disabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetricsAddress(pub(super) Option<SocketAddr>);

/// The meaning of `default`.
const METRICS_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9456);

from_text!(
    MetricsAddress,
    "an address with a port, or \"disabled\"",
    |text| {
        match text {
        "disabled" | "" => Ok(Self(None)),
        "default" => Ok(Self(Some(METRICS_ADDRESS))),
        address => address.parse().map(|a| Self(Some(a))).map_err(|_| format!(
            "\"{}\" is no address with a port: write it like \"{METRICS_ADDRESS}\", or \"disabled\"",
            shown(address)
        )),
    }
    }
);

/// A name that the metrics listener answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostNameText(pub(super) HostName);

from_text!(HostNameText, "a host name", |text| {
    let name = HostName::parse(text).map(Self);
    name.map_err(|error| format!("\"{}\" is no host name: {error}", shown(text)))
});

/// The audit log's live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPath(pub(super) PathBuf);

from_text!(
    LogPath,
    "an absolute path that ends in /audit.log",
    |text| {
        let path = PathBuf::from(text);
        super::check_log_path(&path).map(|()| Self(path))
    }
);

/// An absolute path of a directory below a top-level one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory(pub(super) PathBuf);

from_text!(
    Directory,
    "an absolute path of a dedicated directory",
    |text| {
        let path = PathBuf::from(text);
        // The root and two names at least, so not /etc itself.
        if path.is_absolute() && path.components().count() > 2 {
            Ok(Self(path))
        } else {
            Err(format!(
                "\"{}\" is no absolute path of a directory for this alone",
                shown(text)
            ))
        }
    }
);

/// A socket in a directory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketPath(pub(super) PathBuf);

from_text!(
    SocketPath,
    "an absolute path in a dedicated directory",
    |text| {
        let path = PathBuf::from(text);
        let is_file = path.file_name().is_some() && !text.ends_with('/');
        // The root, two directories at least and the file, so no socket in /run itself.
        if path.is_absolute() && is_file && path.components().count() > 3 {
            Ok(Self(path))
        } else {
            Err(format!(
                "\"{}\" is no absolute path of a socket in a directory for this alone",
                shown(text)
            ))
        }
    }
);

/// A collector's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PinText(pub(super) Pin);

from_text!(
    PinText,
    "a public key's SHA-256 as \"sha256//\" and base64",
    |text| {
        let pin = text.parse().map(Self);
        pin.map_err(|error| format!("\"{}\" is no pin: {error}", shown(text)))
    }
);

/// A user to log in as: a name that useradd(8) accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserName(pub(super) String);

from_text!(UserName, "a user name", |text| {
    if is_account_name(text) {
        Ok(Self(text.to_owned()))
    } else {
        Err(format!("\"{}\" is no user name", shown(text)))
    }
});

/// A group's name: groupadd(8) accepts the same.
pub(super) fn group_name(text: &str) -> Result<String, String> {
    if is_account_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{}\" is no group name", shown(text)))
    }
}

fn is_account_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The name of a node or a collector. If it is an address, a host can have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeNameText(pub(super) NodeName);

from_text!(NodeNameText, "a node name", |text| {
    let name = NodeName::parse(text);
    let name = name.map_err(|e| format!("\"{}\" is no node name: {e}", shown(text)))?;
    name.address().map_or(Ok(()), |a| reachable(a).map(drop))?;
    Ok(Self(name))
});

/// A capability by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CapabilityName(pub(super) Capability);

from_text!(
    CapabilityName,
    "one of \"read\", \"write\", \"admin\"",
    |text| {
        let capability = Capability::from_name(text).map(Self);
        capability.ok_or_else(|| {
            format!(
                "\"{}\" is no capability: there are \"read\", \"write\", \"admin\"",
                shown(text)
            )
        })
    }
);

/// An address that a host can have, in its canonical family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostAddress(pub(super) IpAddr);

from_text!(HostAddress, "an IP address", |text| {
    let no_address = |why: &str| format!("\"{}\" is no IP address{why}", shown(text));
    // With brackets too, as a node's name has it.
    let name = NodeName::parse(text).map_err(|error| match error {
        NameError::Zone | NameError::Port => no_address(&format!(": {error}")),
        _ => no_address(""),
    })?;
    reachable(name.address().ok_or_else(|| no_address(""))?).map(Self)
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

/// A number from 1 to 1,000,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positive(pub(super) u32);

from_number!(
    Positive,
    "a number from 1 to 1,000,000,000",
    1..=1_000_000_000
);

/// A port that can be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port(pub(super) u16);

from_number!(Port, "a port from 1 to 65535", 1..=u16::MAX);

/// A number of bytes that a disk may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

from_number!(
    Bytes,
    "a number of bytes from 1 to 1,000,000,000,000,000",
    1..=1_000_000_000_000_000
);

/// A node: its name alone, or a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeEntry(pub(super) NodeKeys);

impl Value for NodeEntry {
    const SHAPE: Shape = Shape::Entry("a node name", &NodeKeys::KEYS);

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        match raw.get_ref() {
            DeValue::String(_) => Ok(Self(NodeKeys {
                name: Spanned::read(raw)?,
                address: None,
                port: None,
                user: None,
            })),
            DeValue::Table(_) => NodeKeys::read(raw).map(Self),
            _ => Err(other_type(raw, Self::SHAPE)),
        }
    }
}

impl NodeEntry {
    /// The node's name.
    pub(super) fn name(&self) -> &NodeName {
        &self.0.name.get_ref().0
    }
}

/// A caller: its user id alone, or a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PeerEntry(pub(super) PeerKeys);

impl Value for PeerEntry {
    const SHAPE: Shape = Shape::Entry("a user id", &PeerKeys::KEYS);

    fn read(raw: &Raw<'_>) -> Result<Self, Fault> {
        match raw.get_ref() {
            DeValue::Integer(_) => {
                let uid = integer(raw).and_then(|uid| u32::try_from(uid).ok());
                Ok(Self(PeerKeys {
                    uid: uid.ok_or_else(|| Fault::at(raw, "this is no user id"))?,
                    capabilities: Vec::new(),
                }))
            }
            DeValue::Table(_) => PeerKeys::read(raw).map(Self),
            _ => Err(other_type(raw, Self::SHAPE)),
        }
    }
}
