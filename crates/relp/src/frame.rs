//! RELP frames: `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.
//!
//! The transaction number and the length have up to nine digits, the command up to 32
//! letters. Data and the space before it are omitted when the length is 0.

use std::fmt;

/// The largest transaction number; the next one is 1 (librelp's `relp.h`).
const MAX_NUMBER: u32 = 999_999_999;

/// The longest `TXNR SP COMMAND SP DATALEN SP`, in bytes.
const MAX_HEADER: usize = 9 + 1 + 32 + 1 + 9 + 1;

/// A transaction number, which a request and its response share. 0 is for hints, which have
/// no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u32);

impl Number {
    /// The number of hints.
    pub(crate) const HINT: Self = Self(0);
    /// The first number of a connection.
    pub const FIRST: Self = Self(1);

    /// The following number.
    #[must_use]
    pub fn next(self) -> Self {
        match self.0 {
            MAX_NUMBER => Self::FIRST,
            number => Self(number + 1),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The command of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelpCommand {
    /// Opens a session; has the sender's offers.
    Open,
    /// A message.
    Syslog,
    /// The response to a request.
    Response,
    /// Closes the session.
    Close,
    /// The collector closes the session (a hint).
    ServerClose,
    /// Any other command.
    Unknown,
}

impl RelpCommand {
    /// The command's text in a frame.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Syslog => "syslog",
            Self::Response => "rsp",
            Self::Close => "close",
            Self::ServerClose => "serverclose",
            Self::Unknown => "unknown",
        }
    }

    fn parse(word: &[u8]) -> Self {
        match word {
            b"open" => Self::Open,
            b"syslog" => Self::Syslog,
            b"rsp" => Self::Response,
            b"close" => Self::Close,
            b"serverclose" => Self::ServerClose,
            _ => Self::Unknown,
        }
    }
}

/// A complete frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its transaction number.
    pub number: Number,
    /// Its command.
    pub command: RelpCommand,
    /// Its data.
    pub data: Vec<u8>,
}

/// Why bytes are not a frame. The connection cannot be used afterwards: the beginning of the
/// next frame is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No transaction number.
    #[error("a frame does not begin with a transaction number")]
    Number,
    /// No command.
    #[error("a frame has no command")]
    Command,
    /// No length.
    #[error("a frame has no length")]
    Length,
    /// The length exceeds the limit.
    #[error("a frame of {length} bytes, where {limit} is the most")]
    TooLong {
        /// The frame's length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// No line feed after the data.
    #[error("a frame does not end where it says")]
    Trailer,
}

/// Appends a frame.
pub fn encode(out: &mut Vec<u8>, number: Number, command: RelpCommand, data: &[u8]) {
    out.extend_from_slice(format!("{number} {} {}", command.as_str(), data.len()).as_bytes());
    if !data.is_empty() {
        out.push(b' ');
        out.extend_from_slice(data);
    }
    out.push(b'\n');
}

/// An incremental decoder of frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    bytes: Vec<u8>,
    /// The number of `bytes` that are decoded.
    read: usize,
}

impl Decoder {
    /// A decoder of frames with up to `limit` bytes of data.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            read: 0,
        }
    }

    /// The number of bytes that it takes before a [frame](Self::frame) must be taken: it never
    /// buffers more than the longest frame.
    #[must_use]
    pub fn room(&self) -> usize {
        (MAX_HEADER + self.limit + 1).saturating_sub(self.bytes.len() - self.read)
    }

    /// Adds received bytes, as far as there is [room](Self::room), and gives the rest of them.
    #[must_use = "the rest must be fed later"]
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        // Decoded frames are removed here and not one by one: each removal moves the rest.
        self.bytes.drain(..self.read);
        self.read = 0;
        let (taken, left) = bytes.split_at(bytes.len().min(self.room()));
        self.bytes.extend_from_slice(taken);
        left
    }

    /// The next frame; none while it is incomplete.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes cannot become a frame.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let unread = self.bytes.get(self.read..).unwrap_or_default();
        let Some((header, rest)) = parse_header(unread, self.limit)? else {
            return Ok(None);
        };
        let Some((data, after)) = rest.split_at_checked(header.data) else {
            return Ok(None);
        };
        let after = match after {
            [] => return Ok(None),
            [b'\n', after @ ..] => after,
            _ => return Err(FrameError::Trailer),
        };
        let frame = Frame {
            number: header.number,
            command: header.command,
            data: data.to_vec(),
        };
        self.read = self.bytes.len() - after.len();
        Ok(Some(frame))
    }
}

/// The part of a frame before its data.
struct Header {
    number: Number,
    command: RelpCommand,
    /// The length of the data.
    data: usize,
}

/// The header and the bytes after it, which begin with the data or, without any, with the
/// line feed. `None` when more bytes are needed.
fn parse_header(bytes: &[u8], limit: usize) -> Result<Option<(Header, &[u8])>, FrameError> {
    if bytes.first().is_some_and(|byte| !byte.is_ascii_digit()) {
        return Err(FrameError::Number);
    }
    let Some((number, rest)) = word(bytes, 9, FrameError::Number)? else {
        return Ok(None);
    };
    let number = decimal(number).ok_or(FrameError::Number)?;
    let Some((command, rest)) = word(rest, 32, FrameError::Command)? else {
        return Ok(None);
    };
    if !command.iter().all(u8::is_ascii_alphanumeric) {
        return Err(FrameError::Command);
    }
    let Some((length, rest)) = length(rest)? else {
        return Ok(None);
    };
    let data = usize::try_from(length).map_err(|_| FrameError::Length)?;
    // Before any data arrives, so that a peer cannot make this side wait for a gigabyte.
    if data > limit {
        return Err(FrameError::TooLong {
            length: data,
            limit,
        });
    }
    let header = Header {
        number: Number(number),
        command: RelpCommand::parse(command),
        data,
    };
    Ok(Some((header, rest)))
}

