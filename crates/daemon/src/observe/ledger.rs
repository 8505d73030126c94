//! Records that are summed up: `core::summary` decides which are due.

use crate::observe::recorder::Recorder;
use pulse_core::summary::{Account, Summaries, Tally};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The sums, and the recorder that they go to.
pub(crate) struct Ledger {
    summaries: Mutex<Summaries>,
    recorder: Arc<dyn Recorder>,
}

impl Ledger {
    pub(crate) fn new(recorder: Arc<dyn Recorder>) -> Self {
        Self {
            summaries: Mutex::default(),
            recorder,
        }
    }

    /// Counts an event, and writes its record if one is due.
    pub(crate) fn note(&self, tally: Tally, account: Account) {
        self.put(|sums| sums.note(tally, account, crate::sys::now()));
    }

    /// Writes the records that are due without a further event.
    pub(crate) fn catch_up(&self, now: Instant) {
        self.put(|sums| sums.due(now));
    }

    /// Writes the records of all sums that are left.
    pub(crate) fn finish(&self) {
        self.put(Summaries::finish);
    }

    fn put<Due: IntoIterator<Item = Tally>>(&self, take: impl FnOnce(&mut Summaries) -> Due) {
        // A statement of its own, so that the lock is free again while records are written.
        let due = take(
            &mut self
                .summaries
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for due in due {
            self.recorder.note(&due.event());
        }
    }
}
