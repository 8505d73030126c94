//! Everything the demo sets up, and takes down again.
//!
//! It goes the way that an operator goes: the daemon starts and makes its key,
//! the key goes to the nodes, the nodes' host keys into `known_hosts` and the
//! nodes into the configuration, which the daemon then reads again.

use crate::daemon::Daemon;
use crate::load::WorkingTree;
use crate::node::Process;
use crate::programs::Programs;
use crate::{DemoError, trying};
use pulse_simnode::tree;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long the daemon may take to start, on a slow machine.
const START: Duration = Duration::from_secs(20);
/// Between two looks at whether it has started.
const LOOK: Duration = Duration::from_millis(50);
/// Where metrics are by default.
const METRICS_PORT: u16 = 9456;

/// The longest path a socket can have, in bytes (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Seconds between the nodes' cycles of work, so that they do not move as one.
const PHASE: f64 = 13.0;

/// The demo's processes and files.
pub(crate) struct Stage {
    directory: TempDir,
    programs: Programs,
    socket: PathBuf,
    metrics: SocketAddr,
    /// Every node's: the daemon may connect to no port that it did not know at its
    /// start.
    ssh_port: u16,
    daemon: Option<Daemon>,
    nodes: Vec<Process>,
    trees: Vec<WorkingTree>,
}

