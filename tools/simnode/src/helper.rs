//! The real node helper as a child process behind a channel.
//!
//! As sshd does for a forced command, the requested command is passed in
//! `SSH_ORIGINAL_COMMAND`, the standard streams are connected to the channel, and the exit
//! status closes it. A child does not outlive its channel.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use russh::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use crate::behaviour::asks_to_serve;
use crate::writer::{ChannelWriter, Stream};

/// A shell's exit status for a program that it cannot start.
const NOT_STARTED: u32 = 127;
/// A shell's exit status for a signal, minus the signal's number.
const SIGNALLED: i32 = 128;
/// Messages of input that may be queued for the child.
const INPUT_QUEUE: usize = 64;
const COPY_BYTES: usize = 8 * 1024;

/// A helper behind a channel; its process is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Helper {
    input: mpsc::Sender<Input>,
    _alive: oneshot::Sender<Infallible>,
}

#[derive(Debug)]
enum Input {
    Bytes(Vec<u8>),
    End,
}

impl Helper {
    /// Starts the helper. A failure is reported on the channel as a shell reports it.
    pub(crate) fn start(
        program: &Path,
        sys_root: &Path,
        command: &[u8],
        writer: ChannelWriter,
    ) -> Self {
        let (input, taken) = mpsc::channel(INPUT_QUEUE);
        let (alive, gone) = oneshot::channel();
        let serves = asks_to_serve(command);
        let mut child = Command::new(program);
        // As sshd does: few variables, and none of its own.
        child.arg("--sys-root").arg(sys_root).env_clear();
        // A shell request has no command.
        if !command.is_empty() {
            child.env("SSH_ORIGINAL_COMMAND", OsStr::from_bytes(command));
        }
        child
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The runtime itself may be dropped, with the task that would kill it.
            .kill_on_drop(true);
        match child.spawn() {
            Ok(child) => {
                writer
                    .shared
                    .counters
                    .note(|counters| counters.helpers += 1);
                tokio::spawn(supervise(child, serves, taken, gone, writer));
            }
            Err(error) => {
                let complaint = format!("{}: {error}\n", program.display());
                tokio::spawn(async move {
                    // When the connection is closed, nothing waits for the reason.
                    let _ = writer.send(Stream::Errors, complaint.into_bytes()).await;
                    writer.exit(NOT_STARTED).await;
                });
            }
        }
        Self {
            input,
            _alive: alive,
        }
    }

    /// Queues input for the helper.
    ///
    /// # Errors
    /// When the queue is full because the helper does not read its input. Waiting would stall
    /// the connection's other channels, so the connection is dropped.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        self.queue(Input::Bytes(bytes.to_vec()))
    }

    /// Closes the helper's standard input, after what is queued.
    pub(crate) fn end_input(&self) -> Result<(), Error> {
        self.queue(Input::End)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.input.is_closed()
    }

    fn queue(&self, input: Input) -> Result<(), Error> {
        match self.input.try_send(input) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Error::SendError),
            // Input of a program that has ended is discarded.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

/// Runs until the child ends, or kills it when its channel ends.
async fn supervise(
    mut child: Child,
    serves: bool,
    input: mpsc::Receiver<Input>,
    gone: oneshot::Receiver<Infallible>,
    writer: ChannelWriter,
) {
    let ended = tokio::select! {
        status = run_to_end(&mut child, serves, input, &writer) => Some(status),
        _ = gone => None,
    };
    if ended.is_none() {
        // An error means that it has ended by itself.
        let _ = child.kill().await;
    }
    // Before the exit status is sent: a client may check the count as soon as it has the status.
    writer
        .shared
        .counters
        .note(|counters| counters.helpers -= 1);
    if let Some(status) = ended {
        let status = status.map_or(NOT_STARTED, exit_status);
        // Documents of `serve` were counted when they were sent.
        writer.count_readings(u64::from(!serves && status == 0));
        writer.exit(status).await;
    }
}

/// Copies the three streams until the child has closed its outputs, and reaps it.
async fn run_to_end(
    child: &mut Child,
    serves: bool,
    input: mpsc::Receiver<Input>,
    writer: &ChannelWriter,
) -> io::Result<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let outputs = async {
        // Before the child is reaped: all that it printed is sent before its exit status.
        tokio::join!(
            copy(stdout, writer, Stream::Output, serves),
            copy(stderr, writer, Stream::Errors, false)
        );
        child.wait().await
    };
    tokio::select! {
        status = outputs => status,
        never = feed(stdin, input) => match never {},
    }
}

async fn copy(
    source: Option<impl AsyncRead + Unpin>,
    writer: &ChannelWriter,
    stream: Stream,
    count: bool,
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; COPY_BYTES];
    let mut documents = Documents::default();
    while let Ok(length @ 1..) = source.read(&mut buffer).await {
        let bytes = &buffer[..length];
        if count {
            writer.count_readings(documents.in_bytes(bytes));
        }
        if writer.send(stream, bytes.to_vec()).await.is_err() {
            return;
        }
    }
}

/// Writes queued input, and never completes: the end of input is not the end of the program.
async fn feed(mut stdin: Option<ChildStdin>, mut input: mpsc::Receiver<Input>) -> Infallible {
    while let Some(Input::Bytes(bytes)) = input.recv().await {
        let Some(pipe) = &mut stdin else { continue };
        // A program that closed its input may still print: its input is discarded.
        if pipe.write_all(&bytes).await.is_err() {
            stdin = None;
        }
    }
    drop(stdin);
    pending().await
}

fn exit_status(status: ExitStatus) -> u32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| SIGNALLED + signal))
        .and_then(|code| u32::try_from(code).ok())
        .unwrap_or(NOT_STARTED)
}

/// Counts documents in the output of `serve`: every line except the greeting.
#[derive(Debug, Default)]
struct Documents {
    greeted: bool,
}

impl Documents {
    fn in_bytes(&mut self, bytes: &[u8]) -> u64 {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let greetings = usize::from(lines > 0 && !self.greeted);
        self.greeted |= lines > 0;
        (lines - greetings) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greeting_is_no_reading() {
        let mut documents = Documents::default();
        assert_eq!(documents.in_bytes(b"{\"pulse"), 0);
        assert_eq!(documents.in_bytes(b"\"}\n{}\n{"), 1);
        assert_eq!(documents.in_bytes(b"}\n"), 1);
    }

    #[test]
    fn signal_has_the_shells_status() {
        assert_eq!(exit_status(ExitStatus::from_raw(9)), 137);
        assert_eq!(exit_status(ExitStatus::from_raw(3 << 8)), 3);
    }
}
