//! The report for people: a line for each subject, the nodes, what is wrong.

use super::health::{Audit, Confinement, FileProblem, Node, NodeState, Report};
use crate::commands::forward;
use crate::error::Outcome;
use crate::ui::age::ago;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::width::{pad, width};
use crate::ui::wrap::wrapped;
use pulse_core::audit_log::growth::readable;
use pulse_forward::status::Status;
use std::time::Duration;

/// The width of the names in front.
const NAMES: usize = 13;

/// The states, the worst first.
const STATES: [NodeState; 4] = [
    NodeState::Failing,
    NodeState::Waiting,
    NodeState::Unread,
    NodeState::Answering,
];

/// The lines, for a terminal of so many columns, or for a file or pipe.
pub(super) fn overview(report: &Report, now: i64, columns: Option<usize>) -> Vec<Line> {
    let mut lines = named("nodes", nodes(report), columns);
    if let Some(audit) = &report.audit {
        lines.extend(named("audit log", log(audit), columns));
        let retention = if audit.has_retention {
            "old segments are removed"
        } else {
            "everything is kept"
        };
        let retention = (
            Tone::Plain,
            format!("{retention}; the log has {}", readable(audit.bytes)),
        );
        lines.extend(named("retention", retention, columns));
        lines.extend(named(
            "forwarding",
            forwarding(report.forwarding.as_ref(), now),
            columns,
        ));
    }
    match &report.confinement {
        Some(confinement) => {
            lines.extend(named("confinement", layers(confinement), columns));
            lines.extend(named("files", files(&report.files), columns));
        }
        None => {
            let rest = "only administrators see the rest: run it as root".to_owned();
            lines.extend(named("daemon", (Tone::Faint, rest), columns));
        }
    }
    if !report.nodes.is_empty() {
        lines.push(Line::default());
        lines.extend(table(&report.nodes));
    }
    // What is wrong comes last, where a terminal shows it.
    for (tone, text) in explanations(report) {
        lines.push(Line::default());
        lines.extend(
            wrapped(&escape(&text), columns)
                .into_iter()
                .map(|part| Line::new(tone, part)),
        );
    }
    lines
}

/// A subject and what there is to say of it, with the text's lines below each other.
fn named(name: &str, (tone, text): (Tone, String), columns: Option<usize>) -> Vec<Line> {
    let columns = columns.map(|columns| columns.saturating_sub(NAMES));
    let parts = wrapped(&escape(&text), columns).into_iter().enumerate();
    let line = |(row, part): (usize, String)| {
        let name = if row == 0 { name } else { "" };
        Line::new(Tone::Faint, format!("{name:<NAMES$}")).and(tone, part)
    };
    parts.map(line).collect()
}

/// The number of nodes in each state.
fn nodes(report: &Report) -> (Tone, String) {
    if report.nodes.is_empty() {
        let remedy = "none listed: add them to nodes.d or to allowed_nodes";
        return (Tone::Warm, remedy.to_owned());
    }
    let counts: Vec<(NodeState, usize)> = STATES
        .into_iter()
        .rev()
        .map(|state| (state, report.count(state)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let texts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state.word()))
        .collect();
    let worst = counts.last().map_or(Tone::Plain, |(state, _)| state.tone());
    (worst, texts.join(", "))
}

/// The records and seals of the audit log.
fn log(audit: &Audit) -> (Tone, String) {
    let Audit {
        first_seq,
        seq,
        epoch,
        unsealed,
        ..
    } = audit;
    let records =
        format!("records {first_seq} to {seq}, {unsealed} of them not sealed yet; epoch {epoch}");
    if audit.writable {
        (Tone::Plain, records)
    } else {
        (
            Tone::Bad,
            format!("cannot be written, every request is refused; {records}"),
        )
    }
}

