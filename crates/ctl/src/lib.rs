//! The operator's tool for `pulse-sensor-proxy`.
//!
//! It asks the running daemon over the control socket or the callers' socket. The daemon takes
//! the caller's user from the kernel and gives this tool the capabilities of that user, so the
//! output is what a caller with these rights gets.
//!
//! | module | subject |
//! |---|---|
//! | `arguments` | the command line and `--help` |
//! | `commands` | a module for each command |
//! | `ui` | output: lines, colours, widths, JSON |
//! | `client` | a request to the daemon and its response |
//! | `config` | the daemon's configuration file, read by the tool |
//! | `error` | exit codes, error codes, error texts |
//! | `runtime` | the event loop, and Ctrl-C |
#![allow(
    clippy::indexing_slicing,
    reason = "indices are of the tool's own tables, and a panic ends one command of an operator"
)]
#![allow(
    clippy::doc_markdown,
    reason = "doc comments of options are what --help prints, on a terminal"
)]

mod arguments;
mod client;
mod commands;
mod config;
mod error;
mod runtime;
mod ui;

use arguments::UsageError;
use error::{ErrorCode, is_closed_output};
use std::ffi::OsString;
use std::process::ExitCode;
use ui::report::report;

/// The command line, of which the manual page and the completions are made.
#[must_use]
pub fn command() -> clap::Command {
    arguments::command()
}

/// Runs the program with these arguments, its name first, and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match arguments::parse(&words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap's errors include --help and --version, which stay text.
            if error.use_stderr() && arguments::has_json_word(&words) {
                report(&UsageError::new(&error, &words), true);
            } else {
                arguments::print(&error);
            }
            return if error.use_stderr() {
                ErrorCode::Usage.exit_code().into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match commands::run(arguments.command) {
        Ok(outcome) => outcome.into(),
        Err(error) if is_closed_output(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref(), arguments.is_json);
            error.code().exit_code().into()
        }
    }
}
