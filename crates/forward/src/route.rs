//! Connecting to a collector, step by step.

use crate::credentials;
use crate::problem::Problem;
use pulse_core::config::Forward;
use pulse_core::config::forward::{Collector, Protocol};
use pulse_core::nodes::name::NodeName;
use pulse_relp::connection::{self, Peer};
use pulse_relp::identity::{Files, Identity};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use pulse_relp::connection::{Connection, Step};

/// Looks a name up in `/etc/hosts`; the error says why that is refused.
pub type Lookup = Arc<dyn Fn(&NodeName) -> Result<Vec<IpAddr>, String> + Send + Sync>;

/// A collector and everything that is needed to connect to it.
#[derive(Clone)]
pub struct Route {
    /// The collector.
    pub collector: Collector,
    files: Files,
    lookup: Lookup,
    timeout: Duration,
}

/// A completed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteStep {
    /// The certificates and key are valid.
    Certificates,
    /// The name has this address.
    Address(SocketAddr),
    /// A step of the connection was completed.
    Connection(Step),
}

impl Route {
    /// A route to a collector.
    #[must_use]
    pub fn new(forward: &Forward, collector: &Collector, lookup: &Lookup) -> Self {
        Self {
            collector: collector.clone(),
            files: credentials::files(forward),
            lookup: Arc::clone(lookup),
            timeout: forward.timeout,
        }
    }

    /// Connects. `made` is called after each step, `inspect` with the certificates.
    ///
    /// # Errors
    /// [`Problem`] names the step that failed.
    pub async fn open(
        &self,
        mut made: impl FnMut(RouteStep),
        inspect: impl FnOnce(&Identity),
    ) -> Result<Connection, Problem> {
        let identity = credentials::load(&self.files, &self.collector)?;
        inspect(&identity);
        made(RouteStep::Certificates);
        let peer = self.peer()?;
        made(RouteStep::Address(peer.address));
        let protocol = match self.collector.protocol {
            Protocol::Relp => connection::Protocol::Relp,
            Protocol::Syslog => connection::Protocol::Syslog,
        };
        let reached = |step| made(RouteStep::Connection(step));
        let connection =
            Connection::open(&peer, &identity.config, protocol, self.timeout, reached).await?;
        Ok(connection)
    }

    fn peer(&self) -> Result<Peer, Problem> {
        let Collector { name, address, .. } = &self.collector;
        let unknown = || Problem::Name(name.to_string());
        // Not cached: connections are rare, and an edited file takes effect at once.
        let looked_up = || {
            (self.lookup)(name)
                .map_err(Problem::Hosts)?
                .first()
                .copied()
                .ok_or_else(unknown)
        };
        let address = address.map_or_else(looked_up, Ok)?;
        let server = name.to_string().try_into().map_err(|_| unknown())?;
        Ok(Peer {
            address: (address, self.collector.port).into(),
            name: server,
        })
    }
}
