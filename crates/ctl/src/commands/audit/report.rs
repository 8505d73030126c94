//! What a verification found, for people and for programs.

use super::state_key::StateKey;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::wrap::wrapped;
use pulse_audit::HeadLine;
use pulse_audit::verify::{
    Attack, Collected, Finding, Note, NoteKind, Proof, Report, StateKeys, Verdict, Witness,
};
use serde_json::{Value, json};

/// What proves what is not proven yet.
const UNPROVEN: [(NoteKind, &str); 3] = [
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
];

/// How far what stands below a finding is indented.
const INDENT: &str = "    ";

/// The verdict, and all that belongs to it.
pub(super) struct Answer {
    /// On the log.
    pub(super) report: Report,
    /// On the copy that it was compared with.
    pub(super) second: Option<Report>,
    /// What more is known of a collector's file.
    pub(super) collected: Option<Collected>,
    /// What the private directory says.
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
        let findings = self.report.findings.iter();
        let mut lines = vec![self.verdict()];
        lines.extend(findings.flat_map(|found| finding(found, columns)));
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
        let is_broken = self.report.verdict == Verdict::Broken;
        if is_broken && self.state.keys().is_some_and(StateKeys::is_usable) {
            return None;
        }
        let what = match self.report.proved_through() {
            0 => "the log's end was".to_owned(),
            seq => format!("what came after record {seq} was"),
        };
        let why = self.state.why_no_proof();
        Some(format!("whether {what} cut off is not known: {why}"))
    }

    /// The file system that weakens what the private key proves.
    fn snapshots(&self) -> Option<&'static str> {
        let name = self.state.snapshots();
        name.filter(|_| self.is_proved_by(Witness::StateKey))
    }

    fn warning(&self) -> Option<String> {
        let (name, directory) = (self.snapshots()?, self.state.directory()?);
        Some(format!(
            "{} is on {name}, which can keep older states of files. Whoever has a snapshot of an \
             earlier private key can have cut the log off there: only a head kept elsewhere \
             (--head) or another copy (--against) shows that",
            directory.display()
        ))
    }

    /// A head says which log it is of.
    fn strangers(&self) -> Vec<String> {
        let Some(own) = &self.report.log_id else {
            return Vec::new();
        };
        let strangers = self.heads.iter().filter(|line| line.log_id != *own);
        let told = |line: &HeadLine| {
            let (seq, log) = (line.head.seq, &line.log_id);
            format!("the head of record {seq} is of the log {log}, and this is another")
        };
        strangers.map(told).collect()
    }

    fn advice(&self) -> Option<String> {
        let Some(collected) = &self.collected else {
            return advice(&self.report);
        };
        match (collected.replay_from, self.report.verdict) {
            (Some(seq), _) => Some(format!(
                "What is missing, from record {seq} on, may still be in the log on its host: have \
                 it sent again, and verify once more. Copies do no harm. If the daemon forwards: \
                 `pulse-sensorctl forward replay --from {seq} --wait` on the host; if rsyslog does: \
                 docs/operations.md."
            )),
            (None, Verdict::Broken) if self.report.records > 0 => Some(
                "Every record between the first and the last is there. Keep the file as it is, \
                 compare it with the log (--against), and find out who could write to it."
                    .to_owned(),
            ),
            _ => advice(&self.report),
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
                let (through, what) = match self.limit() {
                    Some(seq) => (
                        format!("{from} through record {seq}"),
                        ": every record up to it is there as it was written",
                    ),
                    None => (from, ": every record is as it was written"),
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

    /// The last record that is there for certain, where later ones may have been cut off: a
    /// head says nothing of what came after it, nor a copy that ends before the last seal.
    fn limit(&self) -> Option<u64> {
        let through = self.report.proved_through();
        let is_whole = self.is_proved_by(Witness::StateKey)
            || (self.is_proved_by(Witness::Copy) && through >= self.report.sealed_through);
        (through > 0 && self.collected.is_none() && !is_whole).then_some(through)
    }

    fn notes(&self, columns: Option<usize>) -> Vec<Line> {
        let from = |who: &'static str| move |text: String| note(who, &text, columns);
        let texts = |report: &Report| report.notes.iter().filter_map(told).collect::<Vec<_>>();
        let mut lines: Vec<Line> = texts(&self.report).into_iter().flat_map(from("")).collect();
        if self.report.notes_left_out > 0 {
            let text = format!("{} more notes", self.report.notes_left_out);
            lines.extend(note("", &text, columns));
        }
        if self.report.findings_left_out > 0 {
            let text = format!("{} more findings", self.report.findings_left_out);
            lines.extend(note("", &text, columns));
        }
        if let Some(second) = &self.second {
            let who = match self.collected {
                Some(_) => "the log, ",
                None => "second copy, ",
            };
            let found = second.findings.iter().map(|found| {
                format!(
                    "record {}: {}: {}",
                    found.record,
                    name(found.attack),
                    found.detail
                )
            });
            lines.extend(found.flat_map(from(who)));
            lines.extend(texts(second).into_iter().flat_map(from(who)));
        }
        let more = self.strangers().into_iter();
        let more = more.chain(self.gap()).chain(self.warning());
        lines.extend(more.flat_map(from("")));
        lines
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
                let shown = proofs.iter().map(|proof| self.proof(proof));
                format!("through {}", shown.collect::<Vec<_>>().join("; "))
            }
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
            ("key", or_none(report.key.clone()) + self.whose_key()),
        ];
        rows.map(|(title, value)| {
            Line::new(Tone::Faint, format!("{title:<9}")).and(Tone::Plain, escape(&value))
        })
        .into()
    }

    fn proof(&self, proof: &Proof) -> String {
        let by = match proof.by {
            Witness::StateKey => "by the private key",
            Witness::Head => "by a head",
            Witness::Copy if self.collected.is_some() => "by the log",
            Witness::Copy => "by the other copy",
            Witness::Acknowledged => "by what was acknowledged",
        };
        format!("record {}, {by}", proof.through)
    }

    fn whose_key(&self) -> &'static str {
        let is_own = has(&self.report, NoteKind::KeyFromLog);
        if is_own {
            " (from the log, unproven)"
        } else {
            ""
        }
    }
}

