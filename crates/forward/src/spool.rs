//! The daemon's own messages on disk, for unreachable collectors and for the next start.
//!
//! Two files of bounded size: a line with the [format](pulse_core::state_format), then one
//! message per line. When the newer one is full it replaces
//! the older one. They are written without a sync: a kill loses nothing, a power failure may
//! lose the latest messages, which are not the audit log. While writes fail, messages stay
//! in memory and are sent from there.

mod reader;

pub(crate) use reader::SpoolReader;

use crate::journal::{Journal, Message, NextMessage};
use crate::state_file::{self, StateFileError, StateFileKind};
use pulse_core::ordinal::Ordinal;
use pulse_core::state_format::Stamp;
use pulse_relp::message::Severity;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The size of one file in bytes.
const MAX_FILE_BYTES: usize = 2 << 20;
/// Longer than any line that is written, in bytes.
const MAX_LINE_BYTES: usize = 8 << 10;
const MODE: u32 = 0o600;

/// A line of the files.
#[derive(Serialize, Deserialize)]
struct SpoolLine<'a> {
    number: u64,
    severity: u8,
    when: &'a str,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// The two files.
#[derive(Debug)]
pub(crate) struct Spool {
    newer: PathBuf,
    older: PathBuf,
    file: Option<File>,
    length: usize,
    /// The number of the newer file; it increases with each rotation.
    generation: u64,
    /// The number of the last message that was written or dropped.
    last: u64,
    /// The file may end with a part of a line.
    is_torn: bool,
    /// The last write succeeded.
    is_healthy: bool,
}

impl Spool {
    /// Opens the files of an earlier run, if there are any.
    ///
    /// # Errors
    /// When a later release wrote one of them, or one exists and cannot be read: its messages
    /// would be lost, and its numbers given to others.
    pub(crate) fn open(directory: &Path) -> Result<Self, StateFileError> {
        let (newer, older) = (directory.join("messages"), directory.join("messages.older"));
        // Of a file that is longer than ours, only the beginning is read.
        let read = |path: &Path| state_file::read(path, StateFileKind::Messages, MAX_FILE_BYTES);
        let content = read(&newer)?;
        Ok(Self {
            length: content.len(),
            // Of both files, because one of them may have been restored from a backup: a reader
            // skips what has a lower number than the message before.
            last: highest_number(&content).max(highest_number(&read(&older)?)),
            is_torn: content.last().is_some_and(|byte| *byte != b'\n'),
            newer,
            older,
            file: None,
            generation: 1,
            is_healthy: true,
        })
    }

    /// The number of the last message that was written or dropped.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Writes the new messages of a journal. After an error the next call tries again, with
    /// the messages that are still in memory.
    pub(crate) fn store_new(&mut self, journal: &Journal) {
        loop {
            match journal.next_after(self.last) {
                NextMessage::Message(message) => {
                    let written = self.write(&message);
                    // Only the first failure of a series is logged, and its end.
                    match &written {
                        Err(error) if self.is_healthy => tracing::warn!(
                            "cannot write the daemon's own messages to {}, they stay in memory: {error}",
                            self.newer.display()
                        ),
                        Ok(()) if !self.is_healthy => tracing::info!(
                            "the daemon's own messages are written to {} again",
                            self.newer.display()
                        ),
                        _ => (),
                    }
                    self.is_healthy = written.is_ok();
                    if !self.is_healthy {
                        return;
                    }
                    self.last = message.number;
                }
                // Writes failed for so long that these messages left the memory: they are dropped.
                NextMessage::Earlier(oldest) => self.last = oldest - 1,
                NextMessage::Nothing => return,
            }
        }
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        let line = encode(message)?;
        // A byte more, for the newline that ends a torn line.
        if self.length.saturating_add(line.len() + 1) > MAX_FILE_BYTES {
            self.file = None;
            match fs::rename(&self.newer, &self.older) {
                // It was removed: the next one is created all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                renamed => renamed?,
            }
            self.generation += 1;
            (self.length, self.is_torn) = (0, false);
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(opened(&self.newer)?),
        };
        let mut bytes = Vec::new();
        // Ends the torn line, so that this one is not taken for the rest of it.
        if self.is_torn {
            bytes.push(b'\n');
        }
        // Files that an earlier release began have no such line, and stay without one.
        if self.length == 0 {
            serde_json::to_writer(&mut bytes, &Stamp::CURRENT)?;
            bytes.push(b'\n');
        }
        bytes.extend(line);
        // After an error the file may have a part of the line.
        self.is_torn = true;
        file.write_all(&bytes)?;
        self.is_torn = false;
        self.length = self.length.saturating_add(bytes.len());
        Ok(())
    }
}

fn opened(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    pulse_files::open_with(&mut options, path)
}

