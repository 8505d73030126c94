//! The copies of each record, in order of the records' numbers.

use super::runs::{Index, READING_BUFFER, RecordCopy, RunReader};
use std::io;

/// The most runs with the same record, at 32 KiB of buffer each. Each is a replay, so few are
/// usual.
const MAX_OPEN: usize = 256;
// docs/audit.md states it.
const _: () = assert!(MAX_OPEN * READING_BUFFER <= 8 << 20);

/// A merge of all runs.
pub(super) struct Order<'a> {
    index: &'a Index,
    /// The number of runs that were opened.
    begun: usize,
    open: Vec<RunReader>,
}

impl<'a> Order<'a> {
    pub(super) fn of(index: &'a Index) -> Self {
        Self {
            index,
            begun: 0,
            open: Vec::new(),
        }
    }

    /// The copies of the next record; empty at the end.
    pub(super) fn next(&mut self) -> io::Result<Vec<RecordCopy>> {
        // Runs are sorted by their first record, so only the next one can begin here.
        let waiting = self.index.runs.get(self.begun).map(|run| run.first);
        let Some(seq) = self.open.iter().map(|run| run.next).chain(waiting).min() else {
            return Ok(Vec::new());
        };
        let mut copies = Vec::with_capacity(1);
        for run in &mut self.open {
            if run.next == seq {
                copies.push(run.next()?);
            }
        }
        while let Some(run) = self.index.runs.get(self.begun)
            && run.first == seq
        {
            self.begun += 1;
            let mut run = self.index.open(run);
            copies.push(run.next()?);
            if run.left > 0 {
                self.open.push(run);
            }
            if self.open.len() > MAX_OPEN {
                return Err(io::Error::other(format!(
                    "record {seq} is in more than {MAX_OPEN} replays"
                )));
            }
        }
        self.open.retain(|run| run.left > 0);
        Ok(copies)
    }
}
