//! Shared by the tests: simulated nodes on disk, and the binary.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2026-11-21T10:00:03Z, the time of every reading in the tests.
pub(crate) const NOON: Duration = Duration::from_secs(1_795_255_203);

pub(crate) fn wall() -> SystemTime {
    UNIX_EPOCH + NOON
}

/// A tree of sensor files in a temporary directory.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A simulated node.
    pub(crate) fn of(node: &str) -> Self {
        let nodes = pulse_simnode::tree::all();
        let (_, manifest) = nodes.iter().find(|(name, _)| *name == node).unwrap();
        let tree = Self::empty();
        tree.add(manifest);
        tree
    }

    pub(crate) fn add(&self, manifest: &str) {
        pulse_simnode::tree::unpack(manifest, self.root()).unwrap();
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    pub(crate) fn set(&self, path: &str, text: &str) {
        pulse_simnode::tree::set(self.root(), path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap();
    }
}

/// A command for the helper on this tree, outside an SSH session.
pub(crate) fn helper(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulse-sensor-node"));
    command.env_clear().arg("--sys-root").arg(root);
    command.stdin(Stdio::null());
    command
}

/// Runs the helper with words in its argument vector.
pub(crate) fn by_words(root: &Path, words: &[&str]) -> Output {
    helper(root).args(words).output().unwrap()
}

/// Runs the helper as a forced command, with this command of the client.
pub(crate) fn over_ssh(root: &Path, original: impl AsRef<OsStr>) -> Output {
    let mut command = helper(root);
    command.env("SSH_ORIGINAL_COMMAND", original);
    command.output().unwrap()
}

/// A running `serve` command and its pipes.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) requests: ChildStdin,
    pub(crate) answers: BufReader<ChildStdout>,
}

impl Serving {
    pub(crate) fn start(root: &Path) -> Self {
        let mut command = helper(root);
        command
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self {
            requests: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> String {
        self.requests.write_all(request).unwrap();
        self.line()
    }

    /// Sends the last bytes, closes standard input and waits for the exit.
    pub(crate) fn finish(mut self, last: &[u8]) -> Output {
        // If the helper has exited already, its end of the pipe is closed.
        let _ = self.requests.write_all(last);
        drop(self.requests);
        let rest = std::io::read_to_string(self.answers).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stdout = rest.into_bytes();
        output
    }
}

pub(crate) fn json(bytes: impl AsRef<[u8]>) -> serde_json::Value {
    serde_json::from_slice(bytes.as_ref()).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
