//! When to try a node again: backoff and circuit breaker in one.
//!
//! After a failure the node is left alone for a while, and longer each time; a
//! request that comes meanwhile is answered at once with the last error. A node
//! that refuses our key is tried at most once in ten minutes, so that its log is
//! not flooded and nothing like fail2ban shuts us out.

use std::time::{Duration, Instant};

/// The wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait after ordinary failures.
const LONGEST: Duration = Duration::from_secs(60);
/// The wait after our key, or the node's, was refused.
const REFUSED: Duration = Duration::from_secs(600);

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The node could not be reached, or answered wrongly.
    Transient,
    /// The node refused our key, or its host key is not the pinned one: nothing
    /// will change until somebody acts.
    Refused,
}

/// One node's failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// When the node may be tried again; `None` means now.
    #[must_use]
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// The node failed. `jitter` is random, from 0 up to and without 1: it takes
    /// up to a quarter off the wait, so that many nodes do not return in step.
    pub fn failed(&mut self, kind: FailureKind, now: Instant, jitter: f64) -> Duration {
        let wait = match kind {
            // Never earlier than promised: the jitter only makes it longer.
            FailureKind::Refused => REFUSED.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0),
            FailureKind::Transient => {
                let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
                doubled
                    .min(LONGEST)
                    .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait);
        wait
    }

    /// The node answered: everything is forgiven.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_are_forgiven() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.failed(FailureKind::Transient, now, 0.0);
            assert_eq!(wait, Duration::from_secs(seconds));
            assert_eq!(backoff.blocked_until(now), Some(now + wait));
            assert_eq!(backoff.blocked_until(now + wait), None);
        }
        backoff.succeeded();
        assert_eq!(backoff.blocked_until(now), None);
        assert_eq!(backoff.failed(FailureKind::Transient, now, 0.0), FIRST);
        for _ in 0..100 {
            assert!(backoff.failed(FailureKind::Transient, now, 0.99) <= LONGEST);
        }
    }

    #[test]
    fn a_node_that_refuses_our_key_is_left_alone_for_ten_minutes() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for jitter in [0.0, 0.5, 0.99, 7.0] {
            let wait = backoff.failed(FailureKind::Refused, now, jitter);
            assert!(wait >= Duration::from_secs(600) && wait <= Duration::from_secs(750));
        }
    }
}
