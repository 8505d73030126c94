//! All copies of each record, in the order of their numbers.

use super::runs::{Index, RecordCopy, RunReader};
use std::io;

/// 8 MiB of buffers. Each is a replay of the same records, so few are usual.
const MOST_OPEN: usize = 256;

/// Goes through the runs side by side.
pub(super) struct Order<'a> {
    index: &'a Index,
    /// How many runs were begun.
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

    /// What there is of the next number; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Vec<RecordCopy>> {
        let waiting = self.index.runs.get(self.begun).map(|run| run.first);
        let open = self.open.iter().map(|run| run.next);
        let Some(seq) = open.chain(waiting).min() else {
            return Ok(Vec::new());
        };
        let mut copies = Vec::with_capacity(1);
        for run in &mut self.open {
            if run.next == seq {
                copies.push(run.next()?);
            }
        }
        self.begin_at(seq, &mut copies)?;
        self.open.retain(|run| run.left > 0);
        Ok(copies)
    }

    fn begin_at(&mut self, seq: u64, copies: &mut Vec<RecordCopy>) -> io::Result<()> {
        while let Some(run) = self.index.runs.get(self.begun)
            && run.first == seq
        {
            self.begun += 1;
            let mut run = self.index.open(run);
            copies.push(run.next()?);
            if run.left > 0 {
                self.open.push(run);
            }
            if self.open.len() > MOST_OPEN {
                let text = format!("record {seq} is in more than {MOST_OPEN} replays");
                return Err(io::Error::other(text));
            }
        }
        Ok(())
    }
}
