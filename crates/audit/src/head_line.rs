//! The last record of a log as one line, for keeping on another host.
//!
//! An attacker with root can replace the log and its private key together by an older copy;
//! restoring a snapshot has the same effect. Nothing on the host shows it. A head that was
//! kept elsewhere does, because the log no longer has that record.
//!
//! The line uses the names of a record's members, so that `grep` finds the record:
//! `seq=29 epoch=7 ts=2026-11-22T02:19:00.678123Z log_id=78fb… event_hash=3f0c…`.

use crate::record::Head;
use crate::tail::{MAX_TORN_BYTES, Tail};
use crate::time::Timestamp;
use crate::verify::Source;
use pulse_core::ordinal::Ordinal;
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// More than the id of any log has.
const MAX_ID_BYTES: usize = 64;

/// The last record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLine {
    /// Its number and hash.
    pub head: Head,
    /// The epoch after it, whose key makes the next seal.
    pub epoch: u64,
    /// Its time.
    pub ts: Timestamp,
    /// The log's id.
    pub log_id: String,
}

/// The text is not a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a head: it is one line, as `audit head` printed it: \
     seq=… epoch=… ts=… log_id=… event_hash=…"
)]
pub struct InvalidHead;

/// Why a log has no head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The log has no record.
    #[error("{0}: there is no record in it")]
    Empty(String),
    /// Bytes after a record are not a record.
    #[error(
        "{name}: the bytes after record {seq} are not a record. If the daemon is stopped, a crash \
         may have left them: start the daemon. Else `pulse-sensorctl audit verify` says what was done"
    )]
    Damaged {
        /// The file.
        name: String,
        /// The last good record.
        seq: u64,
    },
    /// The file begins in the middle of a log, and no record in it names the log.
    #[error("{0}: it does not say which log it is: name the log's directory")]
    Nameless(String),
}

impl HeadLine {
    /// The last record of a log's files, which are given oldest first. The file is synced, so
    /// that a power failure cannot lose a record whose head was kept.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn of(sources: Vec<Source>) -> Result<Self, HeadError> {
        let mut empty = String::new();
        for source in sources.into_iter().rev() {
            let name = source.name().to_owned();
            let tail = read(source)?;
            // A log that is being written may end with a part of a line.
            let torn = tail.torn.bytes();
            if torn.contains(&b'\n') || torn.len() > MAX_TORN_BYTES {
                return Err(HeadError::Damaged {
                    name,
                    seq: tail.head.seq,
                });
            }
            if tail.first.is_some() {
                let (head, ts) = (tail.head, tail.ts);
                let epoch = tail.epoch.filter(|epoch| is_id(&epoch.log_id));
                let epoch = epoch.ok_or(HeadError::Nameless(name))?;
                return Ok(Self {
                    head,
                    epoch: epoch.number,
                    ts,
                    log_id: epoch.log_id,
                });
            }
            // A rotation has just created this file: the last record is in the previous one.
            empty = name;
        }
        Err(HeadError::Empty(empty))
    }
}

fn read(source: Source) -> io::Result<Tail> {
    let mut file = source
        .into_file()?
        .ok_or_else(|| io::Error::other("not a file"))?;
    let tail = Tail::read(file.by_ref(), None)?;
    file.sync()?;
    Ok(tail)
}

impl fmt::Display for HeadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            head,
            epoch,
            ts,
            log_id,
        } = self;
        let (seq, hash) = (head.seq, head.hash());
        write!(
            f,
            "seq={seq} epoch={epoch} ts={ts} log_id={log_id} event_hash={hash}"
        )
    }
}

impl FromStr for HeadLine {
    type Err = InvalidHead;

    /// Any white space may separate the parts: mail programs break long lines.
    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let mut words = text.split_whitespace();
        let mut value = |name: &str| {
            words
                .next()
                .and_then(|word| word.strip_prefix(name))
                .ok_or(InvalidHead)
        };
        let number = |digits: &str| Ordinal::parse(digits.as_bytes()).map(Ordinal::get);
        let seq = number(value("seq=")?).ok_or(InvalidHead)?;
        let epoch = number(value("epoch=")?).ok_or(InvalidHead)?;
        let ts = Timestamp::parse(value("ts=")?.as_bytes()).ok_or(InvalidHead)?;
        let log_id = value("log_id=")?.to_owned();
        let head = Head::from_parts(seq, value("event_hash=")?).ok_or(InvalidHead)?;
        // `Head::START` has number 0 and is no record.
        let is_head = seq > 0 && is_id(&log_id) && words.next().is_none();
        let line = Self {
            head,
            epoch,
            ts,
            log_id,
        };
        is_head.then_some(line).ok_or(InvalidHead)
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LIVE;
    use crate::verify::open_directory;
    use crate::{Body, Directory, Log, Settings};
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    fn of(directory: &Path) -> Result<HeadLine, HeadError> {
        HeadLine::of(open_directory(directory).unwrap())
    }

