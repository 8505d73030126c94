//! The end of the log: whether it should end there, and the remaining findings.

use super::{Chain, LastRecord, MAX_FINDINGS};
use crate::record::MAX_LINE_BYTES;
use crate::verify::report::{Attack, NoteKind, PendingReport};

impl Chain<'_> {
    pub(in crate::verify) fn finish(mut self) -> PendingReport {
        let is_broken = self.judge_evidence();
        if let Some(stray) = self.stray.take().filter(|_| !is_broken) {
            let seq = self.head.seq + 1;
            // The writer may be in the middle of one line, but not `MAX_LINE_BYTES` into it: no
            // record is that long.
            if self.options.live
                && stray.lines == 1
                && !stray.ended
                && stray.length < MAX_LINE_BYTES
            {
                self.note(NoteKind::Unfinished, seq, "the last line is being written");
            } else {
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
        }
        self.judge_beginning();
        let pending = if self.report.findings.is_empty() {
            self.check_end()
        } else {
            None
        };
        // A misnamed file usually breaks the chain as well; then the finding of the break, which
        // says more, comes first.
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
        if self.repeated > 0 {
            self.note(
                NoteKind::Repeated,
                self.head.seq,
                format!("{} repetitions were skipped", self.repeated),
            );
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
        let place = evidence.begins_at();
        let findings = &mut self.report.findings;
        findings.sort_by_key(|found| found.record);
        // Before the findings of later records, which the same change may have caused.
        let at = findings.partition_point(|found| found.record < place);
        findings.insert(at, evidence.judge());
        true
    }

    /// Checks the end of an unbroken chain. Gives the first record at its end that is not sealed
    /// yet, and need not be.
    fn check_end(&mut self) -> Option<u64> {
        if self.report.records == 0 {
            self.find_here(Attack::Truncated, 1, "there is no record");
            return None;
        }
        self.judge_state();
        let seq = self.head.seq;
        let last = self.heads.last().map_or(0, |last| last.seq);
        // A copy that lags behind may end before a head; a log may not.
        if last > seq && !self.options.lagging {
            // A log that ends with a seal looks like an older copy that was put back, any other
            // like one that was cut.
            let attack = if self.last == LastRecord::Seal {
                Attack::RolledBack
            } else {
                Attack::Truncated
            };
            let missing = match last - seq {
                1 => format!("record {last} is"),
                _ => format!("records {} to {last} are", seq + 1),
            };
            let detail = format!(
                "the log ends at record {seq}, but record {last} is known from elsewhere: \
                 {missing} missing"
            );
            self.find_here(attack, seq + 1, detail);
        }
        if !self.report.findings.is_empty() {
            return None;
        }
        let (first, since) = self.unsealed_since?;
        let age = self.options.now.map(|now| now.since(since));
        if age.is_some_and(|age| age > self.options.max_unsealed) {
            // No contradiction: after a step of the clock, or a suspend, the daemon has not had the
            // time to seal. Nor a proof: a daemon that runs and can write seals in some seconds.
            let detail = format!(
                "the end of the log has been unsealed since {since}: nothing but the file's \
                 permissions protects it. Verify again in some seconds"
            );
            self.note(NoteKind::EndUnsealed, first, detail);
            return None;
        }
        Some(first)
    }
}
