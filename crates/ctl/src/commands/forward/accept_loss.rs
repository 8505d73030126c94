//! `forward accept-loss`: records that were removed before they were delivered are no longer
//! shown.

use super::data::{Forwarding, request};
use super::stream_warnings::{ranges, records};
use crate::commands::QueryOptions;
use crate::error::{CommandResult, Outcome};
use crate::runtime::block_on;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::Screen;
use clap::Args;
use pulse_forward::status::{Status, StreamStatus};
use serde_json::json;

/// Accept that records are lost to a collector
///
/// "forward status" names records that were removed from the log before they were delivered,
/// and exits with 1 until an operator accepts the loss. First find out who removed them. If a
/// copy of the segment exists, restore it and use "forward replay" instead. The numbers of
/// the lost records go on record in the audit log. A later loss is not accepted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward status             the lost records
  pulse-sensorctl forward accept-loss")]
pub(crate) struct Options {
    #[command(flatten)]
    query: QueryOptions,
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon and of stdout.
pub(super) fn run(Options { query }: Options) -> CommandResult {
    let mut screen = Screen::new(query.color);
    let client = query.daemon.client();
    let status = block_on(async {
        let status = Forwarding::request(&client).await?.status;
        // No more than what is shown below: a loss that comes meanwhile stays.
        if let Some(through) = last_lost(&status) {
            request(
                &client,
                "accept_forwarding_loss",
                json!({ "through": through }),
            )
            .await?;
        }
        Ok::<_, crate::client::DaemonError>(status)
    })?;
    if query.json {
        let streams =
            lossy(&status).map(|stream| json!({"stream": stream.name, "lost": stream.lost}));
        screen.print_json(&json!({ "accepted": streams.collect::<Vec<_>>() }))?;
    } else {
        screen.print(&lines(&status))?;
    }
    Ok(Outcome::Fine)
}

/// The streams that have lost records.
fn lossy(status: &Status) -> impl Iterator<Item = &StreamStatus> {
    status
        .streams
        .iter()
        .filter(|stream| !stream.lost.is_empty())
}

fn last_lost(status: &Status) -> Option<u64> {
    lossy(status)
        .flat_map(|stream| &stream.lost)
        .map(|range| range.last)
        .max()
}

fn lines(status: &Status) -> Vec<Line> {
    let lines: Vec<Line> = lossy(status)
        .map(|stream| {
            Line::new(Tone::Faint, format!("{}  ", escape(&stream.name))).and(
                Tone::Plain,
                format!(
                    "{} accepted as lost: {}",
                    records(stream.lost_records()),
                    ranges(&stream.lost)
                ),
            )
        })
        .collect();
    if lines.is_empty() {
        vec![Line::new(Tone::Good, "no records are lost")]
    } else {
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_forward::status::LostRange;

    #[test]
    fn accepted_records_are_named() {
        let mut status = Status {
            streams: vec![StreamStatus {
                name: "failover".to_owned(),
                ..StreamStatus::default()
            }],
            ..Status::default()
        };
        let drawn = |status: &Status| lines(status)[0].render(false);
        assert_eq!(drawn(&status), "no records are lost");
        assert_eq!(last_lost(&status), None);
        status.streams[0].lost = vec![LostRange { first: 6, last: 10 }];
        assert_eq!(
            drawn(&status),
            "failover  5 records accepted as lost: 6 to 10"
        );
        assert_eq!(last_lost(&status), Some(10));
    }
}
