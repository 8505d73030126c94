//! A machine of its own, as an ordinary process: user-mode Linux.
//!
//! The kernel that the tests run on may have no AppArmor, and what it has is not
//! ours to load profiles into. Debian's user-mode Linux has it, boots on this
//! machine's own files in a second, and is gone without a trace. Its first process
//! is `pulse-uml-guest`, of this package, which does one job and hands back what
//! came of it through a directory that both sides see.
//!
//! It has Linux 6.1 without Landlock, so there the daemon is held by AppArmor from
//! outside and by its own filter from inside.

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

/// The program's name, for `programs::skipped`.
pub const PROGRAM: &str = "linux.uml";

/// How profiles are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What it does not allow is refused.
    Enforce,
    /// What it does not allow is logged.
    Complain,
}

impl Mode {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
        }
    }
}

/// What a machine is started for.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Which one, as the guest knows it.
    pub name: &'a str,
    /// The directory of the AppArmor profiles that are loaded first.
    pub profiles: &'a Path,
    /// How they are loaded.
    pub mode: Mode,
}

/// What a machine leaves behind.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the job gave.
    pub answer: Value,
    /// What AppArmor said while the job ran, a line each.
    pub apparmor: Vec<String>,
}

impl Report {
    /// The lines of one verdict: `DENIED` under an enforced profile, `ALLOWED`
    /// under one that only complains.
    #[must_use]
    pub fn lines(&self, verdict: &str) -> Vec<&str> {
        let verdict = format!("apparmor=\"{verdict}\"");
        let lines = self.apparmor.iter().map(String::as_str);
        lines.filter(|line| line.contains(&verdict)).collect()
    }
}

/// No job takes nearly as long. The guest gives up by itself somewhat earlier.
const LIMIT: Duration = Duration::from_secs(100);

/// A file that the job "work" has the daemon read although no profile allows it, to
/// see that AppArmor notices.
pub const FORBIDDEN: &str = "/var/tmp/forbidden.toml";

/// Where the guest puts its answer, below the exchange directory.
pub const ANSWER: &str = "answer.json";
/// Where it puts what AppArmor said.
pub const APPARMOR: &str = "apparmor.log";
/// Where what it prints goes.
const CONSOLE: &str = "console";

/// Starts a machine, lets it do its job and waits for its end.
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
    machine.report()
}

/// One that runs.
struct Machine {
    child: Child,
    exchange: TempDir,
}

impl Machine {
    fn boot(guest: &Path, job: Job<'_>, exchange: TempDir) -> Self {
        let console = File::create(exchange.path().join(CONSOLE)).unwrap();
        // The guest mounts over directories, so links may lead elsewhere there.
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
            // Each of its processes is one of ours; they are to end together.
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, exchange }
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            let console = self.console();
            assert!(Instant::now() < deadline, "it does not end:\n{console}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn report(&self) -> Report {
        let (answer, apparmor) = (self.left(ANSWER), self.left(APPARMOR));
        assert!(
            !answer.is_empty(),
            "the job failed:\n{}\n{apparmor}",
            self.console()
        );
        Report {
            answer: serde_json::from_str(&answer).unwrap(),
            apparmor: apparmor.lines().map(Into::into).collect(),
        }
    }

    fn console(&self) -> String {
        self.left(CONSOLE)
    }

    /// What is in a file that it may have left.
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
        // No line of AppArmor's is to be lost.
        "audit_backlog_limit=8192 log_buf_len=2M printk.devkmsg=on",
    ];
    let words = words.iter().flat_map(|line| line.split(' '));
    let mut words: Vec<String> = words.map(ToOwned::to_owned).collect();
    words.push(format!("uml_dir={}/", exchange.display()));
    words.push(format!("init={}", guest.display()));
    // What the kernel does not know becomes the first process's environment.
    words.push("PULSE_BIN_DIR=/usr/bin".to_owned());
    words
}
