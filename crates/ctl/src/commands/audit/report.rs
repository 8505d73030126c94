//! The result of a verification, for people and for programs.

use super::state_key::StateKey;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::wrap::wrapped;
use pulse_audit::HeadLine;
use pulse_audit::verify::{Attack, Collected, NoteKind, Report, StateKeys, Verdict, Witness};
use serde_json::{Value, json};

/// Advice for each note that makes a verdict unproven, in the order in which it is printed.
const UNPROVEN: [(NoteKind, &str); 4] = [
    (
        NoteKind::Partial,
        "Only a part was verified. For a proof, verify the whole log from its first record on, \
         with --key KEY.",
    ),
    (
        NoteKind::KeyFromLog,
        "Give the verification key that was printed when the log was begun: --key KEY. Without \
         it, somebody may have written the whole log anew.",
    ),
    (
        NoteKind::EndUnproven,
        "Nothing proves that the end of the log is there. Run as root with the private \
         directory (--state-dir), or give a line that `audit head` printed earlier (--head) or \
         another copy (--against).",
    ),
    (
        NoteKind::EndUnsealed,
        "The daemon seals within a minute of what it writes. If it runs and can write, verify \
         again in some seconds: after a step of the clock or a suspend the seal comes then. If \
         the end stays unsealed, see the daemon's log.",
    ),
];

/// The indent of the lines below a finding.
const INDENT: &str = "    ";

/// The verdict, and all that belongs to it.
pub(super) struct Answer {
    /// On the log.
    pub(super) report: Report,
    /// On the copy that it was compared with.
    pub(super) second: Option<Report>,
    /// Gaps and repetitions in a collector's file.
    pub(super) collected: Option<Collected>,
    /// The keys of the private directory.
    pub(super) state: StateKey,
    /// The records that it had to hold.
    pub(super) heads: Vec<HeadLine>,
}

impl Answer {
    /// For programs: the report, and what it was held against.
    pub(super) fn as_json(&self) -> Value {
        let mut value = json!(self.report);
        value["proved_through"] = json!(self.report.proved_through());
        value["rollback_unchecked"] = json!(self.gap());
        value["snapshots"] = json!(self.snapshots());
        value["collected"] = json!(self.collected);
        value["against"] = json!(self.second);
        value
    }

    /// For people.
    pub(super) fn lines(&self, columns: Option<usize>) -> Vec<Line> {
        let mut lines = vec![self.verdict()];
        for found in &self.report.findings {
            let place = format!("  {}:{}", escape(&found.source), found.line);
            lines.push(
                Line::new(Tone::Bad, format!("  {}", name(found.attack)))
                    .and(Tone::Plain, " at record ")
                    .and(Tone::Strong, found.record.to_string())
                    .and(Tone::Faint, place),
            );
            for part in indented(&escape(&found.detail), columns) {
                lines.push(Line::plain(format!("{INDENT}{part}")));
            }
        }
        lines.extend(self.notes(columns));
        lines.push(Line::default());
        lines.extend(self.summary());
        if let Some(advice) = self.advice() {
            lines.push(Line::default());
            lines.extend(wrapped(&advice, columns).into_iter().map(Line::plain));
        }
        lines
    }

    fn is_proved_by(&self, witness: Witness) -> bool {
        self.report.proofs.iter().any(|proof| proof.by == witness)
    }

    /// Why it is not known that the end was not cut off; a collector's file has its own note.
    fn gap(&self) -> Option<String> {
        if self.collected.is_some() || self.is_proved_by(Witness::StateKey) {
            return None;
        }
        // Where the chain breaks, its end was not looked for.
        if self.report.verdict == Verdict::Broken
            && self.state.keys().is_some_and(StateKeys::is_usable)
        {
            return None;
        }
        let what = match self.report.proved_through() {
            0 => "the log's end was".to_owned(),
            seq => format!("what came after record {seq} was"),
        };
        Some(format!(
            "whether {what} cut off is not known: {}",
            self.state.why_no_proof()
        ))
    }