/// Forwarding in one line; `forward status` has the rest.
fn forwarding(status: Option<&Status>, now: i64) -> (Tone, String) {
    let Some(status) = status else {
        return (Tone::Plain, "not configured".to_owned());
    };
    let waiting: u64 = status
        .streams
        .iter()
        .map(|stream| stream.queue)
        .max()
        .unwrap_or(0);
    let streams = match status.streams.len() {
        1 => "1 stream".to_owned(),
        count => format!("{count} streams"),
    };
    let queue = format!("{streams}, at most {waiting} records wait");
    match forward::outcome(status, now) {
        Outcome::Fine => (Tone::Plain, queue),
        outcome => {
            let tone = if outcome == Outcome::Finding {
                Tone::Bad
            } else {
                Tone::Warm
            };
            let look = "run \"pulse-sensorctl forward status\"";
            (tone, format!("{queue}; something needs attention: {look}"))
        }
    }
}

/// The layers in force, or those that are missing.
fn layers(Confinement { active, missing }: &Confinement) -> (Tone, String) {
    if missing.is_empty() {
        (Tone::Plain, active.join(", "))
    } else {
        (Tone::Bad, format!("incomplete: {}", missing.join("; ")))
    }
}

/// The files with a problem; the sentences come at the end.
fn files(problems: &[FileProblem]) -> (Tone, String) {
    if problems.is_empty() {
        return (Tone::Plain, "all can be used".to_owned());
    }
    let names: Vec<&str> = problems.iter().map(|one| one.file.as_str()).collect();
    (Tone::Bad, format!("a problem with {}", names.join(", ")))
}

/// The nodes, the worst first.
fn table(nodes: &[Node]) -> Vec<Line> {
    let names = nodes.iter().map(|node| width(&escape(&node.name)));
    let names = names.max().unwrap_or(0).max("NODE".len());
    let states = "answering".len();
    let head = format!(
        "{}  {}  LAST GOOD READING",
        pad("NODE", names),
        pad("STATE", states)
    );
    let mut lines = vec![Line::new(Tone::Faint, head)];
    for state in STATES {
        for node in nodes.iter().filter(|node| node.state == state) {
            let age = node.age_ms.map(Duration::from_millis);
            let age = age.map_or_else(|| "none".to_owned(), |age| format!("{} ago", ago(age)));
            lines.push(
                Line::plain(pad(&escape(&node.name), names) + "  ")
                    .and(state.tone(), pad(state.word(), states))
                    .and(Tone::Plain, format!("  {age}")),
            );
        }
    }
    lines
}

/// The sentences about what is wrong, and then those about what may become so.
fn explanations(report: &Report) -> Vec<(Tone, String)> {
    let of_nodes = STATES.iter().flat_map(|state| {
        let nodes = report
            .nodes
            .iter()
            .filter(|node| node.state == *state && *state != NodeState::Unread);
        nodes.filter_map(|node| Some((state.tone(), node.error.clone()?)))
    });
    let of_keys = report
        .nodes
        .iter()
        .filter_map(|node| Some((Tone::Bad, node.warning.clone()?)));
    let of_files = report.files.iter();
    let of_files = of_files.map(|one| (Tone::Bad, one.error.clone()));
    let audit = report.audit.iter();
    let problems = audit.clone().flat_map(|audit| &audit.problems);
    let problems = problems.map(|problem| (Tone::Bad, format!("audit log: {problem}")));
    let warnings = audit.filter_map(|audit| Some((Tone::Warm, audit.warning.clone()?)));
    of_nodes
        .chain(of_keys)
        .chain(of_files)
        .chain(problems)
        .chain(warnings)
        .collect()
}

