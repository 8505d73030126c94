//! `ipmitool`, for nodes whose sensors only the BMC knows.
//!
//! It runs with exactly the words of the command's table, without a shell and
//! with no environment, for a limited time, and its output is taken whole or not
//! at all. Starting it and waiting for it are apart: the helper starts nothing more
//! in between.

use crate::failure::Failure;
use pulse_sensors::command::NodeCommand;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Where the program may be.
pub const PLACES: [&str; 2] = ["/usr/bin/ipmitool", "/usr/sbin/ipmitool"];

/// How often a program that closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// What the program may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time, from start to end.
    pub time: Duration,
    /// Bytes of output.
    pub output: usize,
}

impl Limits {
    /// A BMC takes its time, but not the daemon's.
    pub const DEFAULT: Self = Self {
        time: Duration::from_secs(5),
        output: 256 * 1024,
    };
}

/// The program, started.
pub struct Running {
    child: Child,
    limit: usize,
    until: Instant,
}

/// Starts the program that is in one of the `places`.
///
/// # Errors
/// [`Failure::NoIpmitool`], or why it cannot be started.
pub fn start(places: &[&str], command: NodeCommand, limits: Limits) -> Result<Running, Failure> {
    let program = places.iter().find(|place| Path::new(place).is_file());
    let program = program.ok_or(Failure::NoIpmitool)?;
    let until = Instant::now() + limits.time;
    let child = Command::new(program)
        .args(command.words().iter().skip(1))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    Ok(Running {
        child: child.map_err(Failure::Ipmitool)?,
        limit: limits.output,
        until,
    })
}

impl Running {
    /// Waits for its end and gives its output.
    ///
    /// # Errors
    /// What became of the program.
    pub fn output(mut self) -> Result<Vec<u8>, Failure> {
        finish(&mut self.child, self.limit, self.until)
    }
}

impl Drop for Running {
    /// Nobody waits for one that has not ended.
    fn drop(&mut self) {
        // One that has been waited for is left alone.
        let _ = self.child.kill();
    }
}

fn finish(child: &mut Child, limit: usize, until: Instant) -> Result<Vec<u8>, Failure> {
    let output = child.stdout.take();
    let output = output.map_or(Ok(Vec::new()), |output| collect(output, limit, until))?;
    let status = wait(child, until)?;
    if status.success() {
        Ok(output)
    } else {
        Err(Failure::IpmitoolFailed(status))
    }
}

/// Reads to the end, in a thread: a pipe has no deadline.
fn collect(output: ChildStdout, limit: usize, until: Instant) -> Result<Vec<u8>, Failure> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(read_all(output, limit)));
    let left = until.saturating_duration_since(Instant::now());
    receiver
        .recv_timeout(left)
        .map_err(|_| Failure::IpmitoolSlow)?
}

fn read_all(output: ChildStdout, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    match pulse_files::read_into(&mut bytes, output, limit) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(Failure::IpmitoolFlood),
        Err(error) => Err(Failure::Ipmitool(error)),
    }
}

fn wait(child: &mut Child, until: Instant) -> Result<ExitStatus, Failure> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < until => thread::sleep(POLL),
            Ok(None) => return Err(Failure::IpmitoolSlow),
            Err(error) => return Err(Failure::Ipmitool(error)),
        }
    }
}
