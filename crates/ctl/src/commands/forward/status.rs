//! `forward status`: the daemon's state of forwarding.

use super::data::Forwarding;
use super::overview::{outcome, overview};
use super::validity::now;
use crate::commands::QueryOptions;
use crate::error::CommandResult;
use crate::runtime::block_on;
use crate::ui::screen::Screen;
use clap::Args;

/// Show whether collectors have the audit log, and what to do if not
///
/// Asks the daemon. A stream sends to the first collector that accepts records (mode
/// "failover"), or to one collector (mode "all"). Its queue is what is on disk and not
/// acknowledged.
///
/// A collector is up once it has acknowledged something on its connection, or has nothing
/// to acknowledge.
///
/// The exit code is 1 when a collector gets no records, records were removed from the log
/// before they were delivered, a certificate has expired or cannot be read, or old segments
/// cannot be removed; 3 when records remain unacknowledged for minutes, a cursor cannot be
/// written, or a certificate expires in less than 30 days.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl forward status
  pulse-sensorctl forward status --json | jq '.forwarding.streams[].queue'
  watch -n 10 pulse-sensorctl forward status")]
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
    let data = block_on(Forwarding::request(&query.daemon.client()))?;
    let now = now();
    if query.json {
        screen.print_json(&data)?;
    } else {
        screen.print(&overview(&data.status, now, screen.columns()))?;
    }
    Ok(outcome(&data.status, now))
}