impl Stage {
    /// A directory, and nothing in it yet.
    ///
    /// # Errors
    /// When a program is missing, or no directory can be made.
    pub(crate) fn new() -> Result<Self, DemoError> {
        let programs = Programs::find()?;
        let directory = tempfile::Builder::new().prefix("pulse-demo-").tempdir();
        let directory =
            directory.map_err(trying("making a temporary directory (TMPDIR says where)"))?;
        let socket = directory.path().join("sock");
        if socket.as_os_str().len() > MAX_SOCKET_PATH || socket.to_str().is_none() {
            return Err(DemoError::Directory(directory.path().to_owned()));
        }
        Ok(Self {
            socket,
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
    /// [`DemoError`] when a part does not start.
    pub(crate) async fn build(&mut self) -> Result<(), DemoError> {
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
    async fn start_daemon(&mut self) -> Result<String, DemoError> {
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

    /// The callers' socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where its metrics are.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// The audit log.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.path("log/audit.log")
    }

    /// Where everything is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The operator's tool.
    pub(crate) fn control(&self) -> &Path {
        &self.programs.control
    }

    /// The daemon's process id.
    pub(crate) fn daemon_id(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::id)
    }

    /// What is needed to go on showing, and what completes when the daemon ends
    /// by itself, which it should not.
    pub(crate) fn parts(&mut self) -> (Show<'_>, impl Future<Output = DemoError>) {
        let show = Show {
            tool: Tool {
                program: &self.programs.control,
                socket: &self.socket,
            },
            trees: &self.trees,
        };
        (show, ends(&mut self.daemon))
    }

    /// Ends every process and removes every file.
    ///
    /// # Errors
    /// When something could not be ended or removed.
    pub(crate) async fn end(self) -> Result<(), DemoError> {
        let ended = match self.daemon {
            Some(daemon) => daemon.end().await,
            None => Ok(()),
        };
        for node in self.nodes {
            node.end().await;
        }
        let removed = self.directory.close();
        ended.and(removed.map_err(trying("removing the temporary directory")))
    }

    async fn add_node(
        &mut self,
        name: &'static str,
        manifest: &str,
        key: &str,
    ) -> Result<(), DemoError> {
        let sys_root = self.path("nodes").join(name);
        let phase = PHASE * f64::from(u8::try_from(self.nodes.len()).unwrap_or(0));
        tree::unpack(manifest, &sys_root).map_err(trying("unpacking a node's tree"))?;
        let working = WorkingTree::find(sys_root.clone(), phase);
        self.trees
            .push(working.map_err(trying("reading a node's tree"))?);
        let address = self.next_address();
        let node = Process::start(&self.programs, name, address, &sys_root, key).await?;
        self.nodes.push(node);
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
        let entry = |node: &Process| {
            let (name, ip) = (node.name, node.address.ip());
            format!("  {{ name = \"{name}\", address = \"{ip}\" }},\n")
        };
        let nodes: String = self.nodes.iter().map(entry).collect();
        let (socket, ssh) = (text(&self.socket), text(&self.path("ssh")));
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
        let lines = self.nodes.iter().map(|node| node.host_key_line.as_str());
        lines.collect()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn write(&self, below: &str, text: &str) -> Result<(), DemoError> {
        // Whatever the umask says: the daemon reads nothing that a group may change.
        let path = self.path(below);
        let write = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            let unfinished = path.with_extension("new");
            fs::write(&unfinished, text)?;
            fs::set_permissions(&unfinished, Permissions::from_mode(0o644))?;
            fs::rename(unfinished, &path)
        };
        write().map_err(trying("writing a file"))
    }

    fn daemon(&self) -> Result<&Daemon, DemoError> {
        let missing = || trying("starting the daemon")(std::io::ErrorKind::NotFound.into());
        self.daemon.as_ref().ok_or_else(missing)
    }

    /// Asks again and again until there is an answer.
    async fn until_ready<T>(
        &mut self,
        ask: impl AsyncFn(Tool<'_>) -> Option<T>,
    ) -> Result<T, DemoError> {
        let tool = Tool {
            program: &self.programs.control,
            socket: &self.socket,
        };
        let asking = async {
            loop {
                if let Some(answer) = ask(tool).await {
                    return answer;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            answer = asking => Ok(answer),
            error = ends(&mut self.daemon) => Err(error),
            () = tokio::time::sleep(START) => {
                let seconds = START.as_secs();
                Err(self.daemon()?.failed(&format!("was not ready within {seconds} s")))
            }
        }
    }

    async fn public_key(tool: Tool<'_>) -> Option<String> {
        let status = tool.ask(&["status", "--json"]).await?;
        Some(status["public_key"].as_str()?.to_owned())
    }

    async fn knows_its_nodes(tool: Tool<'_>) -> Option<()> {
        let answer = tool.ask(&["temps", "--json"]).await?;
        (answer["nodes"].as_array()?.len() == tree::all().len()).then_some(())
    }
}

/// The operator's tool, as root or anybody starts it.
#[derive(Clone, Copy)]
struct Tool<'a> {
    program: &'a Path,
    socket: &'a Path,
}

impl Tool<'_> {
    fn command(self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(words).arg("--socket").arg(self.socket);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Its answer as JSON; none while the daemon does not answer.
    async fn ask(self, words: &[&str]) -> Option<Value> {
        let output = self.command(words).output().await.ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// A stage on which everything runs.
#[derive(Clone, Copy)]
pub(crate) struct Show<'a> {
    tool: Tool<'a>,
    trees: &'a [WorkingTree],
}

impl Show<'_> {
    /// Starts the operator's tool with these words; it shows what it prints.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn tool(&self, words: &[&str]) -> Result<Child, DemoError> {
        let started = self.tool.command(words).spawn();
        started.map_err(trying("starting pulse-sensorctl"))
    }

    /// Lets the nodes work, so long after the start.
    ///
    /// # Errors
    /// When a tree cannot be written.
    pub(crate) fn set_temperatures(&self, since_start: Duration) -> Result<(), DemoError> {
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
    fn taken_port_is_replaced() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_address(port).unwrap().port(), port);
    }

    #[test]
    fn unusual_path_is_escaped() {
        let path = "/tmp/a \"b\\c\u{e9}\t";
        let config = Config::parse(&format!("socket = {}", text(Path::new(path)))).unwrap();
        assert_eq!(config.socket, Path::new(path));
    }
}
