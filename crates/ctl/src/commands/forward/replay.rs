//! `forward replay`: sending records again.

use super::data::{Forwarding, RETRY_DELAY, request};
use super::overview::address;
use crate::client::Client;
use crate::commands::QueryOptions;
use crate::error::{CommandError, CommandResult, ErrorCode, Outcome};
use crate::runtime::{Signals, block_on};
use crate::ui::line::{Line, Tone};
use crate::ui::screen::Screen;
use crate::ui::wrap::wrapped;
use clap::Args;
use pulse_forward::status::{CollectorStatus, Status, StreamStatus};
use serde_json::{Value, json};
use std::borrow::Cow;
use tokio::time::sleep;

/// Have the daemon send records again, from a number on
///
/// For collectors that lost what they had acknowledged: "audit verify --collected" at the
/// collector names the number. Records that a collector still has get a copy, which does
/// no harm. A record can be sent again until retention removes its segment. The daemon
/// remembers the request, also through a restart.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward replay --from 4711
  pulse-sensorctl forward replay --from 1 --wait     all of it, and wait until it is done
  pulse-sensorctl forward status                     the progress")]
pub(crate) struct Options {
    /// The number of the first record
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,

    /// Wait until everything is acknowledged; with --json, a line for each look at the queues
    #[arg(long, short)]
    wait: bool,

    #[command(flatten)]
    query: QueryOptions,
}

/// Why the records cannot be sent again.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// There is no such record yet.
    #[error("there is no record {from} yet: the last one on disk is {last}")]
    NotOnDisk { from: u64, last: u64 },
    /// The record is not in the log any more.
    #[error(
        "record {from} is not in the log any more: retention removed the records before {first}"
    )]
    Removed { from: u64, first: u64 },
}

impl CommandError for Error {
    fn code(&self) -> ErrorCode {
        ErrorCode::RecordNotFound
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NotOnDisk { .. } => None,
            Self::Removed { first, .. } => {
                Some(format!("`--from {first}` sends everything that there is").into())
            }
        }
    }
}

/// A request to send records again, and the state before it.
struct Replay {
    from: u64,
    /// The last record then.
    to: u64,
    before: Status,
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon and of stdout, and when the log does not have the record.
pub(super) fn run(options: Options) -> CommandResult {
    let Options { from, wait, query } = options;
    let mut screen = Screen::new(query.color);
    let client = query.daemon.client();
    block_on(async {
        // The state before the request: its counts show later that records were acknowledged.
        let before = Forwarding::request(&client).await?.status;
        let (last, first) = (before.seq, before.first_seq);
        if from > last {
            return Err(Error::NotOnDisk { from, last }.into());
        }
        if from < first {
            return Err(Error::Removed { from, first }.into());
        }
        request(&client, "replay_forwarding", json!({ "from": from })).await?;
        let replay = Replay {
            from,
            to: last,
            before,
        };
        if query.json {
            screen.print_json(&json!({
                "from": from, "to": replay.to, "records": replay.count(),
            }))?;
        } else {
            screen.print(&replay.lines(wait, screen.columns()))?;
        }
        if !wait {
            return Ok(Outcome::Fine);
        }
        let mut signals = Signals::new()?;
        tokio::select! {
            // Ctrl-C is success, even if the daemon failed at the same moment.
            biased;
            // The daemon goes on sending.
            () = signals.received() => Ok(Outcome::Fine),
            outcome = wait_for(&replay, &client, &mut screen, query.json) => outcome,
        }
    })
}

/// Looks at the queues until everything is acknowledged; in JSON, a line for each look.
async fn wait_for(
    replay: &Replay,
    client: &Client,
    screen: &mut Screen,
    is_json: bool,
) -> CommandResult {
    let mut was_empty = false;
    loop {
        // Records whose segments were removed are never acknowledged: an empty queue that
        // stays empty is the end as well.
        sleep(RETRY_DELAY).await;
        let status = Forwarding::request(client).await?.status;
        let streams = status.streams.iter();
        if is_json {
            let queues: Vec<Value> = streams
                .map(|stream| json!({"stream": stream.name, "queue": stream.queue}))
                .collect();
            screen.print_json(&json!({ "streams": queues }))?;
        } else {
            let lines: Vec<Line> = streams
                .map(|stream| {
                    let line = Line::new(Tone::Faint, format!("{}  ", stream.name))
                        .and(Tone::Plain, format!("{} to go", stream.queue));
                    if stream.collectors.iter().any(CollectorStatus::is_up) {
                        line
                    } else {
                        line.and(Tone::Warm, ", no collector accepts records now")
                    }
                })
                .collect();
            screen.redraw(&lines)?;
        }
        let is_empty = status.streams.iter().all(|stream| stream.queue == 0);
        if is_empty && (was_empty || replay.is_acknowledged(&status)) {
            screen.keep()?;
            if !is_json {
                screen.print(&[Line::new(Tone::Good, "everything is acknowledged")])?;
            }
            return Ok(Outcome::Fine);
        }
        was_empty = is_empty;
    }
}

impl Replay {
    fn count(&self) -> u64 {
        self.to - self.from + 1
    }

