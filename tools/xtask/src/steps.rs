//! A headline before each step, a table of durations after all of them.

use crate::process::{Failure, Outcome};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The steps that have run so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
    last_line: Option<String>,
}

struct Step {
    name: String,
    took: Duration,
    failure: Option<Failure>,
}

impl Steps {
    /// Runs one step; a failure is told at once and again at the end.
    ///
    /// `None` means that the step failed: whoever needs its result stops, whoever
    /// wants to know all that is wrong goes on.
    pub(crate) fn run<T>(&mut self, name: &str, work: impl FnOnce() -> Outcome<T>) -> Option<T> {
        println!("\n── {name}");
        let start = Instant::now();
        let (result, failure) = match work() {
            Ok(result) => (Some(result), None),
            Err(failure) => (None, Some(failure)),
        };
        if let Some(failure) = &failure {
            eprintln!("{name}: {failure}");
        }
        self.done.push(Step {
            name: name.to_owned(),
            took: start.elapsed(),
            failure,
        });
        result
    }

    /// Sets the line that is printed last of all.
    pub(crate) fn end_with(&mut self, line: String) {
        self.last_line = Some(line);
    }

    /// Prints the table, what failed, and the last line.
    pub(crate) fn close(self, outcome: &Outcome) -> ExitCode {
        if !self.done.is_empty() {
            println!("\n{}", self.table());
        }
        for step in &self.done {
            if let Some(failure) = &step.failure {
                println!("{}: {failure}", step.name);
            }
        }
        if let Err(failure) = outcome {
            eprintln!("xtask: {failure}");
        }
        if let Some(line) = &self.last_line {
            println!("{line}");
        }
        let failed = outcome.is_err() || self.done.iter().any(|step| step.failure.is_some());
        ExitCode::from(u8::from(failed))
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|step| step.name.chars().count());
        let width = width.max().unwrap_or(0);
        let line = |step: &Step| {
            let mark = if step.failure.is_some() {
                "FAILED"
            } else {
                "ok"
            };
            format!(
                "{:width$}  {:>7.1} s  {mark}\n",
                step.name,
                step.took.as_secs_f64()
            )
        };
        self.done.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_step_stops_none() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("one", || Ok(1)), Some(1));
        assert_eq!(steps.run::<()>("second", || Err(Failure::new("no"))), None);
        assert_eq!(steps.run("third", || Ok(3)), Some(3));
        let table = steps.table();
        let marks: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(marks, ["ok", "FAILED", "ok"]);
        assert_eq!(steps.close(&Ok(())), ExitCode::from(1));
    }
}
