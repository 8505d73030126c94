//! Failures of `accept(2)`, for every kind of listening socket.

use pulse_files::Exhaustion;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pause after a failure: with no descriptor left (`EMFILE`), accept(2) fails again at
/// once, and the loop would only spin.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The time between two warnings about one socket. Retries come many times a second, from
/// several threads.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The callers' socket.
pub(crate) static CALLERS: AcceptFailures = AcceptFailures::of("callers'");
/// The control socket.
pub(crate) static CONTROL: AcceptFailures = AcceptFailures::of("control");
/// The metrics port.
pub(crate) static METRICS: AcceptFailures = AcceptFailures::of("metrics");

/// The failures of one socket.
pub(crate) struct AcceptFailures {
    socket: &'static str,
    throttle: Mutex<Throttle>,
}

/// At most one warning in [`WARNING_INTERVAL`].
struct Throttle {
    last: Option<Instant>,
    /// Failures since the last warning that have none.
    left_out: u64,
}

impl Throttle {
    /// True when a failure is to be logged; gives the number of those left out before it.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        if let Some(last) = self.last
            && now.saturating_duration_since(last) < WARNING_INTERVAL
        {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl AcceptFailures {
    const fn of(socket: &'static str) -> Self {
        Self {
            socket,
            throttle: Mutex::new(Throttle {
                last: None,
                left_out: 0,
            }),
        }
    }

    /// Logs a failure, unless there was a warning a moment ago.
    pub(crate) fn report(&self, error: &io::Error) {
        let passed = self
            .throttle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pass(Instant::now());
        let Some(left_out) = passed else {
            return;
        };
        let remedy = Exhaustion::of(error).map_or_else(String::new, |exhaustion| {
            format!(": {}", exhaustion.remedy())
        });
        tracing::warn!(
            "cannot accept a connection on the {} socket: {error}{remedy}{}",
            self.socket,
            match left_out {
                0 => String::new(),
                count => format!(" ({count} more failures since the last warning)"),
            }
        );
    }

    /// [Reports](Self::report) a failure and waits for [`RETRY_DELAY`].
    pub(crate) async fn pause(&self, error: &io::Error) {
        self.report(error);
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_fill_no_log() {
        let mut throttle = Throttle {
            last: None,
            left_out: 0,
        };
        let start = Instant::now();
        // Four threads, 20 times a second, for a minute.
        let logged: Vec<u64> = (0..60 * 80)
            .filter_map(|retry| throttle.pass(start + Duration::from_millis(retry * 1000 / 80)))
            .collect();
        assert_eq!(logged, [0, 799, 799, 799, 799, 799]);
    }
}
