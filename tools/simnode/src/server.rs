//! A node: one listener, its open connections, and their control.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use crate::behaviour::Behaviour;
use crate::config::{HostAuthority, SimConfig, fresh_key, openssh_text, ssh_config};
use crate::connection::{ControlledStream, Registry, locked};
use crate::counters::{CounterWatch, Counters};
use crate::faults;
use crate::session::Session;

/// The listen backlog: the daemon of a benchmark connects to all nodes at a time.
const BACKLOG: u32 = 4096;

/// The pause after a failed accept, which usually lacks descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running simulated node. Dropping it stops everything it started.
#[derive(Debug)]
pub struct SimNode {
    address: SocketAddr,
    shared: Arc<NodeState>,
    accepting: JoinHandle<()>,
}

/// State that a node's connections share.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) counters: CounterWatch,
    pub(crate) connections: Mutex<Registry>,
    behaviour: Mutex<Arc<Behaviour>>,
    identity: Mutex<Identity>,
    authorized_key: Option<PublicKey>,
    host_authority: Option<HostAuthority>,
    post_quantum: bool,
}

#[derive(Debug)]
struct Identity {
    host_key: PublicKey,
    ssh: Arc<russh::server::Config>,
}

impl SimNode {
    /// Starts a node on the current runtime.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on, or when a key
    /// or certificate cannot be made.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let listener = listen(config.listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(NodeState::new(config)?);
        let accepting = tokio::spawn(accept_all(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// The node's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The current host key.
    #[must_use]
    pub fn host_key(&self) -> PublicKey {
        locked(&self.shared.identity).host_key.clone()
    }

    /// The line of `known_hosts` for the current host key under `name`, which may be an
    /// address: `[name]:port ssh-ed25519 AAAA…`.
    #[must_use]
    pub fn host_key_line(&self, name: &str) -> String {
        let key = openssh_text(&self.host_key());
        match self.address.port() {
            22 => format!("{name} {key}"),
            port => format!("[{name}]:{port} {key}"),
        }
    }

    /// Changes the behaviour, from the next event on every connection.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *locked(&self.shared.behaviour) = Arc::new(behaviour);
    }

    /// Changes the host key of further connections.
    ///
    /// # Errors
    /// When the node's authority cannot certify the key.
    pub fn set_host_key(&self, host_key: PrivateKey) -> io::Result<()> {
        let authority = self.shared.host_authority.as_ref();
        *locked(&self.shared.identity) =
            Identity::new(host_key, authority, self.shared.post_quantum)?;
        Ok(())
    }

    /// Drops every connection; new ones are accepted.
    pub fn kick(&self) {
        locked(&self.shared.connections).cut_all();
    }

    /// The present counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counters.now()
    }

    /// Waits, without a deadline, until the counters satisfy `reached`, and returns them.
    pub async fn wait_for(&self, reached: impl FnMut(&Counters) -> bool) -> Counters {
        self.shared.counters.wait_for(reached).await
    }

    /// Stops listening, drops every connection and waits until the last
    /// connection and the last helper process are gone.
    pub async fn shutdown(mut self) {
        self.stop();
        // The task was aborted, which is its error.
        let _ = (&mut self.accepting).await;
        self.wait_for(|now| now.open_connections == 0 && now.helpers == 0)
            .await;
    }

    fn stop(&self) {
        self.accepting.abort();
        // A connection that was accepted before is refused when it registers.
        locked(&self.shared.connections).stop();
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.stop();
    }
}

impl NodeState {
    fn new(config: SimConfig) -> io::Result<Self> {
        let host_key = config.host_key.map_or_else(fresh_key, Ok)?;
        let authority = config.host_authority;
        let identity = Identity::new(host_key, authority.as_ref(), config.post_quantum)?;
        Ok(Self {
            counters: CounterWatch::default(),
            connections: Mutex::default(),
            behaviour: Mutex::new(Arc::new(config.behaviour)),
            identity: Mutex::new(identity),
            authorized_key: config.authorized_key,
            host_authority: authority,
            post_quantum: config.post_quantum,
        })
    }

    /// The present behaviour.
    pub(crate) fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&locked(&self.behaviour))
    }

    /// True when a client with this key may log in.
    pub(crate) fn admits(&self, key: &PublicKey) -> bool {
        let known = self.authorized_key.as_ref();
        // Compared without the keys' comments.
        !matches!(*self.behaviour(), Behaviour::RefuseKey)
            && known.is_none_or(|known| known.key_data() == key.key_data())
    }
}

impl Identity {
    fn new(
        host_key: PrivateKey,
        authority: Option<&HostAuthority>,
        post_quantum: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            host_key: host_key.public_key().clone(),
            ssh: Arc::new(ssh_config(host_key, authority, post_quantum)?),
        })
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // A node may accept any key, so other hosts must not reach it.
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a simulated node listens on loopback only",
        ));
    }
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A stopped node can return to its port at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept_all(listener: TcpListener, shared: Arc<NodeState>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Without it readings are only slower.
        let _ = stream.set_nodelay(true);
        let Some(wire) = ControlledStream::new(stream, Arc::clone(&shared)) else {
            continue;
        };
        // The tasks are detached: each ends when its connection does, and the registry cuts those.
        match &*shared.behaviour() {
            Behaviour::Blackhole => drop(tokio::spawn(faults::say_nothing(wire))),
            Behaviour::Banner { every } => {
                drop(tokio::spawn(faults::print_banner(wire, *every)));
            }
            Behaviour::Speaks { text } => {
                drop(tokio::spawn(faults::speak(wire, Arc::clone(text))));
            }
            _ => {
                // The host key of this moment: a later change concerns further connections.
                let ssh = Arc::clone(&locked(&shared.identity).ssh);
                let session = Session::new(Arc::clone(&shared), wire.control());
                tokio::spawn(async move {
                    // Errors concern the client; the counters have the rest.
                    let _ = russh::server::run_stream(ssh, wire, session).await;
                });
            }
        }
    }
}
