//! The state of forwarding, for people: records on disk, collectors, what is wrong.

use super::stream_warnings::{has_finding, has_warning, warnings};
use super::validity::{both, has_expired, is_soon};
use crate::error::Outcome;
use crate::ui::age::ago_whole;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::width::{pad, width};
use crate::ui::wrap::wrapped;
use pulse_forward::status::{
    CollectorState, CollectorStatus, MessagesStatus, Status, StreamStatus, Trouble,
};
use std::time::Duration;

/// The width of the names in front.
const NAMES: usize = 14;

const HEAD: [&str; 6] = [
    "STREAM",
    "COLLECTOR",
    "STATE",
    "QUEUE",
    "LAST ACK",
    "SPEAKS",
];
/// The column that has a colour.
const STATE: usize = 2;

/// The exit code: the operator has to do something now, something soon, or nothing.
pub(in crate::commands) fn outcome(status: &Status, now: i64) -> Outcome {
    let ends = &status.certificates;
    let mut streams = status.streams.iter();
    let mut collectors = status.streams.iter().flat_map(|stream| &stream.collectors);
    if collectors.any(|collector| collector.trouble().is_some())
        || streams.any(has_finding)
        || ends.error.is_some()
        || has_expired(ends.own, now)
        || has_expired(ends.authority, now)
    {
        Outcome::Finding
    } else if is_soon(ends.own, now)
        || is_soon(ends.authority, now)
        || status.streams.iter().any(has_warning)
    {
        Outcome::Unproven
    } else {
        Outcome::Fine
    }
}

/// The lines, for a terminal of so many columns, or for a file or pipe.
pub(super) fn overview(status: &Status, now: i64, columns: Option<usize>) -> Vec<Line> {
    // Daemons before 0.2 do not send the first.
    let records = format!("records {} to {}", status.first_seq.max(1), status.seq);
    let ends = &status.certificates;
    let mut lines = vec![
        named("on disk").and(Tone::Plain, records),
        match &ends.error {
            Some(error) => named("certificates").and(Tone::Bad, escape(error)),
            None => named("certificates").append(both(ends.own, ends.authority, now)),
        },
    ];
    lines.extend(messages(status));
    lines.push(Line::default());
    lines.extend(table(status, now, columns));
    // What is wrong comes last, where a terminal shows it.
    for collector in status.streams.iter().flat_map(|stream| &stream.collectors) {
        let Some(trouble) = collector.trouble() else {
            continue;
        };
        let head = format!(
            "{} gets no records since {}, step {}",
            address(collector),
            ago(trouble.since, now),
            escape(&trouble.step)
        );
        lines.extend([Line::default(), Line::new(Tone::Strong, head)]);
        lines.extend(explained(trouble, columns));
    }
    for stream in &status.streams {
        lines.extend(warnings(stream, now, columns));
    }
    lines
}

fn named(name: &str) -> Line {
    Line::new(Tone::Faint, format!("{name:<NAMES$}"))
}

/// The daemon's own messages, where they are forwarded too.
fn messages(status: &Status) -> impl Iterator<Item = Line> {
    status.streams.iter().filter_map(|stream| {
        let MessagesStatus { queue, dropped, .. } = stream.messages.as_ref()?;
        let of = if status.streams.len() == 1 {
            String::new()
        } else {
            format!("{}: ", escape(&stream.name))
        };
        let wait = match queue {
            0 => "none of the daemon's own waits".to_owned(),
            1 => "1 of the daemon's own waits".to_owned(),
            count => format!("{count} of the daemon's own wait"),
        };
        let line = named("messages").and(Tone::Plain, of + &wait);
        Some(match dropped {
            0 => line,
            count => line.and(
                Tone::Warm,
                format!("; {count} left out: no collector took them in time"),
            ),
        })
    })
}

/// A collector's row, and the colour of its state.
struct Row {
    cells: [String; HEAD.len()],
    tone: Tone,
}

