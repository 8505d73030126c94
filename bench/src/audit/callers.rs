//! Callers in one thread, each with one pending record at any time.

use super::Reading;
use pulse_audit::{Directory, Settings, Writer};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(super) struct Callers {
    writer: Writer,
    reading: Reading,
    count: usize,
}

/// Figures of a turn.
pub(super) struct Turn {
    pub(super) records: u64,
    /// Batches, with one sync each.
    pub(super) commits: u64,
    pub(super) length: Duration,
}

impl Callers {
    pub(super) fn start(directory: &Path, count: usize) -> Self {
        let log = directory.join(format!("log-{count}"));
        std::fs::create_dir(&log).unwrap();
        let directory = Directory::lock(&log, &log.join("state")).unwrap();
        Self {
            writer: Writer::start(directory, Settings::default()).unwrap(),
            reading: Reading::sample(),
            count,
        }
    }

    /// Has every caller submit records for this long, and waits for the last ones.
    pub(super) fn turn(&self, length: Duration) -> Turn {
        let mailbox = Arc::new(Mailbox::default());
        let (before, started) = (self.writer.health().commits, Instant::now());
        let (mut records, mut waiting) = (0, self.count);
        (0..self.count).for_each(|_| self.submit(&mailbox));
        // Each answer makes its caller submit again: as many records are pending as there are
        // callers, until the time is over.
        while waiting > 0 {
            for _ in 0..mailbox.take() {
                records += 1;
                if started.elapsed() < length {
                    self.submit(&mailbox);
                } else {
                    waiting -= 1;
                }
            }
        }
        Turn {
            records,
            commits: self.writer.health().commits - before,
            length: started.elapsed(),
        }
    }

    fn submit(&self, mailbox: &Arc<Mailbox>) {
        let mailbox = Arc::clone(mailbox);
        // Called by the writer's thread when the record is on disk.
        let answer = move |outcome: Result<_, _>| {
            outcome.unwrap();
            let mut answers = mailbox.answers.lock().unwrap();
            *answers += 1;
            // With more than one, the thread was woken already and has not taken them yet.
            if *answers == 1 {
                mailbox.filled.notify_one();
            }
        };
        self.writer.submit(&self.reading.event(), Box::new(answer));
    }
}

/// The channel from the writer to the callers' thread. Like an event loop, the thread is woken
/// once for any number of answers.
#[derive(Default)]
struct Mailbox {
    answers: Mutex<u32>,
    filled: Condvar,
}

impl Mailbox {
    fn take(&self) -> u32 {
        let answers = self.answers.lock().unwrap();
        let mut filled = self
            .filled
            .wait_while(answers, |answers| *answers == 0)
            .unwrap();
        std::mem::take(&mut *filled)
    }
}
