//! RELP's frames: `NUMBER COMMAND LENGTH[ DATA]` and a line feed.
//!
//! A number has up to nine digits, a command up to 32 letters, and a length says how
//! many bytes of data follow; none follow, nor the space before them, when it is 0.

use std::fmt;

/// The largest transaction number; 1 follows it (librelp's `relp.h`).
pub const MAX_NUMBER: u32 = 999_999_999;

/// `NUMBER SP COMMAND SP LENGTH SP`, at its longest.
const MAX_HEADER: usize = 9 + 1 + 32 + 1 + 9 + 1;

/// The number of a transaction: what a request and its response have in common. 0 is
/// for hints, which have no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u32);

impl Number {
    /// That of a hint.
    pub const HINT: Self = Self(0);
    /// The first of a connection.
    pub const FIRST: Self = Self(1);

    /// The one after it.
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

/// What a frame is for. Commands that we have no use for are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The first frame of a session: what the sender offers.
    Open,
    /// A message.
    Syslog,
    /// The response to any of them.
    Response,
    /// The sender has nothing more.
    Close,
    /// The collector will take nothing more: a hint.
    ServerClose,
    /// Anything else.
    Unknown,
}

impl Command {
    /// As it stands in a frame.
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

/// One frame, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its transaction.
    pub number: Number,
    /// What it is for.
    pub command: Command,
    /// What it carries.
    pub data: Vec<u8>,
}

/// Why bytes are no frame. The connection is of no use afterwards: where the next frame
/// begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It does not begin with a number.
    #[error("a frame does not begin with a transaction number")]
    Number,
    /// There is no command after the number.
    #[error("a frame has no command")]
    Command,
    /// There is no length after the command.
    #[error("a frame has no length")]
    Length,
    /// It says that it is longer than anything that is expected.
    #[error("a frame of {length} bytes, where {limit} is the most")]
    TooLong {
        /// What it says.
        length: usize,
        /// What is taken.
        limit: usize,
    },
    /// It is longer or shorter than it says.
    #[error("a frame does not end where it says")]
    Trailer,
}

/// Appends a frame.
pub fn encode(out: &mut Vec<u8>, number: Number, command: Command, data: &[u8]) {
    let header = format!("{number} {} {}", command.as_str(), data.len());
    out.extend_from_slice(header.as_bytes());
    if !data.is_empty() {
        out.push(b' ');
        out.extend_from_slice(data);
    }
    out.push(b'\n');
}

/// Reads frames from bytes as they come.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    bytes: Vec<u8>,
    /// Of which so many are done with.
    read: usize,
}

impl Decoder {
    /// One that takes frames with up to `limit` bytes of data.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            read: 0,
        }
    }

    /// How many bytes it takes before it wants its frames to be taken out: it never
    /// keeps more than the longest frame.
    #[must_use]
    pub fn room(&self) -> usize {
        let kept = self.bytes.len() - self.read;
        (MAX_HEADER + self.limit + 1).saturating_sub(kept)
    }

    /// Adds what came, as far as there is [room](Self::room); gives what is left of it.
    #[must_use = "what is left must be fed later"]
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.bytes.drain(..self.read);
        self.read = 0;
        let (taken, left) = bytes.split_at(bytes.len().min(self.room()));
        self.bytes.extend_from_slice(taken);
        left
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes can be no frame any more.
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

/// What comes before the data.
struct Header {
    number: Number,
    command: Command,
    /// The length of the data.
    data: usize,
}

/// The header, and what follows it: the data or, without any, the line feed. `None` when
/// more bytes are needed.
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
    if data > limit {
        let length = data;
        return Err(FrameError::TooLong { length, limit });
    }
    let header = Header {
        number: Number(number),
        command: Command::parse(command),
        data,
    };
    Ok(Some((header, rest)))
}

/// A word, and what follows the space after it.
type Word<'a> = (&'a [u8], &'a [u8]);

/// A word of one to `most` bytes; `None` when more bytes are needed.
fn word(bytes: &[u8], most: usize, error: FrameError) -> Result<Option<Word<'_>>, FrameError> {
    let mut parts = bytes.splitn(2, |byte| *byte == b' ');
    let (word, rest) = (parts.next().unwrap_or_default(), parts.next());
    match rest {
        _ if word.len() > most || word.contains(&b'\n') => Err(error),
        Some(_) if word.is_empty() => Err(error),
        Some(rest) => Ok(Some((word, rest))),
        None => Ok(None),
    }
}

/// The length, and what follows: data after a space, or, for 0, the line feed itself.
fn length(bytes: &[u8]) -> Result<Option<(u32, &[u8])>, FrameError> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, after) = bytes.split_at(end.unwrap_or(bytes.len()));
    if after.is_empty() && digits.len() <= 9 {
        return Ok(None);
    }
    let length = decimal(digits).ok_or(FrameError::Length)?;
    match (after, length) {
        ([b'\n', ..], 0) => Ok(Some((0, after))),
        ([b' ', data @ ..], _) => Ok(Some((length, data))),
        _ => Err(FrameError::Length),
    }
}

/// One to nine digits.
fn decimal(digits: &[u8]) -> Option<u32> {
    let is_number = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let text = is_number.then(|| str::from_utf8(digits).ok())??;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(number: u32, command: Command, data: &[u8]) -> Vec<u8> {
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
    fn frames_look_as_rsyslog_writes_them() {
        let message = b"<134>1 - host pulse - - - event 1";
        assert_eq!(
            encoded(2, Command::Syslog, message),
            b"2 syslog 33 <134>1 - host pulse - - - event 1\n"
        );
        assert_eq!(encoded(6, Command::Close, b""), b"6 close 0\n");
        let closed = decode(b"0 serverclose 0\n").unwrap().unwrap();
        assert_eq!(
            (closed.number, closed.command),
            (Number::HINT, Command::ServerClose)
        );
        let response = decode(b"2 rsp 6 200 OK\n").unwrap().unwrap();
        assert_eq!(
            (response.number, response.data.as_slice()),
            (Number(2), &b"200 OK"[..])
        );
    }

    #[test]
    fn what_is_no_frame_is_named_as_soon_as_it_can_be_none() {
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
    fn numbers_begin_again_at_one() {
        assert_eq!(Number(MAX_NUMBER).next(), Number::FIRST);
        assert_eq!(Number::FIRST.next(), Number(2));
    }

    #[test]
    fn memory_is_bounded_by_the_longest_frame() {
        let mut decoder = Decoder::new(10);
        let flood = vec![b'1'; 1 << 20];
        let left = decoder.feed(&flood).len();
        assert!(flood.len() - left <= MAX_HEADER + 11);
        assert_eq!(decoder.room(), 0);
        assert!(decoder.frame().is_err());
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec((0..=MAX_NUMBER, prop::collection::vec(any::<u8>(), 0..50)), 1..10),
            cuts in prop::collection::vec(1..20usize, 1..50),
        ) {
            let mut wire = Vec::new();
            for (number, data) in &frames {
                encode(&mut wire, Number(*number), Command::Syslog, data);
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
        fn any_bytes_are_taken_or_refused_and_never_more_than_bounded(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::new(20);
            let _ = decoder.feed(&bytes);
            while let Ok(Some(frame)) = decoder.frame() {
                prop_assert!(frame.data.len() <= 20);
            }
        }
    }
}
