//! One record in one line, for people.

use crate::line::{Line, Tone};
use crate::shown::shown;
use pulse_audit::show::Shown;

/// What a column has, unless its text is longer: records come one by one, so no
/// column can wait for the widest.
const TIME: usize = 23;
const SEQ: usize = 7;
const EVENT: usize = 17;
const PEER: usize = 10;
const NODE: usize = 10;
const DECISION: usize = 9;
const DURATION: usize = 9;

/// The titles.
pub(crate) fn head() -> Line {
    Line::of(
        Tone::Faint,
        format!(
            "{:TIME$} {:>SEQ$}  {:EVENT$} {:PEER$} {:NODE$} {:DECISION$} {:>DURATION$}  {}",
            "TIME (UTC)", "SEQ", "EVENT", "PEER", "NODE", "DECISION", "MS", "WHY"
        ),
    )
}

/// A record, or the line that is none.
pub(crate) fn row(record: &Shown) -> Line {
    if record.members.is_empty() {
        return Line::of(Tone::Bad, "not a record: ").and(Tone::Plain, shown(&record.line));
    }
    let text = |name| shown(record.text(name).unwrap_or_default());
    let (decision, event) = (text("decision"), text("event_type"));
    let of_log = if event.starts_with("log.") {
        Tone::Faint
    } else {
        Tone::Plain
    };
    let line = Line::of(Tone::Faint, format!("{:TIME$} ", time(record)))
        .and(Tone::Strong, format!("{:>SEQ$}", record.seq))
        .and(of_log, format!("  {event:EVENT$} "))
        .and(
            Tone::Plain,
            format!("{:PEER$} {:NODE$} ", peer(record), text("node")),
        )
        .and(tone(&decision), format!("{decision:DECISION$} "))
        .and(Tone::Faint, format!("{:>DURATION$}  ", duration(record)))
        .and(Tone::Plain, shown(&why(record)));
    match record.is_whole {
        true => line,
        false => Line::of(Tone::Bad, "changed: ").append(line),
    }
}

/// The colour of a decision.
pub(crate) fn tone(decision: &str) -> Tone {
    match decision {
        "denied" | "failed" => Tone::Bad,
        "allowed" | "completed" => Tone::Good,
        _ => Tone::Plain,
    }
}

/// The time to the millisecond, without the marks that only machines need.
pub(crate) fn time(record: &Shown) -> String {
    let text = record.ts().map(|ts| ts.to_string()).unwrap_or_default();
    text.get(..TIME).unwrap_or_default().replacen('T', " ", 1)
}

fn peer(record: &Shown) -> String {
    let uid = || record.number("peer_uid").map(|uid| format!("uid:{uid}"));
    let peer = record.text("peer").map(shown).or_else(uid);
    peer.unwrap_or_default()
}

fn duration(record: &Shown) -> String {
    let duration = record.members.get("duration_ms");
    duration.map(ToString::to_string).unwrap_or_default()
}

/// Reason, what was left out, and the error, or what the log says of itself.
fn why(record: &Shown) -> String {
    let number = |name, title: &str| record.number(name).map(|value| format!("{title}{value}"));
    let text = |name, title: &str| record.text(name).map(|value| format!("{title}{value}"));
    let parts = [
        text("reason", ""),
        number("epoch", "epoch "),
        text("segment", ""),
        number("torn_bytes", "torn bytes: "),
        number("suppressed", "not recorded: "),
        text("error", ""),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_audit::show::{Filter, records};
    use pulse_audit::verify::Source;

    fn read(line: &str) -> Shown {
        let source = Source::reader("x", std::io::Cursor::new(line.to_owned()));
        let mut records = records(vec![source], Filter::default());
        records.next().unwrap().unwrap()
    }

    fn record(members: &str) -> String {
        let zeros = "0".repeat(64);
        format!(
            r#"{{"seq":17,"ts":"2026-11-21T10:00:03.123456Z","event_type":"command.finish"{members},"prev_hash":"{zeros}","event_hash":"{zeros}"}}"#
        )
    }

    #[test]
    fn columns_stand_below_their_titles() {
        let text = record(
            r#","peer_uid":7,"peer":"uid:7","node":"pve1","decision":"failed","reason":"timeout","duration_ms":12.034,"error":"it \u001b[2J""#,
        );
        let line = row(&Shown {
            is_whole: true,
            ..read(&text)
        })
        .render(false);
        assert_eq!(
            line,
            "2026-11-21 10:00:03.123      17  command.finish    uid:7      pve1       failed       12.034  timeout; it \\u{1b}[2J"
        );
        let head = head().render(false);
        for (title, text) in [("EVENT", "command"), ("NODE", "pve1"), ("WHY", "timeout")] {
            assert_eq!(head.find(title), line.find(text), "{title}");
        }
    }

    #[test]
    fn what_was_changed_or_is_no_record_is_told() {
        let line = row(&read(&record(""))).render(false);
        assert!(line.starts_with("changed: 2026"), "{line}");
        let line = row(&read("rubbish \u{1b}]0;x\u{7}")).render(false);
        assert_eq!(line, "not a record: rubbish \\u{1b}]0;x\\u{7}");
    }
}
