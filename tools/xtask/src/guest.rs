//! A system of its own that runs tests: watched while it does, never left behind.
//!
//! What its tests print comes through a file that both sides see, as they print it; what
//! its kernel or its systemd prints goes to another file that stays, for whoever has to
//! find out why it did not come up.

use crate::process::{Failure, Outcome};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Until the first test says something.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// For everything.
const LIMIT: Duration = Duration::from_secs(20 * 60);

const PAUSE: Duration = Duration::from_millis(100);

/// The last line of output, before the tests' exit code: `ExecStopPost=` of the service
/// that runs them prints it.
pub(crate) const ENDED: &str = "JOB_ENDED=";

/// A running system; it is killed when dropped, and when we are.
pub(crate) struct Guest {
    child: Child,
    output: Output,
    console: PathBuf,
}

/// The end of a guest, as its tests and its console have it.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The lines that the tests printed.
    pub(crate) output: String,
    status: Option<String>,
    console: PathBuf,
}

/// The program that is the system, or has it. It does not outlive us.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", name]);
    command
}

impl Guest {
    /// Starts a [`program`]; its tests print to `output`.
    pub(crate) fn start(program: &mut Command, output: &Path, console: &Path) -> Outcome<Self> {
        let output = Output::open(output)?;
        let child = program.stdin(Stdio::null()).spawn();
        let cannot = |error| Failure::new(format!("cannot start the machine: {error}"));
        Ok(Self {
            child: child.map_err(cannot)?,
            output,
            console: console.to_owned(),
        })
    }

    /// Shows what the tests print; returns when the system has switched itself off.
    pub(crate) fn watch(mut self) -> Outcome<Ended> {
        let start = Instant::now();
        loop {
            // Before the output is read: otherwise the output between the two steps would be lost.
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            self.output.show_new();
            if has_ended {
                return Ok(Ended {
                    output: std::mem::take(&mut self.output.text),
                    status: self.output.status.take(),
                    console: self.console.clone(),
                });
            }
            let limit = if self.output.text.is_empty() {
                BOOT_LIMIT
            } else {
                LIMIT
            };
            if start.elapsed() > limit {
                // The guest is dropped with this, and killed.
                return Err(Failure::new(format!(
                    "the machine was stopped after {} s; its console: {}",
                    limit.as_secs(),
                    self.console.display()
                )));
            }
            sleep(PAUSE);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Success if the tests passed; if not, where to look.
    pub(crate) fn outcome(&self) -> Outcome {
        let console = self.console.display();
        match self.status.as_deref() {
            Some("0") => Ok(()),
            Some(status) => Err(Failure::new(format!(
                "the tests ended with {status}; the machine's console: {console}"
            ))),
            // A kernel that panics, say, runs no ExecStopPost=.
            None => Err(Failure::new(format!(
                "the machine ended before the tests did; its console: {console}"
            ))),
        }
    }
}

/// The tests' output, as it grows.
struct Output {
    file: File,
    pending: Vec<u8>,
    text: String,
    status: Option<String>,
}

impl Output {
    fn open(path: &Path) -> Outcome<Self> {
        let file = File::open(path);
        let file = file.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(Self {
            file,
            pending: Vec::new(),
            text: String::new(),
            status: None,
        })
    }

    /// Shows the whole lines that have come, and keeps them.
    fn show_new(&mut self) {
        // What cannot be read now can be read in a moment, or is missed at the end.
        let _ = self.file.read_to_end(&mut self.pending);
        while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.take(&String::from_utf8_lossy(&line));
        }
    }

    fn take(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix(ENDED) {
            self.status = Some(status.trim_end().to_owned());
            return;
        }
        print!("{line}");
        let _ = std::io::stdout().flush();
        self.text.push_str(line);
    }
}