/// A word, and the bytes after the space that ends it.
type Word<'a> = (&'a [u8], &'a [u8]);

/// A word of one to `most` bytes; `None` when more bytes are needed.
fn word(bytes: &[u8], most: usize, error: FrameError) -> Result<Option<Word<'_>>, FrameError> {
    let mut parts = bytes.splitn(2, |byte| *byte == b' ');
    let (word, rest) = (parts.next().unwrap_or_default(), parts.next());
    match rest {
        // Also without the space: more bytes cannot make a frame of it.
        _ if word.len() > most || word.contains(&b'\n') => Err(error),
        Some(_) if word.is_empty() => Err(error),
        Some(rest) => Ok(Some((word, rest))),
        None => Ok(None),
    }
}

/// The length and the bytes after it: the data, or, for 0, the line feed.
fn length(bytes: &[u8]) -> Result<Option<(u32, &[u8])>, FrameError> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    let (digits, after) = bytes.split_at(digits.count());
    // More digits may follow.
    if after.is_empty() && digits.len() <= 9 {
        return Ok(None);
    }
    let length = decimal(digits).ok_or(FrameError::Length)?;
    match (after, length) {
        // The line feed is left to the caller, which expects one after the data.
        ([b'\n', ..], 0) => Ok(Some((0, after))),
        ([b' ', data @ ..], _) => Ok(Some((length, data))),
        _ => Err(FrameError::Length),
    }
}

/// One to nine digits.
fn decimal(digits: &[u8]) -> Option<u32> {
    // `parse` alone would accept a plus sign and any number of zeros.
    if !(1..=9).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(number: u32, command: RelpCommand, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, Number(number), command, data);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let mut decoder = Decoder::new(100);
        assert_eq!(decoder.feed(bytes), b"");
        decoder.frame()
    }

    #[test]
    fn frames_are_as_rsyslog_has_them() {
        let message = b"<134>1 - host pulse - - - event 1";
        assert_eq!(
            encoded(2, RelpCommand::Syslog, message),
            b"2 syslog 33 <134>1 - host pulse - - - event 1\n"
        );
        assert_eq!(encoded(6, RelpCommand::Close, b""), b"6 close 0\n");
        let closed = decode(b"0 serverclose 0\n").unwrap().unwrap();
        assert_eq!(
            (closed.number, closed.command),
            (Number::HINT, RelpCommand::ServerClose)
        );
        let response = decode(b"2 rsp 6 200 OK\n").unwrap().unwrap();
        assert_eq!(
            (response.number, response.data.as_slice()),
            (Number(2), &b"200 OK"[..])
        );
    }

    #[test]
    fn invalid_bytes_are_refused_early() {
        for (bytes, error) in [
            (&b"x"[..], FrameError::Number),
            (b" rsp 0\n", FrameError::Number),
            (b"1234567890", FrameError::Number),
            (b"1x rsp 0\n", FrameError::Number),
            (b"1\n", FrameError::Number),
            (b"1  6 200 OK\n", FrameError::Command),
            (b"1 r/p 0\n", FrameError::Command),
            (b"1 rsp x\n", FrameError::Length),
            (b"1 rsp -1 x\n", FrameError::Length),
            (b"1 rsp 1234567890", FrameError::Length),
            (b"1 rsp 6\n", FrameError::Length),
            (b"1 rsp 1 ab\n", FrameError::Trailer),
        ] {
            assert_eq!(decode(bytes), Err(error), "{bytes:?}");
        }
        let most = [b"1 ".as_slice(), &[b'a'; 33]].concat();
        assert_eq!(decode(&most), Err(FrameError::Command));
        let (length, limit) = (101, 100);
        assert_eq!(
            decode(b"1 rsp 101 "),
            Err(FrameError::TooLong { length, limit })
        );
    }

    #[test]
    fn numbers_wrap_to_one() {
        assert_eq!(Number(MAX_NUMBER).next(), Number::FIRST);
        assert_eq!(Number::FIRST.next(), Number(2));
    }

    #[test]
    fn memory_is_bounded() {
        let mut decoder = Decoder::new(10);
        let flood = vec![b'1'; 1 << 20];
        let left = decoder.feed(&flood).len();
        assert!(flood.len() - left <= MAX_HEADER + 11);
        assert_eq!(decoder.room(), 0);
        assert!(decoder.frame().is_err());
    }

    proptest! {
        #[test]
        fn frames_survive_fragmentation(
            frames in prop::collection::vec((0..=MAX_NUMBER, prop::collection::vec(any::<u8>(), 0..50)), 1..10),
            cuts in prop::collection::vec(1..20usize, 1..50),
        ) {
            let mut wire = Vec::new();
            for (number, data) in &frames {
                encode(&mut wire, Number(*number), RelpCommand::Syslog, data);
            }
            let (mut decoder, mut found) = (Decoder::new(50), Vec::new());
            let (mut rest, mut cuts) = (wire.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let piece = rest.len().min(*cuts.next().unwrap());
                let left = decoder.feed(&rest[..piece]).len();
                rest = &rest[piece - left..];
                while let Some(frame) = decoder.frame().unwrap() {
                    found.push((frame.number.0, frame.data));
                }
            }
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_bytes_decode_within_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::new(20);
            let _ = decoder.feed(&bytes);
            while let Ok(Some(frame)) = decoder.frame() {
                prop_assert!(frame.data.len() <= 20);
            }
        }
    }
}
