//! The end of the log: whether it should end there, and the remaining findings.

use super::{Chain, LastRecord, MAX_FINDINGS, StrayLines};
use crate::record::MAX_LINE_BYTES;
use crate::verify::report::{Attack, Finding, NoteKind, PendingReport};

impl Chain<'_> {
    pub(in crate::verify) fn finish(mut self) -> PendingReport {
        let is_broken = self.judge_evidence();
        if let Some(stray) = self.stray.take().filter(|_| !is_broken) {
            self.judge_stray_end(&stray);
        }
        self.judge_beginning();
        let pending = if self.report.findings.is_empty() {
            self.check_end()
        } else {
            None
        };
        self.report_misnamed(is_broken);
        if self.repeated > 0 {
            let text = format!("{} repetitions were skipped", self.repeated);
            self.note(NoteKind::Repeated, self.head.seq, &text);
        }
        self.report.log_id = self.log_id;
        self.report.epoch = self.key.known().map(|key| key.epoch);
        self.report.last_seq = self.head.seq;
        self.report.last_hash = self.head.hash().to_owned();
        PendingReport {
            report: self.report,
            lagging: self.options.lagging,
            pending,
        }
    }

    /// Adds the finding of the break; false when there was none.
    pub(super) fn judge_evidence(&mut self) -> bool {
        let Some(evidence) = self.evidence.take() else {
            return false;
        };
        self.report.findings.sort_by_key(|found| found.record);
        let place = evidence.begins_at();
        let earlier = |found: &Finding| found.record < place;
        let at = self.report.findings.partition_point(earlier);
        // Before the findings of later records, which the same change may have caused.
        self.report.findings.insert(at, evidence.judge());
        true
    }

    /// Adds findings of misnamed files. Such a file usually breaks the chain as well; then the
    /// finding of the break, which says more, comes first.
    fn report_misnamed(&mut self, is_broken: bool) {
        for found in std::mem::take(&mut self.misnamed) {
            let findings = &mut self.report.findings;
            if findings.len() == MAX_FINDINGS {
                self.report.findings_left_out += 1;
            } else if is_broken {
                findings.push(found);
            } else {
                let at = findings.partition_point(|known| known.record < found.record);
                findings.insert(at, found);
            }
        }
    }

    fn judge_stray_end(&mut self, stray: &StrayLines) {
        let seq = self.head.seq + 1;
        let is_unfinished = stray.lines == 1 && !stray.ended && stray.length < MAX_LINE_BYTES;
        if self.options.live && is_unfinished {
            return self.note(NoteKind::Unfinished, seq, "the last line is being written");
        }
        let (attack, detail) = if stray.ended {
            (
                Attack::Edited,
                "this line is not a record as it was written",
            )
        } else {
            (Attack::Truncated, "the last line is not whole")
        };
        self.find(attack, seq, &stray.location, detail.to_owned());
    }

    /// Checks the end of an unbroken chain. Gives the first record at its end that is not sealed
    /// yet, and need not be.
    fn check_end(&mut self) -> Option<u64> {
        let location = self.location.clone();
        if self.report.records == 0 {
            self.find(
                Attack::Truncated,
                1,
                &location,
                "there is no record".to_owned(),
            );
            return None;
        }
        self.judge_state();
        self.check_heads_to_come();
        if !self.report.findings.is_empty() {
            return None;
        }
        let (first, since) = self.unsealed_since?;
        let age = self.options.now.map(|now| now.since(since));
        if age.is_some_and(|age| age > self.options.max_unsealed) {
            let detail = format!("the end of the log has been unsealed since {since}");
            self.find(Attack::Unsealed, first, &location, detail);
            return None;
        }
        Some(first)
    }

    /// Checks that no record that is known from elsewhere comes after the end.
    fn check_heads_to_come(&mut self) {
        let (seq, location) = (self.head.seq, self.location.clone());
        let Some(last) = self.heads.last().filter(|last| last.seq > seq) else {
            return;
        };
        if self.options.lagging {
            return;
        }
        let attack = if self.last == LastRecord::Seal {
            Attack::RolledBack
        } else {
            Attack::Truncated
        };
        let missing = match last.seq - seq {
            1 => format!("record {} is", last.seq),
            _ => format!("records {} to {} are", seq + 1, last.seq),
        };
        let detail = format!(
            "the log ends at record {seq}, but record {} is known from elsewhere: {missing} missing",
            last.seq
        );
        self.find(attack, seq + 1, &location, detail);
    }
}
