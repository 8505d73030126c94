//! Backoff and circuit breaker for nodes and collectors.
//!
//! After a failure a node is not tried for a while, and for longer after each further one;
//! requests in that time fail at once with the last error. A node that refuses our key is
//! tried at most once in ten minutes: more attempts would flood its log, and fail2ban or
//! sshd's `PerSourcePenalties` would block us.

use std::time::Duration;

/// The delay after the first failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay after transient failures.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// The delay after a refused key, ours or the node's.
const REFUSED_DELAY: Duration = Duration::from_secs(600);

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The node is unreachable, or its answer is wrong.
    Transient,
    /// The node refused our key, or its host key is not pinned: only an operator can
    /// change that.
    Refused,
}

/// The consecutive failures of one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Records a failure and returns the delay until the next attempt. `jitter`, a random
    /// number in 0..1, changes the delay by up to a quarter, so that many nodes are not
    /// tried at the same time.
    pub fn failed(&mut self, kind: FailureKind, jitter: f64) -> Duration {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        match kind {
            // Jitter only lengthens it: ten minutes are promised as the minimum.
            FailureKind::Refused => REFUSED_DELAY.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0),
            // The shift stays below 32 bits; the longest delay is reached well before.
            FailureKind::Transient => FIRST_DELAY
                .saturating_mul(1 << failures.min(16))
                .min(MAX_DELAY)
                // Here jitter only shortens it.
                .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0),
        }
    }

    /// Records a success: the next failure counts as the first.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The number of consecutive failures.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.failed(FailureKind::Transient, 0.0);
            assert_eq!(wait, Duration::from_secs(seconds));
        }
        backoff.succeeded();
        assert_eq!(backoff.failures(), 0);
        assert_eq!(backoff.failed(FailureKind::Transient, 0.0), FIRST_DELAY);
        for _ in 0..100 {
            assert!(backoff.failed(FailureKind::Transient, 0.99) <= MAX_DELAY);
        }
    }

    #[test]
    fn refused_key_waits_ten_minutes() {
        let mut backoff = Backoff::default();
        for jitter in [0.0, 0.5, 0.99, 7.0] {
            let wait = backoff.failed(FailureKind::Refused, jitter);
            assert!(wait >= Duration::from_secs(600) && wait <= Duration::from_secs(750));
        }
    }
}
