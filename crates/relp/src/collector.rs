//! The receiver of a RELP session, for tests: it takes messages, and acknowledges them when
//! its caller says so.

use crate::frame::{self, Decoder, FrameError, Number, RelpCommand};

/// The largest frame in bytes, as `maxDataSize` of rsyslog's imrelp.
const MAX_MESSAGE: usize = 64 * 1024;

const OFFERS: &[u8] = b"200 OK\nrelp_version=0\nrelp_software=pulse-collector\ncommands=syslog";

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its transaction number.
    pub number: Number,
    /// Its text.
    pub message: Vec<u8>,
}

/// Why a sender's session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// The sender's bytes are not RELP.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Transaction numbers must be consecutive.
    #[error("transaction {found} instead of {expected}")]
    Gap {
        /// The received number.
        found: Number,
        /// The expected number.
        expected: Number,
    },
    /// A response, or a command that was not offered.
    #[error("a command that was not offered")]
    Command,
}

/// One session.
#[derive(Debug)]
pub struct Collector {
    decoder: Decoder,
    expected: Number,
    is_closed: bool,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            decoder: Decoder::new(MAX_MESSAGE),
            expected: Number::FIRST,
            is_closed: false,
        }
    }
}

impl Collector {
    /// Takes bytes of the sender and gives the messages in them. Responses to everything but
    /// messages are appended to `out`; messages are acknowledged by the caller.
    ///
    /// # Errors
    /// [`SenderError`] ends the session.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Vec<Received>, SenderError> {
        let mut messages = Vec::new();
        loop {
            bytes = self.decoder.feed(bytes);
            while let Some(frame) = self.decoder.frame()? {
                let (found, expected) = (frame.number, self.expected);
                if found != expected {
                    return Err(SenderError::Gap { found, expected });
                }
                self.expected = expected.next();
                match frame.command {
                    RelpCommand::Open => {
                        frame::encode(out, frame.number, RelpCommand::Response, OFFERS);
                    }
                    RelpCommand::Syslog => messages.push(Received {
                        number: frame.number,
                        message: frame.data,
                    }),
                    // As rsyslog does: an empty response, and the hint that this side closes as well.
                    RelpCommand::Close => {
                        frame::encode(out, frame.number, RelpCommand::Response, b"");
                        frame::encode(out, Number::HINT, RelpCommand::ServerClose, b"");
                        self.is_closed = true;
                    }
                    _ => return Err(SenderError::Command),
                }
            }
            if bytes.is_empty() {
                return Ok(messages);
            }
        }
    }

    /// Appends the acknowledgement of a message.
    pub fn acknowledge(number: Number, out: &mut Vec<u8>) {
        frame::encode(out, number, RelpCommand::Response, b"200 OK");
    }

    /// True when the sender has closed the session.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Session, WINDOW};
    use proptest::prelude::*;

    proptest! {
        /// However bytes are cut and delayed, and in whatever order messages are
        /// acknowledged: a message that the session reports as acknowledged was received.
        #[test]
        fn acknowledged_means_received(
            seeds in prop::collection::vec(any::<u8>(), 20..200),
            window in 1..WINDOW,
        ) {
            let (mut to_collector, mut to_sender) = (Vec::new(), Vec::new());
            let mut session = Session::start(window, &mut to_collector);
            let mut collector = Collector::default();
            let (mut arrived, mut waiting, mut tag, mut cursor) = (0, Vec::new(), 0, 0);
            for seed in seeds.iter().cycle().take(4000) {
                match seed % 4 {
                    0 => { tag += u64::from(session.send(tag + 1, b"m", &mut to_collector)); }
                    1 => {
                        let cut = to_collector.len().min(usize::from(*seed));
                        let piece: Vec<u8> = to_collector.drain(..cut).collect();
                        let messages = collector.receive(&piece, &mut to_sender).unwrap();
                        arrived += messages.len() as u64;
                        waiting.extend(messages);
                    }
                    2 if !waiting.is_empty() => {
                        let message = waiting.swap_remove(usize::from(*seed) % waiting.len());
                        Collector::acknowledge(message.number, &mut to_sender);
                    }
                    _ => {
                        let cut = to_sender.len().min(usize::from(*seed));
                        let piece: Vec<u8> = to_sender.drain(..cut).collect();
                        session.receive(&piece).unwrap();
                        cursor = session.acknowledged().unwrap_or(cursor);
                        prop_assert!(cursor <= arrived, "{cursor} of {arrived}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_gap_ends_the_session() {
        let mut collector = Collector::default();
        let mut out = Vec::new();
        collector
            .receive(b"1 open 15 commands=syslog\n", &mut out)
            .unwrap();
        let error = collector.receive(b"3 syslog 1 x\n", &mut out).unwrap_err();
        assert!(matches!(error, SenderError::Gap { .. }));
    }
}