impl NodeState {
    fn word(self) -> &'static str {
        match self {
            Self::Answering => "answering",
            Self::Failing => "failing",
            Self::Waiting => "waiting",
            Self::Unread => "unread",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Answering => Tone::Good,
            Self::Failing | Self::Waiting => Tone::Bad,
            Self::Unread => Tone::Warm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report(mut data: Value, change: impl FnOnce(&mut Value)) -> Report {
        change(&mut data);
        serde_json::from_value(data).unwrap()
    }

    fn site() -> Value {
        json!({
            "nodes": [
                {"name": "pve1", "state": "answering", "age_ms": 3400},
                {"name": "pve2", "state": "waiting", "age_ms": 720_000,
                 "error": "node \"pve2\" cannot be reached; next attempt in 8 s"},
                {"name": "pve3", "state": "unread", "error": "node \"pve3\" has no reading yet"},
            ],
            "audit": {"writable": true, "problems": ["exceeds its retention: held"], "first_seq": 1,
                      "seq": 1204, "epoch": 7, "unsealed": 3, "bytes": 1_300_000,
                      "has_retention": true},
            "forwarding": null,
            "confinement": {"active": ["landlock (ABI 6)", "seccomp (88 calls)"], "missing": []},
            "files": [{"file": "known_hosts", "error": "known_hosts cannot be used"}],
        })
    }

    /// A site without anything wrong.
    fn fine() -> Value {
        let mut site = site();
        site["nodes"] = json!([{"name": "pve1", "state": "answering", "age_ms": 0}]);
        site["audit"]["problems"] = json!([]);
        site["files"] = json!([]);
        site
    }

    fn drawn(report: &Report, columns: Option<usize>) -> String {
        let lines = overview(report, 0, columns);
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        format!("\n{}\n", lines.join("\n"))
    }

    #[test]
    fn overview_ends_with_what_is_wrong() {
        let expected = "
nodes        1 answering, 1 unread, 1 waiting
audit log    records 1 to 1204, 3 of them not sealed yet; epoch 7
retention    old segments are removed; the log has 1.3 MB
forwarding   not configured
confinement  landlock (ABI 6), seccomp (88 calls)
files        a problem with known_hosts

NODE  STATE      LAST GOOD READING
pve2  waiting    12 min ago
pve3  unread     none
pve1  answering  3.4 s ago

node \"pve2\" cannot be reached; next attempt in 8 s

known_hosts cannot be used

audit log: exceeds its retention: held
";
        assert_eq!(drawn(&report(site(), |_| ()), Some(80)), expected);
    }

    #[test]
    fn caller_with_read_sees_nodes() {
        let report = report(json!({"nodes": []}), |_| ());
        let text = drawn(&report, None);
        assert!(text.contains("nodes        none listed"), "{text}");
        assert!(text.contains("run it as root"), "{text}");
        assert!(!text.contains("audit log"), "{text}");
        assert_eq!(report.outcome(0), Outcome::Unproven);
    }

    #[test]
    fn anything_wrong_is_a_finding() {
        let outcome = |change: &dyn Fn(&mut Value)| report(fine(), change).outcome(0);
        assert_eq!(outcome(&|_| ()), Outcome::Fine);
        for state in ["failing", "waiting"] {
            let wrong = outcome(&|data| data["nodes"][0]["state"] = json!(state));
            assert_eq!(wrong, Outcome::Finding, "{state}");
        }
        for (path, value) in [
            ("/audit/writable", json!(false)),
            ("/audit/problems", json!(["x"])),
            ("/confinement/missing", json!(["seccomp"])),
            ("/files", json!([{"file": "hosts", "error": "x"}])),
        ] {
            let wrong = outcome(&|data| *data.pointer_mut(path).unwrap() = value.clone());
            assert_eq!(wrong, Outcome::Finding, "{path}");
        }
        let unread = outcome(&|data| data["nodes"][0]["state"] = json!("unread"));
        assert_eq!(unread, Outcome::Unproven);
        let full_soon = outcome(&|data| data["audit"]["warning"] = json!("full in 3 days"));
        assert_eq!(full_soon, Outcome::Unproven);
    }

    #[test]
    fn daemons_text_is_escaped() {
        let report = report(fine(), |data| {
            data["nodes"][0]["state"] = json!("failing");
            data["nodes"][0]["error"] = json!("\u{1b}[2J");
        });
        assert!(drawn(&report, None).contains("\\u{1b}[2J"));
    }
}
