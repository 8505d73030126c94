//! User-mode Linux: a virtual machine as an ordinary process.
//!
//! The host's kernel may have no AppArmor, and tests must not load profiles into it. Debian's
//! user-mode Linux has AppArmor, boots in a second from this machine's files, and leaves
//! nothing behind. Its first process is `pulse-uml-guest` of this package, which does one job
//! and returns the result through a shared directory.
//!
//! Its kernel is Linux 6.1 without Landlock, so the daemon is confined there by AppArmor and
//! by its own seccomp filter.

use crate::programs;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program's name, for [`programs::Need::Program`].
pub const PROGRAM: &str = "linux.uml";

/// AppArmor's mode of the profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Denies what a profile does not allow.
    Enforce,
    /// Logs what a profile does not allow.
    Complain,
}

impl Mode {
    /// The mode's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
        }
    }
}

/// The job of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The job's name in the guest.
    pub name: &'a str,
    /// The directory of the AppArmor profiles that are loaded first.
    pub profiles: &'a Path,
    /// The profiles' mode.
    pub mode: Mode,
}

/// The results of a machine.
#[derive(Clone, Debug)]
pub struct Report {
    /// The job's result.
    pub answer: Value,
    /// AppArmor's log lines during the job.
    pub apparmor: Vec<String>,
}

impl Report {
    /// The lines with one verdict: `DENIED` in enforce mode, `ALLOWED` in complain mode.
    #[must_use]
    pub fn lines(&self, verdict: &str) -> Vec<&str> {
        let verdict = format!("apparmor=\"{verdict}\"");
        self.apparmor
            .iter()
            .map(String::as_str)
            .filter(|line| line.contains(&verdict))
            .collect()
    }
}

/// The guest's own limit is shorter, so that it can report what happened.
const LIMIT: Duration = Duration::from_secs(100);

/// A file that no profile allows; the job "work" has the daemon read it, to prove that
/// AppArmor reports it.
pub const FORBIDDEN: &str = "/var/tmp/forbidden.toml";

/// The file of the job's result, in the shared directory.
pub const ANSWER: &str = "answer.json";
/// The file of AppArmor's log lines.
pub const APPARMOR: &str = "apparmor.log";
/// The file of its console output.
const CONSOLE: &str = "console";

/// Starts a machine for a job and waits for its end.
///
/// # Panics
/// When the job failed, with all that the machine printed.
#[must_use]
pub fn run(guest: &Path, job: Job<'_>) -> Report {
    let exchange = tempfile::Builder::new()
        .prefix("pulse-uml-")
        .tempdir()
        .unwrap();
    let mut machine = Machine::boot(guest, job, exchange);
    machine.wait();
    let (answer, apparmor) = (machine.left(ANSWER), machine.left(APPARMOR));
    assert!(
        !answer.is_empty(),
        "the job failed:\n{}\n{apparmor}",
        machine.console()
    );
    Report {
        answer: serde_json::from_str(&answer).unwrap(),
        apparmor: apparmor.lines().map(Into::into).collect(),
    }
}

/// A running machine.
struct Machine {
    child: Child,
    exchange: TempDir,
}

impl Machine {
    fn boot(guest: &Path, job: Job<'_>, exchange: TempDir) -> Self {
        let console = File::create(exchange.path().join(CONSOLE)).unwrap();
        // The guest mounts over directories, so links could resolve differently there.
        let [programs, profiles] =
            [programs::directory(), job.profiles].map(|path| path.canonicalize().unwrap());
        let child = Command::new(programs::find(PROGRAM).unwrap())
            .args(boot_line(guest, exchange.path()))
            .arg("--")
            .args([job.name, job.mode.as_str()])
            .args([exchange.path(), &programs, &profiles])
            .env_clear()
            .env("HOME", exchange.path())
            .env("TMPDIR", exchange.path())
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            // Each guest process is a host process; the group is killed together.
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, exchange }
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            let console = self.console();
            assert!(
                Instant::now() < deadline,
                "the machine does not end:\n{console}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn console(&self) -> String {
        self.left(CONSOLE)
    }

    /// The content of a file in the shared directory; empty when it is absent.
    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.exchange.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().try_into().unwrap());
        // It may have ended already, and all of it with it.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn boot_line(guest: &Path, exchange: &Path) -> Vec<String> {
    let words = [
        "mem=320M rootfstype=hostfs rootflags=/ ro apparmor=1 security=apparmor",
        "quiet con=null con0=null,fd:1 con1=null umid=machine",
        // No line of AppArmor may be dropped.
        "audit_backlog_limit=8192 log_buf_len=2M printk.devkmsg=on",
    ];
    let words = words.iter().flat_map(|line| line.split(' '));
    let mut words: Vec<String> = words.map(ToOwned::to_owned).collect();
    words.push(format!("uml_dir={}/", exchange.display()));
    words.push(format!("init={}", guest.display()));
    // The kernel passes unknown settings on as the first process's environment.
    words.push("PULSE_BIN_DIR=/usr/bin".to_owned());
    words
}
