//! The demo's processes and files.
//!
//! The setup is an operator's: the daemon starts and makes its key, which the nodes
//! authorize; the nodes' host keys are added to `known_hosts` and the nodes to the
//! configuration, and the daemon reloads it.

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

/// Time for the daemon to start, on a slow machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two checks whether it has started.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The default port of the metrics.
const METRICS_PORT: u16 = 9456;

/// The longest path a socket can have, in bytes (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Seconds between the nodes' cycles of load, so that their temperatures differ.
const PHASE: f64 = 13.0;

/// The demo's processes and files.
pub(crate) struct Setup {
    directory: TempDir,
    programs: Programs,
    socket: PathBuf,
    metrics: SocketAddr,
    /// The SSH port of every node: Landlock permits only ports that are configured at the
    /// daemon's start.
    ssh_port: u16,
    daemon: Option<Daemon>,
    nodes: Vec<Process>,
    trees: Vec<WorkingTree>,
}

impl Setup {
    /// Makes the temporary directory.
    ///
    /// # Errors
    /// When a program is missing, or no directory can be made.
    pub(crate) fn new() -> Result<Self, DemoError> {
        let programs = Programs::find()?;
        let directory = tempfile::Builder::new()
            .prefix("pulse-demo-")
            .tempdir()
            .map_err(trying("making a temporary directory (TMPDIR says where)"))?;
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

    /// Starts the processes and waits until the daemon has its nodes.
    ///
    /// # Errors
    /// [`DemoError`] when a part does not start.
    pub(crate) async fn build(&mut self) -> Result<(), DemoError> {
        // The daemon comes before the nodes, because it makes the key that they authorize.
        let key = self.start_daemon().await?;
        for (name, manifest) in tree::all() {
            self.add_node(name, manifest, &key).await?;
        }
        let known_hosts: String = self
            .nodes
            .iter()
            .map(|node| node.host_key_line.as_str())
            .collect();
        self.write("ssh/known_hosts", &known_hosts)?;
        self.write("config.toml", &self.config())?;
        self.parts().0.set_temperatures(Duration::ZERO)?;
        // Both files are written before the reload, so that no node is unknown at first.
        self.daemon()?.reload()?;
        self.until_ready(async |tool| {
            let answer = tool.ask(&["temps", "--json"]).await?;
            (answer["nodes"].as_array()?.len() == tree::all().len()).then_some(())
        })
        .await
    }

    /// Starts the daemon and waits for its key. Another process may take the metrics port
    /// before the daemon binds it; then another port is tried.
    async fn start_daemon(&mut self) -> Result<String, DemoError> {
        let mut ports = [METRICS_PORT, 0, 0].into_iter().peekable();
        loop {
            self.metrics =
                free_address(ports.next().unwrap_or(0)).map_err(trying("finding a free port"))?;
            self.write("config.toml", &self.config())?;
            let (config, log) = (self.path("config.toml"), self.path("daemon.log"));
            self.daemon = Some(Daemon::start(&self.programs, &config, log)?);
            let outcome = self
                .until_ready(async |tool| {
                    Some(
                        tool.ask(&["status", "--self", "--json"]).await?["public_key"]
                            .as_str()?
                            .to_owned(),
                    )
                })
                .await;
            if outcome.is_ok() || ports.peek().is_none() {
                return outcome;
            }
        }
    }

    /// The callers' socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The metrics address.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// The audit log.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.path("log/audit.log")
    }

    /// The temporary directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The path of `pulse-sensorctl`.
    pub(crate) fn control(&self) -> &Path {
        &self.programs.control
    }

