//! What a verification found, for people and for programs.

use super::state_key::StateKey;
use crate::line::{Line, Tone};
use crate::shown::shown;
use crate::wrap::wrapped;
use pulse_audit::verify::{Attack, Collected, Finding, Note, NoteKind, Report, Verdict};
use serde_json::{Value, json};

/// How far what stands below a finding is indented.
const INDENT: &str = "    ";

/// The verdict, and all that belongs to it.
pub(crate) struct Answer {
    /// On the log.
    pub(crate) report: Report,
    /// On the copy that it was compared with.
    pub(crate) second: Option<Report>,
    /// What more is known of a collector's file.
    pub(crate) collected: Option<Collected>,
    /// What the private directory says.
    pub(crate) state: StateKey,
}

impl Answer {
    /// For programs: the report, and what it was held against.
    pub(crate) fn as_json(&self) -> Value {
        let mut value = json!(self.report);
        value["state_epoch"] = json!(self.state.epoch());
        value["rollback_unchecked"] = json!(self.gap());
        value["collected"] = json!(self.collected);
        value["against"] = json!(self.second);
        value
    }

    /// For people.
    pub(crate) fn lines(&self, columns: Option<usize>) -> Vec<Line> {
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

    /// Why a rollback of the log cannot be told; a collector's file has its own note.
    fn gap(&self) -> Option<String> {
        self.state.gap().filter(|_| self.collected.is_none())
    }

    fn advice(&self) -> Option<String> {
        let Some(collected) = &self.collected else {
            return advice(&self.report).map(str::to_owned);
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
            _ => advice(&self.report).map(str::to_owned),
        }
    }

    fn verdict(&self) -> Line {
        let report = &self.report;
        match report.verdict {
            Verdict::Intact => {
                let text = match self.second {
                    None => ": every record is as it was written",
                    Some(_) => ": every record is as it was written, and the copies agree",
                };
                Line::of(Tone::Good, "intact").and(Tone::Plain, text)
            }
            Verdict::Unproven => Line::of(Tone::Warm, "unproven").and(
                Tone::Plain,
                ": nothing contradicts itself, but not all of it is proven",
            ),
            Verdict::Broken => {
                let first = report.findings.first();
                let text = first.map_or_else(String::new, |first| {
                    format!(": {} at record {}", name(first.attack), first.record)
                });
                Line::of(Tone::Bad, "NOT intact").and(Tone::Plain, text)
            }
        }
    }

    fn notes(&self, columns: Option<usize>) -> Vec<Line> {
        let from = |who: &'static str| move |text: String| note(who, &text, columns);
        let texts = |report: &Report| report.notes.iter().map(told).collect::<Vec<_>>();
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
        lines.extend(self.gap().into_iter().flat_map(from("")));
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
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let rows = [
            ("records", range),
            ("sealed", sealed),
            (
                "epoch",
                or_none(report.epoch.map(|epoch| epoch.to_string())),
            ),
            ("log", or_none(report.log_id.clone())),
            ("key", or_none(report.key.clone()) + self.whose_key()),
        ];
        rows.map(|(title, value)| {
            Line::of(Tone::Faint, format!("{title:<9}")).and(Tone::Plain, shown(&value))
        })
        .into()
    }

    fn whose_key(&self) -> &'static str {
        let is_own = has(&self.report, NoteKind::KeyFromLog);
        if is_own {
            " (not proven: the log's own word)"
        } else {
            ""
        }
    }
}

fn finding(found: &Finding, columns: Option<usize>) -> Vec<Line> {
    let place = format!("  {}:{}", shown(&found.source), found.line);
    let head = Line::of(Tone::Bad, format!("  {}", name(found.attack)))
        .and(Tone::Plain, " at record ")
        .and(Tone::Strong, found.record.to_string())
        .and(Tone::Faint, place);
    std::iter::once(head)
        .chain(below(&found.detail, columns))
        .collect()
}

fn told(note: &Note) -> String {
    format!("record {}: {}", note.record, note.detail)
}

fn note(who: &str, text: &str, columns: Option<usize>) -> Vec<Line> {
    let mut parts = indented(&format!("{who}{}", shown(text)), columns).into_iter();
    let first =
        Line::of(Tone::Faint, "  note: ").and(Tone::Plain, parts.next().unwrap_or_default());
    std::iter::once(first)
        .chain(parts.map(|part| Line::plain(format!("{INDENT}{part}"))))
        .collect()
}

fn below(text: &str, columns: Option<usize>) -> Vec<Line> {
    let parts = indented(&shown(text), columns).into_iter();
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
fn advice(report: &Report) -> Option<&'static str> {
    match report.verdict {
        Verdict::Intact => None,
        Verdict::Unproven if has(report, NoteKind::Partial) => Some(
            "Only a part was verified. For a proof, verify the whole log from its first record \
             on, with --key KEY.",
        ),
        Verdict::Unproven => Some(
            "Give the verification key that was printed when the log was begun: --key KEY. Without \
             it, somebody may have written the whole log anew.",
        ),
        Verdict::Broken if report.records == 0 => Some(
            "Not one good record was read. Is this an audit log, and is its first file the first \
             that was named?",
        ),
        Verdict::Broken => report.findings.first().map(|first| remedy(first.attack)),
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
        Attack::Truncated | Attack::RolledBack => {
            "Records that were written are missing at the end. Keep a copy of what there is, and \
             get the rest from the collector: --against shows what it has."
        }
        _ => {
            "Do not mend the log. Keep a copy of it as it is, compare it with the collector's \
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
    use std::path::PathBuf;

    fn answer(log: &'static [u8], state: StateKey) -> Answer {
        let source = Source::reader("a\u{1b}[2J", log);
        Answer {
            report: verify(vec![source], &Options::default(), &mut |_| ()).unwrap(),
            second: None,
            collected: None,
            state,
        }
    }

    fn drawn(answer: &Answer, columns: Option<usize>) -> Vec<String> {
        let lines = answer.lines(columns);
        lines.iter().map(|line| line.render(false)).collect()
    }

    #[test]
    fn a_finding_stands_with_its_place_below_the_verdict() {
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
    fn that_a_rollback_could_not_be_told_is_said() {
        let directory = PathBuf::from("/s");
        let unreadable = io::ErrorKind::PermissionDenied.into();
        for (state, part) in [
            (StateKey::Unknown, "no --state-dir was given"),
            (StateKey::Read(directory.clone(), None), "/s holds no key"),
            (
                StateKey::Unreadable(directory.clone(), unreadable),
                "/s: permission denied",
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
        let answer = answer(b"", StateKey::Read(directory, Some(3)));
        assert!(!drawn(&answer, None).join("\n").contains("cannot be told"));
    }

    #[test]
    fn every_attack_has_its_name_and_what_to_do() {
        let attacks = [
            (Attack::RolledBack, "rolled back"),
            (Attack::WrongKey, "wrong key"),
            (Attack::Unsealed, "unsealed"),
            (Attack::SegmentSwapped, "segment swapped"),
        ];
        for (attack, text) in attacks {
            assert_eq!(name(attack), text);
            assert!(remedy(attack).len() > 40);
        }
    }
}
