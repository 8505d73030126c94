//! From a collector's name to an open connection, step by step.

use crate::credentials;
use crate::problem::Problem;
use pulse_core::config::Forward;
use pulse_core::config::forward::{Collector, Protocol};
use pulse_core::name::NodeName;
use pulse_relp::identity::{Files, Identity};
use pulse_relp::link::{self, Peer};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use pulse_relp::link::{Link, Step};

/// Looks a name up in `/etc/hosts`, or says why that is not read.
pub type Lookup = Arc<dyn Fn(&NodeName) -> Result<Vec<IpAddr>, String> + Send + Sync>;

/// The way to one collector.
#[derive(Clone)]
pub struct Route {
    /// Where it leads.
    pub collector: Collector,
    files: Files,
    lookup: Lookup,
    patience: Duration,
}

/// A step that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// Our certificates are of use.
    Certificates,
    /// It has this address.
    Name(SocketAddr),
    /// A step of the connection.
    Link(Step),
}

impl Route {
    /// The way to a collector.
    #[must_use]
    pub fn new(forward: &Forward, collector: &Collector, lookup: &Lookup) -> Self {
        Self {
            collector: collector.clone(),
            files: credentials::files(forward),
            lookup: Arc::clone(lookup),
            patience: forward.timeout,
        }
    }

    /// Goes it, and tells each step that was made.
    ///
    /// # Errors
    /// [`Problem`] says at which step it ended.
    pub async fn open(
        &self,
        mut made: impl FnMut(Made),
        look: impl FnOnce(&Identity),
    ) -> Result<Link, Problem> {
        let identity = credentials::load(&self.files, &self.collector)?;
        look(&identity);
        made(Made::Certificates);
        let peer = self.peer()?;
        made(Made::Name(peer.address));
        let protocol = match self.collector.protocol {
            Protocol::Relp => link::Protocol::Relp,
            Protocol::Syslog => link::Protocol::Syslog,
        };
        let reached = |step| made(Made::Link(step));
        let link = Link::open(&peer, &identity.config, protocol, self.patience, reached).await?;
        Ok(link)
    }

    fn peer(&self) -> Result<Peer, Problem> {
        let Collector { name, address, .. } = &self.collector;
        let unknown = || Problem::Name(name.to_string());
        // Looked up each time: connections are rare, and an edited file counts at once.
        let looked_up = || {
            let found = (self.lookup)(name).map_err(Problem::Hosts)?;
            found.first().copied().ok_or_else(unknown)
        };
        let address = address.map_or_else(looked_up, Ok)?;
        let server = name.to_string().try_into().map_err(|_| unknown())?;
        Ok(Peer {
            address: (address, self.collector.port).into(),
            name: server,
        })
    }
}
