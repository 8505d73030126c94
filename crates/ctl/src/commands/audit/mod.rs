//! `audit`: the daemon's audit log, for its operator.
//!
//! `pulse_audit` does the work; here are the options and the output. Text of records is
//! escaped before it is shown: callers and nodes wrote some of it.
//!
//! | module | subject |
//! |---|---|
//! | `init`, `owner` | creating a log, for the daemon's user |
//! | `verify`, `report`, `state_key`, `snapshots`, `spool` | verifying a log, and the verdict |
//! | `head` | the last record as a line, kept elsewhere |
//! | `show`, `tail`, `row` | records as a table |
//! | `explain`, `evidence`, `story` | one reading from its start to its seal |
//! | `rotate`, `writer`, `flags` | ending a file that is marked append-only |
//! | `accept_loss` | continuing a log after another program changed its files |
//! | `archive`, `packed` | sealed segments, compressed and kept elsewhere |
//! | `place`, `files`, `change` | which log is meant, its files, changing them |

mod accept_loss;
mod archive;
mod change;
mod evidence;
mod explain;
mod files;
mod flags;
mod head;
mod init;
mod owner;
mod packed;
mod place;
mod report;
mod rotate;
mod row;
mod show;
mod snapshots;
mod spool;
mod state_key;
mod story;
mod tail;
mod verify;
mod writer;

use crate::error::CommandResult;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Options),
    Verify(verify::Options),
    Head(head::Options),
    Show(show::Options),
    Tail(tail::Options),
    Explain(explain::Options),
    Rotate(rotate::Options),
    Archive(archive::Options),
    AcceptLoss(accept_loss::Options),
}

/// Carries a command out.
///
/// # Errors
/// The command's own.
pub(super) fn run(command: Command) -> CommandResult {
    match command {
        Command::Init(options) => init::run(options),
        Command::Verify(options) => verify::run(options),
        Command::Head(options) => head::run(&options),
        Command::Show(options) => show::run(options),
        Command::Tail(options) => tail::run(options),
        Command::Explain(options) => explain::run(&options),
        Command::Rotate(options) => rotate::run(options),
        Command::Archive(options) => archive::run(&options),
        Command::AcceptLoss(options) => accept_loss::run(options),
    }
}
