//! Forwarding's part of the configuration.

use super::schema::{Fault, Raw, Shape, Value, text};
use super::table::{CollectorKeys, ForwardKeys};
use super::values::choice;
use crate::nodes::name::NodeName;
use crate::pin::Pin;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The maximum number of collectors.
const MAX_COLLECTORS: usize = 8;

/// Forwarding of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The collectors; without any, nothing is forwarded.
    pub collectors: Vec<Collector>,
    /// The collectors that get the records.
    pub mode: Mode,
    /// The directory of `ca.pem`, `certificate.pem` and `key.pem`.
    pub credentials: PathBuf,
    /// Forwards the daemon's own messages as well.
    pub application_log: bool,
    /// The time after which a collector that does not answer is disconnected.
    pub timeout: Duration,
}

/// One collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The name that its certificate must have.
    pub name: NodeName,
    /// Its address; without it, `/etc/hosts` is searched for the name.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its public key, if any other is refused.
    pub pin: Option<Pin>,
}

choice! {
    /// The collectors that get the records.
    pub enum Mode {
        /// The first in the list that takes them.
        Failover = "failover",
        /// Each of them.
        All = "all",
    }
}

choice! {
    /// The protocol of a collector.
    pub enum Protocol {
        /// RELP over TLS: every record is acknowledged.
        Relp = "relp",
        /// Syslog over TLS (RFC 5425): none is.
        Syslog = "syslog",
    }
}

impl ForwardKeys {
    /// Refuses a collector that is listed twice, and one too many.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut names = Vec::new();
        for entry in &self.collectors {
            let name = &entry.get_ref().name.0;
            if names.contains(&name) {
                let twice = format!("collector \"{name}\" is listed twice");
                return Err(Fault::at(entry, twice));
            }
            if names.len() == MAX_COLLECTORS {
                return Err(Fault::at(
                    entry,
                    format!("there can be {MAX_COLLECTORS} collectors"),
                ));
            }
            names.push(name);
        }
        Ok(())
    }
}

impl From<&ForwardKeys> for Forward {
    fn from(keys: &ForwardKeys) -> Self {
        Self {
            collectors: keys
                .collectors
                .iter()
                .map(|entry| Collector::from(entry.get_ref()))
                .collect(),
            mode: keys.mode,
            credentials: keys.credentials.0.clone(),
            application_log: keys.application_log,
            timeout: keys.timeout.at_least_one_ms(),
        }
    }
}

impl From<&CollectorKeys> for Collector {
    fn from(keys: &CollectorKeys) -> Self {
        Self {
            name: keys.name.0.clone(),
            address: keys
                .address
                .map_or_else(|| keys.name.0.address(), |address| Some(address.0)),
            port: keys.port.0,
            protocol: keys.protocol,
            pin: keys.pin.as_ref().map(|pin| pin.0),
        }
    }
}

impl Forward {
    /// True if there is a collector.
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
