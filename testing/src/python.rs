//! Callers in Python, which can be other users.
//!
//! A script is passed as an argument: another user may not be able to read this checkout.

use crate::programs;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Sends a request as Pulse's client does.
pub const PULSE: &str = include_str!("../clients/pulse.py");
/// Connects and prints the outcome.
pub const CONNECT: &str = include_str!("../clients/connect.py");
/// Passes a socket to a program, as systemd does.
pub const ACTIVATE: &str = include_str!("../clients/activate.py");
/// Shuts down its sending side and reads to the end.
pub const HALF_CLOSE: &str = include_str!("../clients/half_close.py");
/// Connects many times and counts the outcomes.
pub const REPEAT: &str = include_str!("../clients/repeat.py");
/// Opens more connections at a time than are served.
pub const CROWD: &str = include_str!("../clients/crowd.py");
/// Sends requests in a control group, as a user.
pub const GROUPED: &str = include_str!("../clients/grouped.py");
/// Sends requests as root in a container.
pub(crate) const CONTAINED: &str = include_str!("../clients/contained.py");
/// Sends malformed, oversized and forbidden requests without a pause.
pub const HOSTILE: &str = include_str!("../clients/hostile.py");
/// Reads nodes every second and counts the outcomes.
pub const POLLER: &str = include_str!("../clients/poller.py");
/// Connects and sends nothing.
pub const SILENT: &str = include_str!("../clients/silent.py");

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl User {
    /// A user whose group has the same number. It needs no entry in `/etc/passwd`.
    #[must_use]
    pub fn number(uid: u32) -> Self {
        Self { uid, gid: uid }
    }
}

fn command(script: &str, user: Option<User>, arguments: &[&str]) -> Command {
    let mut command = Command::new(programs::find("python3").expect("python3 is here"));
    // Isolated: neither the environment nor a user's own modules have a part in a test.
    command.args(["-I", "-c", script]).args(arguments);
    command.current_dir("/").stdin(Stdio::null());
    if let Some(user) = user {
        // As root this also drops the supplementary groups.
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Runs a script, optionally as another user, and returns its output.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn run(script: &str, user: Option<User>, arguments: &[&str]) -> String {
    let output = command(script, user, arguments).output().unwrap();
    programs::assert_success(format_args!("{arguments:?}"), &output);
    String::from_utf8(output.stdout).unwrap()
}

/// A script that runs until it is told to finish.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts a script and waits for its first line.
    ///
    /// # Panics
    /// When the line is not `ready`.
    #[must_use]
    pub fn start(script: &str, user: Option<User>, arguments: &[&str]) -> Self {
        let mut command = command(script, user, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut running = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        assert_eq!(running.line(), "ready\n");
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Tells it to finish and returns the JSON that it prints.
    #[must_use]
    pub fn finish(&mut self) -> Value {
        let mut input = self.input.take().expect("this is called once");
        input.write_all(b"finish\n").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
