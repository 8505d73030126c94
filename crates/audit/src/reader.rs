//! Records of the log, for forwarding.
//!
//! Only records on disk are given: a copy must never be ahead of its log. Torn bytes are left
//! out, including whole records among them. Where the chain is broken, records are given as
//! they are: a verifier of the copy must see what was done.

use crate::growing::GrowingLog;
use crate::line::RecordLine;
use crate::record::Head;
use crate::time::Timestamp;
use crate::verify::lines::RawLine;
use crate::verify::torn_filter::{LogItem, TornFilter};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;

/// A record, unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number and hash.
    pub head: Head,
    /// Its time.
    pub ts: Timestamp,
    /// Its line, without the newline.
    pub text: &'a [u8],
}

/// The continuation after a record that was read before, or at a number.
pub enum Resume {
    /// With the next record.
    Next(LogReader),
    /// With this record: those before it were removed.
    Removed(LogReader, u64),
    /// There is none: the log ends before the record, or has another one in its place.
    NotFound,
}

/// A reader of a log that is being written.
pub struct LogReader {
    log: GrowingLog,
    torn: TornFilter,
    /// Records before this one are skipped.
    from: u64,
    /// The last record that was read.
    last_read: u64,
    ready: Ready,
}

/// Records that were read and not yet given. Usually one; after torn bytes or a break of the
/// chain, as many as one write has.
#[derive(Default)]
struct Ready {
    text: Vec<u8>,
    records: VecDeque<(Head, Timestamp, Range<usize>)>,
}

impl LogReader {
    /// A reader from record `from` on, or from the first one after it.
    #[must_use]
    pub fn from(directory: &Path, from: u64) -> Self {
        Self {
            log: GrowingLog::new(directory),
            torn: TornFilter::new(false),
            from,
            last_read: from.saturating_sub(1),
            ready: Ready::default(),
        }
    }

    /// A reader from record `from` on, which may have been removed. Never [`Resume::NotFound`].
    ///
    /// # Errors
    /// As [`LogReader::next`].
    pub fn at(directory: &Path, from: u64, durable: u64) -> io::Result<Resume> {
        let found = Self::from(directory, from)
            .next(durable)?
            .map(|record| record.head.seq);
        Ok(match found {
            Some(first) if first > from => Resume::Removed(Self::from(directory, first), first),
            _ => Resume::Next(Self::from(directory, from)),
        })
    }

    /// A reader from the record after `last` on.
    ///
    /// # Errors
    /// As [`LogReader::next`].
    pub fn after(directory: &Path, last: Head, durable: u64) -> io::Result<Resume> {
        let mut reader = Self::from(directory, last.seq);
        let Some(record) = reader.next(durable)? else {
            return Ok(Resume::NotFound);
        };
        let first = record.head.seq;
        Ok(if record.head == last {
            Resume::Next(reader)
        } else if first <= last.seq {
            Resume::NotFound
        } else if RecordLine::parse(record.text).is_some_and(|line| line.follows(&last)) {
            // The record was removed as the last one of its segment; the next one is still here.
            Resume::Next(Self::from(directory, first))
        } else {
            Resume::Removed(Self::from(directory, first), first)
        })
    }

    /// The next record up to `durable`, the last one that is on disk; none at the present end.
    ///
    /// # Errors
    /// The operating system's, when a file cannot be read.
    pub fn next(&mut self, durable: u64) -> io::Result<Option<Record<'_>>> {
        if self.ready.records.is_empty() {
            self.ready.text.clear();
        }
        while self.ready.records.is_empty() && self.read_line(durable)? {}
        Ok(self.ready.next())
    }

    /// Reads a line; false at the present end.
    fn read_line(&mut self, durable: u64) -> io::Result<bool> {
        let Some(line) = self.log.line(self.last_read + 1)? else {
            // The present end. If the last durable record was not read, it is among the lines held
            // back as torn, for which no record will account any more.
            if self.last_read < durable {
                self.torn.flush(&mut |given| {
                    self.ready
                        .take(&given, self.from, durable, &mut self.last_read);
                });
            }
            return Ok(!self.ready.records.is_empty());
        };
        let (text, ended) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        let raw = RawLine { text, ended };
        // Before the last durable record, a higher number can only be a forged one, and is given.
        if self.last_read >= durable
            && RecordLine::parse(text).is_some_and(|line| line.seq > durable)
        {
            return Ok(false);
        }
        self.torn.take(raw, &mut |given| {
            self.ready
                .take(&given, self.from, durable, &mut self.last_read);
        });
        self.log.take();
        Ok(true)
    }
}

