//! `demo`: the real daemon with three simulated nodes, on any machine.
//!
//! Nothing in the daemon or the helper knows of the demo: they are the programs
//! that are shipped, with a configuration like any other. Only what is around
//! them is made up: SSH servers in this process stand in for the nodes' sshd, and
//! directories for their `/sys`, in which temperatures follow a made-up load.
//!
//! ```text
//! this process ── Unix socket ──► pulse-sensor-proxy ── SSH, loopback ──┐
//!   │ asks like any caller          (a child process)                   │
//!   └ three SSH servers ◄───────────────────────────────────────────────┘
//!       each runs pulse-sensor-node (a child process) over a tree of its own
//! ```

mod daemon;
mod guide;
mod load;
mod programs;
mod stage;

use crate::arguments::DemoOptions;
use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::line::{Line, Tone};
use crate::screen::Screen;
use crate::signals::Signals;
use crate::table::{Style, any_failed, table};
use crate::temps::Answer;
use stage::{Show, Stage};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) use daemon::start_with_parent;

/// Between two readings.
const ROUND: Duration = Duration::from_secs(1);

/// For the news of the daemon's end to come.
const GRACE: Duration = Duration::from_secs(1);

/// Why there is no demo, or not any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A program that it shows is not there.
    #[error("the demo needs {name} beside {}: build it with \"cargo build --release --package {name}\" (or \"cargo xtask demo\", which builds all it needs)", beside.display())]
    Missing {
        /// Which one.
        name: &'static str,
        /// This program.
        beside: PathBuf,
    },
    /// The system refused.
    #[error("{what}: {error}")]
    System {
        /// What we were about to do.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The directory's path is too long or too strange.
    #[error("{}: no socket can be made there: set TMPDIR to a shorter, plain path", .0.display())]
    Directory(PathBuf),
    /// The daemon ended, or was never ready.
    #[error("the daemon {what}; the end of its log:\n{log}")]
    Daemon {
        /// What it did.
        what: String,
        /// The last lines it wrote.
        log: String,
    },
}

/// For `map_err`: names what was tried.
fn trying(what: &'static str) -> impl Fn(io::Error) -> DemoError {
    move |error| DemoError::System { what, error }
}

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when the demo cannot be started, or breaks. Nothing is left behind
/// in any case.
pub(crate) async fn run(mut screen: Screen, options: DemoOptions) -> Result<Ending, Failure> {
    let mut signals = Signals::new()?;
    let mut stage = Stage::new()?;
    let outcome = tokio::select! {
        biased;
        () = signals.ended() => Ok(Ending::Done),
        outcome = perform(&mut stage, &mut screen, &options) => outcome,
    };
    // A terminal that is gone must not keep us from tidying up.
    let kept = screen.keep();
    let ended = stage.end().await;
    let ending = outcome?;
    kept?;
    ended?;
    let last = Line::of(Tone::Faint, "Ended: no process and no file is left.");
    screen.print(&[Line::default(), last])?;
    Ok(ending)
}

async fn perform(
    stage: &mut Stage,
    screen: &mut Screen,
    options: &DemoOptions,
) -> Result<Ending, Failure> {
    stage.build().await?;
    screen.print(&guide::introduction(stage, screen.columns()))?;
    let (show, daemon_ends) = stage.parts();
    tokio::select! {
        ending = rounds(show, screen, options) => ending,
        error = daemon_ends => Err(error.into()),
    }
}

/// Reads and shows, until it was enough.
async fn rounds(
    show: Show<'_>,
    screen: &mut Screen,
    options: &DemoOptions,
) -> Result<Ending, Failure> {
    let start = Instant::now();
    let end = options.seconds.map(|seconds| start + seconds);
    let mut ticks = tokio::time::interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 1.. {
        ticks.tick().await;
        show.set_temperatures(start.elapsed())?;
        let answer = ask(show.client).await?;
        screen.redraw(&picture(&answer, screen, round, options))?;
        let last = options.rounds == Some(round);
        if last || end.is_some_and(|end| Instant::now() + ROUND > end) {
            let failed = any_failed(&answer.nodes);
            return Ok(if failed {
                Ending::ShownFailure
            } else {
                Ending::Done
            });
        }
    }
    Ok(Ending::Done)
}

/// A daemon that ends while it is asked is noticed here first, but how it ended
/// says more than a broken connection.
async fn ask(client: &Client) -> Result<Answer, Failure> {
    let answer = Answer::of(client, &[]).await;
    if let Err(Failure::Client(_)) = answer {
        tokio::time::sleep(GRACE).await;
    }
    answer
}

fn picture(answer: &Answer, screen: &Screen, round: u64, options: &DemoOptions) -> Vec<Line> {
    let columns = screen.columns();
    let style = Style {
        all: false,
        columns,
    };
    let mut lines = table(&answer.nodes, style);
    let of = options
        .rounds
        .map_or(String::new(), |rounds| format!(" of {rounds}"));
    let how = if screen.is_terminal() {
        "; Ctrl-C ends"
    } else {
        ""
    };
    let note = format!("reading {round}{of}{how}");
    lines.push(Line::of(Tone::Faint, note));
    lines
}
