//! The commands: options, work, output and errors of each in its own module.

#[allow(
    clippy::disallowed_methods,
    reason = "the files that it opens itself are those that the operator names"
)]
mod audit;
mod config_check;
mod config_init;
mod forward;
mod keys;
mod rpc;
mod status;
mod temps;

use crate::client::DaemonOptions;
use crate::error::CommandResult;
use crate::ui::screen::ColorOption;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Temps(temps::Options),
    Status(status::Options),
    Rpc(rpc::Options),
    /// The daemon's configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The daemon's SSH key
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Create, verify and read the audit log
    ///
    /// Every decision of the daemon is a record of the log, in a chain of hashes with
    /// seals that the key printed by "audit init" verifies.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show, test and replay forwarding of the audit log to collectors
    #[command(subcommand)]
    Forward(forward::Command),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Check(config_check::Options),
    Init(config_init::Options),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    Show(keys::Options),
}

/// The options of a command that sends the daemon requests and shows the answers.
#[derive(Debug, Args)]
struct QueryOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    color: ColorOption,

    #[command(flatten)]
    daemon: DaemonOptions,
}

/// Carries a command out.
///
/// # Errors
/// The command's own.
pub(crate) fn run(command: Command) -> CommandResult {
    match command {
        Command::Temps(options) => temps::run(options),
        Command::Status(options) => status::run(options),
        Command::Rpc(options) => rpc::run(options),
        Command::Config(ConfigCommand::Check(options)) => config_check::run(options),
        Command::Config(ConfigCommand::Init(options)) => config_init::run(options),
        Command::Keys(KeysCommand::Show(options)) => keys::run(options),
        Command::Audit(command) => audit::run(command),
        Command::Forward(command) => forward::run(command),
    }
}
