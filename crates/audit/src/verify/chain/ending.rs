//! Where the lines end: does the log end there too, and what is the verdict?

use super::Chain;
use crate::record::MAX_LINE_BYTES;
use crate::verify::report::{Attack, Finding, Note, NoteKind, Report, Verdict};

impl Chain<'_> {
    pub(in crate::verify) fn finish(mut self) -> Report {
        if !self.judge_evidence() && self.rubbish.lines > 0 {
            self.finish_in_rubbish();
        }
        self.judge_beginning();
        if self.report.findings.is_empty() {
            self.check_end();
        }
        if self.repeated > 0 {
            let text = format!("{} repetitions were skipped", self.repeated);
            self.note(NoteKind::Repeated, self.head.seq, &text);
        }
        let on_its_word =
            |note: &Note| matches!(note.kind, NoteKind::KeyFromLog | NoteKind::Partial);
        self.report.verdict = match () {
            () if !self.report.findings.is_empty() => Verdict::Broken,
            () if self.report.notes.iter().any(on_its_word) => Verdict::Unproven,
            () => Verdict::Intact,
        };
        self.report.log_id = self.log_id;
        self.report.epoch = self.epoch.map(|(number, _)| number);
        self.report.last_seq = self.head.seq;
        self.report.last_hash = self.head.hash().to_owned();
        self.report
    }

    /// False when there is none.
    pub(super) fn judge_evidence(&mut self) -> bool {
        let Some(evidence) = self.evidence.take() else {
            return false;
        };
        self.report.findings.sort_by_key(|found| found.record);
        let place = evidence.begins_at();
        let earlier = |found: &Finding| found.record < place;
        let at = self.report.findings.partition_point(earlier);
        // Whatever else was found from there on may well come from this.
        self.report.findings.insert(at, evidence.judge());
        true
    }

    fn finish_in_rubbish(&mut self) {
        let (seq, spot) = (self.head.seq + 1, self.rubbish.spot.clone());
        if self.options.live && self.is_unfinished() {
            return self.note(NoteKind::Unfinished, seq, "the last line is being written");
        }
        let (attack, detail) = match self.rubbish.ended {
            true => (
                Attack::Edited,
                "this line is not a record as it was written",
            ),
            false => (Attack::Truncated, "the last line is not whole"),
        };
        self.find(attack, seq, &spot, detail.to_owned());
    }

    fn is_unfinished(&self) -> bool {
        let rest = &self.rubbish;
        rest.lines == 1 && !rest.ended && rest.length < MAX_LINE_BYTES
    }

    /// The chain is whole: does it end where it should?
    fn check_end(&mut self) {
        let (seq, spot) = (self.head.seq, self.spot.clone());
        let is_short = self
            .options
            .expected
            .is_some_and(|expected| seq < expected.seq);
        let (epoch, wanted) = (
            self.epoch.map(|(number, _)| number),
            self.options.expected_epoch,
        );
        if self.report.records == 0 {
            self.find(Attack::Truncated, 1, &spot, "there is no record".to_owned());
        } else if is_short || wanted.is_some_and(|wanted| epoch < Some(wanted)) {
            let attack = if self.last_was_seal {
                Attack::RolledBack
            } else {
                Attack::Truncated
            };
            let detail = format!("the log ends at record {seq}, but later ones were written");
            self.find(attack, seq + 1, &spot, detail);
        } else if let Some((first, since)) = self.unsealed_since {
            let age = self.options.now.map(|now| now.since(since));
            if age.is_some_and(|age| age > self.options.max_unsealed) {
                let detail = format!("the log's end is unsealed since {since}");
                self.find(Attack::Unsealed, first, &spot, detail);
            } else {
                self.note(
                    NoteKind::Pending,
                    first,
                    "records from here on are not sealed yet",
                );
            }
        }
    }
}
