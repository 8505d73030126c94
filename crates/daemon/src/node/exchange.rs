//! Readings over an open connection: a request to the node, a document back.
//!
//! With the helper on the node, one channel stays open and a reading is a line in each
//! direction. Without it, each reading runs a command. The first reading tells which it is:
//! the helper sends a greeting; a forced command prints its document whatever is asked, and
//! that document is the first reading; a shell fails, and is then asked for `sensors -j`.
//!
//! Without the helper, the daemon then asks for a word that is no program. Only a shell looks for
//! one: where it does, our key has no forced command.

use super::NodeTaskSettings;
use super::connect::Connection;
use super::document::{self, NodeDocument, SensorCounts, SharedHistory};
use super::ending::Ending;
use super::failure::{CommandEnd, CommandFault, NodeFailure, Phase, harmless};
use super::host_key::{Identity, unix_seconds};
use super::task::NodeSession;
use pulse_core::event::Exchange;
use pulse_core::nodes::clock::NodeClock;
use pulse_sensors::command::{FORCED_COMMAND_CHECK, NOT_FOUND, NodeCommand};
use pulse_sensors::document::Dropped;
use pulse_sensors::output::{CommandOutput, OutputBuffer, is_greeting};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, Sig};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The outcome of a reading that succeeded.
pub(crate) struct Sample {
    /// The normalised document, as Pulse reads it.
    pub json: Box<RawValue>,
    /// The time of the reading.
    pub taken: Instant,
    /// The node's end of the connection.
    pub address: SocketAddr,
    /// The exchange, for the record.
    pub exchange: Exchange,
    /// The values that were left out of the document.
    pub dropped: Dropped,
    /// The sensors that the document does not have as usual.
    pub sensors: SensorCounts,
    /// The commands that the node runs for our key.
    pub key_scope: KeyScope,
    /// The node's clock, if the helper gave its time.
    pub clock: Option<NodeClock>,
}

/// The commands that a node runs for the daemon's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyScope {
    /// Not found out: no answer in time, or one that a shell and a forced command can both give.
    #[default]
    Unknown,
    /// The forced command alone.
    ForcedCommand,
    /// Any: a shell runs them, as this user.
    AnyCommand { user: String },
}

/// The words that a node is sent.
#[derive(Clone, Copy)]
enum Request {
    Command(NodeCommand),
    ForcedCommandCheck,
}

/// The way in which a node is asked.
enum Transport {
    /// Not tried yet.
    Unknown,
    /// A line on the helper's open channel.
    Helper(Lines),
    /// A command for each reading.
    Command(NodeCommand),
}

/// A connection, and the way in which its node is asked.
pub(super) struct Session {
    connection: Connection,
    transport: Transport,
    key_scope: KeyScope,
    /// The time from which on the check may run, while the scope is unknown.
    next_check: Instant,
    limit: usize,
    user: String,
    require_forced_command: bool,
    history: SharedHistory,
}

/// The wait for the answer to [`FORCED_COMMAND_CHECK`]. A shell that finds no program says so at
/// once, as it has just run another command; a forced command may take a while.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest interval of checks that found nothing out. A forced command that is slow runs once
/// more for each, and may be expensive.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);
/// The interval after a check that was not answered: longer than connections last in practice.
const NO_CHECK: Duration = Duration::from_hours(24);

/// Bytes that SSH itself may need for an exchange and for keepalives after it.
const PROTOCOL_BYTES: usize = 256 * 1024;
const REQUEST: &[u8] = b"read\n";

impl NodeSession for Session {
    fn identity(&self) -> &Arc<Identity> {
        &self.connection.identity
    }

    fn address(&self) -> SocketAddr {
        self.connection.address
    }

    fn is_closed(&self) -> bool {
        self.connection.handle.is_closed()
    }

