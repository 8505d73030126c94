//! Nodes that answer later than the others, on a terminal: the others are shown at once, and
//! these as they come.
//!
//! While everything fits in the window, the whole table is drawn again. A longer table would
//! scroll, so then each node is printed once, when it has answered.

use super::reading::NodeReading;
use super::table::{STILL_READING, parts, table};
use super::{Temperatures, View, outcome};
use crate::client::{Client, DaemonError, RATE_LIMITED};
use crate::error::CommandResult;
use crate::runtime::Signals;
use crate::ui::escape::escape;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::OutputError;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The wait for the first table.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The most requests at a time for late nodes, each with a connection. Where there are more
/// nodes, several share a request, and are shown together.
const MAX_REQUESTS: usize = 64;

/// The pause after which a node is asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The time that the daemon's answer may take, after its wait for nodes has ended.
const MARGIN: Duration = Duration::from_secs(1);

/// The wait that a daemon can be asked for by a client that waits this long itself.
pub(super) fn longest_wait(timeout: Duration) -> Duration {
    timeout.saturating_sub(MARGIN.min(timeout / 10))
}

/// Shows the temperatures of these nodes, or of all: first those that answer at once.
///
/// # Errors
/// Those of the daemon for the first table, and of stdout.
pub(super) async fn show(
    client: &Client,
    names: &[&str],
    retry: bool,
    view: &mut View,
) -> CommandResult {
    let deadline = Instant::now() + client.timeout();
    let wait = FIRST_WAIT.min(longest_wait(client.timeout()));
    let first = Temperatures::request(client, names, Some(wait), retry).await?;
    if !first.nodes.iter().any(|node| node.is_pending) {
        view.print(&first)?;
        return Ok(outcome(&first.nodes));
    }
    // From here on the cursor may be hidden, and has to be shown again at the end.
    let mut signals = Signals::new()?;
    let mut shown = Shown::new(first.nodes);
    let filled_in = async {
        shown.update(view)?;
        let mut requests = Requests::new(client, deadline);
        for group in groups(&shown.pending()) {
            requests.spawn(group, Duration::ZERO);
        }
        // A task that cannot be joined has panicked, which ends the program.
        while let Some(Ok((group, answer))) = requests.running.join_next().await {
            let rest = shown.take(&group, answer);
            if !rest.is_empty() {
                requests.spawn(rest, RETRY_AFTER);
            }
            shown.update(view)?;
        }
        Ok::<(), OutputError>(())
    };
    tokio::select! {
        biased;
        () = signals.received() => {}
        filled_in = filled_in => filled_in?,
    }
    shown.finish(view)?;
    Ok(outcome(&shown.nodes))
}

/// Names in groups, as few in each as the number of requests permits.
fn groups(names: &[String]) -> Vec<Vec<String>> {
    let size = names.len().div_ceil(MAX_REQUESTS).max(1);
    names.chunks(size).map(<[String]>::to_vec).collect()
}

/// The requests for late nodes.
struct Requests<'a> {
    client: &'a Client,
    deadline: Instant,
    running: JoinSet<Answered>,
}

/// The nodes that a request named, and its outcome.
type Answered = (Vec<String>, Result<Vec<NodeReading>, DaemonError>);

impl<'a> Requests<'a> {
    fn new(client: &'a Client, deadline: Instant) -> Self {
        Self {
            client,
            deadline,
            running: JoinSet::new(),
        }
    }

    /// Asks for nodes after a pause, unless the deadline comes first.
    fn spawn(&mut self, names: Vec<String>, pause: Duration) {
        let left = self
            .deadline
            .saturating_duration_since(Instant::now() + pause);
        if left.is_zero() {
            return;
        }
        let client = self.client.within(left);
        self.running.spawn(async move {
            sleep(pause).await;
            let asked: Vec<&str> = names.iter().map(String::as_str).collect();
            // Without another retry: these nodes are being tried.
            let answer = Temperatures::request(&client, &asked, Some(longest_wait(left)), false);
            let answer = answer.await;
            (names, answer.map(|temperatures| temperatures.nodes))
        });
    }
}

/// The nodes and the part of them that is on the terminal.
struct Shown {
    nodes: Vec<NodeReading>,
    layout: Layout,
}

enum Layout {
    /// The whole table is drawn again each time.
    Drawn,
    /// The table is longer than the window. These nodes have been printed.
    Printed(Vec<bool>),
}

impl Shown {
    fn new(nodes: Vec<NodeReading>) -> Self {
        Self {
            nodes,
            layout: Layout::Drawn,
        }
    }

