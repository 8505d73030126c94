//! The sender of a RELP session: a window of messages, and their acknowledgements.
//!
//! An acknowledgement means that the collector has received the message, not that it has
//! stored it. The caller gives each message a tag (its position in the queue), and gets back
//! the tag up to which all messages are acknowledged. Acknowledgements may come out of
//! order; because only an unbroken prefix counts, one number is enough to remember what need
//! not be sent again.

use crate::frame::{self, Decoder, Frame, FrameError, Number, RelpCommand};
use pulse_sensors::shown::is_active;
use std::collections::VecDeque;

/// The largest response in bytes: the collector's offers.
const MAX_RESPONSE: usize = 4096;

/// Messages that may be in flight, as many as librelp's default.
pub const WINDOW: usize = 128;

/// The offers of this sender.
const OFFERS: &str = concat!(
    "relp_version=0\n",
    "relp_software=pulse-sensor-proxy,",
    env!("CARGO_PKG_VERSION"),
    "\ncommands=syslog"
);

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The collector's bytes are not RELP.
    #[error("the collector does not speak RELP")]
    Frame(#[from] FrameError),
    /// The collector refused the session or a message.
    #[error("the collector refused: {code} {text}")]
    Refused {
        /// The status code.
        code: u16,
        /// Its text, printable and at most 200 characters.
        text: String,
    },
    /// The collector does not offer the command `syslog`.
    #[error("the collector does not offer to take syslog messages")]
    NoSyslog,
    /// The collector acknowledged a transaction that was not in flight.
    #[error("the collector acknowledged transaction {0}, which was not in flight")]
    Unknown(Number),
    /// A response has no status code.
    #[error("the collector sent a response without a code")]
    NoCode,
    /// The collector sent something other than a response.
    #[error("the collector sent a request")]
    Request,
    /// The collector closed the session.
    #[error("the collector closed the session")]
    ServerClosed,
}

/// The phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closing,
    Closed,
}

/// A message in flight.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: Number,
    tag: u64,
    is_acknowledged: bool,
}

/// One session, from the first frame to the last.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    decoder: Decoder,
    next: Number,
    /// The last request other than a message: to open or to close.
    request: Number,
    window: usize,
    sent: VecDeque<Sent>,
    acknowledged: Option<u64>,
    /// Messages acknowledged.
    acknowledgements: u64,
}

impl Session {
    /// Appends the first frame to `out`. Up to `window` messages will be in flight at a time.
    #[must_use]
    pub fn start(window: usize, out: &mut Vec<u8>) -> Self {
        frame::encode(out, Number::FIRST, RelpCommand::Open, OFFERS.as_bytes());
        Self {
            phase: Phase::Opening,
            decoder: Decoder::new(MAX_RESPONSE),
            next: Number::FIRST.next(),
            request: Number::FIRST,
            window,
            sent: VecDeque::with_capacity(window),
            acknowledged: None,
            acknowledgements: 0,
        }
    }

    /// The number of messages that were acknowledged.
    #[must_use]
    pub fn acknowledgements(&self) -> u64 {
        self.acknowledgements
    }

