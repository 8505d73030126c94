//! `temps`: the temperatures of nodes, once or again and again.

use crate::arguments::TempsOptions;
use crate::client::Client;
use crate::failure::{Ending, Failure};
use crate::line::{Line, Tone};
use crate::reading::NodeReading;
use crate::screen::Screen;
use crate::signals::Signals;
use crate::table::{Style, any_failed, table};
use crate::wrap::wrapped;
use pulse_core::nodes::name::NodeName;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Carries the command out.
///
/// # Errors
/// [`Failure`] when there is no answer to show. While watching, that is shown
/// like anything else, and the daemon is asked again.
pub(crate) async fn run(
    client: &Client,
    mut screen: Screen,
    options: TempsOptions,
) -> Result<Ending, Failure> {
    match options.watch {
        Some(every) => watch(client, &mut screen, &options, every).await,
        None => once(client, &mut screen, &options).await,
    }
}

async fn once(
    client: &Client,
    screen: &mut Screen,
    options: &TempsOptions,
) -> Result<Ending, Failure> {
    let answer = Answer::of(client, &options.nodes).await?;
    if options.json {
        screen.print_text(answer.data.get())?;
    } else {
        screen.print(&answer.lines(screen, options.all))?;
    }
    Ok(answer.ending())
}

async fn watch(
    client: &Client,
    screen: &mut Screen,
    options: &TempsOptions,
    every: Duration,
) -> Result<Ending, Failure> {
    let mut signals = Signals::new()?;
    tokio::select! {
        biased;
        () = signals.ended() => Ok(Ending::Done),
        failure = go_on(client, screen, options, every) => Err(failure),
    }
}

/// Reads again and again, until the result cannot be written any more.
async fn go_on(
    client: &Client,
    screen: &mut Screen,
    options: &TempsOptions,
    every: Duration,
) -> Failure {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = Answer::of(client, &options.nodes).await;
        let written = if options.json {
            write_json(&answer, screen)
        } else {
            draw(&answer, screen, options.all, every)
        };
        if let Err(error) = written {
            return error.into();
        }
    }
}

fn write_json(answer: &Result<Answer, Failure>, screen: &mut Screen) -> io::Result<()> {
    match answer {
        Ok(answer) => screen.print_text(answer.data.get()),
        Err(failure) => writeln!(io::stderr(), "pulse-sensorctl: {failure}"),
    }
}

fn draw(
    answer: &Result<Answer, Failure>,
    screen: &mut Screen,
    all: bool,
    every: Duration,
) -> io::Result<()> {
    let mut lines = match answer {
        Ok(answer) => answer.lines(screen, all),
        Err(failure) => wrapped(&failure.to_string(), screen.columns())
            .into_iter()
            .map(|text| Line::of(Tone::Bad, text))
            .collect(),
    };
    if screen.is_terminal() {
        let every = every.as_secs_f64();
        let note = format!("again every {every} s; Ctrl-C ends");
        lines.extend([Line::default(), Line::of(Tone::Faint, note)]);
    }
    screen.redraw(&lines)
}

/// The daemon's answer, as it came and taken apart.
pub(crate) struct Answer {
    data: Box<RawValue>,
    /// The nodes, in the daemon's order.
    pub(crate) nodes: Vec<NodeReading>,
}

impl Answer {
    /// Asks for these nodes, or for all that may be read.
    ///
    /// # Errors
    /// [`Failure`] when the daemon does not answer, or refuses.
    pub(crate) async fn of(client: &Client, nodes: &[NodeName]) -> Result<Self, Failure> {
        let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        let params = if names.is_empty() {
            Value::Null
        } else {
            json!({ "nodes": names })
        };
        let response = client.ask("get_temperatures", params).await?;
        let data = response.outcome.map_err(Failure::Refused)?;
        let nodes = NodeReading::parse_all(&data).map_err(Failure::Answer)?;
        Ok(Self { data, nodes })
    }

    fn lines(&self, screen: &Screen, all: bool) -> Vec<Line> {
        if self.nodes.is_empty() {
            let text =
                "No node may be read yet: add some to allowed_nodes in the daemon's configuration.";
            return vec![Line::plain(text)];
        }
        let columns = screen.columns();
        table(&self.nodes, Style { all, columns })
    }

    fn ending(&self) -> Ending {
        if any_failed(&self.nodes) {
            Ending::ShownFailure
        } else {
            Ending::Done
        }
    }
}