fn finding(found: &Finding, columns: Option<usize>) -> Vec<Line> {
    let place = format!("  {}:{}", escape(&found.source), found.line);
    let head = Line::new(Tone::Bad, format!("  {}", name(found.attack)))
        .and(Tone::Plain, " at record ")
        .and(Tone::Strong, found.record.to_string())
        .and(Tone::Faint, place);
    std::iter::once(head)
        .chain(below(&found.detail, columns))
        .collect()
}

/// The end has a sentence of its own, with its reason.
fn told(note: &Note) -> Option<String> {
    let is_end = note.kind == NoteKind::EndUnproven;
    (!is_end).then(|| format!("record {}: {}", note.record, note.detail))
}

fn note(who: &str, text: &str, columns: Option<usize>) -> Vec<Line> {
    let mut parts = indented(&format!("{who}{}", escape(text)), columns).into_iter();
    let first =
        Line::new(Tone::Faint, "  note: ").and(Tone::Plain, parts.next().unwrap_or_default());
    std::iter::once(first)
        .chain(parts.map(|part| Line::plain(format!("{INDENT}{part}"))))
        .collect()
}

fn below(text: &str, columns: Option<usize>) -> Vec<Line> {
    let parts = indented(&escape(text), columns).into_iter();
    parts
        .map(|part| Line::plain(format!("{INDENT}{part}")))
        .collect()
}

fn indented(text: &str, columns: Option<usize>) -> Vec<String> {
    let room = columns.map(|columns| columns.saturating_sub(2 * INDENT.len()));
    wrapped(text, room)
}

/// The attack's name, as the report in JSON has it, with blanks.
fn name(attack: Attack) -> String {
    let value = serde_json::to_value(attack).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

fn has(report: &Report, kind: NoteKind) -> bool {
    report.notes.iter().any(|note| note.kind == kind)
}

/// What to do next; nothing when all is well.
fn advice(report: &Report) -> Option<String> {
    match report.verdict {
        Verdict::Intact => None,
        Verdict::Unproven => {
            // A part never names the first key.
            let is_part = has(report, NoteKind::Partial);
            let is_due = |kind| has(report, kind) && !(is_part && kind == NoteKind::KeyFromLog);
            let texts = UNPROVEN.iter().filter(|(kind, _)| is_due(*kind));
            Some(texts.map(|(_, text)| *text).collect::<Vec<_>>().join(" "))
        }
        Verdict::Broken if report.records == 0 => Some(
            "Not one good record was read. Is this an audit log, and is its first file the first \
             that was named?"
                .to_owned(),
        ),
        Verdict::Broken => {
            let first = report.findings.first();
            first.map(|first| remedy(first.attack).to_owned())
        }
    }
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
    use pulse_audit::verify::{Options, Source, verify};
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
