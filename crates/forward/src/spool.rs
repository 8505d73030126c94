//! The daemon's own messages on disk, for collectors that are away and for the next start.
//!
//! Two files of bounded size, a message a line; the older one goes when the newer one is
//! full. They are written and not synced: a kill loses nothing that was written, a power
//! failure may, and unlike the audit log's records nobody relies on these. While the disk
//! takes nothing, messages wait in memory, and go to collectors from there.

use crate::journal::{Journal, Message, Next};
use pulse_core::ordinal::Ordinal;
use pulse_relp::message::Severity;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One file's size, in bytes.
const FILE: usize = 2 << 20;
/// Longer than any line that is written.
const LINE: usize = 8 << 10;
const MODE: u32 = 0o600;

/// A line.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
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
    /// Which file is the newer one: so many came before it.
    turn: u64,
    /// The number of the last message that was written, or never will be.
    last: u64,
    /// The last write may have left half a line.
    is_torn: bool,
    is_well: bool,
}

impl Spool {
    /// What an earlier run left in a directory, or nothing.
    pub(crate) fn open(directory: &Path) -> Self {
        let (newer, older) = (directory.join("messages"), directory.join("messages.older"));
        // A file that cannot be read, or is none, counts as empty: messages are written again
        // as soon as there can be one. Of one that is longer than we make it, the rest is left.
        let read = |path: &Path| pulse_files::read_beginning(path, FILE).unwrap_or_default();
        let content = read(&newer);
        let before = || last_number(&read(&older));
        Self {
            length: content.len(),
            last: last_number(&content).or_else(before).unwrap_or(0),
            is_torn: content.last().is_some_and(|byte| *byte != b'\n'),
            newer,
            older,
            file: None,
            turn: 1,
            is_well: true,
        }
    }

    /// The number of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Writes what is new in a journal. What cannot be written is tried again the next
    /// time, for as long as it is in memory.
    pub(crate) fn take(&mut self, journal: &Journal) {
        loop {
            match journal.after(self.last) {
                Next::Message(message) => {
                    let written = self.write(&message);
                    if self.tell(&written) {
                        self.last = message.number;
                    } else {
                        return;
                    }
                }
                Next::Earlier(oldest) => self.last = oldest - 1,
                Next::Nothing => return,
            }
        }
    }

    /// Once when it begins to go wrong, once when it is well again.
    fn tell(&mut self, written: &io::Result<()>) -> bool {
        match written {
            Err(error) if self.is_well => tracing::warn!(
                %error, path = %self.newer.display(),
                "the daemon's own messages cannot be stored: they wait in memory for a collector"
            ),
            Ok(()) if !self.is_well => tracing::info!("the daemon's own messages are stored again"),
            _ => (),
        }
        self.is_well = written.is_ok();
        self.is_well
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        let mut line = Vec::new();
        if self.is_torn {
            line.push(b'\n');
        }
        line.extend(encoded(message)?);
        if self.length.saturating_add(line.len()) > FILE {
            self.turn_over()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(opened(&self.newer)?),
        };
        self.is_torn = true;
        file.write_all(&line)?;
        self.is_torn = false;
        self.length = self.length.saturating_add(line.len());
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.file = None;
        match fs::rename(&self.newer, &self.older) {
            // Somebody took it away: the next one begins all the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            renamed => renamed?,
        }
        self.turn += 1;
        self.length = 0;
        Ok(())
    }
}

fn opened(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    pulse_files::open_with(&mut options, path)
}

pub(crate) fn encoded(message: &Message) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line {
        number: message.number,
        severity: message.severity as u8,
        when: &message.when,
        text: message.text.as_str().into(),
    })?;
    line.push(b'\n');
    Ok(line)
}

/// Half a line is none. Nor is one with a number that we never give: this run's numbers go on
/// after the last one that is found here.
pub(crate) fn decoded(line: &[u8]) -> Option<Message> {
    let line: Line<'_> = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    Some(Message {
        number: Ordinal::new(line.number)?.get(),
        severity: Severity::of(line.severity)?,
        when: line.when.to_owned(),
        text: line.text.into_owned(),
    })
}

fn last_number(content: &[u8]) -> Option<u64> {
    let mut lines = content.split_inclusive(|byte| *byte == b'\n').rev();
    lines.find_map(decoded).map(|message| message.number)
}

/// A file of messages: somebody else's may be longer than ours ever are.
type Bounded = io::Take<BufReader<File>>;

/// A way through the files, from the oldest message to the last.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    at: Option<(u64, Bounded)>,
    line: Vec<u8>,
}

impl Reading {
    /// The first message from here on with a higher number than this; none at the end.
    ///
    /// # Errors
    /// The operating system's, when a file cannot be read.
    pub(crate) fn after(&mut self, number: u64, spool: &Spool) -> io::Result<Option<Message>> {
        loop {
            if self.read()? {
                let message = decoded(&self.line).filter(|message| message.number > number);
                if message.is_some() {
                    return Ok(message);
                }
            } else if !self.turn(spool)? {
                return Ok(None);
            }
        }
    }

    /// Reads a line; false when there is none.
    fn read(&mut self) -> io::Result<bool> {
        self.line.clear();
        let Some((_, file)) = &mut self.at else {
            return Ok(false);
        };
        let line = &mut self.line;
        Ok(file.by_ref().take(LINE as u64).read_until(b'\n', line)? > 0)
    }

