//! Behaviour of a simulated node, as pure decisions.
//!
//! An event (a command, a request line, the end of input) and the present behaviour give an
//! `Action`, which the session carries out. The behaviour is read at every event, so a change
//! applies to open connections and channels.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The first line of `serve`, as the real helper prints it.
pub const GREETING: &str = concat!(
    "{\"pulse_sensor_node\":{\"protocol\":1,\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"}}\n"
);

/// The longest request line, in bytes without its newline; a longer one ends
/// the helper.
pub const MAX_REQUEST_BYTES: usize = 1024;

/// Bytes in one line of [`Behaviour::Garbage`], its newline included.
pub const GARBAGE_BYTES: usize = 512;

const UNKNOWN_REQUEST: &str = "{\"error\":\"unknown request\"}\n";
const LINE_TOO_LONG: &str = "request line too long\n";
/// The real helper's exit status for a line that is too long.
const TOO_LONG_STATUS: u32 = 65;

/// A node's behaviour towards its clients, from the next event on.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Runs the real node helper: one child process per command, killed when
    /// its channel closes. A change does not replace a child that runs.
    Helper {
        /// The helper's binary.
        program: PathBuf,
        /// The tree it reads, given as `--sys-root`.
        sys_root: PathBuf,
    },
    /// Answers as the helper does, without a child: light enough for ten
    /// thousand nodes on one listener.
    Synthetic {
        /// One line, without its newline.
        document: Arc<str>,
    },
    /// Prints its output and exits, whatever the command: a node without helper.
    Legacy {
        /// Everything that goes to standard output.
        output: Vec<u8>,
        /// The exit status.
        exit: u32,
    },
    /// Accepts the command and says nothing.
    Hang,
    /// Greets, then answers no request.
    HangAfterGreeting,
    /// Answers each reading after a delay.
    SlowBy {
        /// Duration of a reading.
        delay: Duration,
        /// As for [`Behaviour::Synthetic`].
        document: Arc<str>,
    },
    /// Sends bytes without end and without a newline.
    Flood,
    /// Answers with lines of noise that are not UTF-8.
    Garbage,
    /// Closes the channel, without an exit status.
    CloseAtOnce,
    /// Drops the connection as soon as the client is logged in; one that is
    /// logged in already, at its next command or request.
    DropConnection,
    /// Refuses every key.
    RefuseKey,
    /// Answers as [`Behaviour::Synthetic`], and meanwhile opens channels towards
    /// the client as fast as the client takes them.
    OpensChannels {
        /// As for [`Behaviour::Synthetic`].
        document: Arc<str>,
    },
    /// Accepts TCP connections and sends nothing.
    Blackhole,
    /// Sends lines before its SSH version, without end. A client that counts lines stops soon
    /// when they are fast; slow ones need a deadline.
    Banner {
        /// The pause between two lines; zero for none.
        every: Duration,
    },
    /// Sends this text instead of an SSH version, and closes the connection: as sshd does with one
    /// that it drops, or as another server.
    Speaks {
        /// All that it sends.
        text: Arc<str>,
    },
    /// Greets, then never reads from the socket again, keepalives included.
    StopsReading,
}

/// A session's response to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing: the client waits.
    Wait,
    /// Send this.
    Reply(Reply),
    /// Send bytes until the behaviour changes.
    Flood,
    /// Close the channel.
    Close,
    /// Drop the connection.
    Cut,
    /// Send this, then read nothing more.
    StopReading(Reply),
    /// Start the helper.
    Run { program: PathBuf, sys_root: PathBuf },
}

/// A program's output, and its exit status if it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) after: Duration,
    pub(crate) output: Vec<u8>,
    pub(crate) complaint: &'static str,
    pub(crate) readings: u64,
    pub(crate) exit: Option<u32>,
}

impl Behaviour {
    /// The answer to a command; a shell request is an empty one.
    pub(crate) fn on_command(&self, command: &[u8]) -> Action {
        match self {
            Self::Helper { program, sys_root } => Action::Run {
                program: program.clone(),
                sys_root: sys_root.clone(),
            },
            Self::HangAfterGreeting => Action::Reply(greeting()),
            Self::StopsReading => Action::StopReading(greeting()),
            _ => match self.document() {
                Some(_) if asks_to_serve(command) => Action::Reply(greeting()),
                Some(document) => Action::Reply(self.reading(document).and_exit(0)),
                None => self.misbehave(),
            },
        }
    }

    /// The answer to one line on a channel that serves in-process.
    pub(crate) fn on_request(&self, line: &[u8]) -> Action {
        // As the helper does: it complains on standard error and ends.
        if line.len() > MAX_REQUEST_BYTES && self.document().is_some() {
            return Action::Reply(Reply {
                complaint: LINE_TOO_LONG,
                ..Reply::default().and_exit(TOO_LONG_STATUS)
            });
        }
        match (self.document(), line) {
            (Some(document), b"read") => Action::Reply(self.reading(document)),
            (Some(_), _) => Action::Reply(Reply::print(UNKNOWN_REQUEST)),
            (None, _) => self.misbehave(),
        }
    }

