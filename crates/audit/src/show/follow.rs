//! Following a log as it grows.

use super::position::FollowPosition;
use super::{Filter, Shown};
use crate::growing::GrowingLog;
use std::io;
use std::path::Path;

/// A reader of selected records of a log that is being written.
pub struct Follower {
    log: GrowingLog,
    filter: Filter,
    position: FollowPosition,
}

impl Follower {
    /// A reader from the record after `after` on.
    #[must_use]
    pub fn new(directory: &Path, after: u64, filter: Filter) -> Self {
        Self {
            log: GrowingLog::new(directory),
            filter,
            position: FollowPosition::after(after),
        }
    }

    /// The next selected record; none at the present end.
    ///
    /// # Errors
    /// The operating system's, when a file cannot be read.
    pub fn next_shown(&mut self) -> io::Result<Option<Shown>> {
        while let Some(line) = self.log.line(self.position.next())? {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let shown = if self.position.passes(text) {
                self.filter.read(text)
            } else {
                None
            };
            self.log.take();
            if shown.is_some() {
                return Ok(shown);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LIVE;
    use crate::{Directory, Log, Settings, Timestamp};
    use std::fs::{self, File};
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
    fn following_survives_rotations() {
        let mut written = Written::begin();
        let mut follower = written.follow(0);
        assert_eq!(seqs(&mut follower), [1]);
        assert!(seqs(&mut follower).is_empty());
        written.write();
        assert_eq!(seqs(&mut follower), [2]);
        // Two rotations between two calls: sealed, rotated, resumed, and one more.
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
    fn a_line_is_shown_when_complete() {
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
    fn a_missing_log_is_awaited() {
        let home = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(home.path(), 0, Filter::default());
        assert!(seqs(&mut follower).is_empty());
    }
}
