//! One node, for the fuzz targets.

use super::connect::Connection;
use super::ending::SharedEnding;
use super::exchange::Session;
use super::failure::Stage;
use super::host_key::{KeyCheck, NodeClient};
use super::task::NodeSession;
use super::{NodeFailure, NodeTaskSettings};
use pulse_core::config::{Config, NodeSettings};
use pulse_core::nodes::known_hosts::{HostQuery, KnownHosts};
use pulse_core::nodes::name::NodeName;
use russh::keys::{Certificate, PrivateKey, PublicKeyOrCertificate};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// A node and the keys of its connections.
#[derive(Clone)]
pub struct Node {
    /// Its name, under which its keys are pinned.
    pub name: NodeName,
    /// The pinned keys.
    pub known_hosts: Arc<KnownHosts>,
    /// Our key.
    pub key: Arc<PrivateKey>,
}

impl Node {
    /// Logs in over a connection and reads so many times, or until a failure: the documents.
    ///
    /// # Errors
    /// The failure, and the documents before it.
    pub async fn read(
        &self,
        tcp: TcpStream,
        readings: usize,
        limit: usize,
    ) -> (Vec<String>, Option<String>) {
        let address = ([127, 0, 0, 1], 22).into();
        let timeouts = Config::default().timeouts;
        let known = Arc::clone(&self.known_hosts);
        let connection =
            Connection::over(tcp, address, &self.name, known, &self.key, "u", &timeouts);
        // The deadlines are those that the node's task sets.
        let connection = timeout(timeouts.connect, connection).await;
        let connection = connection.unwrap_or(Err(NodeFailure::TimedOut(Stage::Queued)));
        let mut session = match connection {
            Ok(connection) => {
                let settings = NodeTaskSettings {
                    node: NodeSettings {
                        address: None,
                        port: 22,
                        user: "u".to_owned(),
                    },
                    timeouts,
                    max_output_bytes: limit,
                    require_forced_command: false,
                };
                Session::new(connection, &settings, Arc::default())
            }
            Err(failure) => return (Vec::new(), Some(failure.to_string())),
        };
        let mut documents = Vec::new();
        for _ in 0..readings {
            match timeout(
                timeouts.request,
                session.read(Instant::now() + timeouts.request),
            )
            .await
            .unwrap_or(Err(NodeFailure::TimedOut(Stage::Queued)))
            {
                Ok(sample) => documents.push(sample.json.get().to_owned()),
                Err(failure) => return (documents, Some(failure.to_string())),
            }
        }
        (documents, None)
    }

    /// Judges a host certificate.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn judge(&self, certificate: Certificate) -> Result<(), String> {
        let client = NodeClient {
            known_hosts: Arc::clone(&self.known_hosts),
            host: HostQuery::new(&self.name, None, 22),
            check: KeyCheck::default(),
            ending: SharedEnding::default(),
        };
        client
            .judge(&PublicKeyOrCertificate::Certificate(certificate))
            .verdict
            .map_err(|failure| failure.to_string())
    }
}
