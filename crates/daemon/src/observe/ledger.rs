//! Records that are summed up: `core::summary` decides which are due.

use crate::observe::recorder::Recorder;
use pulse_core::summary::{Account, Summaries, Tally};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
        let due = self.summaries().note(tally, account, crate::sys::now());
        self.put(due);
    }

    /// Writes the records that are due without a further event.
    pub(crate) fn catch_up(&self, now: Instant) {
        let due = self.summaries().due(now);
        self.put(due);
    }

    /// Writes the records of all sums that are left.
    pub(crate) fn finish(&self) {
        let due = self.summaries().finish();
        self.put(due);
    }

    fn put(&self, due: impl IntoIterator<Item = Tally>) {
        for due in due {
            self.recorder.note(&due.event());
        }
    }

    fn summaries(&self) -> MutexGuard<'_, Summaries> {
        self.summaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
