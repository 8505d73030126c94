//! The daemon as a child process, which does not outlive the demo.

use crate::programs::Programs;
use crate::{DemoError, trying};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Time for the daemon to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Lines of the daemon's log in an error.
const SHOWN_LINES: usize = 8;

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    id: u32,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with this configuration. Variables would override the file, so its environment
    /// has only one, by which it keeps its user: the demo's files belong to that user. It has
    /// its own process group, so that Ctrl-C reaches only the demo, which then stops it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(
        programs: &Programs,
        config: &Path,
        log: PathBuf,
    ) -> Result<Self, DemoError> {
        let errors = File::create(&log).map_err(trying("making the daemon's log"))?;
        // Not the daemon itself: `start_with_parent` ties it to this process first.
        let child = Command::new(&programs.demo)
            .arg("start-with-parent")
            .arg(std::process::id().to_string())
            .arg(&programs.daemon)
            .arg("--config")
            .arg(config)
            .env_clear()
            .env("PULSE_SENSOR_PROXY_USER", "root")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(trying("starting the daemon"))?;
        Ok(Self {
            // Kept, because `Child::id` is `None` after the child was reaped.
            id: child.id().unwrap_or_default(),
            child,
            log,
        })
    }

    /// The daemon's process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Has it reload its configuration.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn reload(&self) -> Result<(), DemoError> {
        self.send(Signal::SIGHUP)
            .map_err(trying("signalling the daemon to reload its configuration"))
    }

    /// Completes when the daemon ends by itself, which is an error.
    pub(crate) async fn ends(&mut self) -> DemoError {
        match self.child.wait().await {
            Ok(status) => self.failed(&format!("ended ({status})")),
            Err(error) => trying("waiting for the daemon")(error),
        }
    }

    /// An error of the daemon, with the end of its log.
    pub(crate) fn failed(&self, what: &str) -> DemoError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        DemoError::Daemon {
            what: what.to_owned(),
            log: lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"),
        }
    }

    /// Stops it, or kills it after [`STOP_TIMEOUT`].
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(crate) async fn end(mut self) -> Result<(), DemoError> {
        // It may have ended already.
        let _ = self.send(Signal::SIGTERM);
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.child
                .kill()
                .await
                .map_err(trying("ending the daemon"))?;
        }
        Ok(())
    }

    /// Sends a signal, if the child was not reaped yet: afterwards its id may be reused.
    fn send(&self, signal: Signal) -> io::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        Ok(kill(Pid::from_raw(id), signal)?)
    }
}

/// Has the kernel end this process when its parent ends, even by `kill -9` (prctl(2),
/// `PR_SET_PDEATHSIG`), and then execs the program, which keeps that setting. A separate
/// process does this because there is no safe way to do it between fork and exec.
///
/// # Errors
/// When the kernel refuses, or there is no such program. It does not return
/// otherwise.
pub(crate) fn start_with_parent(parent: u32, command: &[OsString]) -> Result<(), DemoError> {
    let system = trying("starting with a parent");
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(|errno| system(errno.into()))?;
    // The parent may have ended before the call: then no signal comes, and another process is
    // the parent by now.
    let is_alive = i32::try_from(parent).is_ok_and(|id| getppid() == Pid::from_raw(id));
    match command.split_first().filter(|_| is_alive) {
        Some((program, arguments)) => Err(system(
            std::process::Command::new(program).args(arguments).exec(),
        )),
        None => Ok(()),
    }
}