fn table(status: &Status, now: i64, columns: Option<usize>) -> Vec<Line> {
    let rows: Vec<Row> = status
        .streams
        .iter()
        .flat_map(|stream| rows(stream, now, columns.is_none()))
        .collect();
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row.cells[column].as_str());
        cells.chain([HEAD[column]]).map(width).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..HEAD.len()).map(widest).collect();
    // The gap behind the last column is not printed.
    let total: usize = widths.iter().map(|width| width + 2).sum();
    if columns.is_some_and(|columns| total > columns + 2) {
        // The TLS parameters matter least.
        widths.pop();
    }
    let titles: String = widths
        .iter()
        .zip(HEAD)
        .map(|(width, name)| format!("{name:width$}  "))
        .collect();
    let mut lines = vec![Line::new(Tone::Faint, titles)];
    lines.extend(rows.iter().map(|row| {
        let cells = row.cells.iter().zip(&widths).enumerate();
        cells.fold(Line::default(), |line, (column, (text, width))| {
            let tone = if column == STATE {
                row.tone
            } else {
                Tone::Plain
            };
            line.and(tone, pad(text, *width) + "  ")
        })
    }));
    lines
}

/// A row for each collector. Cells of the stream are in its first row only; on request they are
/// in all, so that grep finds them.
fn rows(stream: &StreamStatus, now: i64, is_repeated: bool) -> Vec<Row> {
    let serves = stream.collectors.iter().any(CollectorStatus::is_up);
    let row = |(place, collector): (usize, &CollectorStatus)| {
        let of_stream = |text: String| {
            if place == 0 || is_repeated {
                text
            } else {
                String::new()
            }
        };
        let (tone, state) = match collector.state {
            CollectorState::Up { .. } => (Tone::Good, "up"),
            CollectorState::Down(_)
            | CollectorState::Connected {
                trouble: Some(_), ..
            } => (Tone::Bad, "DOWN"),
            // Nothing is acknowledged yet.
            CollectorState::Connected { trouble: None, .. } => (Tone::Warm, "connected"),
            // Another collector of the stream accepts records: this one is not needed.
            CollectorState::Idle if serves => (Tone::Faint, "standby"),
            CollectorState::Idle => (Tone::Warm, "connecting"),
        };
        let last_ack = match stream.last_ack {
            None => "none yet".to_owned(),
            Some(then) => format!("{} ago", ago(then, now)),
        };
        let protocol = escape(&collector.protocol);
        Row {
            cells: [
                of_stream(escape(&stream.name)),
                address(collector),
                state.to_owned(),
                of_stream(stream.queue.to_string()),
                of_stream(last_ack),
                match &collector.state {
                    CollectorState::Up { tls } | CollectorState::Connected { tls, .. } => {
                        format!("{protocol}, {}", escape(tls))
                    }
                    _ => protocol,
                },
            ],
            tone,
        }
    };
    stream.collectors.iter().enumerate().map(row).collect()
}

/// A collector's name and port.
pub(super) fn address(collector: &CollectorStatus) -> String {
    format!("{}:{}", escape(&collector.name), collector.port)
}

/// The time since then.
pub(super) fn ago(then: u64, now: i64) -> String {
    // The daemon and this tool read the same clock, but it may have been set back.
    let now = u64::try_from(now).unwrap_or(0);
    ago_whole(Duration::from_secs(now.saturating_sub(then)))
}

/// The error and its remedy.
pub(super) fn explained(trouble: &Trouble, columns: Option<usize>) -> Vec<Line> {
    let mut lines = indented(Tone::Bad, &escape(&trouble.error), columns);
    let remedy = format!("what to do: {}", escape(&trouble.remedy));
    lines.extend(indented(Tone::Plain, &remedy, columns));
    lines
}