impl Ready {
    fn take(&mut self, given: &LogItem<'_>, from: u64, durable: u64, last_read: &mut u64) {
        let LogItem::Line(raw, Some(line)) = given else {
            return;
        };
        // A higher number is a forged one: with it, no record would be missing any more, and lines
        // that are held back as torn would never be given.
        if line.seq <= durable {
            *last_read = line.seq.max(*last_read);
        }
        if line.seq < from {
            return;
        }
        let start = self.text.len();
        self.text.extend_from_slice(raw.text);
        self.records
            .push_back((line.head(), line.ts, start..self.text.len()));
    }

    fn next(&mut self) -> Option<Record<'_>> {
        let (head, ts, range) = self.records.pop_front()?;
        let text = self.text.get(range)?;
        Some(Record { head, ts, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_event::{LogEvent, TornBytes};
    use crate::record::Body;
    use crate::storage::LIVE;
    use crate::{Directory, Log, Settings};
    use pulse_core::ordinal::Ordinal;
    use std::fs;

    const ALL: u64 = u64::MAX;

    fn given(reader: &mut LogReader, durable: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            seqs.push(record.head.seq);
        }
        seqs
    }

    fn body(event: &str) -> Body {
        Body::named(event).with_text("reason", "x")
    }

    /// A chain and its lines.
    struct Chain {
        head: Head,
        file: Vec<u8>,
    }

    impl Chain {
        fn new() -> Self {
            let mut chain = Self {
                head: Head::START,
                file: Vec::new(),
            };
            chain.write("log.open");
            chain
        }

        fn line(&mut self, body: &Body) -> Vec<u8> {
            let mut line = Vec::new();
            self.head.extend(&mut line, Timestamp::default(), body);
            line
        }

        fn write(&mut self, event: &str) {
            let line = self.line(&body(event));
            self.file.extend(line);
        }

        /// Bytes that a crash left, and the record that accounts for them.
        fn tear(&mut self, torn: &[u8]) {
            let content = TornBytes {
                content: torn,
                file: "audit.log.torn-1",
            };
            let recovered = LogEvent::Recovered {
                torn: Some(content),
                failure: None,
            };
            self.file.extend_from_slice(torn);
            self.file.push(b'\n');
            let line = self.line(&recovered.body());
            self.file.extend(line);
        }

        fn read(&self, durable: u64) -> Vec<u64> {
            let home = tempfile::tempdir().unwrap();
            fs::write(home.path().join(LIVE), &self.file).unwrap();
            given(&mut LogReader::from(home.path(), 1), durable)
        }
    }

    #[test]
    fn records_survive_rotations() {
        let home = tempfile::tempdir().unwrap();
        let storage = Directory::lock(home.path(), &home.path().join("state")).unwrap();
        let now = Timestamp::default();
        let mut log = Log::open(storage, Settings::default(), now).unwrap();
        let mut reader = LogReader::from(home.path(), 1);
        let mut seen = given(&mut reader, 1);
        for _ in 0..3 {
            let body = Body::named("proxy.start").with_text("reason", "x");
            log.append(now, &[body]).unwrap();
            log.rotate(now).unwrap();
            seen.extend(given(&mut reader, log.head().seq));
        }
        let last = log.head();
        assert_eq!(seen, (1..=last.seq).collect::<Vec<_>>());
        let mut late = LogReader::from(home.path(), 3);
        assert_eq!(given(&mut late, ALL), &seen[2..]);
        let live = fs::read_to_string(home.path().join(LIVE)).unwrap();
        let mut reader = LogReader::from(home.path(), last.seq);
        let record = reader.next(last.seq).unwrap().unwrap();
        assert_eq!(record.head, last);
        assert_eq!(Some(record.text), live.lines().last().map(str::as_bytes));
    }

    #[test]
    fn a_segment_is_read_once() {
        let home = tempfile::tempdir().unwrap();
        let live = home.path().join(LIVE);
        let mut chain = Chain::new();
        fs::write(&live, &chain.file).unwrap();
        let mut reader = LogReader::from(home.path(), 1);
        assert_eq!(given(&mut reader, 1), [1]);
        let ended = home.path().join("audit.log-000000000001");
        fs::rename(&live, ended).unwrap();
        assert_eq!(given(&mut reader, 2), [0; 0]);
        fs::write(&live, "").unwrap();
        assert_eq!(given(&mut reader, 2), [0; 0]);
        chain.file.clear();
        chain.write("log.resumed");
        fs::write(&live, &chain.file).unwrap();
        assert_eq!(given(&mut reader, 2), [2]);
    }

    #[test]
    fn only_durable_records_are_given() {
        let mut chain = Chain::new();
        chain.write("proxy.start");
        chain.write("proxy.stop");
        assert_eq!(chain.read(2), [1, 2]);
        assert_eq!(chain.read(3), [1, 2, 3]);
    }

    #[test]
    fn torn_records_are_left_out() {
        let mut chain = Chain::new();
        let before = chain.head;
        let first = chain.line(&body("command.start"));
        let second = chain.line(&body("command.finish"));
        chain.head = before;
        // The first line of the torn write was lost, the second is whole.
        let torn = [
            &vec![0; first.len() - 1][..],
            b"\n",
            &second[..9],
            b"\n",
            &second,
        ]
        .concat();
        chain.tear(&torn[..torn.len() - 1]);
        chain.write("proxy.start");
        assert_eq!(chain.read(ALL), [1, 2, 3]);
        assert_eq!(chain.read(2), [1, 2]);
    }

    #[test]
    fn a_broken_chain_is_given_as_it_is() {
        let mut chain = Chain::new();
        chain.write("proxy.start");
        let kept = chain.file.len();
        chain.write("command.start");
        chain.file.truncate(kept);
        chain.write("command.finish");
        chain.write("proxy.stop");
        assert_eq!(chain.read(5), [1, 2, 4, 5]);
    }

    #[test]
    fn a_high_number_blocks_nothing() {
        let mut chain = Chain::new();
        let mut forged = Chain::new();
        forged.head.seq = Ordinal::MAX - 1;
        chain.file.extend(forged.line(&body("proxy.stop")));
        chain.write("proxy.start");
        chain.write("proxy.stop");
        assert_eq!(chain.read(3), [1, Ordinal::MAX, 2, 3]);
    }

    #[test]
    fn a_high_number_hides_no_later_record() {
        let home = tempfile::tempdir().unwrap();
        let mut chain = Chain::new();
        let mut reader = LogReader::from(home.path(), 1);
        for seq in [2, 3] {
            let mut forged = Chain::new();
            forged.head.seq = Ordinal::MAX - 1;
            chain.file.extend(forged.line(&body("proxy.stop")));
            chain.write("proxy.start");
            fs::write(home.path().join(LIVE), &chain.file).unwrap();
            assert_eq!(given(&mut reader, seq).last(), Some(&seq));
        }
    }

    #[test]
    fn impossible_numbers_are_skipped() {
        let mut chain = Chain::new();
        for seq in [Ordinal::MAX, u64::MAX - 1] {
            let mut forged = Chain::new();
            forged.head.seq = seq;
            chain.file.extend(forged.line(&body("proxy.stop")));
        }
        chain.write("proxy.start");
        assert_eq!(chain.read(2), [1, 2]);
    }
}