    async fn read(&mut self, deadline: Instant) -> Result<Sample, NodeFailure> {
        // The first reading can run three commands, each with its own output.
        self.connection.guard.allow(3 * self.limit + PROTOCOL_BYTES);
        match self.exchange(deadline).await {
            // The library reports a connection that the guard has ended as a broken one.
            Err(_) if self.connection.guard.exceeded() => {
                Err(NodeFailure::Oversized { limit: self.limit })
            }
            Err(closed @ NodeFailure::Closed(_)) => Err(match self.connection.ended().await {
                Some(Ending::Broken(failure)) => failure.after_login(),
                Some(Ending::Refused) | None => closed.after_login(),
            }),
            outcome => outcome,
        }
    }
}

impl Session {
    pub(super) fn new(
        connection: Connection,
        settings: &NodeTaskSettings,
        history: SharedHistory,
    ) -> Self {
        Self {
            connection,
            transport: Transport::Unknown,
            key_scope: KeyScope::Unknown,
            next_check: Instant::now(),
            limit: settings.max_output_bytes,
            user: settings.node.user.clone(),
            require_forced_command: settings.require_forced_command,
            history,
        }
    }

    async fn exchange(&mut self, deadline: Instant) -> Result<Sample, NodeFailure> {
        let sample = match &mut self.transport {
            Transport::Helper(lines) => {
                lines.channel.data_bytes(REQUEST).await?;
                let line = lines.answer().await?;
                self.sample(NodeCommand::Serve, &line, None)?
            }
            Transport::Command(command) => {
                let command = *command;
                let output = self.run(Request::Command(command)).await?;
                self.sample_of(command, &output)?
            }
            Transport::Unknown => self.first_reading().await?,
        };
        match self.transport {
            Transport::Command(_)
                if self.key_scope == KeyScope::Unknown && self.next_check <= Instant::now() =>
            {
                self.check_forced_command(sample, deadline).await
            }
            _ => Ok(sample),
        }
    }

    /// Finds out whether a shell runs what the daemon asks for, on a connection whose node has no
    /// helper. The sample is there already: a node that does not answer, or ends the connection
    /// after one command, is read all the same.
    async fn check_forced_command(
        &mut self,
        sample: Sample,
        deadline: Instant,
    ) -> Result<Sample, NodeFailure> {
        let now = Instant::now();
        self.next_check = now + CHECK_INTERVAL;
        // The task polls the reading before its own deadline, so that this one may be the same.
        let until = deadline.min(now + CHECK_TIMEOUT);
        let answer = timeout_at(until, self.run(Request::ForcedCommandCheck)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Ok(sample),
            Err(_) => {
                // The command still runs, in a session that the node counts: this connection gets
                // no second one.
                self.next_check = now + NO_CHECK;
                return Ok(sample);
            }
        };
        self.key_scope = key_scope(&answer, &self.user);
        match &self.key_scope {
            KeyScope::AnyCommand { user } if self.require_forced_command => {
                Err(NodeFailure::NoForcedCommand { user: user.clone() })
            }
            key_scope => Ok(Sample {
                key_scope: key_scope.clone(),
                ..sample
            }),
        }
    }

    async fn first_reading(&mut self) -> Result<Sample, NodeFailure> {
        let serve = Request::Command(NodeCommand::Serve);
        let mut lines = self.lines(serve).await?;
        let first = match lines.next().await {
            Ok(Some(line)) if is_greeting(&line) => {
                lines.channel.data_bytes(REQUEST).await?;
                let line = lines.answer().await?;
                self.transport = Transport::Helper(lines);
                self.key_scope = KeyScope::ForcedCommand;
                return self.sample(NodeCommand::Serve, &line, None);
            }
            // A line, or the end of the command without one.
            Ok(line) => Some(line.unwrap_or_default()),
            // A server that permits some commands, and not this one.
            Err(NodeFailure::NotStarted { .. }) => None,
            Err(failure) => return Err(failure),
        };
        if let Some(first) = first {
            // Not the helper, so the command prints its output and ends.
            let output = lines.rest(first).await?;
            if let Ok(sample) = self.sample_of(NodeCommand::Serve, &output) {
                // A forced command, which prints its document whatever is asked.
                self.transport = Transport::Command(NodeCommand::SensorsJson);
                return Ok(sample);
            }
        }
        // A shell, or a list of commands, which does not know the helper.
        let sensors = Request::Command(NodeCommand::SensorsJson);
        let output = self.run(sensors).await?;
        let sample = self.sample_of(NodeCommand::SensorsJson, &output)?;
        // Only now: after a failure the next session tries the helper again.
        self.transport = Transport::Command(NodeCommand::SensorsJson);
        Ok(sample)
    }