pub(super) fn indented(tone: Tone, text: &str, columns: Option<usize>) -> Vec<Line> {
    wrapped(text, columns.map(|columns| columns.saturating_sub(2)))
        .into_iter()
        .map(|part| Line::plain("  ").and(tone, part))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use pulse_forward::status::Certificates;

    const DAY: i64 = 86_400;
    pub(crate) const NOW: i64 = 100 * DAY;

    fn collector(name: &str) -> CollectorStatus {
        CollectorStatus {
            name: name.to_owned(),
            port: 6514,
            protocol: "relp".to_owned(),
            ..CollectorStatus::default()
        }
    }

    pub(crate) fn site() -> Status {
        let trouble = Trouble {
            step: "tcp".to_owned(),
            error: "cannot connect: refused".to_owned(),
            remedy: "start it".to_owned(),
            since: 100 * 86_400 - 300,
        };
        let down = CollectorStatus {
            state: CollectorState::Down(trouble),
            ..collector("first.example")
        };
        let up = CollectorStatus {
            state: CollectorState::Up {
                tls: "TLS 1.3, X25519".to_owned(),
            },
            ..collector("second.example")
        };
        Status {
            seq: 1204,
            first_seq: 1,
            streams: vec![StreamStatus {
                name: "failover".to_owned(),
                queue: 12,
                last_ack: Some(100 * 86_400 - 3),
                messages: Some(MessagesStatus {
                    queue: 2,
                    dropped: 3,
                    ..MessagesStatus::default()
                }),
                collectors: vec![down, up, collector("third.example")],
                ..StreamStatus::default()
            }],
            certificates: Certificates {
                own: Some(NOW + 40 * DAY),
                authority: Some(NOW + 5 * DAY),
                error: None,
            },
        }
    }

    pub(crate) fn drawn(status: &Status, columns: Option<usize>) -> String {
        let lines = overview(status, NOW, columns);
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        format!("\n{}\n", lines.join("\n"))
    }

    #[test]
    fn the_overview_has_state_and_remedy() {
        let expected = "
on disk       records 1 to 1204
certificates  ours good for 40 days, the authority's expires in 5 days: renew it
messages      2 of the daemon's own wait; 3 left out: no collector took them in time

STREAM    COLLECTOR            STATE    QUEUE  LAST ACK  SPEAKS
failover  first.example:6514   DOWN     12     3 s ago   relp
          second.example:6514  up                        relp, TLS 1.3, X25519
          third.example:6514   standby                   relp

first.example:6514 gets no records since 5 min, step tcp
  cannot connect: refused
  what to do: start it
";
        assert_eq!(drawn(&site(), Some(80)), expected);
    }

    #[test]
    fn a_narrow_terminal_drops_a_column() {
        let text = drawn(&site(), Some(60));
        assert!(text.contains("LAST ACK\n"), "{text}");
        assert!(
            text.lines()
                .skip(5)
                .take(4)
                .all(|l| l.chars().count() <= 60)
        );
    }

    #[test]
    fn a_pipe_gets_whole_lines() {
        let text = drawn(&site(), None);
        assert!(
            text.contains("\nfailover  third.example:6514   standby  12 "),
            "{text}"
        );
    }

    #[test]
    fn the_outcome_is_the_worst_state() {
        assert_eq!(outcome(&site(), NOW), Outcome::Finding);
        let mut status = site();
        status.streams[0].collectors[0].state = CollectorState::Idle;
        assert_eq!(outcome(&status, NOW), Outcome::Unproven);
        assert_eq!(outcome(&status, NOW - 90 * DAY), Outcome::Fine);
        assert_eq!(outcome(&status, NOW + 6 * DAY), Outcome::Finding);
        status.certificates.error = Some("x".to_owned());
        assert_eq!(outcome(&status, NOW), Outcome::Finding);
        assert!(drawn(&status, None).contains("certificates  x\n"));
    }

    /// A site with nothing wrong.
    pub(crate) fn fine() -> Status {
        let mut status = site();
        status.streams[0].collectors.remove(0);
        status.certificates.authority = status.certificates.own;
        assert_eq!(outcome(&status, NOW), Outcome::Fine);
        status
    }

    #[test]
    fn silent_collector_is_not_up() {
        let mut status = fine();
        let tls = "TLS 1.3".to_owned();
        let connected = |trouble| CollectorState::Connected {
            tls: tls.clone(),
            trouble,
        };
        status.streams[0].collectors[0].state = connected(None);
        assert_eq!(outcome(&status, NOW), Outcome::Fine);
        assert!(drawn(&status, None).contains("  connected   12 "));
        let trouble = site().streams[0].collectors[0].trouble().cloned();
        status.streams[0].collectors[0].state = connected(trouble);
        assert_eq!(outcome(&status, NOW), Outcome::Finding);
        let text = drawn(&status, None);
        assert!(text.contains("  DOWN "), "{text}");
        assert!(text.contains("gets no records since 5 min"), "{text}");
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut status = site();
        let CollectorState::Down(trouble) = &mut status.streams[0].collectors[0].state else {
            panic!("it is down");
        };
        trouble.error = "\u{1b}[2J".to_owned();
        assert!(drawn(&status, None).contains("  \\u{1b}[2J\n"));
    }
}
