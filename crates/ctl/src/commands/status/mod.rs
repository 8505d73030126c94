//! `status`: the health of the nodes and of the daemon; with `--self`, the caller's own view.
//!
//! | module | subject |
//! |---|---|
//! | `health` | the daemon's report, parsed, and its exit code |
//! | `overview` | the report for people |
//! | `own` | the daemon's version and key, and the caller's capabilities |

mod health;
mod overview;
mod own;

use super::QueryOptions;
use crate::error::{CommandResult, Outcome};
use crate::runtime::block_on;
use crate::ui::screen::Screen;
use clap::Args;
use health::Health;

pub(super) use own::Status;

/// Show the health of the nodes and of the daemon
///
/// Which nodes answer, fail or wait, and the age of the last good reading of each; for
/// administrators the audit log, its seals and retention, forwarding, confinement and
/// files that cannot be used too. What is wrong is explained at the end, with its
/// remedy. Nothing is asked of a node.
///
/// The exit code is 1 when something is wrong; 3 when nothing is, but a node has not
/// been read in the last 10 minutes, a certificate expires soon or the disk of the
/// audit log is full within 30 days.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl status
  pulse-sensorctl status --self         version, public key, what you may do
  pulse-sensorctl status --json | jq -r '.nodes[] | select(.error) | .error'")]
pub(crate) struct Options {
    /// Show the daemon's version, its key and what you may do
    #[arg(long = "self")]
    own: bool,

    #[command(flatten)]
    query: QueryOptions,
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon and of stdout.
pub(super) fn run(Options { own, query }: Options) -> CommandResult {
    let mut screen = Screen::new(query.color);
    let client = query.daemon.client();
    if own {
        let status = block_on(Status::request(&client))?;
        if query.json {
            screen.print_json(&status)?;
        } else {
            screen.print(&status.lines())?;
        }
        return Ok(Outcome::Fine);
    }
    let health = block_on(Health::request(&client))?;
    let now = crate::commands::forward::now();
    if query.json {
        screen.print_json(&health)?;
    } else {
        screen.print(&overview::overview(&health.report, now, screen.columns()))?;
    }
    Ok(health.report.outcome(now))
}
