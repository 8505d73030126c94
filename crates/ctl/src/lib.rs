//! The operator's tool for `pulse-sensor-proxy`.
//!
//! It asks the running daemon over the control socket or the callers', with the
//! capabilities that the kernel's word on its user gives it, so whatever it shows
//! is what a caller is really given. It has no other way in.
//!
//! | module | is about |
//! |---|---|
//! | `arguments` | what is asked, and `--help` |
//! | `failure` | what can go wrong, and the exit codes |
//! | `client` | one request over the socket |
//! | `temps`, `status`, `rpc`, `keys`, `config_check` | the commands |
//! | `audit` | the audit log: begin, verify, show, explain, rotate |
//! | `forward` | bringing the audit log to a collector |
//! | `reading`, `heat`, `rows`, `table` | from an answer to a table |
//! | `line`, `wrap`, `screen` | colours, widths, and drawing over the last table |
//! | `excerpt`, `pretty`, `shown` | a mistake in its line, readable JSON, safe text |

#![allow(
    clippy::indexing_slicing,
    reason = "indices are of the tool's own tables, and a panic ends one command of an operator"
)]

mod arguments;
#[allow(
    clippy::disallowed_methods,
    reason = "the files that it opens itself are those that the operator names"
)]
mod audit;
mod client;
mod config_check;
mod excerpt;
mod failure;
mod forward;
mod heat;
mod keys;
mod line;
mod pretty;
mod reading;
mod rows;
mod rpc;
mod screen;
mod shown;
mod signals;
mod status;
mod table;
mod temps;
mod wrap;

use arguments::{Arguments, Command, ConfigCommand, KeysCommand};
use client::{Client, Sockets};
use failure::{Ending, Failure};
use screen::Screen;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Runs the program, its own name among the arguments, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match arguments::parse(&words) {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error, arguments::usage_code(&words)),
    };
    match run(arguments) {
        Ok(ending) => ending.into(),
        Err(failure) if failure.is_hang_up() => ExitCode::SUCCESS,
        Err(failure) => {
            // Without a stderr there is still the exit code.
            let _ = writeln!(io::stderr(), "pulse-sensorctl: {failure}");
            failure.exit_code().into()
        }
    }
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn explain(error: &clap::Error, code: u8) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(code)
    } else {
        ExitCode::SUCCESS
    }
}

fn run(arguments: Arguments) -> Result<Ending, Failure> {
    let screen = Screen::on_stdout(arguments.color);
    let sockets = Sockets::choose(arguments.control_socket, arguments.socket);
    let client = Client::new(sockets, arguments.timeout);
    match arguments.command {
        Command::Config(ConfigCommand::Check { file, json }) => {
            config_check::run(screen, file, json)
        }
        Command::Temps(options) => block_on(temps::run(&client, screen, options)),
        Command::Status { json } => block_on(status::run(&client, screen, json)),
        Command::Rpc { method, params } => block_on(rpc::run(&client, screen, &method, params)),
        Command::Keys(KeysCommand::Show { ssh_dir, json }) => {
            block_on(keys::run(&client, screen, ssh_dir, json))
        }
        Command::Audit(command) => audit::run(screen, command),
        Command::Forward(command) => block_on(forward::run(&client, screen, command)),
    }
}

fn block_on(work: impl Future<Output = Result<Ending, Failure>>) -> Result<Ending, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(Failure::Runtime)?.block_on(work)
}
