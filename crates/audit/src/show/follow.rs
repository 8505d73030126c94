//! Records as they come, across rotations.
//!
//! The file is looked at, not watched: whoever follows asks again after a while.
//! When the live file is another one, what was still written to the old one is
//! read first, then every file after it, by the numbers of their records.

use super::place::Place;
use super::{Filter, Shown};
use crate::directory::identity;
use crate::record::MAX_LINE_BYTES;
use crate::storage::LIVE;
use crate::verify::{Since, Source, narrowed, open_directory};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Reads a log that is being written.
pub struct Follower {
    directory: PathBuf,
    filter: Filter,
    place: Place,
    file: Option<BufReader<File>>,
    /// Files after that one.
    next: VecDeque<Source>,
    /// The line that is being written.
    line: Vec<u8>,
    /// The file is not the live one any more, and was read once more since.
    is_left: bool,
}

impl Follower {
    /// From the record after `after` on.
    #[must_use]
    pub fn new(directory: &Path, after: u64, filter: Filter) -> Self {
        Self {
            directory: directory.to_owned(),
            filter,
            place: Place::after(after),
            file: None,
            next: VecDeque::new(),
            line: Vec::new(),
            is_left: false,
        }
    }

    /// The next wanted record; none when there is no more for now.
    ///
    /// # Errors
    /// The operating system's, when a file cannot be read.
    pub fn next_shown(&mut self) -> io::Result<Option<Shown>> {
        loop {
            while self.next_line()? {
                if let Some(shown) = self.take_line() {
                    return Ok(Some(shown));
                }
            }
            if !self.go_on()? {
                return Ok(None);
            }
        }
    }

    /// Whether there is a whole line, or as much of one as a record can have.
    fn next_line(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
        file.take(room as u64).read_until(b'\n', &mut self.line)?;
        Ok(self.line.ends_with(b"\n") || self.line.len() == MAX_LINE_BYTES)
    }

    fn take_line(&mut self) -> Option<Shown> {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        match self.place.passes(text) {
            true => self.filter.read(text),
            false => None,
        }
    }

    /// Whether there is something to go on with at the end of a file.
    fn go_on(&mut self) -> io::Result<bool> {
        if self.next.is_empty() && self.is_live()? {
            return Ok(false);
        }
        if self.file.is_some() && !self.is_left {
            self.is_left = true;
            return Ok(true);
        }
        if self.next.is_empty() {
            let sources = match open_directory(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                sources => sources?,
            };
            // Files that begin no later than the next record, and the last of them.
            self.next = narrowed(sources, &Since::Seq(self.place.next() + 1)).into();
        }
        self.line.clear();
        self.is_left = false;
        let file = self.next.pop_front().map(Source::into_file).transpose()?;
        self.file = file.flatten().map(BufReader::new);
        Ok(self.file.is_some())
    }

    /// Whether the file is the one that is written, or no other is there yet.
    fn is_live(&self) -> io::Result<bool> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        match fs::metadata(self.directory.join(LIVE)) {
            Ok(live) => Ok(identity(&live) == identity(&file.get_ref().metadata()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, Log, Settings, Timestamp};
    use std::time::Duration;

    struct Written {
        home: tempfile::TempDir,
        log: Log<Directory>,
        second: u64,
    }

    impl Written {
        fn begin() -> Self {
            let home = tempfile::tempdir().unwrap();
            let storage = Directory::lock(home.path(), &home.path().join("state")).unwrap();
            let log = Log::open(storage, Settings::default(), Timestamp::default()).unwrap();
            Self {
                home,
                log,
                second: 0,
            }
        }

        fn now(&mut self) -> Timestamp {
            self.second += 1;
            Timestamp::default().plus(Duration::from_secs(self.second))
        }

        fn write(&mut self) {
            let now = self.now();
            let body = crate::Body::named("proxy.start").with_text("reason", "x");
            self.log.append(now, &[body]).unwrap();
        }

        fn rotate(&mut self) {
            let now = self.now();
            self.log.rotate(now).unwrap();
        }

        fn follow(&self, after: u64) -> Follower {
            Follower::new(self.home.path(), after, Filter::default())
        }
    }

    fn seqs(follower: &mut Follower) -> Vec<u64> {
        std::iter::from_fn(|| follower.next_shown().unwrap())
            .map(|shown| shown.seq)
            .collect()
    }

    #[test]
    fn nothing_is_lost_or_told_twice_across_rotations() {
        let mut written = Written::begin();
        let mut follower = written.follow(0);
        assert_eq!(seqs(&mut follower), [1]);
        assert!(seqs(&mut follower).is_empty());
        written.write();
        assert_eq!(seqs(&mut follower), [2]);
        // Two rotations between two looks: sealed, rotated, resumed, and one more.
        written.rotate();
        written.write();
        written.rotate();
        written.write();
        let met = seqs(&mut follower);
        let last = written.log.head().seq;
        assert_eq!(met, (3..=last).collect::<Vec<_>>());
        assert_eq!(seqs(&mut written.follow(last - 4)), &met[met.len() - 4..]);
    }

    #[test]
    fn a_line_is_told_when_it_is_whole() {
        use std::io::Write;
        let mut written = Written::begin();
        written.write();
        let lines = fs::read(written.home.path().join(LIVE)).unwrap();
        let copy = tempfile::tempdir().unwrap();
        let mut file = File::create(copy.path().join(LIVE)).unwrap();
        let mut follower = Follower::new(copy.path(), 0, Filter::default());
        let middle = lines.len() - 9;
        file.write_all(&lines[..middle]).unwrap();
        assert_eq!(seqs(&mut follower), [1]);
        file.write_all(&lines[middle..]).unwrap();
        assert_eq!(seqs(&mut follower), [2]);
    }

    #[test]
    fn a_log_that_is_not_there_yet_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(home.path(), 0, Filter::default());
        assert!(seqs(&mut follower).is_empty());
    }
}