    /// Goes on with the next file; false when this was the newer one.
    fn turn(&mut self, spool: &Spool) -> io::Result<bool> {
        let older = spool.turn - 1;
        let next = self.at.as_ref().map_or(older, |(turn, _)| turn + 1);
        for turn in next.max(older)..=spool.turn {
            let path = if turn == older {
                &spool.older
            } else {
                &spool.newer
            };
            match pulse_files::open(path) {
                Ok(file) => {
                    self.at = Some((turn, BufReader::new(file).take(FILE as u64)));
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::say;

    fn all(reading: &mut Reading, spool: &Spool, after: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut last = after;
        while let Some(message) = reading.after(last, spool).unwrap() {
            last = message.number;
            numbers.push(last);
        }
        numbers
    }

    fn filled(directory: &Path, count: u64) -> (Journal, Spool) {
        let (journal, mut spool) = (Journal::default(), Spool::open(directory));
        journal.go_on_after(spool.last());
        for _ in 0..count {
            say(&journal, "something happened");
            spool.take(&journal);
        }
        (journal, spool)
    }

    #[test]
    fn what_a_run_said_is_there_for_the_next_one() {
        let home = tempfile::tempdir().unwrap();
        drop(filled(home.path(), 3));
        let (_, spool) = filled(home.path(), 2);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2, 3, 4, 5]);
        assert_eq!(all(&mut Reading::default(), &spool, 3), [4, 5]);
        let message = Reading::default().after(0, &spool).unwrap().unwrap();
        assert_eq!(message.text, "something happened");
        assert_eq!(message.severity, Severity::Info);
    }

    #[test]
    fn a_reader_goes_on_with_what_is_written_later_and_over_to_the_next_file() {
        let home = tempfile::tempdir().unwrap();
        let (journal, mut spool) = filled(home.path(), 0);
        let mut reading = Reading::default();
        let (mut seen, mut last) = (Vec::new(), 0);
        for _ in 0..3 {
            for _ in 0..10_000 {
                say(
                    &journal,
                    "something happened that takes a while to tell, as it goes",
                );
                spool.take(&journal);
            }
            let found = all(&mut reading, &spool, last);
            last = *found.last().unwrap();
            seen.extend(found);
        }
        assert!(spool.turn > 1);
        assert_eq!(seen, (1..=30_000).collect::<Vec<_>>());
    }

    #[test]
    fn the_oldest_go_when_it_is_too_much_and_both_files_stay_small() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 80_000);
        let left = all(&mut Reading::default(), &spool, 0);
        assert_eq!(left.last(), Some(&80_000));
        assert!(left[0] > 1 && left.len() > 20_000, "{}", left.len());
        for file in [&spool.newer, &spool.older] {
            assert!(fs::metadata(file).unwrap().len() <= FILE as u64);
        }
    }

    #[test]
    fn half_a_line_costs_no_other_and_no_number_is_given_twice() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 2);
        opened(&spool.newer)
            .unwrap()
            .write_all(b"{\"number\":3,")
            .unwrap();
        let (_, spool) = filled(home.path(), 2);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2, 3, 4]);
        // Garbage of any length is passed over.
        let garbage = [b'x'; 3 * LINE];
        opened(&spool.newer).unwrap().write_all(&garbage).unwrap();
        let (_, spool) = filled(home.path(), 1);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_file_that_was_taken_away_holds_nothing_up() {
        let home = tempfile::tempdir().unwrap();
        let (journal, mut spool) = filled(home.path(), 1);
        fs::remove_file(&spool.newer).unwrap();
        spool.length = FILE;
        say(&journal, "something happened");
        spool.take(&journal);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [2]);
    }

    #[test]
    fn absurd_numbers_are_passed_over() {
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
            assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn after_the_last_number_messages_still_go_through_memory() {
        let home = tempfile::tempdir().unwrap();
        let mut journal = Journal::default();
        journal.go_on_after(Ordinal::MAX - 1);
        let mut spool = Spool::open(home.path());
        spool.last = journal.last();
        for _ in 0..3 {
            say(&journal, "x");
            spool.take(&journal);
        }
        assert_eq!(spool.last(), Ordinal::MAX + 2);
        (journal, spool) = filled(home.path(), 1);
        assert_eq!(
            (journal.last(), spool.last()),
            (Ordinal::MAX + 1, Ordinal::MAX + 1)
        );
    }

    #[test]
    fn a_fifo_in_a_files_place_hangs_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 1);
        for path in [&spool.newer, &spool.older] {
            let _ = fs::remove_file(path);
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let (journal, mut spool) = filled(home.path(), 2);
        assert!(Reading::default().after(0, &spool).is_err());
        fs::remove_file(&spool.newer).unwrap();
        fs::remove_file(&spool.older).unwrap();
        spool.take(&journal);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2]);
    }

    #[test]
    fn a_huge_file_is_read_no_further_than_ours_reach_and_goes() {
        let home = tempfile::tempdir().unwrap();
        let (_, spool) = filled(home.path(), 2);
        let huge = opened(&spool.newer).unwrap();
        huge.set_len(1 << 40).unwrap();
        let (journal, mut spool) = filled(home.path(), 1);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2, 3]);
        spool.length = FILE;
        say(&journal, "x");
        spool.take(&journal);
        assert_eq!(all(&mut Reading::default(), &spool, 2), [3, 4]);
        assert!(fs::metadata(&spool.older).unwrap().len() < FILE as u64);
    }

    #[test]
    fn what_cannot_be_written_waits_for_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("later");
        let (journal, mut spool) = filled(&directory, 3);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [0; 0]);
        fs::create_dir(&directory).unwrap();
        spool.take(&journal);
        assert_eq!(all(&mut Reading::default(), &spool, 0), [1, 2, 3]);
    }
}