    /// The file system that weakens what the private key proves.
    fn snapshots(&self) -> Option<&'static str> {
        self.state
            .snapshots()
            .filter(|_| self.is_proved_by(Witness::StateKey))
    }

    /// The next step; none when all is well.
    fn advice(&self) -> Option<String> {
        let report = &self.report;
        let collected = self.collected.as_ref();
        match (collected.and_then(|it| it.replay_from), report.verdict) {
            // Replaying comes first: a gap may be records that have not arrived yet.
            (Some(seq), _) => Some(format!(
                "What is missing, from record {seq} on, may still be in the log on its host: have \
                 it sent again, and verify once more. Copies do no harm. If the daemon forwards: \
                 `pulse-sensorctl forward replay --from {seq} --wait` on the host; if rsyslog does: \
                 docs/operations.md."
            )),
            (None, Verdict::Intact) => None,
            (None, Verdict::Unproven) => {
                let is_part = has(report, NoteKind::Partial);
                let texts: Vec<&str> = UNPROVEN
                    .iter()
                    .filter(|(kind, _)| has(report, *kind))
                    // A part never names the first key.
                    .filter(|(kind, _)| !(is_part && *kind == NoteKind::KeyFromLog))
                    .map(|(_, text)| *text)
                    .collect();
                Some(texts.join(" "))
            }
            (None, Verdict::Broken) if report.records == 0 => Some(
                "Not one good record was read. Is this an audit log, and is its first file the first \
                 that was named?"
                    .to_owned(),
            ),
            (None, Verdict::Broken) if collected.is_some() => Some(
                "Every record between the first and the last is there. Keep the file as it is, \
                 compare it with the log (--against), and find out who could write to it."
                    .to_owned(),
            ),
            // The first finding decides: what follows it may be its consequence.
            (None, Verdict::Broken) => {
                let first = report.findings.first();
                first.map(|first| remedy(first.attack).to_owned())
            }
        }
    }

    fn verdict(&self) -> Line {
        let report = &self.report;
        match report.verdict {
            Verdict::Intact => {
                let from = match report.pruned_through {
                    0 => String::new(),
                    _ => format!(" from record {} on", report.first_seq),
                };
                // Later records may have been cut off: a head says nothing of what came after it,
                // nor a copy that ends before the last seal.
                let through = report.proved_through();
                let is_whole = self.is_proved_by(Witness::StateKey)
                    || (self.is_proved_by(Witness::Copy) && through >= report.sealed_through);
                let (through, what) = if through > 0 && self.collected.is_none() && !is_whole {
                    (
                        format!("{from} through record {through}"),
                        ": every record up to it is there as it was written",
                    )
                } else {
                    (from, ": every record is as it was written")
                };
                let agree = match self.second {
                    Some(_) => ", and the copies agree",
                    None => "",
                };
                Line::new(Tone::Good, format!("intact{through}"))
                    .and(Tone::Plain, format!("{what}{agree}"))
            }
            Verdict::Unproven => Line::new(Tone::Warm, "unproven").and(
                Tone::Plain,
                ": nothing contradicts itself, but not all of it is proven",
            ),
            Verdict::Broken => {
                let first = report.findings.first();
                let text = first.map_or_else(String::new, |first| {
                    format!(": {} at record {}", name(first.attack), first.record)
                });
                Line::new(Tone::Bad, "NOT intact").and(Tone::Plain, text)
            }
        }
    }

    fn notes(&self, columns: Option<usize>) -> Vec<Line> {
        // The end has a sentence of its own, with its reason: `gap`.
        let told = |report: &Report| {
            report
                .notes
                .iter()
                .filter(|note| note.kind != NoteKind::EndUnproven)
                .map(|note| format!("record {}: {}", note.record, note.detail))
                .collect::<Vec<_>>()
        };
        let mut texts = told(&self.report);
        for (count, what) in [
            (self.report.notes_left_out, "notes"),
            (self.report.findings_left_out, "findings"),
        ] {
            if count > 0 {
                texts.push(format!("{count} more {what}"));
            }
        }
        if let Some(second) = &self.second {
            let who = match self.collected {
                Some(_) => "the log, ",
                None => "second copy, ",
            };
            texts.extend(second.findings.iter().map(|found| {
                format!(
                    "{who}record {}: {}: {}",
                    found.record,
                    name(found.attack),
                    found.detail
                )
            }));
            texts.extend(told(second).into_iter().map(|text| format!("{who}{text}")));
        }
        // A head names its log, so one of another log is told apart from a rewritten record.
        if let Some(own) = &self.report.log_id {
            for line in self.heads.iter().filter(|line| line.log_id != *own) {
                texts.push(format!(
                    "the head of record {} is of the log {}, and this is another",
                    line.head.seq, line.log_id
                ));
            }
        }
        texts.extend(self.gap());
        if let (Some(name), Some(directory)) = (self.snapshots(), self.state.directory()) {
            texts.push(format!(
                "{} is on {name}, which can keep older states of files. Whoever has a snapshot of \
                 an earlier private key can have cut the log off there: only a head kept elsewhere \
                 (--head) or another copy (--against) shows that",
                directory.display()
            ));
        }
        texts
            .iter()
            .flat_map(|text| {
                let mut parts = indented(&escape(text), columns).into_iter();
                let first = Line::new(Tone::Faint, "  note: ")
                    .and(Tone::Plain, parts.next().unwrap_or_default());
                std::iter::once(first)
                    .chain(parts.map(|part| Line::plain(format!("{INDENT}{part}"))))
            })
            .collect()
    }

    fn summary(&self) -> Vec<Line> {
        let report = &self.report;
        let range = match report.records {
            0 => "none".to_owned(),
            count => format!("{count}, from {} to {}", report.first_seq, report.last_seq),
        };
        let sealed = match report.seals {
            0 => "nothing yet".to_owned(),
            seals => format!("through record {}, by {seals} seals", report.sealed_through),
        };
        let complete = match &report.proofs[..] {
            [] => "unknown".to_owned(),
            proofs => {
                let shown = proofs.iter().map(|proof| {
                    let by = match proof.by {
                        Witness::StateKey => "by the private key",
                        Witness::Head => "by a head",
                        Witness::Copy if self.collected.is_some() => "by the log",
                        Witness::Copy => "by the other copy",
                        Witness::Acknowledged => "by what was acknowledged",
                    };
                    format!("record {}, {by}", proof.through)
                });
                format!("through {}", shown.collect::<Vec<_>>().join("; "))
            }
        };
        let key_origin = if has(report, NoteKind::KeyFromLog) {
            " (from the log, unproven)"
        } else {
            ""
        };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let rows = [
            ("records", range),
            ("sealed", sealed),
            ("complete", complete),
            (
                "epoch",
                or_none(report.epoch.map(|epoch| epoch.to_string())),
            ),
            ("log", or_none(report.log_id.clone())),
            ("key", or_none(report.key.clone()) + key_origin),
        ];
        rows.map(|(title, value)| {
            Line::new(Tone::Faint, format!("{title:<9}")).and(Tone::Plain, escape(&value))
        })
        .into()
    }
}