    #[test]
    fn a_head_is_the_last_record() {
        let home = tempfile::tempdir().unwrap();
        let storage = Directory::lock(home.path(), &home.path().join("state")).unwrap();
        let now = |second| Timestamp::default().plus(Duration::from_secs(second));
        let mut log = Log::open(storage, Settings::default(), now(0)).unwrap();
        let body = Body::named("proxy.start").with_text("reason", "x");
        for second in 1..5 {
            log.append(now(second), std::slice::from_ref(&body))
                .unwrap();
            let line = of(home.path()).unwrap();
            assert_eq!((line.head, line.ts), (log.head(), now(second)));
            assert_eq!((line.epoch, &*line.log_id), (log.epoch(), log.log_id()));
            assert_eq!(line.to_string().parse(), Ok(line));
            log.rotate(now(second)).unwrap();
            assert_eq!(of(home.path()).unwrap().head, log.head());
        }
        let live = home.path().join(LIVE);
        let written = fs::read(&live).unwrap();
        // An incomplete line, and a rotation that has just created the file.
        fs::write(&live, [&written[..], &written[..9]].concat()).unwrap();
        assert_eq!(of(home.path()).unwrap().head, log.head());
        fs::write(&live, "").unwrap();
        assert_eq!(of(home.path()).unwrap().head.seq, log.head().seq - 1);
        // The bytes after the record are not a record, and may be a torn write.
        fs::write(&live, [&written[..], b"x\n"].concat()).unwrap();
        let error = of(home.path()).unwrap_err();
        assert!(matches!(error, HeadError::Damaged { seq, .. } if seq == log.head().seq));
    }

    #[test]
    fn a_nameless_log_has_no_head() {
        let home = tempfile::tempdir().unwrap();
        let live = home.path().join(LIVE);
        fs::write(&live, "").unwrap();
        assert!(matches!(of(home.path()), Err(HeadError::Empty(_))));
        let (mut head, mut line) = (Head::START, Vec::new());
        let body = Body::named("proxy.start").with_text("reason", "x");
        head.extend(&mut line, Timestamp::default(), &body);
        fs::write(&live, &line).unwrap();
        assert!(matches!(of(home.path()), Err(HeadError::Nameless(_))));
    }

    #[test]
    fn head_lines_are_strict() {
        let hash = "a".repeat(64);
        let line =
            format!("seq=29 epoch=7 ts=2026-11-22T02:19:00.678123Z log_id=78fb event_hash={hash}");
        let read: HeadLine = line.parse().unwrap();
        assert_eq!(read.to_string(), line);
        assert_eq!((read.head.seq, read.epoch), (29, 7));
        assert_eq!(
            format!("  {}\r\n", line.replace(' ', "\n ")).parse(),
            Ok(read)
        );
        for (part, other) in [
            ("seq=29", "seq=0"),
            ("seq=29", "29"),
            ("seq=29", "seq=-1"),
            ("seq=29", "seq=18446744073709551615"),
            ("epoch=7", "epoch=18446744073709551615"),
            ("epoch=7", "epoch="),
            ("678123Z", "678Z"),
            ("log_id=78fb", "log_id="),
            ("log_id=78fb", "log_id=78fg"),
            ("log_id=78fb", ""),
            ("hash=a", "hash="),
            ("hash=a", "hash=A"),
        ] {
            let changed = line.replacen(part, other, 1);
            assert_eq!(changed.parse::<HeadLine>(), Err(InvalidHead), "{changed}");
        }
        assert_eq!(format!("{line} x").parse::<HeadLine>(), Err(InvalidHead));
        assert_eq!("".parse::<HeadLine>(), Err(InvalidHead));
    }
}
