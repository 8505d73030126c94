//! Reading a log file to its end.
//!
//! After the last complete record there may be torn bytes: a part of a write that a crash
//! interrupted. More bytes than one write has are damage, and the log cannot be continued. In
//! a file that could not be cut (`chattr +a`), torn bytes may also be between records: then
//! the next record, `log.recovered`, accounts for them by length and hash.

use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::log_event::LogEventType;
use crate::record::{Head, MAX_LINE_BYTES};
use crate::text::hex;
use crate::time::Timestamp;
use crate::watch::{Change, ChangedFile};
use pulse_core::ordinal::Ordinal;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// The most bytes of one write.
pub const MAX_WRITE_BYTES: usize = 1024 * 1024;
/// The most bytes that a crash can tear: a write, and the end of the line before it.
pub(crate) const MAX_TORN_BYTES: usize = MAX_WRITE_BYTES + MAX_LINE_BYTES;

/// The most changed files that are kept; a stop has as many at most.
const MAX_DISTURBED: usize = 1000;

/// Bytes that are not part of the chain.
#[derive(Debug, Default)]
pub(crate) struct Torn {
    bytes: Vec<u8>,
    /// The hash of the first `hashed` bytes, so that repeated checks hash nothing twice.
    hash: Sha256,
    hashed: usize,
}

impl Torn {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// True when these are more bytes than a crash can tear, without the newline that ends them.
    pub(crate) fn is_too_much(&self) -> bool {
        self.bytes.len() - usize::from(self.bytes.ends_with(b"\n")) > MAX_TORN_BYTES
    }

    /// All of the bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True when `line`, the next one, accounts for them. They must end with a newline, which is
    /// not part of what was torn.
    pub(crate) fn is_accounted_for(&mut self, line: &RecordLine<'_>, text: &[u8]) -> bool {
        if line.log_event() != Some(LogEventType::Recovered) || self.is_too_much() {
            return false;
        }
        let (Some(torn), Some(members)) = (self.bytes.strip_suffix(b"\n"), members(text)) else {
            return false;
        };
        // The length first: a line with another one costs no hash.
        let length = members.get("torn_bytes").and_then(Value::as_u64);
        if length != u64::try_from(torn.len()).ok() {
            return false;
        }
        self.hash
            .update(torn.get(self.hashed..).unwrap_or_default());
        self.hashed = torn.len();
        let hash = members.get("torn_sha256").and_then(Value::as_str);
        hash.map(str::as_bytes) == Some(&hex(&self.hash.clone().finalize()))
    }
}

/// The members of a record.
pub(crate) fn members(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok().filter(Value::is_object)
}

/// A member that is a number of records or epochs.
pub(crate) fn ordinal(members: &Value, name: &str) -> Option<u64> {
    Ordinal::new(members[name].as_u64()?).map(Ordinal::get)
}

/// The log, the epoch, and the key of the next seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) log_id: String,
    pub(crate) number: u64,
    pub(crate) key: PublicKey,
}

/// The records after the last seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsealed {
    pub(crate) records: u64,
    /// The time of the first.
    pub(crate) since: Timestamp,
}

impl Unsealed {
    /// With more records, whose first has this time.
    pub(crate) fn with(before: Option<Self>, records: u64, ts: Timestamp) -> Self {
        Self {
            records: before.map_or(0, |before| before.records) + records,
            since: before.map_or(ts, |before| before.since),
        }
    }
}

/// The end of a file.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The number and time of its first record.
    pub(crate) first: Option<(u64, Timestamp)>,
    pub(crate) head: Head,
    /// The time of the last record.
    pub(crate) ts: Timestamp,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) unsealed: Option<Unsealed>,
    /// The offset of the end of the last complete record.
    pub(crate) length: u64,
    /// The bytes after it.
    pub(crate) torn: Torn,
    /// The last record lacks its newline, and nothing else.
    pub(crate) is_unended: bool,
    /// The changed files for which the log stopped, if that is how it ends.
    pub(crate) disturbed: Vec<ChangedFile>,
}

impl Tail {
    /// The end of an empty file.
    pub(crate) fn empty() -> Self {
        Self {
            first: None,
            head: Head::START,
            ts: Timestamp::default(),
            epoch: None,
            unsealed: None,
            length: 0,
            torn: Torn::default(),
            is_unended: false,
            disturbed: Vec::new(),
        }
    }

