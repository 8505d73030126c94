//! `temps`: the temperatures of nodes, once or repeatedly.
//!
//! | module | subject |
//! |---|---|
//! | `reading` | the daemon's data, parsed |
//! | `late` | nodes that answer later than the others |
//! | `rows`, `heat` | the temperatures worth a row, and how they compare to their limits |
//! | `state` | what does not answer, what was dropped and omitted |
//! | `table` | the rows as a table |

mod heat;
mod late;
mod reading;
mod rows;
mod state;
mod table;

use crate::client::{Client, DaemonError, DaemonOptions, seconds};
use crate::error::{CommandResult, Outcome};
use crate::runtime::{Signals, block_on};
use crate::ui::line::{Line, Tone};
use crate::ui::report::{report, sentence};
use crate::ui::screen::{ColorOption, OutputError, Screen};
use crate::ui::wrap::wrapped;
use clap::Args;
use pulse_core::nodes::name::NodeName;
use reading::NodeReading;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::time::Duration;
use table::{Style, table};
use tokio::time::MissedTickBehavior;

/// The limiter allows one reading per node in this many seconds.
const WATCH_INTERVAL: &str = "5";

/// Show the temperatures of nodes
///
/// One line for each processor, chip and disk. A "!" marks what is at its own
/// "max" or above, "!!" what is at "crit". Where a sensor has no limits, 70 and
/// 85 °C count for processors, 50 and 60 °C for disks. A line below a node says
/// which chips do not answer and counts values that were dropped.
///
/// On a terminal, nodes that answer within a second are shown at once, and the
/// others as they come; the daemon's limiter counts those as two readings.
/// Otherwise the table is printed when all have answered, or at the end of
/// --timeout or of the daemon's request_timeout. With --watch, the next reading
/// shows late nodes.
///
/// A node that failed is left alone for a while: up to a minute, or ten minutes after
/// it refused the daemon's key or showed a host key that is not pinned. --retry tries
/// it now, after something was corrected on the node. Corrections in known_hosts, the
/// SSH key or the configuration (reload) need no --retry.
///
/// The exit code is 1 when a node could not be read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pulse-sensorctl temps                 every node that may be read
  pulse-sensorctl temps pve1 pve2       these nodes
  pulse-sensorctl temps pve1 --all      every sensor that pve1 has
  pulse-sensorctl temps --watch         again every 5 seconds, until Ctrl-C
  pulse-sensorctl temps --retry pve1    now, although pve1 has just failed
  pulse-sensorctl temps --json | jq -r '.nodes[] | select(.error) | .error'")]
pub(crate) struct Options {
    /// The nodes; all that may be read when none is given
    #[arg(value_name = "NODE", value_parser = NodeName::parse)]
    nodes: Vec<NodeName>,

    /// Show every sensor, and what was dropped, omitted or does not answer
    #[arg(long, short)]
    all: bool,

    /// Print the daemon's data as JSON, one line a reading
    #[arg(long, conflicts_with = "all")]
    json: bool,

    /// Read again every so many seconds [5 when none are given]
    ///
    /// The daemon gives each caller one reading per node every 5 seconds unless
    /// its configuration says otherwise, so a smaller number mostly shows refusals.
    #[arg(
        long,
        short,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = WATCH_INTERVAL,
        value_parser = watch_seconds
    )]
    watch: Option<Duration>,

    /// Try nodes now that the daemon leaves alone after a failure
    ///
    /// This needs the capability "admin", which root has. The daemon bounds it: a node
    /// that refuses its key is tried twice, then once in 5 seconds, because sshd blocks
    /// addresses that fail more often.
    #[arg(long, conflicts_with = "watch")]
    retry: bool,

    #[command(flatten)]
    color: ColorOption,

    #[command(flatten)]
    daemon: DaemonOptions,
}

fn watch_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).map_err(|problem| format!("{problem}; nodes are named before --watch"))
}

