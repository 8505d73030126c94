//! Everything the demo sets up, and takes down again.
//!
//! It goes the way that an operator goes: the daemon starts and makes its key,
//! the key goes to the nodes, the nodes' host keys into `known_hosts` and the
//! nodes into the configuration, which the daemon then reads again.

use super::daemon::Daemon;
use super::load::WorkingTree;
use super::programs::Programs;
use super::{DemoError, trying};
use crate::client::{Client, Sockets};
use crate::failure::Failure;
use crate::status::Status;
use crate::temps::Answer;
use pulse_files::Durability;
use pulse_simnode::{Behaviour, PublicKey, SimConfig, SimNode, tree};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// How long the daemon may take to start, on a slow machine.
const START: Duration = Duration::from_secs(20);
/// Between two looks at whether it has started.
const LOOK: Duration = Duration::from_millis(20);
/// For one answer of the daemon.
const ANSWER: Duration = Duration::from_secs(20);

/// For a node to end.
const END: Duration = Duration::from_secs(5);

/// Where metrics are by default.
const METRICS_PORT: u16 = 9456;

/// The longest path a socket can have, in bytes (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Seconds between the nodes' cycles of work, so that they do not move as one.
const PHASE: f64 = 13.0;

/// The demo's processes and files.
pub(super) struct Stage {
    directory: TempDir,
    programs: Programs,
    client: Client,
    metrics: SocketAddr,
    /// Every node's: the daemon may connect to no port that it did not know at its
    /// start.
    ssh_port: u16,
    daemon: Option<Daemon>,
    nodes: Vec<(&'static str, SimNode)>,
    trees: Vec<WorkingTree>,
}

impl Stage {
    /// A directory, and nothing in it yet.
    ///
    /// # Errors
    /// When a program is missing, or no directory can be made.
    pub(super) fn new() -> Result<Self, DemoError> {
        let programs = Programs::find()?;
        let directory = tempfile::Builder::new().prefix("pulse-demo-").tempdir();
        let directory =
            directory.map_err(trying("making a temporary directory (TMPDIR says where)"))?;
        let socket = directory.path().join("sock");
        if socket.as_os_str().len() > MAX_SOCKET_PATH || socket.to_str().is_none() {
            return Err(DemoError::Directory(directory.path().to_owned()));
        }
        Ok(Self {
            client: Client::new(Sockets::only(socket), ANSWER),
            metrics: SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT)),
            ssh_port: free_address(0)
                .map_err(trying("finding a free port"))?
                .port(),
            directory,
            programs,
            daemon: None,
            nodes: Vec::new(),
            trees: Vec::new(),
        })
    }

    /// Starts everything and waits until the daemon knows its nodes.
    ///
    /// # Errors
    /// [`Failure`] when a part does not start.
    pub(super) async fn build(&mut self) -> Result<(), Failure> {
        let key = self.start_daemon().await?;
        for (name, manifest) in tree::all() {
            self.add_node(name, manifest, &key).await?;
        }
        self.write("ssh/known_hosts", &self.known_hosts())?;
        self.write("config.toml", &self.config())?;
        self.parts().0.set_temperatures(Duration::ZERO)?;
        self.daemon()?.reload()?;
        self.until_ready(Self::knows_its_nodes).await
    }

    /// Starts the daemon and waits for the key that it makes. Between our finding
    /// a free port and its taking it, somebody else may; then another will do.
    async fn start_daemon(&mut self) -> Result<PublicKey, Failure> {
        let mut ports = [METRICS_PORT, 0, 0].into_iter().peekable();
        loop {
            let port = ports.next().unwrap_or(0);
            self.metrics = free_address(port).map_err(trying("finding a free port"))?;
            self.write("config.toml", &self.config())?;
            let (config, log) = (self.path("config.toml"), self.path("daemon.log"));
            self.daemon = Some(Daemon::start(&self.programs, &config, log)?);
            let outcome = self.until_ready(Self::public_key).await;
            if outcome.is_ok() || ports.peek().is_none() {
                return outcome;
            }
        }
    }

    /// How the daemon is asked.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Where its metrics are.
    pub(super) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// The audit log.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.path("log/audit.log")
    }

    /// Where everything is.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// This program.
    pub(super) fn control(&self) -> &Path {
        &self.programs.control
    }

    /// The daemon's process id.
    pub(super) fn daemon_id(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::id)
    }

    /// What is needed to go on showing, and what completes when the daemon ends
    /// by itself, which it should not.
    pub(super) fn parts(&mut self) -> (Show<'_>, impl Future<Output = DemoError>) {
        let show = Show {
            client: &self.client,
            trees: &self.trees,
        };
        (show, ends(&mut self.daemon))
    }

    /// Ends every process and removes every file.
    ///
    /// # Errors
    /// When something could not be ended or removed.
    pub(super) async fn end(self) -> Result<(), DemoError> {
        let ended = match self.daemon {
            Some(daemon) => daemon.end().await,
            None => Ok(()),
        };
        for (_, node) in self.nodes {
            // Its helper is killed; one that cannot be is the kernel's business.
            let _ = timeout(END, node.shutdown()).await;
        }
        let removed = self.directory.close();
        ended.and(removed.map_err(trying("removing the temporary directory")))
    }

    async fn add_node(
        &mut self,
        name: &'static str,
        manifest: &str,
        key: &PublicKey,
    ) -> Result<(), DemoError> {
        let sys_root = self.path("nodes").join(name);
        let phase = PHASE * f64::from(u8::try_from(self.nodes.len()).unwrap_or(0));
        tree::unpack(manifest, &sys_root).map_err(trying("unpacking a node's tree"))?;
        let working = WorkingTree::find(sys_root.clone(), phase);
        self.trees
            .push(working.map_err(trying("reading a node's tree"))?);
        let config = SimConfig {
            listen: self.next_address(),
            authorized_key: Some(key.clone()),
            ..SimConfig::new(Behaviour::Helper {
                program: self.programs.helper.clone(),
                sys_root,
            })
        };
        let node = SimNode::start(config).await;
        self.nodes
            .push((name, node.map_err(trying("starting a simulated node"))?));
        Ok(())
    }

    /// Each node has an address of loopback to itself.
    fn next_address(&self) -> SocketAddr {
        let host = u8::try_from(self.nodes.len() + 1).unwrap_or(u8::MAX);
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), self.ssh_port))
    }

    /// The configuration as it is now. Limits are wider than usual, so that there
    /// is room for trying by hand beside the demo's own readings.
    fn config(&self) -> String {
        let entry = |(name, node): &(&str, SimNode)| {
            let ip = node.addr().ip();
            format!("  {{ name = \"{name}\", address = \"{ip}\" }},\n")
        };
        let nodes: String = self.nodes.iter().map(entry).collect();
        let (socket, ssh) = (text(self.client.socket()), text(&self.path("ssh")));
        let (log, state) = (text(&self.audit_log()), text(&self.path("audit")));
        let (metrics, port) = (self.metrics, self.ssh_port);
        let control = text(&self.path("control/control.sock"));
        let user = nix::unistd::geteuid();
        format!(
            "socket = {socket}\ncontrol_socket = {control}\nallowed_peer_uids = [{user}]\nssh_dir = {ssh}\nmetrics_address = \"{metrics}\"\n\
             cache_ttl = \"500ms\"\nallowed_nodes = [\n{nodes}]\n\n\
             [ssh]\nport = {port}\n\n\
             [rate_limit]\nper_peer_interval_ms = 250\nper_peer_burst = 8\n\n\
             [audit]\nlog = {log}\nstate_dir = {state}\n"
        )
    }

    fn known_hosts(&self) -> String {
        let lines = self.nodes.iter();
        lines
            .map(|(name, node)| node.host_key_line(name) + "\n")
            .collect()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn write(&self, below: &str, text: &str) -> Result<(), DemoError> {
        // Whatever the umask says: the daemon reads nothing that a group may change.
        let path = self.path(below);
        let unfinished = path.with_extension("new");
        let written = pulse_files::replace(
            &path,
            &unfinished,
            0o644,
            text.as_bytes(),
            Durability::Written,
        );
        written.map_err(trying("writing a file"))
    }

    fn daemon(&self) -> Result<&Daemon, DemoError> {
        let missing = || trying("starting the daemon")(std::io::ErrorKind::NotFound.into());
        self.daemon.as_ref().ok_or_else(missing)
    }

    /// Asks again and again until there is an answer.
    async fn until_ready<T>(
        &mut self,
        ask: impl AsyncFn(&Client) -> Option<T>,
    ) -> Result<T, Failure> {
        let client = self.client.clone();
        let asking = async {
            loop {
                if let Some(answer) = ask(&client).await {
                    return answer;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            answer = asking => Ok(answer),
            error = ends(&mut self.daemon) => Err(error.into()),
            () = tokio::time::sleep(START) => {
                let seconds = START.as_secs();
                Err(self.daemon()?.failed(&format!("was not ready within {seconds} s")).into())
            }
        }
    }

    async fn public_key(client: &Client) -> Option<PublicKey> {
        let status = Status::of(client).await.ok()?;
        status.text("public_key").parse().ok()
    }

    async fn knows_its_nodes(client: &Client) -> Option<()> {
        let answer = Answer::of(client, &[]).await.ok()?;
        (answer.nodes.len() == tree::all().len()).then_some(())
    }
}

/// A stage on which everything runs.
#[derive(Clone, Copy)]
pub(super) struct Show<'a> {
    /// How the daemon is asked.
    pub(super) client: &'a Client,
    trees: &'a [WorkingTree],
}

impl Show<'_> {
    /// Lets the nodes work, so long after the start.
    ///
    /// # Errors
    /// When a tree cannot be written.
    pub(super) fn set_temperatures(&self, since_start: Duration) -> Result<(), DemoError> {
        let set = self.trees.iter().try_for_each(|tree| tree.set(since_start));
        set.map_err(trying("changing the temperatures"))
    }
}

/// Completes when the daemon ends by itself.
async fn ends(daemon: &mut Option<Daemon>) -> DemoError {
    match daemon {
        Some(daemon) => daemon.ends().await,
        None => std::future::pending().await,
    }
}

/// A path as a TOML string: JSON's strings are among TOML's.
fn text(path: &Path) -> String {
    json!(path.to_str().unwrap_or_default()).to_string()
}

/// A loopback address with this port, or with another when somebody has that.
fn free_address(port: u16) -> std::io::Result<SocketAddr> {
    let try_port = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    try_port(port).or_else(|_| try_port(0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::config::Config;

    #[test]
    fn a_port_that_somebody_has_is_not_taken() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_address(port).unwrap().port(), port);
    }

    #[test]
    fn a_strange_directory_makes_a_right_configuration() {
        let path = "/tmp/a \"b\\c\u{e9}\t";
        let config = Config::parse(&format!("socket = {}", text(Path::new(path)))).unwrap();
        assert_eq!(config.socket, Path::new(path));
    }
}