    /// Reads a file to its end. If it has record `until`, everything after that counts as torn.
    pub(crate) fn read(file: impl Read, until: Option<u64>) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(256 * 1024, file);
        let (mut tail, mut line, mut at) = (Self::empty(), Vec::new(), 0u64);
        // More torn bytes than a crash can leave are damage, whatever follows them.
        while next_line(&mut file, &mut line)? > 0 && !tail.torn.is_too_much() {
            at += line.len() as u64;
            if until == Some(tail.head.seq) || !tail.take(&line, at) {
                tail.torn.push(&line);
            }
        }
        Ok(tail)
    }

    /// For a file that cannot be cut, whose torn bytes will be ended by a newline: if only that
    /// newline is missing, they are a record, and are taken as one.
    pub(crate) fn complete(&mut self) {
        let line = [self.torn.bytes(), b"\n"].concat();
        let end = self.length + self.torn.bytes().len() as u64;
        let torn = std::mem::take(&mut self.torn);
        self.is_unended = self.take(&line, end);
        if !self.is_unended {
            self.torn = torn;
        }
    }

    /// Takes a line that ends at offset `end`, if it continues the chain.
    pub(crate) fn take(&mut self, text: &[u8], end: u64) -> bool {
        let Some(text) = text.strip_suffix(b"\n") else {
            return false;
        };
        let Some(line) = RecordLine::parse(text).filter(RecordLine::is_whole) else {
            return false;
        };
        // A file's first record cannot be checked against the one before, which is in another file.
        if (self.first.is_some() && !line.follows(&self.head))
            || !(self.torn.is_empty() || self.torn.is_accounted_for(&line, text))
        {
            return false;
        }
        self.torn = Torn::default();
        self.first.get_or_insert((line.seq, line.ts));
        (self.head, self.ts) = (line.head(), line.ts);
        self.length = end;
        self.unsealed = Some(Unsealed::with(self.unsealed, 1, line.ts));
        match line.log_event() {
            Some(LogEventType::Disturbed) => {
                let changed = members(text).and_then(|members| changed_file(&members));
                if self.disturbed.len() < MAX_DISTURBED {
                    self.disturbed.extend(changed);
                }
            }
            // It follows them while the log has stopped.
            Some(LogEventType::Sealed) => (),
            _ => self.disturbed.clear(),
        }
        match line.log_event() {
            Some(LogEventType::Open | LogEventType::Resumed) => {
                self.epoch = members(text)
                    .and_then(|members| epoch(&members))
                    .or(self.epoch.take());
            }
            // The signature is left to the verifier: only the next key matters here, which recovery
            // compares with the private one.
            Some(LogEventType::Sealed) => {
                self.unsealed = None;
                let Some(members) = members(text) else {
                    return true;
                };
                let next = members
                    .get("next_key")
                    .and_then(Value::as_str)
                    .and_then(|key| key.parse().ok());
                if let (Some(epoch), Some(number), Some(key)) =
                    (&mut self.epoch, ordinal(&members, "epoch"), next)
                {
                    (epoch.number, epoch.key) = (number + 1, key);
                }
            }
            _ => (),
        }
        true
    }
}

/// The file in `log.disturbed`; its length is not on record.
fn changed_file(members: &Value) -> Option<ChangedFile> {
    let reason = members["reason"].as_str()?;
    let change = Change::ALL
        .into_iter()
        .find(|change| change.as_str() == reason)?;
    Some(ChangedFile {
        file: members["file"].as_str()?.to_owned(),
        change,
        records: ordinal(members, "first_seq").zip(ordinal(members, "last_seq")),
        length: u64::MAX,
        is_recorded: true,
        needs_original: false,
        found: None,
    })
}

/// The epoch in `log.open` and `log.resumed`.
fn epoch(members: &Value) -> Option<Epoch> {
    Some(Epoch {
        log_id: members["log_id"].as_str()?.to_owned(),
        number: ordinal(members, "epoch")?,
        key: members["key"].as_str()?.parse().ok()?,
    })
}

/// Reads a line with its newline. A line longer than [`MAX_LINE_BYTES`] is read in parts.
pub(crate) fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    file.take(MAX_LINE_BYTES as u64).read_until(b'\n', line)
}
