//! A caller that polls as Pulse does, and counts its readings.

use pulse_e2e::python::{self, Running, User};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A process that reads nodes every second.
pub(super) struct Poller(Running);

impl Poller {
    /// Starts a poller that runs for this long.
    pub(super) fn start(user: User, socket: &Path, nodes: &[&str], length: Duration) -> Self {
        let seconds = length.as_secs().to_string();
        let arguments = [&[socket.to_str().unwrap(), &seconds], nodes].concat();
        Self(Running::start(python::POLLER, Some(user), &arguments))
    }

    /// Waits for its end and returns its results.
    pub(super) fn end(mut self) -> PollResults {
        PollResults::parse(&self.0.finish())
    }
}

/// The outcomes of its readings.
#[derive(Debug)]
pub(super) struct PollResults {
    pub(super) asked: usize,
    pub(super) served: usize,
    /// Durations of the successful ones, sorted.
    times: Vec<Duration>,
    failures: Value,
    /// The number of retries while the backlog was full.
    retries: Value,
}

impl PollResults {
    fn parse(answer: &Value) -> Self {
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
            retries: answer["retries"].clone(),
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

impl fmt::Display for PollResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.at(percent).as_millis();
        write!(
            f,
            "{} of {} readings served, median {} ms, p99 {} ms, longest {} ms, failures {}, \
             {} retries while the backlog was full",
            self.served,
            self.asked,
            ms(50),
            ms(99),
            ms(100),
            self.failures,
            self.retries
        )
    }
}
