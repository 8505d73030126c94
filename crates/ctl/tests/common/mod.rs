//! The program as its users start it, and a daemon that says what it is told to.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod log;
pub(crate) mod schema;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{self, Receiver, Sender};
use tempfile::TempDir;

/// The program, without anything of our own environment that it would heed.
pub(crate) fn control() -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_pulse-sensorctl")))
}

pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PULSE_") || text.starts_with("CLICOLOR") || text == "NO_COLOR" {
            command.env_remove(name);
        }
    }
    command
}

/// Writes a configuration that nobody else may change, whatever the umask says.
pub(crate) fn write_config(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// What a run printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    control().args(arguments).output().unwrap().into()
}

/// A socket behind which one answer waits for everybody.
pub(crate) struct Scripted {
    directory: TempDir,
    requests: Receiver<String>,
}

/// What a scripted daemon does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    /// Sends this line.
    Says(&'static str),
    /// Sends a line to each caller in turn, and the last one to all others.
    SaysInTurn(&'static [&'static str]),
    /// Closes without a word.
    Closes,
    /// Waits until the caller has gone.
    Waits,
}

impl Scripted {
    pub(crate) fn daemon(script: Script) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let (asked, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for (turn, stream) in listener.incoming().enumerate() {
                let script = match script {
                    Script::SaysInTurn(lines) => Script::Says(lines[turn.min(lines.len() - 1)]),
                    script => script,
                };
                serve(stream.unwrap(), script, &asked);
            }
        });
        Self {
            directory,
            requests,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = control();
        command.args(arguments).arg("--socket").arg(self.socket());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    /// The next request that came.
    pub(crate) fn request(&self) -> serde_json::Value {
        serde_json::from_str(&self.requests.recv().unwrap()).unwrap()
    }
}

/// A caller that goes away early is the test's own doing.
fn serve(stream: UnixStream, script: Script, asked: &Sender<String>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    let _ = asked.send(line);
    let _ = match script {
        Script::Says(answer) => writeln!(reader.get_mut(), "{answer}"),
        Script::Closes | Script::SaysInTurn(_) => Ok(()),
        Script::Waits => reader.read_to_end(&mut Vec::new()).map(drop),
    };
}
