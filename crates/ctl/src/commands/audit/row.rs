//! One record in one line, for people.

use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::width::pad;
use pulse_audit::show::Shown;
use std::ops::Range;

/// The time as it is told in a story, and where there is room.
const TIME: usize = 23;

/// The part of the time that a narrow window shows: no year and no fractions.
const SHORT_TIME: Range<usize> = 5..19;

/// A window narrower than this gets the narrow columns.
const ROOMY: usize = 120;

/// The widths of columns, unless a text is longer: records come one by one, so no column can wait
/// for its widest.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    time: usize,
    seq: usize,
    event: usize,
    node: usize,
    peer: usize,
    columns: Option<usize>,
}

impl Layout {
    /// For a window of so many columns; for anything else, whole lines.
    pub(super) fn of(columns: Option<usize>) -> Self {
        let (time, seq, event, node, peer) = match columns {
            Some(columns) if columns < ROOMY => (SHORT_TIME.len(), 6, 14, 8, 9),
            _ => (TIME, 7, 17, 12, 12),
        };
        Self {
            time,
            seq,
            event,
            node,
            peer,
            columns,
        }
    }

    /// The titles.
    pub(super) fn head(&self) -> Line {
        let (seq, rest) = (self.seq, self.names("EVENT", "NODE", "PEER"));
        self.fit(Line::new(
            Tone::Faint,
            format!("{:2$} {:>seq$}  {rest}OUTCOME", "UTC", "SEQ", self.time),
        ))
    }

    /// A record, or the line that is none.
    pub(super) fn row(&self, record: &Shown) -> Line {
        if record.members.is_empty() {
            return self.fit(
                Line::new(Tone::Bad, "not a record: ").and(Tone::Plain, escape(&record.line)),
            );
        }
        let line = Line::new(Tone::Faint, self.time(record))
            .and(Tone::Strong, format!(" {:>1$}  ", record.seq, self.seq))
            .append(self.rest(record));
        self.fit(if record.is_whole {
            line
        } else {
            Line::new(Tone::Bad, "changed: ").append(line)
        })
    }

    fn rest(&self, record: &Shown) -> Line {
        let text = |name| escape(record.text(name).unwrap_or_default());
        let event = text("event_type");
        let why = escape(&why(record));
        // Records of the log itself have neither node nor peer.
        if event.starts_with("log.") {
            let event = pad(&event, self.event) + " ";
            return Line::new(Tone::Faint, event).and(Tone::Faint, why);
        }
        let decision = text("decision");
        let uid = || record.number("peer_uid").map(|uid| format!("uid:{uid}"));
        let peer = record.text("peer").map(escape).or_else(uid);
        let duration = record.members.get("duration_ms");
        let gap = if why.is_empty() { "" } else { ": " };
        Line::new(
            Tone::Plain,
            self.names(&event, &text("node"), &peer.unwrap_or_default()),
        )
        .and(tone(&decision), &decision)
        .and(
            Tone::Faint,
            duration.map_or_else(String::new, |duration| format!(" {duration} ms")),
        )
        .and(Tone::Plain, format!("{gap}{why}"))
    }

    fn names(&self, event: &str, node: &str, peer: &str) -> String {
        let Self {
            event: first,
            node: second,
            peer: third,
            ..
        } = self;
        format!(
            "{} {} {} ",
            pad(event, *first),
            pad(node, *second),
            pad(peer, *third)
        )
    }

    fn time(&self, record: &Shown) -> String {
        let time = time(record);
        if self.time == TIME {
            time
        } else {
            time.get(SHORT_TIME).unwrap_or_default().to_owned()
        }
    }

    fn fit(&self, line: Line) -> Line {
        match self.columns {
            Some(columns) => line.cut(columns),
            None => line,
        }
    }
}

/// The colour of a decision.
pub(super) fn tone(decision: &str) -> Tone {
    match decision {
        "denied" | "failed" => Tone::Bad,
        "allowed" | "completed" => Tone::Good,
        _ => Tone::Plain,
    }
}

/// The time to the millisecond, without the marks that only machines need.
pub(super) fn time(record: &Shown) -> String {
    let text = record.ts().map(|ts| ts.to_string()).unwrap_or_default();
    text.get(..TIME).unwrap_or_default().replacen('T', " ", 1)
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
        text("first_peer", "from "),
        text("last_peer", "to "),
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

    const FAILED: &str = r#","peer_uid":7,"peer":"uid:7","node":"pve1","decision":"failed","reason":"timeout","duration_ms":12.034,"error":"it \u001b[2J""#;

    fn drawn(record: &Shown, columns: Option<usize>) -> String {
        Layout::of(columns).row(record).render(false)
    }

    #[test]
    fn columns_are_below_titles() {
        let whole = Shown {
            is_whole: true,
            ..read(&record(FAILED))
        };
        let wide = drawn(&whole, None);
        assert_eq!(
            wide,
            "2026-11-21 10:00:03.123      17  command.finish    pve1         uid:7        failed 12.034 ms: timeout; it \\u{1b}[2J"
        );
        let narrow = drawn(&whole, Some(78));
        assert_eq!(
            narrow,
            "11-21 10:00:03     17  command.finish pve1     uid:7     failed 12.034 ms: tim"
        );
        for (line, columns) in [(wide, None), (narrow, Some(78))] {
            let head = Layout::of(columns).head().render(false);
            for (title, text) in [
                ("EVENT", "command"),
                ("NODE", "pve1"),
                ("OUTCOME", "failed"),
            ] {
                assert_eq!(head.find(title), line.find(text), "{title}");
            }
        }
    }

    #[test]
    fn sums_name_two_callers() {
        let members = r#","peer":"uid:9","decision":"denied","reason":"unauthorized","suppressed":41,"first_peer":"uid:7","last_peer":"uid:8""#;
        let line = drawn(&read(&record(members)), None);
        let end = "denied: unauthorized; not recorded: 41; from uid:7; to uid:8";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn changed_lines_are_marked() {
        let line = drawn(&read(&record(FAILED)), None);
        assert!(line.starts_with("changed: 2026"), "{line}");
        let line = drawn(&read("rubbish \u{1b}]0;x\u{7}"), None);
        assert_eq!(line, "not a record: rubbish \\u{1b}]0;x\\u{7}");
    }
}
