//! Where the audit log is brought to: the configuration's part of forwarding.

use super::Misplaced;
use super::values::{Directory, HostAddress, Interval, NodeNameText, PinText, Port, seconds};
use crate::name::NodeName;
use crate::pin::Pin;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// The most collectors that may be named.
const MOST: usize = 8;
/// The port of both protocols (RFC 5425, section 4.1).
const PORT: u16 = 6514;

/// The audit log at collectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Without any, nothing is forwarded.
    pub collectors: Vec<Collector>,
    /// Which of them get the records.
    pub mode: Mode,
    /// Where `ca.pem`, `certificate.pem` and `key.pem` are.
    pub credentials: PathBuf,
    /// Whether the daemon's own messages go there too.
    pub application_log: bool,
    /// How long a collector may say nothing when it ought to.
    pub timeout: Duration,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The name that its certificate must have.
    pub name: NodeName,
    /// Its address; else the name is looked up in `/etc/hosts`.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its public key, when no other will do.
    pub pin: Option<Pin>,
}

/// Which collectors get the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The first in the list that takes them.
    Failover,
    /// Each of them.
    All,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// RELP over TLS: every record is acknowledged.
    Relp,
    /// Syslog over TLS (RFC 5425): none is.
    Syslog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    collectors: Vec<Spanned<Entry>>,
    mode: Mode,
    credentials: Directory,
    application_log: bool,
    timeout: Interval,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: NodeNameText,
    address: Option<HostAddress>,
    #[serde(default = "port")]
    port: Port,
    #[serde(default = "relp")]
    protocol: Protocol,
    pin: Option<PinText>,
}

const fn port() -> Port {
    Port(PORT)
}

const fn relp() -> Protocol {
    Protocol::Relp
}

impl Default for Table {
    fn default() -> Self {
        Self {
            collectors: Vec::new(),
            mode: Mode::Failover,
            credentials: Directory(PathBuf::from("/etc/pulse/log-forwarding")),
            application_log: false,
            timeout: seconds(30),
        }
    }
}

impl Table {
    pub(super) fn take_collectors(&mut self) -> Result<Vec<Collector>, Misplaced> {
        let mut collectors: Vec<Collector> = Vec::new();
        for entry in std::mem::take(&mut self.collectors) {
            let span = entry.span();
            let collector = entry.into_inner().settle();
            if collectors.iter().any(|other| other.name == collector.name) {
                let twice = format!("collector \"{}\" is listed twice", collector.name);
                return Err((span, twice));
            }
            if collectors.len() == MOST {
                return Err((span, format!("there can be {MOST} collectors")));
            }
            collectors.push(collector);
        }
        Ok(collectors)
    }

    pub(super) fn settle(self, collectors: Vec<Collector>) -> Forward {
        Forward {
            collectors,
            mode: self.mode,
            credentials: self.credentials.0,
            application_log: self.application_log,
            timeout: self.timeout.at_least_one_ms(),
        }
    }
}

impl Entry {
    fn settle(self) -> Collector {
        Collector {
            address: self
                .address
                .map_or_else(|| self.name.0.address(), |address| Some(address.0)),
            name: self.name.0,
            port: self.port.0,
            protocol: self.protocol,
            pin: self.pin.map(|pin| pin.0),
        }
    }
}

impl Forward {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.collectors.is_empty()
    }

    /// The collectors' ports, each once.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        self.collectors
            .iter()
            .map(|collector| collector.port)
            .collect()
    }

    /// The file of this name among the credentials.
    #[must_use]
    pub fn credential(&self, name: &str) -> PathBuf {
        Path::new(&self.credentials).join(name)
    }
}
