//! `forward`: forwarding of the audit log to collectors.
//!
//! The daemon forwards, or rsyslog does. The daemon is asked for its state and told to send
//! records again; connectivity is tested without it.
//!
//! | module | subject |
//! |---|---|
//! | `status`, `overview`, `stream_warnings` | the daemon's state of forwarding, shown |
//! | `test`, `steps` | a connection to each collector, step by step |
//! | `replay` | sending records again |
//! | `accept_loss` | accepting that records are lost |
//! | `render` | configurations for rsyslog |
//! | `data` | the state of forwarding, requested from the daemon |
//! | `validity` | the days until certificates expire |

mod accept_loss;
mod data;
mod overview;
mod render;
mod replay;
mod status;
mod steps;
mod stream_warnings;
mod test;
mod validity;

pub(super) use overview::outcome;
pub(super) use validity::now;

use crate::error::CommandResult;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Status(status::Options),
    Test(test::Options),
    Replay(replay::Options),
    AcceptLoss(accept_loss::Options),
    /// Write a configuration for rsyslog
    ///
    /// rsyslog's own settings lose records: every one that matters is written out, with
    /// its reason. The text goes to standard output; put it below /etc/rsyslog.d.
    #[command(subcommand)]
    Render(render::Command),
}

/// Carries a command out.
///
/// # Errors
/// The command's own.
pub(super) fn run(command: Command) -> CommandResult {
    match command {
        Command::Status(options) => status::run(options),
        Command::Test(options) => test::run(&options),
        Command::Replay(options) => replay::run(options),
        Command::AcceptLoss(options) => accept_loss::run(options),
        Command::Render(command) => render::run(command),
    }
}
