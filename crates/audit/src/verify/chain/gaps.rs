//! Records that are missing in a collector's file: the chain is followed anew after them.
//!
//! One gap must not hide the next, so each is told and what follows is verified for
//! itself. What was known before the gap must still agree with what comes after it.

use super::{Chain, CurrentKey, LastRecord, Location};
use crate::key::PublicKey;
use crate::line::RecordLine;
use crate::record::Head;
use crate::verify::report::Attack;

impl Chain<'_> {
    /// The end of what was followed so far.
    pub(in crate::verify) fn head(&self) -> &Head {
        &self.head
    }

    /// Where the next line stands, when lines are not read in their order.
    pub(in crate::verify) fn move_before(&mut self, location: &Location) {
        self.location = Location {
            line: location.line.saturating_sub(1),
            ..location.clone()
        };
    }

    /// Goes on with this record, whatever is missing before it.
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

    /// Keys and epochs go forward, also where nobody sees them do it.
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
        let is_other_key = epoch == before.epoch && key != before.key;
        if epoch < before.epoch || is_other_key || is_another_log {
            let location = self.location.clone();
            let detail = "after what is missing, another log or key goes on".to_owned();
            self.find(Attack::Spliced, seq, &location, detail);
        }
    }
}