    fn lines(&self, is_awaited: bool, columns: Option<usize>) -> Vec<Line> {
        let records = match self.count() {
            1 => format!("record {} is sent again", self.from),
            count => format!(
                "records {} to {} are sent again: {count}, and what comes after them",
                self.from, self.to
            ),
        };
        let mut lines = vec![Line::new(Tone::Strong, records)];
        let told = |text: String| wrapped(&text, columns).into_iter().map(Line::plain);
        for StreamStatus { collectors, .. } in &self.before.streams {
            lines.extend(told(match collectors.iter().find(|one| one.is_up()) {
                Some(collector) => format!("to {}", address(collector)),
                None => format!(
                    "to {}, as soon as it accepts records: `pulse-sensorctl forward status` says what is wrong",
                    collectors.iter().map(address).collect::<Vec<_>>().join(" or ")
                ),
            }));
        }
        let watch = if is_awaited {
            "Ctrl-C ends the waiting; sending goes on."
        } else {
            "`pulse-sensorctl forward status` shows the progress."
        };
        lines.extend(told(format!("{watch} Copies do no harm.")));
        lines
    }

    /// True when the records were acknowledged. An empty queue alone does not show it: the daemon
    /// may not have begun yet. So as many acknowledgements must have been counted, unless the
    /// daemon was restarted and counts from 0; it remembers the request then.
    fn is_acknowledged(&self, status: &Status) -> bool {
        let mut streams = status.streams.iter().zip(&self.before.streams);
        streams.all(|(stream, before)| {
            stream.acknowledged < before.acknowledged
                || stream.acknowledged.saturating_sub(before.acknowledged) >= self.count()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_forward::status::CollectorStatus;

    fn status(seq: u64, queue: u64, acknowledged: u64) -> Status {
        Status {
            seq,
            streams: vec![StreamStatus {
                name: "failover".to_owned(),
                queue,
                acknowledged,
                collectors: vec![CollectorStatus {
                    name: "logs.example".to_owned(),
                    port: 6514,
                    ..CollectorStatus::default()
                }],
                ..StreamStatus::default()
            }],
            ..Status::default()
        }
    }

    fn replay() -> Replay {
        Replay {
            from: 11,
            to: 20,
            before: status(20, 0, 20),
        }
    }

    #[test]
    fn an_empty_queue_is_not_the_end() {
        let replay = replay();
        assert!(!replay.is_acknowledged(&status(20, 0, 20)));
        assert!(!replay.is_acknowledged(&status(20, 1, 29)));
        assert!(replay.is_acknowledged(&status(20, 0, 30)));
        // The daemon was restarted and counts anew.
        assert!(replay.is_acknowledged(&status(21, 0, 3)));
    }

    #[test]
    fn records_and_collector_are_named() {
        let text: Vec<String> = replay()
            .lines(false, None)
            .iter()
            .map(|l| l.render(false))
            .collect();
        let text = text.join("\n");
        assert!(
            text.contains("records 11 to 20 are sent again: 10"),
            "{text}"
        );
        assert!(text.contains("to logs.example:6514, as soon as"), "{text}");
        assert!(text.contains("forward status"), "{text}");
    }
}
