//! `forward replay`: sending again.

use super::answer::{Answer, TURN, ask};
use super::arguments::ReplayOptions;
use super::overview::place_of;
use crate::audit::print_json;
use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::line::{Line, Tone};
use crate::screen::Screen;
use crate::signals::Signals;
use crate::wrap::wrapped;
use pulse_forward::status::{CollectorStatus, Status, StreamStatus};
use serde_json::{Value, json};
use tokio::time::sleep;

/// What was asked for, and how things were before.
struct Asked {
    from: u64,
    /// The last record then.
    to: u64,
    before: Status,
}

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when the daemon does not answer, or refuses.
pub(super) async fn run(
    client: &Client,
    mut screen: Screen,
    options: &ReplayOptions,
) -> Result<Ending, Failure> {
    let before = Answer::of(client).await?.status;
    let (from, to) = (options.from, before.seq);
    if from > to {
        return Err(Failure::NotOnDisk { from, last: to });
    }
    let first = before.first_seq;
    if from < first {
        return Err(Failure::Removed { from, first });
    }
    ask(client, "replay_forwarding", json!({ "from": from })).await?;
    let asked = Asked { from, to, before };
    if options.json {
        print_json(&mut screen, &asked.value())?;
    } else {
        screen.print(&asked.lines(options.wait, screen.columns()))?;
    }
    if !options.wait {
        return Ok(Ending::Done);
    }
    let mut signals = Signals::new()?;
    tokio::select! {
        biased;
        // What was asked for goes on.
        () = signals.ended() => Ok(Ending::Done),
        ending = wait(client, &mut screen, options, &asked) => ending,
    }
}

/// Looks how far it is until everything is acknowledged.
async fn wait(
    client: &Client,
    screen: &mut Screen,
    options: &ReplayOptions,
    asked: &Asked,
) -> Result<Ending, Failure> {
    let mut was_empty = false;
    loop {
        // Records whose files were removed are never acknowledged: an empty queue that
        // stays empty is the end as well.
        sleep(TURN).await;
        let status = Answer::of(client).await?.status;
        if options.json {
            print_json(screen, &queues(&status))?;
        } else {
            screen.redraw(&progress(&status))?;
        }
        let is_empty = status.streams.iter().all(|stream| stream.queue == 0);
        if is_empty && (was_empty || asked.has_come(&status)) {
            screen.keep()?;
            if !options.json {
                screen.print(&[Line::of(Tone::Good, "everything is acknowledged")])?;
            }
            return Ok(Ending::Done);
        }
        was_empty = is_empty;
    }
}

impl Asked {
    fn count(&self) -> u64 {
        self.to - self.from + 1
    }

    fn value(&self) -> Value {
        json!({"from": self.from, "to": self.to, "records": self.count()})
    }

    fn lines(&self, is_awaited: bool, columns: Option<usize>) -> Vec<Line> {
        let records = match self.count() {
            1 => format!("record {} is sent again", self.from),
            count => format!(
                "records {} to {} are sent again: {count}, and what comes after them",
                self.from, self.to
            ),
        };
        let mut lines = vec![Line::of(Tone::Strong, records)];
        let told = |text: String| wrapped(&text, columns).into_iter().map(Line::plain);
        for stream in &self.before.streams {
            lines.extend(told(recipient(stream)));
        }
        let watch = if is_awaited {
            "Ctrl-C ends the waiting; sending goes on."
        } else {
            "`pulse-sensorctl forward status` shows how far it is."
        };
        lines.extend(told(format!("{watch} Copies do no harm.")));
        lines
    }

    /// An empty queue alone does not tell: the daemon may not have begun when it is looked.
    /// So as many acknowledgements must have come, unless it was restarted and counts anew;
    /// what it was asked it remembers then.
    fn has_come(&self, status: &Status) -> bool {
        let mut streams = status.streams.iter().zip(&self.before.streams);
        streams.all(|(stream, before)| {
            let is_new = stream.acknowledged < before.acknowledged;
            let came = stream.acknowledged.saturating_sub(before.acknowledged);
            is_new || came >= self.count()
        })
    }
}

/// Who gets them.
fn recipient(stream: &StreamStatus) -> String {
    match stream.collectors.iter().find(|collector| collector.is_up()) {
        Some(collector) => format!("to {}", place_of(collector)),
        None => {
            let all: Vec<String> = stream.collectors.iter().map(place_of).collect();
            format!(
                "to {}, as soon as it takes records: `pulse-sensorctl forward status` says what is wrong",
                all.join(" or ")
            )
        }
    }
}

fn progress(status: &Status) -> Vec<Line> {
    let line = |stream: &StreamStatus| {
        let serves = stream.collectors.iter().any(CollectorStatus::is_up);
        let line = Line::of(Tone::Faint, format!("{}  ", stream.name))
            .and(Tone::Plain, format!("{} to go", stream.queue));
        if serves {
            line
        } else {
            line.and(Tone::Warm, ", no collector takes records at the moment")
        }
    };
    status.streams.iter().map(line).collect()
}

fn queues(status: &Status) -> Value {
    let streams = status.streams.iter();
    let queues: Vec<Value> = streams
        .map(|stream| json!({"stream": stream.name, "queue": stream.queue}))
        .collect();
    json!({ "streams": queues })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn asked() -> Asked {
        Asked {
            from: 11,
            to: 20,
            before: status(20, 0, 20),
        }
    }

    #[test]
    fn an_empty_queue_from_before_it_began_is_not_the_end() {
        let asked = asked();
        assert!(!asked.has_come(&status(20, 0, 20)));
        assert!(!asked.has_come(&status(20, 1, 29)));
        assert!(asked.has_come(&status(20, 0, 30)));
        // The daemon was restarted and counts anew.
        assert!(asked.has_come(&status(21, 0, 3)));
    }

    #[test]
    fn what_is_sent_again_is_told_and_to_whom() {
        let text: Vec<String> = asked()
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