    /// The number of messages that may be sent now.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.phase {
            Phase::Open => self.window - self.sent.len(),
            _ => 0,
        }
    }

    /// True when the collector has accepted the session.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// True when both sides have closed the session.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The number of messages that are not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Appends a message to `out`; false, and nothing, when there is no
    /// [room](Self::room). Tags must increase.
    pub fn send(&mut self, tag: u64, message: &[u8], out: &mut Vec<u8>) -> bool {
        if self.room() == 0 {
            return false;
        }
        let number = self.take_number();
        frame::encode(out, number, RelpCommand::Syslog, message);
        self.sent.push_back(Sent {
            number,
            tag,
            is_acknowledged: false,
        });
        true
    }

    /// Appends the request to close the session.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.phase != Phase::Open {
            return;
        }
        self.request = self.take_number();
        frame::encode(out, self.request, RelpCommand::Close, b"");
        self.phase = Phase::Closing;
    }

    /// Takes bytes of the collector.
    ///
    /// # Errors
    /// [`SessionError`] ends the session. Messages that were acknowledged before stay so:
    /// [`Session::acknowledged`].
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<(), SessionError> {
        loop {
            // The decoder takes one frame's bytes at most: the rest is fed when it has room again.
            bytes = self.decoder.feed(bytes);
            while let Some(frame) = self.decoder.frame()? {
                self.take(&frame)?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// The tag up to which all messages are acknowledged; none when it has not grown since the
    /// last call.
    pub fn acknowledged(&mut self) -> Option<u64> {
        self.acknowledged.take()
    }

    fn take_number(&mut self) -> Number {
        let number = self.next;
        self.next = number.next();
        number
    }

    fn take(&mut self, frame: &Frame) -> Result<(), SessionError> {
        match (frame.command, self.phase) {
            // It may come before or after the response to our close.
            (RelpCommand::ServerClose, Phase::Closing | Phase::Closed) => {
                self.phase = Phase::Closed;
                Ok(())
            }
            (RelpCommand::ServerClose, _) => Err(SessionError::ServerClosed),
            (RelpCommand::Response, _) => self.respond(frame),
            _ => Err(SessionError::Request),
        }
    }

    fn respond(&mut self, frame: &Frame) -> Result<(), SessionError> {
        let is_expected = frame.number == self.request;
        match self.phase {
            Phase::Opening if is_expected => {
                accepted(&frame.data)?;
                let offers = String::from_utf8_lossy(&frame.data);
                let mut commands = offers
                    .lines()
                    .filter_map(|line| line.strip_prefix("commands="))
                    .flat_map(|commands| commands.split(','));
                if !commands.any(|command| command.trim() == "syslog") {
                    return Err(SessionError::NoSyslog);
                }
                self.phase = Phase::Open;
                Ok(())
            }
            // rsyslog's response to a close is empty: it has no status code.
            Phase::Closing if is_expected => {
                self.phase = Phase::Closed;
                Ok(())
            }
            // While closing, acknowledgements of earlier messages may still arrive.
            Phase::Open | Phase::Closing => self.acknowledge(frame),
            _ => Err(SessionError::Unknown(frame.number)),
        }
    }

    fn acknowledge(&mut self, frame: &Frame) -> Result<(), SessionError> {
        // A search and no subtraction of numbers: these start again at 1 after the largest. The
        // window bounds it.
        let sent = self
            .sent
            .iter_mut()
            .find(|sent| sent.number == frame.number && !sent.is_acknowledged)
            .ok_or(SessionError::Unknown(frame.number))?;
        accepted(&frame.data)?;
        sent.is_acknowledged = true;
        self.acknowledgements += 1;
        while let Some(first) = self.sent.front().filter(|first| first.is_acknowledged) {
            self.acknowledged = Some(first.tag);
            self.sent.pop_front();
        }
        Ok(())
    }
}

/// A response begins with a status code of three digits; 200 is success.
fn accepted(data: &[u8]) -> Result<(), SessionError> {
    let code = data
        .get(..3)
        .and_then(|digits| str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u16>().ok());
    match code.ok_or(SessionError::NoCode)? {
        200 => Ok(()),
        code => {
            // A peer's text, made safe for a log: one line, no control characters, a bounded length.
            let text = String::from_utf8_lossy(data.get(3..).unwrap_or_default());
            let text = text.trim().chars().filter(|c| !is_active(*c));
            Err(SessionError::Refused {
                code,
                text: text.take(200).collect(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELCOME: &[u8] = b"1 rsp 93 200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog\n";

    fn open() -> Session {
        let mut out = Vec::new();
        let mut session = Session::start(3, &mut out);
        assert!(out.starts_with(b"1 open ") && out.ends_with(b"\ncommands=syslog\n"));
        assert_eq!(session.room(), 0);
        session.receive(WELCOME).unwrap();
        assert!(session.is_open());
        session
    }

    fn send(session: &mut Session, tag: u64) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(session.send(tag, b"x", &mut out));
        out
    }

    #[test]
    fn a_session_with_rsyslog() {
        let mut session = open();
        assert_eq!(send(&mut session, 17), b"2 syslog 1 x\n");
        session.receive(b"2 rsp 6 200 OK\n").unwrap();
        assert_eq!(
            (session.acknowledged(), session.acknowledged()),
            (Some(17), None)
        );
        let mut out = Vec::new();
        session.close(&mut out);
        assert_eq!(out, b"3 close 0\n");
        assert_eq!(session.room(), 0);
        session.receive(b"3 rsp 0\n0 serverclose 0\n").unwrap();
        assert!(session.is_closed());
    }

    #[test]
    fn the_window_bounds_messages() {
        let mut session = open();
        for tag in 0..3 {
            send(&mut session, tag);
        }
        let mut out = Vec::new();
        assert!(!session.send(3, b"x", &mut out) && out.is_empty());
        session.receive(b"2 rsp 6 200 OK\n").unwrap();
        assert_eq!((session.room(), session.in_flight()), (1, 2));
    }

    #[test]
    fn only_an_acknowledged_prefix_counts() {
        let mut session = open();
        for tag in [10, 20, 30] {
            send(&mut session, tag);
        }
        session
            .receive(b"3 rsp 6 200 OK\n4 rsp 6 200 OK\n")
            .unwrap();
        assert_eq!((session.acknowledged(), session.room()), (None, 0));
        session.receive(b"2 rsp 6 200 OK\n").unwrap();
        assert_eq!((session.acknowledged(), session.room()), (Some(30), 3));
    }

    #[test]
    fn protocol_violations_end_it() {
        let once = |bytes: &[u8]| {
            let mut session = open();
            send(&mut session, 1);
            session.receive(bytes).unwrap_err()
        };
        let unknown = |error| matches!(error, SessionError::Unknown(_));
        assert!(unknown(once(b"9 rsp 6 200 OK\n")));
        assert!(unknown(once(b"1 rsp 6 200 OK\n")));
        assert!(unknown(once(b"2 rsp 6 200 OK\n2 rsp 6 200 OK\n")));
        assert_eq!(once(b"2 rsp 2 OK\n"), SessionError::NoCode);
        assert_eq!(once(b"2 syslog 1 x\n"), SessionError::Request);
        assert_eq!(once(b"0 serverclose 0\n"), SessionError::ServerClosed);
        assert!(matches!(
            once(b"HTTP/1.1 400 Bad Request\r\n"),
            SessionError::Frame(_)
        ));
        assert!(matches!(once(b"2 rsp 999999999 "), SessionError::Frame(_)));
    }

    #[test]
    fn a_refusal_is_safe_to_log() {
        let mut session = open();
        send(&mut session, 1);
        let data = b"500 no\x1b[31m\nroom";
        let frame = [format!("2 rsp {} ", data.len()).as_bytes(), data, b"\n"].concat();
        let SessionError::Refused { code, text } = session.receive(&frame).unwrap_err() else {
            panic!("it was refused");
        };
        assert_eq!((code, text.as_str()), (500, "no[31mroom"));
    }

    #[test]
    fn acks_before_a_violation_count() {
        let mut session = open();
        send(&mut session, 1);
        send(&mut session, 2);
        assert!(
            session
                .receive(b"2 rsp 6 200 OK\n7 rsp 6 200 OK\n")
                .is_err()
        );
        assert_eq!(session.acknowledged(), Some(1));
    }

    #[test]
    fn syslog_must_be_offered() {
        let mut session = Session::start(3, &mut Vec::new());
        let error = session
            .receive(b"1 rsp 20 200 OK\ncommands=none\n")
            .unwrap_err();
        assert_eq!(error, SessionError::NoSyslog);
    }
}