    async fn exec(&self, request: Request) -> Result<Channel<Msg>, NodeFailure> {
        let words = match request {
            Request::Command(command) => command.to_string(),
            Request::ForcedCommandCheck => FORCED_COMMAND_CHECK.to_owned(),
        };
        let channel = self.connection.handle.channel_open_session().await;
        let channel = channel.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => NodeFailure::NoSession {
                user: self.user.clone(),
            },
            error => error.into(),
        })?;
        // The reply is not waited for, and costs no round trip. Without it, a node that does not
        // start the command would say nothing at all.
        channel.exec(true, words).await?;
        Ok(channel)
    }

    async fn lines(&self, request: Request) -> Result<Lines, NodeFailure> {
        Ok(Lines {
            channel: self.exec(request).await?,
            user: self.user.clone(),
            printing: OutputBuffer::new(self.limit),
            has_ended: false,
        })
    }

    async fn run(&self, request: Request) -> Result<CommandOutput, NodeFailure> {
        self.lines(request).await?.rest(Vec::new()).await
    }

    fn sample_of(
        &self,
        command: NodeCommand,
        output: &CommandOutput,
    ) -> Result<Sample, NodeFailure> {
        let sample = self.sample(command, &output.stdout, output.exit_code);
        // The output decides: a document that can be read counts, whatever the exit code is.
        let end = match (&output.signal, output.exit_code) {
            (Some(signal), _) => CommandEnd::Signal(harmless(signal)),
            (None, Some(code)) if code != 0 => CommandEnd::Exit(code),
            _ => return sample,
        };
        sample.map_err(|_| NodeFailure::Command {
            end,
            stderr: shown_text(&output.stderr),
            fault: CommandFault::of(output, &self.user),
        })
    }

    fn sample(
        &self,
        command: NodeCommand,
        stdout: &[u8],
        exit_code: Option<u32>,
    ) -> Result<Sample, NodeFailure> {
        let NodeDocument {
            json,
            dropped,
            sensors,
            collected_at,
        } = document::read(stdout, &self.history)?;
        Ok(Sample {
            json,
            taken: Instant::now(),
            address: self.connection.address,
            exchange: Exchange {
                address: self.connection.address.to_string(),
                host_key: self.connection.identity.fingerprint().to_owned(),
                command,
                exit_code,
                stdout_sha256: Sha256::digest(stdout).into(),
                stdout_bytes: stdout.len() as u64,
            },
            dropped,
            sensors,
            key_scope: self.key_scope.clone(),
            clock: collected_at.map(|node| NodeClock {
                node,
                here: unix_seconds(),
            }),
        })
    }
}

/// Draws the conclusion from an answer to [`FORCED_COMMAND_CHECK`].
fn key_scope(answer: &CommandOutput, user: &str) -> KeyScope {
    // A forced command may print its document and then fail to find another program. A login
    // shell may print a greeting of its own, so not every output is a forced command's.
    if pulse_sensors::document::read(&answer.stdout).is_ok() {
        return KeyScope::ForcedCommand;
    }
    match answer.exit_code {
        // No shell finds the program.
        Some(0) => KeyScope::ForcedCommand,
        Some(NOT_FOUND) => KeyScope::AnyCommand {
            user: user.to_owned(),
        },
        // Such as a forced command that refuses what it does not know, or csh, which ends with 1.
        _ => KeyScope::Unknown,
    }
}

