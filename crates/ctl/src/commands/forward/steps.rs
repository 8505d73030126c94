//! The steps of a connection to one collector, shown as they complete.

use super::overview::explained;
use crate::ui::line::{Line, Tone};
use crate::ui::screen::{OutputError, Screen};
use pulse_core::causes::Causes;
use pulse_core::config::forward::{Collector, Protocol};
use pulse_forward::problem::Problem;
use pulse_forward::status::Trouble;
use serde_json::{Value, json};

/// The width of the longest step's name.
const NAME: usize = 12;

/// The completed steps, in order, and the problem that ended them.
pub(super) struct Steps<'a> {
    /// The output that shows them; none for JSON.
    screen: Option<&'a mut Screen>,
    completed: Vec<(&'static str, String)>,
    problem: Option<Trouble>,
    written: Result<(), OutputError>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(screen: Option<&'a mut Screen>) -> Self {
        Self {
            screen,
            completed: Vec::new(),
            problem: None,
            written: Ok(()),
        }
    }

    /// Names the collector whose steps follow.
    pub(super) fn begin(&mut self, collector: &Collector) {
        self.show(&[Line::new(
            Tone::Strong,
            format!("{}:{}", collector.name, collector.port),
        )]);
    }

    /// Adds a completed step.
    pub(super) fn complete(&mut self, step: &'static str, detail: Line) {
        self.completed.push((step, detail.render(false)));
        self.show(&[named(step, Tone::Good).append(detail)]);
    }

    /// Sets the problem of a step that failed; no other follows.
    pub(super) fn fail(&mut self, problem: &Problem) {
        let trouble = Trouble {
            step: problem.step().to_owned(),
            error: Causes(problem).to_string(),
            remedy: problem.remedy().to_owned(),
            since: 0,
        };
        let columns = self.screen.as_ref().and_then(|screen| screen.columns());
        let mut lines = vec![named(problem.step(), Tone::Bad).and(Tone::Bad, "FAILED")];
        lines.extend(explained(&trouble, columns));
        self.show(&lines);
        self.problem = Some(trouble);
    }

    fn show(&mut self, lines: &[Line]) {
        // The error is kept, because steps complete in a callback of the connection, which cannot
        // return it.
        if let (Some(screen), Ok(())) = (&mut self.screen, &self.written) {
            self.written = screen.print(lines);
        }
    }

    /// The result for programs, and whether every step completed.
    ///
    /// # Errors
    /// When a step could not be shown.
    pub(super) fn end(self, collector: &Collector) -> Result<(Value, bool), OutputError> {
        self.written?;
        let steps: Vec<Value> = self
            .completed
            .iter()
            .map(|(step, detail)| json!({"step": step, "detail": detail}))
            .collect();
        let problem = self.problem.as_ref().map(|trouble| {
            json!({"step": trouble.step, "error": trouble.error, "remedy": trouble.remedy})
        });
        let value = json!({
            "name": collector.name.as_str(),
            "port": collector.port,
            "protocol": match collector.protocol {
                Protocol::Relp => "relp",
                Protocol::Syslog => "syslog",
            },
            "steps": steps,
            "problem": problem,
        });
        Ok((value, self.problem.is_none()))
    }
}

fn named(step: &str, tone: Tone) -> Line {
    Line::plain("  ").and(tone, format!("{step:<NAME$}  "))
}