    /// The answer to the end of input on a channel that serves in-process.
    pub(crate) fn on_end_of_input(&self) -> Action {
        if self.document().is_some() {
            return Action::Reply(Reply::default().and_exit(0));
        }
        Action::Wait
    }

    /// True when the node opens channels towards the client.
    pub(crate) fn opens_channels(&self) -> bool {
        matches!(self, Self::OpensChannels { .. })
    }

    /// The response to a `read` request; none when requests get no proper response.
    fn document(&self) -> Option<&str> {
        match self {
            Self::Synthetic { document }
            | Self::SlowBy { document, .. }
            | Self::OpensChannels { document } => Some(document),
            _ => None,
        }
    }

    fn reading(&self, document: &str) -> Reply {
        Reply {
            after: match self {
                Self::SlowBy { delay, .. } => *delay,
                _ => Duration::ZERO,
            },
            readings: 1,
            ..Reply::print(&format!("{document}\n"))
        }
    }

    /// The response to any event under a behaviour without proper responses.
    fn misbehave(&self) -> Action {
        match self {
            Self::Legacy { output, exit } => Action::Reply(Reply {
                output: output.clone(),
                readings: 1,
                exit: Some(*exit),
                ..Reply::default()
            }),
            // This channel's program was of an earlier behaviour.
            Self::Helper { .. } => Action::Reply(Reply::default().and_exit(0)),
            Self::Flood => Action::Flood,
            Self::Garbage => Action::Reply(Reply {
                output: garbage(),
                ..Reply::default()
            }),
            Self::CloseAtOnce => Action::Close,
            Self::DropConnection => Action::Cut,
            Self::StopsReading => Action::StopReading(Reply::default()),
            _ => Action::Wait,
        }
    }
}

impl Reply {
    fn print(text: &str) -> Self {
        Self {
            output: text.as_bytes().to_vec(),
            ..Self::default()
        }
    }

    fn and_exit(self, status: u32) -> Self {
        Self {
            exit: Some(status),
            ..self
        }
    }
}

/// True when a command starts the long-lived helper.
pub(crate) fn asks_to_serve(command: &[u8]) -> bool {
    // The last word alone: the path of the program differs between installations.
    command
        .rsplit(|byte| *byte == b' ')
        .find(|word| !word.is_empty())
        == Some(b"serve")
}

fn greeting() -> Reply {
    Reply::print(GREETING)
}

/// Noise with every byte value but newline, the same in every run.
fn garbage() -> Vec<u8> {
    // A linear congruential generator with the constants of Numerical Recipes. Its high bits are
    // the better ones.
    let mut state = 0x9e37_79b9_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let mut noise: Vec<u8> = bytes
        .filter(|byte| *byte != b'\n')
        .take(GARBAGE_BYTES - 1)
        .collect();
    noise.push(b'\n');
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synthetic() -> Behaviour {
        Behaviour::Synthetic {
            document: "{}".into(),
        }
    }

    #[test]
    fn only_serve_greets() {
        assert_eq!(
            synthetic().on_command(b"pulse-sensor-node serve"),
            Action::Reply(greeting())
        );
        for command in [&b"pulse-sensor-node read"[..], b"sensors -j", b""] {
            let Action::Reply(reply) = synthetic().on_command(command) else {
                panic!("no reply")
            };
            assert_eq!(
                (reply.output, reply.exit),
                (b"{}\n".to_vec(), Some(0)),
                "{command:?}"
            );
        }
    }

    #[test]
    fn requests_are_answered_like_the_helper() {
        let Action::Reply(reading) = synthetic().on_request(b"read") else {
            panic!("no reply")
        };
        assert_eq!((reading.readings, reading.exit), (1, None));
        let Action::Reply(error) = synthetic().on_request(b"reboot") else {
            panic!("no reply")
        };
        assert_eq!(
            (error.output, error.exit),
            (UNKNOWN_REQUEST.into(), None),
            "an unknown request ends nothing"
        );
        let Action::Reply(long) = synthetic().on_request(&[b'r'; MAX_REQUEST_BYTES + 1]) else {
            panic!("no reply")
        };
        assert_eq!(
            (long.complaint, long.exit),
            (LINE_TOO_LONG, Some(TOO_LONG_STATUS))
        );
    }

    #[test]
    fn garbage_is_one_invalid_line() {
        let noise = garbage();
        assert_eq!(noise.len(), GARBAGE_BYTES);
        assert_eq!(
            noise.iter().position(|b| *b == b'\n'),
            Some(GARBAGE_BYTES - 1)
        );
        assert!(std::str::from_utf8(&noise).is_err());
    }

    #[test]
    fn idle_node_waits_at_end_of_input() {
        assert_eq!(Behaviour::Hang.on_end_of_input(), Action::Wait);
        assert_eq!(
            synthetic().on_end_of_input(),
            Action::Reply(Reply::default().and_exit(0))
        );
    }
}