/// Output of a node, escaped and cut for a message.
fn shown_text(bytes: &[u8]) -> String {
    pulse_core::nodes::name::shown(String::from_utf8_lossy(bytes).trim())
}

/// The output of a channel, line by line, within a bound.
struct Lines {
    channel: Channel<Msg>,
    /// The user of the login.
    user: String,
    printing: OutputBuffer,
    /// No more output comes: the node said so.
    has_ended: bool,
}

impl Lines {
    /// The next line, without its newline; `None` when the channel ends first.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, NodeFailure> {
        loop {
            if let Some(line) = self.printing.line()? {
                return Ok(Some(line));
            }
            if !self.receive().await? {
                return Ok(None);
            }
        }
    }

    /// The helper's answer; an error when it ends instead.
    async fn answer(&mut self) -> Result<Vec<u8>, NodeFailure> {
        if let Some(line) = self.next().await? {
            return Ok(line);
        }
        let (end, fault) = match (self.printing.signal(), self.printing.exit_code()) {
            (Some(signal), _) => (CommandEnd::Signal(harmless(signal)), CommandFault::Killed),
            (None, Some(code)) => (CommandEnd::Exit(code), CommandFault::Failed),
            (None, None) => (CommandEnd::Unknown, CommandFault::Failed),
        };
        Err(NodeFailure::HelperEnded {
            end,
            stderr: shown_text(self.printing.stderr()),
            fault,
        })
    }

    /// All output until the command ends, with the line that was already taken.
    async fn rest(mut self, first: Vec<u8>) -> Result<CommandOutput, NodeFailure> {
        self.printing.put_back(first);
        self.printing.check()?;
        while self.receive().await? {
            self.printing.check()?;
        }
        Ok(self.printing.finish())
    }

    /// Receives one message; `false` when the channel has ended. A channel that ends with its
    /// connection is an error: its output is not all that the command printed.
    async fn receive(&mut self) -> Result<bool, NodeFailure> {
        match self.channel.wait().await {
            Some(ChannelMsg::Data { data }) => self.printing.add_stdout(&data),
            Some(ChannelMsg::ExtendedData { data, .. }) => self.printing.add_stderr(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => self.printing.exit(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                // Only `Custom` has another name than its variant.
                self.printing.killed(&match signal_name {
                    Sig::Custom(name) => name,
                    signal => format!("{signal:?}"),
                });
            }
            Some(ChannelMsg::Failure) => {
                return Err(NodeFailure::NotStarted {
                    user: self.user.clone(),
                });
            }
            // Not the end of the channel: the exit status can come after it.
            Some(ChannelMsg::Eof) => self.has_ended = true,
            Some(ChannelMsg::Close) => {
                self.has_ended = true;
                return Ok(false);
            }
            None if self.has_ended => return Ok(false),
            None => return Err(NodeFailure::Closed(Phase::AfterLogin)),
            Some(_) => {}
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proof_counts() {
        let any = KeyScope::AnyCommand {
            user: "u".to_owned(),
        };
        let document = r#"{"chip":{"Core 0":{"temp2_input":45.0}}}"#;
        for (stdout, exit_code, expected) in [
            (document, Some(0), KeyScope::ForcedCommand),
            (document, Some(127), KeyScope::ForcedCommand),
            (document, None, KeyScope::ForcedCommand),
            ("", Some(0), KeyScope::ForcedCommand),
            ("", Some(127), any.clone()),
            ("welcome\n", Some(127), any),
            // csh.
            ("", Some(1), KeyScope::Unknown),
            ("", Some(255), KeyScope::Unknown),
            ("welcome\n", None, KeyScope::Unknown),
        ] {
            let answer = CommandOutput {
                stdout: stdout.into(),
                stderr: Vec::new(),
                exit_code,
                signal: None,
            };
            let found = key_scope(&answer, "u");
            assert_eq!(found, expected, "{stdout:?}, {exit_code:?}");
        }
    }
}
