//! Durations of repeated actions, and their quantiles.

use crate::report::rounded;
use std::time::{Duration, Instant};

/// Durations in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Repeats an action and adds each duration.
    pub(crate) fn add(&mut self, count: usize, mut action: impl FnMut()) {
        for _ in 0..count {
            let started = Instant::now();
            action();
            self.0.push(milliseconds(started.elapsed()));
        }
    }

    /// Adds a duration in milliseconds.
    pub(crate) fn push(&mut self, time: f64) {
        self.0.push(time);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The text of a note.
    pub(crate) fn described(&self, what: &str) -> String {
        let (low, high) = (self.quantile(0.05), self.quantile(0.99));
        format!(
            "{what}: median {} ms, 5th percentile {} ms, 99th {} ms, of {} measurements",
            rounded(self.median()),
            rounded(low),
            rounded(high),
            self.count()
        )
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    fn quantile(&self, quantile: f64) -> f64 {
        // The nearest rank, without interpolation: each quantile is a duration that was measured.
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
    }
}

pub(crate) fn milliseconds(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}