fn indented(text: &str, columns: Option<usize>) -> Vec<String> {
    // The first line of a note has its heading, as wide as twice the indent.
    wrapped(
        text,
        columns.map(|columns| columns.saturating_sub(2 * INDENT.len())),
    )
}

/// The attack's name, as the report in JSON has it, with blanks.
fn name(attack: Attack) -> String {
    // serde has the only list of the names.
    let value = serde_json::to_value(attack).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

fn has(report: &Report, kind: NoteKind) -> bool {
    report.notes.iter().any(|note| note.kind == kind)
}

fn remedy(attack: Attack) -> &'static str {
    match attack {
        Attack::WrongKey => {
            "Either the key is another log's, or the whole log was written anew. Compare it with \
             the key that was kept when the log was begun, and with what the collector has."
        }
        Attack::Unsealed => {
            "The daemon seals within a minute of what it writes. If it ran and could write (its \
             own log tells), somebody else wrote these records."
        }
        Attack::WrongState => {
            "Either the directory is another log's, or its key was exchanged. Verify with the one \
             that the daemon's configuration names (state_dir)."
        }
        Attack::KeyRestored => {
            "Erased keys come back with a restored backup or snapshot of the state directory, or \
             with a copy that somebody kept. Until the log was compared with a head or a copy \
             from elsewhere (--head, --against), what was written since is not proven. The \
             daemon does not start with such a key alone, and erases one that it does not need."
        }
        Attack::SegmentMisnamed => {
            "The daemon never gives such a name. Find out who renamed the file, and whether it is \
             the one that was written: the collector's copy tells (--against)."
        }
        Attack::PrunedEarly => {
            "If the limits were others when this was removed, verify with these: --retain-days, \
             --retain-bytes. Else somebody with the private key of that time removed it: a head \
             (--head) or another copy (--against, the collector's) shows what it was."
        }
        Attack::Truncated | Attack::RolledBack | Attack::CutAtSeal => {
            "Records that were written are missing at the end. Keep a copy of what there is, and \
             get the rest from the collector: --against shows what it has."
        }
        _ => {
            "Do not repair the log. Keep a copy of it as it is, compare it with the collector's \
             (--against), and find out who could write to it. What was sealed before the first \
             bad record is good. To go on, move the log and its state directory aside and begin a new one \
             with audit init."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_audit::verify::{Options, Proof, Source, verify};
    use std::io;

    fn answer(log: &'static [u8], state: StateKey) -> Answer {
        let source = Source::reader("a\u{1b}[2J", log);
        Answer {
            report: verify(vec![source], &Options::default(), &mut |_| ()).unwrap(),
            second: None,
            collected: None,
            state,
            heads: Vec::new(),
        }
    }

    fn drawn(answer: &Answer, columns: Option<usize>) -> Vec<String> {
        let lines = answer.lines(columns);
        lines.iter().map(|line| line.render(false)).collect()
    }

    #[test]
    fn findings_follow_the_verdict() {
        let answer = answer(b"rubbish\n", StateKey::Unknown);
        let lines = drawn(&answer, Some(50));
        assert_eq!(
            lines[..4],
            [
                "NOT intact: edited at record 1",
                "  edited at record 1  a\\u{1b}[2J:1",
                "    this line is not a record as it was",
                "    written",
            ]
        );
        assert!(
            lines.iter().all(|line| line.chars().count() <= 50),
            "{lines:?}"
        );
    }

    #[test]
    fn an_unchecked_end_is_noted() {
        let refused = io::Error::new(io::ErrorKind::PermissionDenied, "/s: refused");
        let none = StateKeys::of_files([]);
        let garbage = StateKeys::of_files([("/s/seal-key-3", &b"garbage"[..])]);
        for (state, part) in [
            (StateKey::Unknown, "no --state-dir was given"),
            (read(none), "it holds no key"),
            (read(garbage), "/s/seal-key-3: not a private key"),
            (
                StateKey::Unreadable("/s".into(), refused),
                "known: /s: refused: run as root",
            ),
        ] {
            let answer = answer(b"", state);
            let text = drawn(&answer, None).join("\n");
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
            assert!(
                answer.as_json()["rollback_unchecked"]
                    .to_string()
                    .contains(part)
            );
        }
    }

    fn read(keys: StateKeys) -> StateKey {
        StateKey::Read {
            directory: "/s".into(),
            keys,
            snapshots: Some("btrfs"),
        }
    }

    #[test]
    fn snapshots_weaken_the_key() {
        let mut answer = answer(b"", read(StateKeys::default()));
        let mut text = drawn(&answer, None).join("\n");
        assert!(!text.contains("btrfs"), "{text}");
        answer.report.findings.clear();
        answer.report.verdict = Verdict::Intact;
        answer.report.proofs.push(Proof {
            by: Witness::StateKey,
            through: 7,
        });
        text = drawn(&answer, None).join("\n");
        assert!(text.contains("/s is on btrfs"), "{text}");
        assert!(
            text.contains("through record 7, by the private key"),
            "{text}"
        );
        assert_eq!(answer.as_json()["snapshots"], "btrfs");
    }

    #[test]
    fn every_attack_has_a_remedy() {
        let attacks = [
            (Attack::RolledBack, "rolled back"),
            (Attack::WrongKey, "wrong key"),
            (Attack::Unsealed, "unsealed"),
            (Attack::SegmentSwapped, "segment swapped"),
            (Attack::CutAtSeal, "cut at seal"),
            (Attack::KeyRestored, "key restored"),
            (Attack::WrongState, "wrong state"),
            (Attack::SegmentMisnamed, "segment misnamed"),
        ];
        for (attack, text) in attacks {
            assert_eq!(name(attack), text);
            assert!(remedy(attack).len() > 40);
        }
    }
}
