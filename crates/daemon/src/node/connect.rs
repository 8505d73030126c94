//! Opens an SSH connection: resolves the name, checks the host key, logs in.

use super::document::SharedHistory;
use super::ending::{Ending, SharedEnding};
use super::exchange::Session;
use super::failure::{ConnectError, NodeFailure, Phase, SharedStage, Stage};
use super::host_key::{Identity, KeyCheck, NodeClient, Shown};
use super::login_key::LoginKey;
use super::stream::{self, ConnectionGuard};
use super::task::Connector;
use super::{NodeStarter, NodeTaskSettings};
use crate::node::resolve::Resolver;
use crate::observe::recorder::Recorder;
use pulse_core::config::{NodeSettings, Timeouts};
use pulse_core::nodes::known_hosts::{HostQuery, KnownHosts};
use pulse_core::nodes::name::NodeName;
use pulse_files::Exhaustion;
use pulse_trust::Check;
use russh::client::{self, AuthResult, Handle};
use russh::keys::ssh_key::EcdsaCurve;
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg};
use russh::{Preferred, SshId, cipher, kex, mac};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// The parts that all connections share.
pub(crate) struct NodeContext {
    /// The daemon's key.
    pub key: LoginKey,
    /// Finds addresses, and decides which are permitted.
    pub resolver: Resolver,
    /// The pinned host keys.
    pub known_hosts: crate::node::known_hosts::KnownHostsFile,
    /// Takes the record of a connection that is closed because of its host key.
    pub recorder: Arc<dyn Recorder>,
}

/// Connects to one node by SSH.
pub(super) struct SshConnector {
    pub(super) name: NodeName,
    pub(super) settings: NodeTaskSettings,
    pub(super) context: Arc<NodeContext>,
    pub(super) history: SharedHistory,
}

impl Connector for SshConnector {
    type Session = Session;

    fn address(&self) -> Option<SocketAddr> {
        let resolver = &self.context.resolver;
        resolver.resolve(&self.name, &self.settings.node).ok()
    }

    fn check_files(&self) {
        self.context.check_files(Check::Quick);
    }

    async fn open(&self, stage: &SharedStage) -> Result<Session, NodeFailure> {
        let NodeTaskSettings { node, timeouts, .. } = &self.settings;
        Ok(Session::new(
            Connection::open(&self.context, &self.name, node, timeouts, stage).await?,
            &self.settings,
            Arc::clone(&self.history),
        ))
    }
}

/// An established connection.
pub(super) struct Connection {
    pub(super) handle: Handle<NodeClient>,
    pub(super) address: SocketAddr,
    /// The host key that the node has proved to own.
    pub(super) identity: Arc<Identity>,
    ending: SharedEnding,
    // Dropped last: shuts the socket down, whatever tasks the library still has.
    pub(super) guard: ConnectionGuard,
}

impl Connection {
    /// Connects, checks the host key and logs in.
    pub(super) async fn open(
        context: &NodeContext,
        node: &NodeName,
        settings: &NodeSettings,
        timeouts: &Timeouts,
        stage: &SharedStage,
    ) -> Result<Self, NodeFailure> {
        let address = context.resolver.resolve(node, settings)?;
        // Before connecting: without usable pins no node could prove who it is.
        let known_hosts = context
            .known_hosts
            .current()
            .map_err(NodeFailure::KnownHosts)?;
        stage.set(Stage::Connecting(address));
        let tcp = stream::connect(address).await.map_err(|error| {
            // No matter of the node.
            if let Some(exhaustion) = Exhaustion::of(&error) {
                return NodeFailure::Exhausted(exhaustion);
            }
            match ConnectError::of(&error, address) {
                Some(error) => NodeFailure::Unreachable { address, error },
                // The kernel gave up before our own deadline.
                None => NodeFailure::TimedOut(Stage::Connecting(address)),
            }
        })?;
        stage.set(Stage::LoggingIn(address));
        Self::over(
            tcp,
            address,
            node,
            known_hosts,
            &context.key.current(),
            &settings.user,
            timeouts,
        )
        .await
    }