    fn pending(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|node| node.is_pending)
            .map(|node| node.node.clone())
            .collect()
    }

    /// Takes the answer to a request for these nodes; returns those to ask for again.
    fn take(
        &mut self,
        names: &[String],
        answer: Result<Vec<NodeReading>, DaemonError>,
    ) -> Vec<String> {
        let Ok(readings) = answer else {
            // The daemon restarts, or the deadline has passed.
            return names.to_vec();
        };
        let mut rest = Vec::new();
        for reading in readings {
            let is_refused = |error: &String| error.ends_with(RATE_LIMITED);
            if reading.is_pending || reading.outcome.as_ref().is_err_and(is_refused) {
                rest.push(reading.node);
            } else if let Some(node) = self.nodes.iter_mut().find(|n| n.node == reading.node) {
                *node = reading;
            }
        }
        rest
    }

    /// Shows the present state.
    fn update(&mut self, view: &mut View) -> Result<(), OutputError> {
        if matches!(self.layout, Layout::Drawn) {
            let lines = table(&self.nodes, view.style());
            if view.screen.has_room(lines.len()) {
                return view.screen.redraw(&lines);
            }
        }
        let lines = self.unprinted(view, |node| !node.is_pending);
        if !lines.is_empty() {
            view.screen.replace(&lines)?;
        }
        // Cut where the window ends.
        let text = escape(&format!("{STILL_READING}: {}", self.pending().join(", ")));
        view.screen.redraw(&[Line::new(Tone::Faint, text)])
    }

    /// Shows the last state, in which nodes without an answer have failed.
    fn finish(&mut self, view: &mut View) -> Result<(), OutputError> {
        self.nodes
            .iter_mut()
            .for_each(|node| node.is_pending = false);
        let lines = match self.layout {
            Layout::Drawn => table(&self.nodes, view.style()),
            Layout::Printed(_) => self.unprinted(view, |_| true),
        };
        view.screen.replace(&lines)
    }

    /// The lines of the chosen nodes that are not printed yet; before the first of all, the
    /// head of the table.
    fn unprinted(&mut self, view: &View, is_chosen: impl Fn(&NodeReading) -> bool) -> Vec<Line> {
        let (head, bodies) = parts(&self.nodes, view.style());
        let mut lines = Vec::new();
        if matches!(self.layout, Layout::Drawn) {
            lines.push(head);
            self.layout = Layout::Printed(vec![false; self.nodes.len()]);
        }
        if let Layout::Printed(printed) = &mut self.layout {
            for ((node, is_printed), body) in self.nodes.iter().zip(printed).zip(bodies) {
                if !*is_printed && is_chosen(node) {
                    *is_printed = true;
                    lines.extend(body);
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(node: &str, outcome: Result<(), &str>, is_pending: bool) -> NodeReading {
        let document = || pulse_sensors::document::read(b"{\"sensors\":{}}").unwrap();
        NodeReading {
            node: node.to_owned(),
            outcome: outcome
                .map_err(str::to_owned)
                .map(|()| super::super::reading::Sample {
                    document: document().document,
                    age: Duration::ZERO,
                }),
            is_pending,
            retry_in: None,
        }
    }

    #[test]
    fn late_nodes_are_asked_for_again() {
        let late = || ["a", "b", "c"].map(|name| reading(name, Err("being read"), true));
        let mut shown = Shown::new(late().into());
        let names = shown.pending();
        let limited = reading("b", Err("node \"b\" not read: rate limit exceeded"), false);
        let answer = vec![
            reading("a", Ok(()), false),
            limited,
            reading("c", Err("x"), true),
        ];
        assert_eq!(shown.take(&names, Ok(answer)), ["b", "c"]);
        assert_eq!(shown.pending(), ["b", "c"]);
        // An error of the whole request says nothing about its nodes.
        let lost = Err(DaemonError::Data("x"));
        assert_eq!(shown.take(&["b".to_owned()], lost), ["b"]);
        let failed = vec![reading("b", Err("refused our SSH key"), false)];
        assert!(shown.take(&["b".to_owned()], Ok(failed)).is_empty());
        assert_eq!(shown.pending(), ["c"]);
    }

    #[test]
    fn requests_are_bounded() {
        for count in [1, 64, 65, 1_000] {
            let names: Vec<String> = (0..count).map(|i| i.to_string()).collect();
            let groups = groups(&names);
            assert!(groups.len() <= MAX_REQUESTS, "{count}");
            assert_eq!(groups.concat(), names);
        }
    }

    #[test]
    fn daemon_answers_before_the_timeout() {
        let seconds = Duration::from_secs;
        assert_eq!(longest_wait(seconds(30)), seconds(29));
        assert_eq!(
            longest_wait(Duration::from_millis(200)),
            Duration::from_millis(180)
        );
    }
}
