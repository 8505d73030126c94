//! `ipmitool`, for nodes whose sensors only the BMC can read.
//!
//! It runs with the exact words of the command table, without a shell or an environment, and with a
//! deadline. Its output is returned completely or not at all. Starting and waiting are separate
//! functions, because the helper installs its seccomp filter in between.

use crate::error::HelperError;
use pulse_sensors::command::NodeCommand;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The paths of the program.
pub const PROGRAMS: [&str; 2] = ["/usr/bin/ipmitool", "/usr/sbin/ipmitool"];

/// The interval of waitpid(2) for a program that has closed its output but not ended.
const WAIT_INTERVAL: Duration = Duration::from_millis(2);

/// Limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The time from start to end.
    pub time: Duration,
    /// The size of the output, in bytes.
    pub output: usize,
}

impl Limits {
    /// A BMC can take seconds; the daemon waits longer.
    pub const DEFAULT: Self = Self {
        time: Duration::from_secs(5),
        output: 256 * 1024,
    };
}

/// A running `ipmitool`. Dropping it kills the process.
pub struct RunningIpmitool {
    child: Child,
    limit: usize,
    until: Instant,
}

/// Starts the first of these programs that exists.
///
/// # Errors
/// [`HelperError::NoIpmitool`] if none exists, [`HelperError::Ipmitool`] if it cannot be started.
pub fn start(
    programs: &[&str],
    command: NodeCommand,
    limits: Limits,
) -> Result<RunningIpmitool, HelperError> {
    let program = programs
        .iter()
        .find(|path| Path::new(path).is_file())
        .ok_or(HelperError::NoIpmitool)?;
    // From before the start, so that a slow start counts too.
    let until = Instant::now() + limits.time;
    let child = Command::new(program)
        .args(command.words().iter().skip(1))
        // Without an environment, variables of the dynamic loader and of ipmitool have no effect.
        .env_clear()
        .current_dir("/")
        // stderr is inherited: the daemon shows its beginning if the command fails.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    Ok(RunningIpmitool {
        child: child.map_err(HelperError::Ipmitool)?,
        limit: limits.output,
        until,
    })
}

impl RunningIpmitool {
    /// Waits for the end of the program and returns its output.
    ///
    /// # Errors
    /// The program failed, or exceeded a limit.
    pub fn output(mut self) -> Result<Vec<u8>, HelperError> {
        let output = match self.child.stdout.take() {
            Some(output) => collect(output, self.limit, self.until)?,
            None => Vec::new(),
        };
        // Polled, because waitpid(2) has no deadline. The program has closed its output, so it
        // usually ends at once.
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < self.until => thread::sleep(WAIT_INTERVAL),
                Ok(None) => return Err(HelperError::IpmitoolSlow),
                Err(error) => return Err(HelperError::Ipmitool(error)),
            }
        };
        if status.success() {
            Ok(output)
        } else {
            Err(HelperError::IpmitoolFailed(status))
        }
    }
}

impl Drop for RunningIpmitool {
    fn drop(&mut self) {
        // After a successful wait this does nothing: the standard library does not signal a
        // process ID that it has reaped.
        let _ = self.child.kill();
    }
}

/// Reads the output in a thread, since a read of a pipe has no deadline.
fn collect(output: ChildStdout, limit: usize, until: Instant) -> Result<Vec<u8>, HelperError> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        sender.send(pulse_files::read_into(&mut bytes, output, limit).map(|()| bytes))
    });
    match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.kind() == ErrorKind::FileTooLarge => {
            Err(HelperError::IpmitoolFlood)
        }
        Ok(Err(error)) => Err(HelperError::Ipmitool(error)),
        Err(_) => Err(HelperError::IpmitoolSlow),
    }
}