    /// Checks the host key and logs in over an open TCP connection.
    pub(super) async fn over(
        tcp: TcpStream,
        address: SocketAddr,
        node: &NodeName,
        known_hosts: Arc<KnownHosts>,
        key: &Arc<PrivateKey>,
        user: &str,
        timeouts: &Timeouts,
    ) -> Result<Self, NodeFailure> {
        let (stream, guard) = stream::guarded(tcp);
        let host = HostQuery::new(node, Some(address.ip()), address.port());
        let config = Arc::new(client_config(&known_hosts, &host, timeouts));
        let check = KeyCheck::default();
        let ending = SharedEnding::default();
        let client = NodeClient {
            known_hosts,
            host,
            check: check.clone(),
            ending: ending.clone(),
        };
        let handle = match client::connect_stream(config, stream, client).await {
            Ok(handle) => handle,
            // The failure of the host key check and the node's own words say more than the
            // library's error.
            Err(error) => {
                let opening = guard.opening();
                return Err(match (check.take(), ending.get()) {
                    (Some(shown), _) if shown.verdict.is_err() => refused(shown),
                    (_, Some(Ending::Broken(failure))) => failure,
                    // The library skips lines before the version (RFC 4253, section 4.2), with
                    // which sshd says why it drops a connection.
                    (None, None) if has_no_version(&opening) => {
                        NodeFailure::no_version(address, &opening)
                    }
                    _ => error.into(),
                });
            }
        };
        // The library checks the host key during the key exchange, and fails if it is refused.
        // The verdict is required here as well: without an accepted key there is no login.
        let identity = match check.take() {
            Some(Shown {
                identity: Some(identity),
                verdict: Ok(()),
            }) => identity,
            Some(shown) => return Err(refused(shown)),
            None => return Err(NodeFailure::Ssh("no host key was shown".into())),
        };
        let mut connection = Self {
            handle,
            address,
            identity,
            ending,
            guard,
        };
        // `None`: only signatures with RSA have a choice of the hash algorithm.
        let key = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
        let login = connection.handle.authenticate_publickey(user, key).await;
        let refused = || NodeFailure::KeyRefused {
            user: user.to_owned(),
        };
        match login {
            Ok(AuthResult::Success) => {}
            Ok(AuthResult::Failure {
                partial_success: true,
                ..
            }) => {
                return Err(NodeFailure::KeyNotEnough {
                    user: user.to_owned(),
                });
            }
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if !remaining_methods.is_empty() => return Err(refused()),
            // Without methods: as the node has said, or because the connection has ended. A node
            // that refuses is left alone for ten minutes, so the difference counts.
            login => {
                return Err(match (connection.ended().await, login) {
                    (Some(Ending::Refused), _) => refused(),
                    (Some(Ending::Broken(failure)), _) => failure,
                    (None, Err(error)) => error.into(),
                    (None, Ok(_)) => NodeFailure::Closed(Phase::BeforeLogin),
                });
            }
        }
        connection.guard.established();
        Ok(connection)
    }

    /// The cause of the end of a connection that ends, if it is known. For the one failure after
    /// which the connection is dropped, within the deadline of what failed.
    pub(super) async fn ended(&mut self) -> Option<Ending> {
        // The library's task tells the handler before it ends.
        let _ = (&mut self.handle).await;
        self.ending.get()
    }
}

/// True if the node has said a whole line, and no line that begins an SSH version.
fn has_no_version(opening: &[u8]) -> bool {
    let mut lines = opening.split(|byte| *byte == b'\n');
    opening.contains(&b'\n') && !lines.any(|line| line.starts_with(b"SSH-"))
}

fn refused(shown: Shown) -> NodeFailure {
    let missing = || NodeFailure::Ssh("the host key cannot be read".into());
    shown.verdict.err().unwrap_or_else(missing)
}

/// Key exchanges, post-quantum first; with strict key exchange (CVE-2023-48795) where the
/// node supports it.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Authenticated ciphers, and `aes256-ctr` with the MACs below, which is all that some
/// hardened servers offer.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
];
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

/// Host key algorithms by preference. RSA is left out: see `Cargo.toml`.
const HOST_KEYS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
];

/// True if the daemon can verify a host key of this type.
pub(super) fn is_supported(key_type: &str) -> bool {
    HOST_KEYS.iter().any(|known| known.as_str() == key_type)
}

/// The receive window: what a node may send before the daemon reads. A document has a few
/// kilobytes.
const WINDOW_BYTES: u32 = 256 * 1024;
/// Messages that the library queues for a channel.
const CHANNEL_BUFFER: usize = 4;
const MAX_PACKET_BYTES: u32 = 32 * 1024;

fn client_config(known: &KnownHosts, host: &HostQuery, timeouts: &Timeouts) -> client::Config {
    let pinned = known.algorithms_for(host);
    let is_pinned = |a: &Algorithm| pinned.key_types.iter().any(|name| name == a.as_str());
    let mut host_keys: Vec<Algorithm> = HOST_KEYS.to_vec();
    // So that a node with several keys shows one that is pinned.
    host_keys.sort_by_key(|algorithm| !is_pinned(algorithm));
    // A node that has a certificate shows it instead of its plain key. So certificates are
    // offered only where an authority is pinned.
    let certificates = if pinned.authority {
        host_keys.clone()
    } else {
        Vec::new()
    };
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-pulse-sensor-proxy_",
            env!("CARGO_PKG_VERSION")
        ))),
        window_size: WINDOW_BYTES,
        maximum_packet_size: MAX_PACKET_BYTES,
        channel_buffer_size: CHANNEL_BUFFER,
        preferred: Preferred {
            kex: Cow::Borrowed(KEY_EXCHANGES),
            key: Cow::Owned(host_keys),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            ..Preferred::default()
        },
        // Without keepalives, only the next reading would notice that a node has vanished.
        keepalive_interval: Some(timeouts.keepalive),
        keepalive_max: 3,
        ..client::Config::default()
    }
}