pub(crate) fn encode(message: &Message) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&SpoolLine {
        number: message.number,
        severity: message.severity as u8,
        when: &message.when,
        text: message.text.as_str().into(),
    })?;
    line.push(b'\n');
    Ok(line)
}

/// The message of a line, which must end with a newline. A number that is never assigned is
/// refused, because this run's numbers continue after the last one.
pub(crate) fn decode(line: &[u8]) -> Option<Message> {
    let line: SpoolLine<'_> = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    Some(Message {
        number: Ordinal::new(line.number)?.get(),
        severity: Severity::from_code(line.severity)?,
        when: line.when.to_owned(),
        text: line.text.into_owned(),
    })
}

/// The highest number of a message; 0 without one.
fn highest_number(content: &[u8]) -> u64 {
    content
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(decode)
        .map(|message| message.number)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::push;
    use pulse_core::causes::Causes;

    fn all(reading: &mut SpoolReader, spool: &Spool, after: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut last = after;
        while let Some(message) = reading.after(last, spool).unwrap() {
            last = message.number;
            numbers.push(last);
        }
        numbers
    }

    fn filled(directory: &Path, count: u64) -> (Journal, Spool) {
        let (journal, mut spool) = (Journal::default(), Spool::open(directory).unwrap());
        journal.continue_after(spool.last());
        for _ in 0..count {
            push(&journal, "something happened");
            spool.store_new(&journal);
        }
        (journal, spool)
    }

    #[test]
    fn messages_survive_a_restart() {
        let home = tempfile::tempdir().unwrap();
        drop(filled(home.path(), 3));
        let (_, spool) = filled(home.path(), 2);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3, 4, 5]);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 3), [4, 5]);
        let message = SpoolReader::default().after(0, &spool).unwrap().unwrap();
        assert_eq!(message.text, "something happened");
        assert_eq!(message.severity, Severity::Info);
    }

    #[test]
    fn a_reader_follows_rotations() {
        let home = tempfile::tempdir().unwrap();
        let (journal, mut spool) = filled(home.path(), 0);
        let mut reading = SpoolReader::default();
        let (mut seen, mut last) = (Vec::new(), 0);
        for _ in 0..3 {
            for _ in 0..10_000 {
                push(
                    &journal,
                    "something happened that takes a while to tell, as it goes",
                );
                spool.store_new(&journal);
            }
            let found = all(&mut reading, &spool, last);
            last = *found.last().unwrap();
            seen.extend(found);
        }
        assert!(spool.generation > 1);
        assert_eq!(seen, (1..=30_000).collect::<Vec<_>>());
    }

    #[test]
    fn both_files_stay_bounded() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 80_000);
        let left = all(&mut SpoolReader::default(), &spool, 0);
        assert_eq!(left.last(), Some(&80_000));
        assert!(left[0] > 1 && left.len() > 20_000, "{}", left.len());
        for file in [&spool.newer, &spool.older] {
            assert!(fs::metadata(file).unwrap().len() <= MAX_FILE_BYTES as u64);
        }
    }

    /// One file was restored from a backup, or lines were exchanged.
    #[test]
    fn numbers_follow_the_highest() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 9);
        fs::rename(&spool.newer, &spool.older).unwrap();
        let lines = fs::read(&spool.older).unwrap();
        // The first message; the line before it has the format.
        let first = lines.split_inclusive(|byte| *byte == b'\n').nth(1);
        fs::write(&spool.newer, first.unwrap()).unwrap();
        let (_, spool) = filled(home.path(), 2);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 9), [10, 11]);
        let lines = fs::read(&spool.newer).unwrap();
        let reversed: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').rev().collect();
        fs::write(&spool.newer, reversed.concat()).unwrap();
        let (_, spool) = filled(home.path(), 1);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 11), [12]);
    }

    #[test]
    fn a_torn_line_loses_no_other() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 2);
        opened(&spool.newer)
            .unwrap()
            .write_all(b"{\"number\":3,")
            .unwrap();
        let (_, spool) = filled(home.path(), 2);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3, 4]);
        // Garbage of any length is skipped.
        let garbage = [b'x'; 3 * MAX_LINE_BYTES];
        opened(&spool.newer).unwrap().write_all(&garbage).unwrap();
        let (_, spool) = filled(home.path(), 1);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn formats_of_all_releases() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("messages");
        // As 0.1 wrote it; the file goes on without a format.
        let line =
            "{\"number\":1,\"severity\":6,\"when\":\"2026-01-01T00:00:00Z\",\"text\":\"x\"}\n";
        fs::write(&path, line).unwrap();
        let (journal, mut spool) = filled(home.path(), 1);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2]);
        assert!(fs::read_to_string(&path).unwrap().starts_with(line));
        // The next file begins with it.
        spool.length = MAX_FILE_BYTES;
        push(&journal, "x");
        spool.store_new(&journal);
        let stamp = serde_json::to_string(&Stamp::CURRENT).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some(stamp.as_str()), "{text}");
        assert_eq!(text.matches("format").count(), 1, "{text}");
        let (_, spool) = filled(home.path(), 1);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3, 4]);
        // Either file may be of a later release.
        let later = "{\"format\":2,\"release\":\"0.4.0\"}\n";
        for file in [&spool.older, &spool.newer] {
            let before = fs::read(file).unwrap();
            fs::write(file, later).unwrap();
            let error = Spool::open(home.path()).unwrap_err();
            let text = Causes(&error).to_string();
            let start = format!("{}: release 0.4.0 wrote it in format 2", file.display());
            assert!(text.starts_with(&start), "{text}");
            assert!(error.remedy().contains("not forwarded"));
            assert_eq!(fs::read_to_string(file).unwrap(), later);
            fs::write(file, before).unwrap();
        }
        Spool::open(home.path()).unwrap();
    }

    #[test]
    fn a_removed_file_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let (journal, mut spool) = filled(home.path(), 1);
        fs::remove_file(&spool.newer).unwrap();
        spool.length = MAX_FILE_BYTES;
        push(&journal, "something happened");
        spool.store_new(&journal);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [2]);
    }

    #[test]
    fn impossible_numbers_are_skipped() {
        for number in [u64::MAX, u64::MAX - 1, Ordinal::MAX + 1] {
            let home = tempfile::tempdir().unwrap();
            drop(filled(home.path(), 2));
            let line = format!(
                "{{\"number\":{number},\"severity\":6,\"when\":\"2026-01-01T00:00:00Z\",\"text\":\"x\"}}\n"
            );
            opened(&home.path().join("messages"))
                .unwrap()
                .write_all(line.as_bytes())
                .unwrap();
            let (_, spool) = filled(home.path(), 2);
            assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn numbers_beyond_the_limit_are_sent() {
        let home = tempfile::tempdir().unwrap();
        let mut journal = Journal::default();
        journal.continue_after(Ordinal::MAX - 1);
        let mut spool = Spool::open(home.path()).unwrap();
        spool.last = journal.last();
        for _ in 0..3 {
            push(&journal, "x");
            spool.store_new(&journal);
        }
        assert_eq!(spool.last(), Ordinal::MAX + 2);
        (journal, spool) = filled(home.path(), 1);
        assert_eq!(
            (journal.last(), spool.last()),
            (Ordinal::MAX + 1, Ordinal::MAX + 1)
        );
    }

    #[test]
    fn a_fifo_does_not_block() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 1);
        for path in [&spool.newer, &spool.older] {
            let _ = fs::remove_file(path);
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let (journal, mut spool) = filled(home.path(), 2);
        assert!(SpoolReader::default().after(0, &spool).is_err());
        fs::remove_file(&spool.newer).unwrap();
        fs::remove_file(&spool.older).unwrap();
        spool.store_new(&journal);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2]);
    }

    #[test]
    fn a_huge_file_is_read_in_part() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 2);
        let huge = opened(&spool.newer).unwrap();
        huge.set_len(1 << 40).unwrap();
        let (journal, mut spool) = filled(home.path(), 1);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3]);
        spool.length = MAX_FILE_BYTES;
        push(&journal, "x");
        spool.store_new(&journal);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 2), [3, 4]);
        assert!(fs::metadata(&spool.older).unwrap().len() < MAX_FILE_BYTES as u64);
    }

    #[test]
    fn unreadable_files_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 2);
        for path in [&spool.newer, &spool.older] {
            let content = fs::read(path).ok();
            let _ = fs::remove_file(path);
            // Root may read every file, so a loop stands for one that cannot be read.
            std::os::unix::fs::symlink(path, path).unwrap();
            let error = Spool::open(home.path()).unwrap_err();
            let text = Causes(&error).to_string();
            assert!(text.contains("it cannot be read: "), "{text}");
            assert!(error.remedy().contains("readable"), "{}", error.remedy());
            fs::remove_file(path).unwrap();
            if let Some(content) = content {
                fs::write(path, content).unwrap();
            }
        }
        assert_eq!(Spool::open(home.path()).unwrap().last(), 2);
    }

    #[test]
    fn failed_writes_are_retried() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("later");
        let (journal, mut spool) = filled(&directory, 3);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [0; 0]);
        fs::create_dir(&directory).unwrap();
        spool.store_new(&journal);
        assert_eq!(all(&mut SpoolReader::default(), &spool, 0), [1, 2, 3]);
    }
}