/// Carries the command out.
///
/// # Errors
/// Those of the daemon and of stdout. `--watch` shows those of the daemon and goes on.
pub(super) fn run(options: Options) -> CommandResult {
    let mut view = View {
        screen: Screen::new(options.color),
        is_json: options.json,
        all: options.all,
    };
    let client = options.daemon.client();
    let names: Vec<&str> = options.nodes.iter().map(NodeName::as_str).collect();
    block_on(async {
        let Some(interval) = options.watch else {
            // Nodes are shown as they answer, rather than all at the end.
            if !view.is_json && view.screen.is_terminal() {
                return late::show(&client, &names, options.retry, &mut view).await;
            }
            let wait = Some(late::longest_wait(client.timeout()));
            let temperatures = Temperatures::request(&client, &names, wait, options.retry).await?;
            view.print(&temperatures)?;
            return CommandResult::Ok(outcome(&temperatures.nodes));
        };
        let mut signals = Signals::new()?;
        // A slow reading delays the next ones: catching up would exceed the limiter's rate.
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = async {
            // Ends only when the result cannot be written any more.
            loop {
                ticks.tick().await;
                view.redraw(
                    &Temperatures::request(&client, &names, None, false).await,
                    interval,
                )?;
            }
        };
        tokio::select! {
            // Ctrl-C is success, even if the output failed at the same moment.
            biased;
            () = signals.received() => Ok(Outcome::Fine),
            failed = watch => failed,
        }
    })
}

/// The exit code is about nodes that could not be read.
fn outcome(nodes: &[NodeReading]) -> Outcome {
    Outcome::fine_if(nodes.iter().all(|node| node.outcome.is_ok()))
}

/// The output as the options ask for it.
struct View {
    screen: Screen,
    is_json: bool,
    /// Every sensor, not the summary.
    all: bool,
}

impl View {
    fn print(&mut self, temperatures: &Temperatures) -> Result<(), OutputError> {
        if self.is_json {
            self.screen.print_json(temperatures)
        } else {
            self.screen.print(&self.lines(&temperatures.nodes))
        }
    }

    fn redraw(
        &mut self,
        temperatures: &Result<Temperatures, DaemonError>,
        interval: Duration,
    ) -> Result<(), OutputError> {
        // An error takes the table's place and does not end the command: the daemon may be
        // restarting.
        let mut lines = match temperatures {
            Ok(temperatures) if self.is_json => return self.screen.print_json(temperatures),
            Err(error) if self.is_json => {
                report(error, true);
                return Ok(());
            }
            Ok(temperatures) => self.lines(&temperatures.nodes),
            Err(error) => wrapped(&sentence(error), self.screen.columns())
                .into_iter()
                .map(|text| Line::new(Tone::Bad, text))
                .collect(),
        };
        if self.screen.is_terminal() {
            lines.push(Line::default());
            lines.push(Line::new(
                Tone::Faint,
                format!("again every {} s; Ctrl-C ends", interval.as_secs_f64()),
            ));
        }
        self.screen.redraw(&lines)
    }

    fn style(&self) -> Style {
        Style {
            all: self.all,
            columns: self.screen.columns(),
        }
    }

    fn lines(&self, nodes: &[NodeReading]) -> Vec<Line> {
        let columns = self.screen.columns();
        if nodes.is_empty() {
            let text = "No node may be read yet: add a file for each to nodes.d beside the \
                        daemon's configuration, or list them in allowed_nodes.";
            return wrapped(text, columns)
                .into_iter()
                .map(Line::plain)
                .collect();
        }
        table(nodes, self.style())
    }
}

/// The data of `get_temperatures`.
#[derive(Serialize)]
struct Temperatures {
    /// The nodes, as the daemon sent them: JSON output keeps the digits of numbers.
    #[serde(rename = "nodes")]
    raw: Box<RawValue>,
    /// The nodes, in the daemon's order.
    #[serde(skip)]
    nodes: Vec<NodeReading>,
}

impl Temperatures {
    /// Requests these nodes, or all that may be read. Without a wait, the daemon decides when
    /// nodes are late. With `retry`, it tries nodes that it leaves alone after a failure.
    ///
    /// # Errors
    /// [`DaemonError`].
    async fn request(
        client: &Client,
        names: &[&str],
        wait: Option<Duration>,
        retry: bool,
    ) -> Result<Self, DaemonError> {
        let mut params = serde_json::Map::new();
        // Without the parameter, the daemon reads every listed node (docs/protocol.md).
        if !names.is_empty() {
            params.insert("nodes".to_owned(), json!(names));
        }
        if let Some(wait) = wait {
            let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            params.insert("wait_ms".to_owned(), milliseconds.into());
        }
        if retry {
            params.insert("retry".to_owned(), true.into());
        }
        let params = Value::Object(params);
        let (raw, nodes) = reading::parse(&client.data("get_temperatures", params).await?)
            .map_err(DaemonError::Data)?;
        Ok(Self { raw, nodes })
    }
}
