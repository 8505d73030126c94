//! The shipped daemon and tool with three simulated nodes, on any machine.
//!
//! The daemon, the helper and the tool are the programs that are shipped, with a
//! configuration like any other. Only the nodes are simulated: an SSH server each, and a
//! directory in the place of `/sys`, in which temperatures follow a made-up load.
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
    reason = "it reads and writes in a directory that it has just made for itself"
)]
#![allow(clippy::print_stderr, reason = "errors are told there")]

mod daemon;
mod guide;
mod load;
mod node;
mod programs;
mod signals;
mod stage;

use clap::{Args, Parser, Subcommand};
use signals::Signals;
use stage::{Show, Stage};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};

/// Between two readings.
const ROUND: Duration = Duration::from_secs(1);

/// For the news of the daemon's end to come.
const GRACE: Duration = Duration::from_secs(1);

const SHOW_CURSOR: &str = "\x1b[?25h";

/// A part of the demo failed (`EX_SOFTWARE` of sysexits.h).
const FAILED: u8 = 70;

/// Show the daemon at work: the shipped programs with three simulated nodes
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

/// Processes of the demo's own.
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

/// Why there is no demo, or not any more.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// A program that it shows is not there.
    #[error("the demo needs {name} beside {}: \"cargo xtask demo\" builds all it needs", beside.display())]
    Missing {
        /// Its name.
        name: &'static str,
        /// This program.
        beside: PathBuf,
    },
    /// The system refused.
    #[error("{what}: {error}")]
    System {
        /// The step that failed.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// The directory's path is too long or too strange.
    #[error("{}: no socket can be made there: set TMPDIR to a shorter, plain path", .0.display())]
    Directory(PathBuf),
    /// The daemon ended, or was never ready.
    #[error("the daemon {what}; the end of its log:\n{log}")]
    Daemon {
        /// Its doing.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// A simulated node ended, or said nothing.
    #[error("the simulated node {0} does not start")]
    Node(&'static str),
}

/// Names the step that failed, for `map_err`.
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

/// One thread: child processes end with the thread that started them (prctl(2)).
fn block_on<T>(work: impl Future<Output = Result<T, DemoError>>) -> Result<T, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(trying("starting an event loop"))?
        .block_on(work)
}

/// Nothing is left behind, whatever happens.
async fn run(options: Options) -> Result<ExitCode, DemoError> {
    let mut signals = Signals::new()?;
    let mut stage = Stage::new()?;
    let outcome = tokio::select! {
        biased;
        () = signals.ended() => Ok(ExitCode::SUCCESS),
        outcome = perform(&mut stage, &options) => outcome,
    };
    let ended = stage.end().await;
    let code = outcome?;
    ended?;
    // The tool hides the cursor while it draws, and may have been ended meanwhile.
    let cursor = if io::stdout().is_terminal() {
        SHOW_CURSOR
    } else {
        ""
    };
    // Whoever read our output may have read enough.
    let _ = print(&format!(
        "{cursor}\nEnded: no process and no file is left.\n"
    ));
    Ok(code)
}

async fn perform(stage: &mut Stage, options: &Options) -> Result<ExitCode, DemoError> {
    stage.build().await?;
    if print(&guide::introduction(stage)).is_err() {
        return Ok(ExitCode::SUCCESS);
    }
    let (show, daemon_ends) = stage.parts();
    tokio::select! {
        code = readings(show, options) => code,
        error = daemon_ends => Err(error),
    }
}

/// Shows readings until it was enough.
async fn readings(show: Show<'_>, options: &Options) -> Result<ExitCode, DemoError> {
    let start = Instant::now();
    let end = options
        .seconds
        .map(|seconds| start + Duration::from_secs(seconds));
    let shown = async {
        // On a terminal the tool draws each table over the last one.
        if options.rounds.is_none() && io::stdout().is_terminal() {
            watch(show, start).await
        } else {
            rounds(show, start, options.rounds).await
        }
    };
    tokio::select! {
        code = shown => code,
        () = until(end) => Ok(ExitCode::SUCCESS),
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

async fn watch(show: Show<'_>, start: Instant) -> Result<ExitCode, DemoError> {
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

async fn rounds(show: Show<'_>, start: Instant, most: Option<u64>) -> Result<ExitCode, DemoError> {
    let mut ticks = ticks();
    let mut code = ExitCode::SUCCESS;
    let of = most.map_or(String::new(), |most| format!(" of {most}"));
    for round in 1..=most.unwrap_or(u64::MAX) {
        ticks.tick().await;
        show.set_temperatures(start.elapsed())?;
        let ended = show.tool(&["temps"])?.wait().await;
        let ended = ended.map_err(trying("waiting for pulse-sensorctl"))?;
        if !ended.success() {
            // How the daemon ended says more than that nothing answers.
            sleep(GRACE).await;
            code = ExitCode::FAILURE;
        }
        if print(&format!("reading {round}{of}\n\n")).is_err() {
            break;
        }
    }
    Ok(code)
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
