//! A simulated node in a separate process.

use crate::programs::Programs;
use crate::{DemoError, trying};
use pulse_simnode::{Behaviour, PublicKey, SimConfig, SimNode};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time for a node to start, and to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a node's process.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Its name.
    name: String,
    /// The address to listen on.
    listen: SocketAddr,
    /// The program of the forced command.
    helper: PathBuf,
    /// The directory in place of `/sys`.
    sys_root: PathBuf,
    /// The authorized key, in the format of `authorized_keys`.
    key: String,
}

/// Serves a node until standard input ends, as it does when the demo ends. Prints the node's
/// line of `known_hosts` once it listens.
///
/// # Errors
/// When it cannot listen.
pub(crate) async fn serve(options: Options) -> Result<(), DemoError> {
    let key: PublicKey = options
        .key
        .parse()
        .map_err(|error| trying("reading the daemon's key")(io::Error::other(error)))?;
    let config = SimConfig {
        listen: options.listen,
        authorized_key: Some(key),
        ..SimConfig::new(Behaviour::Helper {
            program: options.helper,
            sys_root: options.sys_root,
        })
    };
    let node = SimNode::start(config)
        .await
        .map_err(trying("starting a simulated node"))?;
    // The demo waits for this line: from now on connections are accepted.
    writeln!(io::stdout(), "{}", node.host_key_line(&options.name))
        .map_err(trying("printing the node's key"))?;
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    // A separate thread, because reading standard input blocks.
    std::thread::spawn(move || {
        let _closed = closed;
        let _ = io::stdin().read(&mut [0]);
    });
    let _ = wait.await;
    // This kills its helper; a process that cannot be killed is not waited for.
    let _ = timeout(STOP_TIMEOUT, node.shutdown()).await;
    Ok(())
}

/// A node's process.
pub(crate) struct Process {
    child: Child,
    /// The node's address.
    pub(crate) address: SocketAddr,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its line of `known_hosts`.
    pub(crate) host_key_line: String,
}

impl Process {
    /// Starts a node and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(
        programs: &Programs,
        name: &'static str,
        address: SocketAddr,
        sys_root: &Path,
        key: &str,
    ) -> Result<Self, DemoError> {
        let mut child = Command::new(&programs.demo)
            .args(["node", name, &address.to_string()])
            .args([&programs.helper, sys_root])
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C reaches only the demo, which then stops the node.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(trying("starting a simulated node"))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            timeout(STOP_TIMEOUT, output.read_line(&mut line))
                .await
                .map_err(|_| DemoError::Node(name))?
                .map_err(trying("starting a simulated node"))?;
        }
        // The output of a node that failed ends without a whole line.
        if !line.ends_with('\n') {
            return Err(DemoError::Node(name));
        }
        Ok(Self {
            child,
            address,
            name,
            host_key_line: line,
        })
    }

    /// Stops the node and its helper.
    pub(crate) async fn end(mut self) {
        // The end of its input tells the node to stop, so that it can kill its helper first.
        drop(self.child.stdin.take());
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
