//! The process of nodes, as the benchmarks start it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use pulse_simnode::{PrivateKey, fresh_key};
use tempfile::TempDir;

use super::DOCUMENT;

pub(crate) struct Process {
    /// The JSON line at its start.
    pub(crate) announced: String,
    /// The key that may log in.
    pub(crate) key: PrivateKey,
    child: Child,
    output: BufReader<ChildStdout>,
    _files: TempDir,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let files = TempDir::new().unwrap();
        let key = fresh_key().unwrap();
        let mut child = command(&files, &key).args(arguments).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut announced = String::new();
        output.read_line(&mut announced).unwrap();
        Self {
            announced,
            key,
            child,
            output,
            _files: files,
        }
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        let parts = self.announced.split("\"port\":").skip(1);
        parts
            .map(|part| part.split(',').next().unwrap().parse().unwrap())
            .collect()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .strip_suffix(" kB")
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Closes its input and returns the rest of its output.
    pub(crate) fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(files: &TempDir, key: &PrivateKey) -> Command {
    let (document, public) = (files.path().join("document"), files.path().join("key.pub"));
    std::fs::write(&document, format!("{DOCUMENT}\n")).unwrap();
    std::fs::write(&public, key.public_key().to_openssh().unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulse-simnode"));
    command.arg("--document").arg(document);
    command.arg("--authorized-key").arg(public);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}
