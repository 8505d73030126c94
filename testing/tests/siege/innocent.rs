//! The one who asks as Pulse does, and counts.

use pulse_e2e::python::{self, Running, User};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A process that reads nodes in rounds.
pub(super) struct Poller(Running);

impl Poller {
    /// Starts one that goes on for so long.
    pub(super) fn start(user: User, socket: &Path, nodes: &[&str], length: Duration) -> Self {
        let seconds = length.as_secs().to_string();
        let arguments = [&[socket.to_str().unwrap(), &seconds], nodes].concat();
        Self(Running::start(python::POLLER, Some(user), &arguments))
    }

    /// Waits for its end; gives what it saw.
    pub(super) fn end(mut self) -> Seen {
        Seen::of(&self.0.go_on())
    }
}

/// What became of its requests.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) asked: usize,
    pub(super) served: usize,
    /// In order.
    times: Vec<Duration>,
    failures: Value,
    /// How often the backlog had no place for it, and it tried again.
    no_place: Value,
}

impl Seen {
    fn of(answer: &Value) -> Self {
        let times = answer["times"].as_array().unwrap().iter();
        let mut times: Vec<Duration> = times
            .map(|seconds| Duration::from_secs_f64(seconds.as_f64().unwrap()))
            .collect();
        times.sort_unstable();
        let failures = answer["failures"].as_object().unwrap().values();
        let failed: u64 = failures.map(|count| count.as_u64().unwrap()).sum();
        Self {
            asked: times.len() + usize::try_from(failed).unwrap(),
            served: times.len(),
            times,
            failures: answer["failures"].clone(),
            no_place: answer["no_place"].clone(),
        }
    }

    pub(super) fn median(&self) -> Duration {
        self.at(50)
    }

    fn at(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        let found = self.times.get(last * percent / 100);
        found.copied().unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.at(percent).as_millis();
        write!(
            f,
            "{} of {} readings served, median {} ms, p99 {} ms, longest {} ms, failures {}, \
             no place in the backlog {} times",
            self.served,
            self.asked,
            ms(50),
            ms(99),
            ms(100),
            self.failures,
            self.no_place
        )
    }
}
