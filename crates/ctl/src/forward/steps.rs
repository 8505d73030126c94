//! The steps that were made on the way to one collector, told as they are made.

use super::overview::explained;
use crate::line::{Line, Tone};
use crate::screen::Screen;
use pulse_core::causes::Causes;
use pulse_core::config::forward::{Collector, Protocol};
use pulse_forward::problem::Problem;
use pulse_forward::status::Trouble;
use serde_json::{Value, json};
use std::io;

/// As wide as the longest step's name.
const NAME: usize = 12;

/// They, in order.
pub(super) struct Steps<'a> {
    /// Where they are shown; nowhere when a program reads the result.
    screen: Option<&'a mut Screen>,
    made: Vec<(&'static str, String)>,
    problem: Option<Trouble>,
    written: io::Result<()>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(screen: Option<&'a mut Screen>) -> Self {
        Self {
            screen,
            made: Vec::new(),
            problem: None,
            written: Ok(()),
        }
    }

    /// Names the collector whose steps follow.
    pub(super) fn begin(&mut self, collector: &Collector) {
        let heading = format!("{}:{}", collector.name, collector.port);
        self.show(&[Line::of(Tone::Strong, heading)]);
    }

    /// A step was made.
    pub(super) fn made(&mut self, step: &'static str, detail: Line) {
        self.made.push((step, detail.render(false)));
        self.show(&[named(step, Tone::Good).append(detail)]);
    }

    /// A step was not made, and no other will be.
    pub(super) fn failed(&mut self, problem: &Problem) {
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
        if let (Some(screen), Ok(())) = (&mut self.screen, &self.written) {
            self.written = screen.print(lines);
        }
    }

    /// What a program is told, and whether every step was made.
    ///
    /// # Errors
    /// When a step could not be shown.
    pub(super) fn end(self, collector: &Collector) -> io::Result<(Value, bool)> {
        self.written?;
        let steps = self.made.iter();
        let steps: Vec<Value> = steps
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