    /// The daemon's process id.
    pub(crate) fn daemon_id(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Daemon::id)
    }

    /// The parts that readings need, and a future that completes when the daemon ends by
    /// itself, which is an error.
    pub(crate) fn parts(&mut self) -> (Display<'_>, impl Future<Output = DemoError>) {
        let show = Display {
            tool: Tool {
                program: &self.programs.control,
                socket: &self.socket,
            },
            trees: &self.trees,
        };
        (show, ends(&mut self.daemon))
    }

    /// Stops every process and removes every file.
    ///
    /// # Errors
    /// When something could not be ended or removed.
    pub(crate) async fn end(self) -> Result<(), DemoError> {
        // The daemon first: it ends its connections to the nodes.
        let ended = match self.daemon {
            Some(daemon) => daemon.end().await,
            None => Ok(()),
        };
        for node in self.nodes {
            node.end().await;
        }
        // Removed even if the daemon could not be ended: `and` evaluates its argument in any case.
        // The daemon's error comes first.
        ended.and(
            self.directory
                .close()
                .map_err(trying("removing the temporary directory")),
        )
    }

    async fn add_node(
        &mut self,
        name: &'static str,
        manifest: &str,
        key: &str,
    ) -> Result<(), DemoError> {
        let sys_root = self.path("nodes").join(name);
        let number = u8::try_from(self.nodes.len()).unwrap_or(0);
        tree::unpack(manifest, &sys_root).map_err(trying("unpacking a node's tree"))?;
        self.trees.push(
            WorkingTree::find(sys_root.clone(), PHASE * f64::from(number))
                .map_err(trying("reading a node's tree"))?,
        );
        // The nodes share a port, so each has a loopback address of its own.
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, number + 1), self.ssh_port));
        self.nodes
            .push(Process::start(&self.programs, name, address, &sys_root, key).await?);
        Ok(())
    }

    /// The configuration with the nodes so far. Its limits are wider than the defaults, so that
    /// users can send requests besides the demo's own.
    fn config(&self) -> String {
        let entry = |node: &Process| {
            let (name, ip) = (node.name, node.address.ip());
            format!("  {{ name = \"{name}\", address = \"{ip}\" }},\n")
        };
        let nodes: String = self.nodes.iter().map(entry).collect();
        let (socket, ssh) = (text(&self.socket), text(&self.path("ssh")));
        let (log, state) = (text(&self.audit_log()), text(&self.path("audit")));
        let (metrics, port) = (self.metrics, self.ssh_port);
        // The control socket has a directory of its own: the daemon requires it.
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

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn write(&self, below: &str, text: &str) -> Result<(), DemoError> {
        // Independent of the umask: the daemon refuses files that a group can change.
        let path = self.path(below);
        let write = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            // Renamed into place: the daemon may read it at any moment.
            let unfinished = path.with_extension("new");
            fs::write(&unfinished, text)?;
            fs::set_permissions(&unfinished, Permissions::from_mode(0o644))?;
            fs::rename(unfinished, &path)
        };
        write().map_err(trying("writing a file"))
    }

    fn daemon(&self) -> Result<&Daemon, DemoError> {
        self.daemon
            .as_ref()
            .ok_or_else(|| trying("starting the daemon")(std::io::ErrorKind::NotFound.into()))
    }

    /// Repeats a request until it has a result.
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
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::select! {
            answer = asking => Ok(answer),
            error = ends(&mut self.daemon) => Err(error),
            () = tokio::time::sleep(START_TIMEOUT) => {
                let seconds = START_TIMEOUT.as_secs();
                Err(self.daemon()?.failed(&format!("was not ready within {seconds} s")))
            }
        }
    }
}

/// `pulse-sensorctl` for the demo's daemon.
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

    /// Its JSON output; none while the daemon does not respond.
    async fn ask(self, words: &[&str]) -> Option<Value> {
        let output = self.command(words).output().await.ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// The parts that readings need.
#[derive(Clone, Copy)]
pub(crate) struct Display<'a> {
    tool: Tool<'a>,
    trees: &'a [WorkingTree],
}

impl Display<'_> {
    /// Starts `pulse-sensorctl` with these arguments; its output is the demo's.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn tool(&self, words: &[&str]) -> Result<Child, DemoError> {
        self.tool
            .command(words)
            .spawn()
            .map_err(trying("starting pulse-sensorctl"))
    }

    /// Sets the nodes' temperatures for this time since the start.
    ///
    /// # Errors
    /// When a tree cannot be written.
    pub(crate) fn set_temperatures(&self, since_start: Duration) -> Result<(), DemoError> {
        self.trees
            .iter()
            .try_for_each(|tree| tree.set(since_start))
            .map_err(trying("changing the temperatures"))
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

/// A loopback address with this port, or with a free one when it is in use.
fn free_address(port: u16) -> std::io::Result<SocketAddr> {
    // The listener is dropped again, so another process may take the port: `start_daemon`
    // tries another one then.
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
