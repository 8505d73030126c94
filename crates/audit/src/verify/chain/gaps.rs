//! Gaps in a collector's file, after which a new chain begins.
//!
//! A gap must not hide the next one. So each is reported, and the records after it are
//! verified as a chain of their own, whose log and keys must agree with those before it.

use super::{Chain, CurrentKey, LastRecord, Location};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::record::Head;
use crate::verify::report::Attack;

impl Chain<'_> {
    /// The end of the chain so far.
    pub(in crate::verify) fn head(&self) -> &Head {
        &self.head
    }

    /// Sets the position of the next line, where lines are not read in order.
    pub(in crate::verify) fn move_before(&mut self, location: &Location) {
        self.location = Location {
            line: location.line.saturating_sub(1),
            ..location.clone()
        };
    }

    /// Begins a new chain with this record, after a gap.
    pub(in crate::verify) fn begin_anew_with(&mut self, line: &RecordLine<'_>) {
        self.judge_evidence();
        self.head = Head {
            seq: line.seq - 1,
            hash: *line.prev_hash,
        };
        if let CurrentKey::Known(key) = self.key {
            self.key = CurrentKey::BeforeGap(key);
        }
        self.unsealed_since = None;
        self.removed_through = None;
        self.last = LastRecord::Other;
    }

    /// Checks that the first key after a gap is of the same log, and not of an earlier epoch.
    pub(super) fn check_after_gap(
        &mut self,
        seq: u64,
        epoch: u64,
        key: PublicKey,
        log_id: Option<&str>,
    ) {
        let CurrentKey::BeforeGap(before) = self.key else {
            return;
        };
        let is_another_log =
            matches!((&self.log_id, log_id), (Some(ours), Some(theirs)) if ours != theirs);
        // A later epoch is possible: its seals are among the missing records.
        if epoch < before.epoch || (epoch == before.epoch && key != before.key) || is_another_log {
            self.find_here(
                Attack::Spliced,
                seq,
                "after the missing records another log or key continues",
            );
        }
    }
}
