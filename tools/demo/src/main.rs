//! The shipped daemon, helper and `pulse-sensorctl` with three simulated nodes, on any machine.
//!
//! Only the nodes are simulated: each is an SSH server with a directory in place of `/sys`,
//! whose temperatures follow a made-up load.
//!
//! ```text
//! pulse-demo ── starts ──► pulse-sensor-proxy ── SSH, loopback ──┐
//!   │                        ▲ Unix socket                       │
//!   ├─ starts ──► pulse-sensorctl temps                          │
//!   └─ starts ──► three `pulse-demo node` ◄──────────────────────┘
//!                   each starts pulse-sensor-node over a tree of its own
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "all its files are in a fresh temporary directory"
)]
#![allow(clippy::print_stderr, reason = "errors are printed there")]

mod daemon;
mod guide;
mod load;
mod node;
mod programs;
mod setup;
mod signals;

use clap::{Args, Parser, Subcommand};
use setup::{Display, Setup};
use signals::Signals;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};

/// The pause between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time for the end of the daemon to be noticed, which explains a failed reading.
const EXIT_REPORT_DELAY: Duration = Duration::from_secs(1);

const SHOW_CURSOR: &str = "\x1b[?25h";

/// A part of the demo failed (`EX_SOFTWARE` of sysexits.h).
const FAILED: u8 = 70;

/// Display the daemon at work: the shipped programs with three simulated nodes
///
/// Needs no root, no sshd, no configuration and no network but loopback. Ctrl-C ends it and
/// leaves nothing behind. The exit code is 1 when a node could not be read, 70 when a part of
/// the demo failed.
#[derive(Debug, Parser)]
#[command(
    name = "pulse-demo",
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cargo xtask demo
  cargo xtask demo --seconds 60
  cargo xtask demo --rounds 2 | cat      without a terminal, as in CI"
)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Args, Debug)]
struct Options {
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,

    /// End after so many readings
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
}

/// Processes that the demo starts from its own program.
#[derive(Debug, Subcommand)]
enum Part {
    /// A simulated node, until its standard input ends.
    #[command(hide = true)]
    Node(node::Options),
    /// Becomes another program that ends when its parent does.
    #[command(hide = true)]
    StartWithParent {
        /// The process that must be our parent.
        parent: u32,
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
}

/// Reasons for which the demo cannot start or continue.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// A shipped program is missing.
    #[error("the demo needs {name} beside {}: \"cargo xtask demo\" builds all it needs", beside.display())]
    Missing {
        /// Its name.
        name: &'static str,
        /// This program.
        beside: PathBuf,
    },
    /// A system call failed.
    #[error("{what}: {error}")]
    System {
        /// The step that failed.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// The directory's path is too long for a socket, or not UTF-8.
    #[error("{}: the path is too long for a Unix socket, or not UTF-8: set TMPDIR to a shorter one", .0.display())]
    Directory(PathBuf),
    /// The daemon ended, or was never ready.
    #[error("the daemon {what}; the end of its log:\n{log}")]
    Daemon {
        /// The event, after "the daemon".
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// A simulated node does not start.
    #[error("the simulated node {0} did not start")]
    Node(&'static str),
}

/// Adds the failed step to an error, for `map_err`.
fn trying(what: &'static str) -> impl Fn(io::Error) -> DemoError {
    move |error| DemoError::System { what, error }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.part {
        Some(Part::StartWithParent { parent, command }) => {
            daemon::start_with_parent(parent, &command).map(|()| ExitCode::SUCCESS)
        }
        Some(Part::Node(options)) => block_on(node::serve(options)).map(|()| ExitCode::SUCCESS),
        None => block_on(run(arguments.options)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("pulse-demo: {error}");
        ExitCode::from(FAILED)
    })
}

/// Runs on this thread: with `PR_SET_PDEATHSIG` child processes end with the thread that
/// started them (prctl(2)).
fn block_on<T>(work: impl Future<Output = Result<T, DemoError>>) -> Result<T, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(trying("starting an event loop"))?
        .block_on(work)
}

/// Runs the demo and removes its processes and files, also after an error.
async fn run(options: Options) -> Result<ExitCode, DemoError> {
    let mut signals = Signals::new()?;
    let mut setup = Setup::new()?;
    let outcome = tokio::select! {
        biased;
        () = signals.ended() => Ok(ExitCode::SUCCESS),
        outcome = present(&mut setup, &options) => outcome,
    };
    // Everything is stopped and removed before an error is returned; the error of the demo
    // itself counts more than one of its end.
    let ended = setup.end().await;
    let code = outcome?;
    ended?;
    // pulse-sensorctl hides the cursor while it draws, and may have been killed then.
    let cursor = if io::stdout().is_terminal() {
        SHOW_CURSOR
    } else {
        ""
    };
    // The reader of our output may have closed it.
    let _ = print(&format!(
        "{cursor}\nThe demo has ended. All of its processes and files are removed.\n"
    ));
    Ok(code)
}

/// Shows readings until the given number or time is reached, or the daemon ends.
async fn present(setup: &mut Setup, options: &Options) -> Result<ExitCode, DemoError> {
    setup.build().await?;
    // A reader that closes the pipe, such as head(1), ends the demo without an error.
    if print(&guide::introduction(setup)).is_err() {
        return Ok(ExitCode::SUCCESS);
    }
    let (show, daemon_ends) = setup.parts();
    // Counted from here: starting the daemon and the nodes is not part of the time that was asked
    // for.
    let start = Instant::now();
    let end = options
        .seconds
        .map(|seconds| start + Duration::from_secs(seconds));
    let shown = async {
        // On a terminal pulse-sensorctl draws each table over the last one.
        if options.rounds.is_none() && io::stdout().is_terminal() {
            watch(show, start).await
        } else {
            rounds(show, start, options.rounds).await
        }
    };
    tokio::select! {
        code = shown => code,
        () = sleep_until(end.unwrap_or(start)), if end.is_some() => Ok(ExitCode::SUCCESS),
        error = daemon_ends => Err(error),
    }
}

async fn watch(show: Display<'_>, start: Instant) -> Result<ExitCode, DemoError> {
    // The tool reads the nodes itself; this loop changes their temperatures meanwhile.
    let mut tool = show.tool(&["temps", "--watch", "1"])?;
    let mut ticks = ticks();
    loop {
        tokio::select! {
            ended = tool.wait() => {
                ended.map_err(trying("waiting for pulse-sensorctl"))?;
                return Ok(ExitCode::SUCCESS);
            }
            _ = ticks.tick() => show.set_temperatures(start.elapsed())?,
        }
    }
}

async fn rounds(
    show: Display<'_>,
    start: Instant,
    most: Option<u64>,
) -> Result<ExitCode, DemoError> {
    let mut ticks = ticks();
    let mut code = ExitCode::SUCCESS;
    let of = most.map_or(String::new(), |most| format!(" of {most}"));
    for round in 1..=most.unwrap_or(u64::MAX) {
        ticks.tick().await;
        show.set_temperatures(start.elapsed())?;
        let ended = show.tool(&["temps"])?.wait().await;
        let ended = ended.map_err(trying("waiting for pulse-sensorctl"))?;
        if !ended.success() {
            // If the daemon has ended, that is reported instead.
            sleep(EXIT_REPORT_DELAY).await;
            code = ExitCode::FAILURE;
        }
        if print(&format!("reading {round}{of}\n\n")).is_err() {
            break;
        }
    }
    Ok(code)
}

fn ticks() -> tokio::time::Interval {
    // On a slow machine readings come later, and not several at once.
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
