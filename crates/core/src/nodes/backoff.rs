//! Backoff and circuit breaker for nodes and collectors.
//!
//! After a failure a node is not tried for a while, and for longer after each further one;
//! requests in that time fail at once with the last error. A node that refuses our key is
//! tried at most once in ten minutes: more attempts would flood its log, and fail2ban or
//! sshd's `PerSourcePenalties` would block us.
//!
//! An administrator who asks for it, or a changed file that was the cause, ends the delay early,
//! as long as the [`Penalties`] permit: so no loop of either can bring the node's sshd to block us.

use std::time::{Duration, Instant};

/// The delay after the first failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay after transient failures.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// The longest delay after failures to connect: short, because the end of an outage is noticed by
/// an attempt alone, and an attempt is a packet or three.
const MAX_UNREACHABLE_DELAY: Duration = Duration::from_secs(2);
/// The delay after a refused key, ours or the node's.
const REFUSED_DELAY: Duration = Duration::from_secs(600);
/// The default penalties of sshd (`PerSourcePenalties` in `sshd_config(5)`), for a refused login and
/// for a connection without one.
const LOGIN_PENALTY: Duration = Duration::from_secs(5);
const CONNECTION_PENALTY: Duration = Duration::from_secs(1);
/// The most penalties that early attempts may bring about. sshd blocks an address from 15 s on; the
/// rest is for people who log in from this host.
const MAX_PENALTIES: Duration = Duration::from_secs(10);

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nothing was sent to the node: something on this host has to change first, so the next
    /// attempt costs the node nothing and needs no delay.
    Local,
    /// No connection came about, or it broke without a message: the peer, or the path to it, is
    /// down.
    Unreachable,
    /// The peer was reached, and did not do what it should.
    Transient,
    /// The node has no host key that is accepted: only an operator can change that.
    HostKey,
    /// The node refused our key: only an operator can change that.
    Refused,
}

/// The penalties that a node's sshd may hold against our address, by its defaults. Each adds to
/// the rest of the previous ones, as in OpenSSH's `srclimit.c`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Penalties {
    until: Option<Instant>,
}

impl Penalties {
    /// Counts a failed attempt. Returns the delay from `now` on until another attempt cannot
    /// exceed what is tolerated, whatever its outcome; zero if that is so at once.
    pub fn add(&mut self, kind: FailureKind, now: Instant) -> Duration {
        let penalty = match kind {
            FailureKind::Local => Duration::ZERO,
            FailureKind::Unreachable | FailureKind::Transient | FailureKind::HostKey => {
                CONNECTION_PENALTY
            }
            FailureKind::Refused => LOGIN_PENALTY,
        };
        let before = self.until.map_or(now, |until| until.max(now));
        let until = before + penalty;
        self.until = Some(until);
        until
            .saturating_duration_since(now)
            .saturating_sub(MAX_PENALTIES.saturating_sub(LOGIN_PENALTY))
    }
}

/// The consecutive failures of one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    /// Those that lengthen the delay of their kind.
    transient: u32,
    unreachable: u32,
}

impl Backoff {
    /// Records a failure and returns the delay until the next attempt. `jitter`, a random
    /// number in 0..1, changes the delay by up to a quarter, so that many nodes are not
    /// tried at the same time.
    pub fn failed(&mut self, kind: FailureKind, jitter: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        match kind {
            FailureKind::Local => Duration::ZERO,
            // Jitter only lengthens it: ten minutes are promised as the minimum.
            FailureKind::HostKey | FailureKind::Refused => {
                REFUSED_DELAY.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
            }
            FailureKind::Transient => doubled(&mut self.transient, MAX_DELAY, jitter),
            FailureKind::Unreachable => {
                doubled(&mut self.unreachable, MAX_UNREACHABLE_DELAY, jitter)
            }
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

/// The delay after one more failure of a kind, at most `longest`. Here jitter only shortens it.
fn doubled(failures: &mut u32, longest: Duration, jitter: f64) -> Duration {
    let before = *failures;
    *failures = before.saturating_add(1);
    // The shift stays below 32 bits; the longest delay is reached well before.
    FIRST_DELAY
        .saturating_mul(1 << before.min(16))
        .min(longest)
        .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
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
    fn outages_are_looked_at_often() {
        let mut backoff = Backoff::default();
        for seconds in [1, 2, 2, 2] {
            let wait = backoff.failed(FailureKind::Unreachable, 0.0);
            assert_eq!(wait, Duration::from_secs(seconds));
        }
        // Each kind has a delay of its own.
        assert_eq!(backoff.failed(FailureKind::Transient, 0.0), FIRST_DELAY);
        backoff.succeeded();
        assert_eq!(backoff.failed(FailureKind::Unreachable, 0.0), FIRST_DELAY);
    }

    #[test]
    fn refused_key_waits_ten_minutes() {
        let mut backoff = Backoff::default();
        for kind in [FailureKind::HostKey, FailureKind::Refused] {
            for jitter in [0.0, 0.5, 0.99, 7.0] {
                let wait = backoff.failed(kind, jitter);
                assert!(wait >= Duration::from_secs(600) && wait <= Duration::from_secs(750));
            }
        }
    }

    #[test]
    fn local_failure_needs_no_delay() {
        let mut backoff = Backoff::default();
        for _ in 0..9 {
            assert_eq!(backoff.failed(FailureKind::Local, 0.5), Duration::ZERO);
        }
        assert_eq!(backoff.failures(), 9);
        // The node itself has not failed yet.
        assert_eq!(backoff.failed(FailureKind::Transient, 0.0), FIRST_DELAY);
    }

    #[test]
    fn first_retry_is_immediate() {
        let (mut penalties, now) = (Penalties::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(penalties.add(FailureKind::Refused, now), Duration::ZERO);
        assert_eq!(penalties.add(FailureKind::Refused, now), LOGIN_PENALTY);
        let later = now + second * 9;
        assert_eq!(penalties.add(FailureKind::Local, later), Duration::ZERO);
        assert_eq!(penalties.add(FailureKind::HostKey, later), Duration::ZERO);
    }

    #[test]
    fn loop_of_retries_is_never_blocked() {
        const BLOCKED_FROM: Duration = Duration::from_secs(15);
        for kinds in [
            &[FailureKind::Refused][..],
            &[FailureKind::HostKey],
            &[FailureKind::HostKey, FailureKind::Refused],
        ] {
            let (start, mut penalties) = (Instant::now(), Penalties::default());
            // As the node's sshd counts them.
            let (mut now, mut until) = (start, start);
            for kind in kinds.iter().cycle().take(1_000) {
                let penalty = if *kind == FailureKind::Refused { 5 } else { 1 };
                until = until.max(now) + Duration::from_secs(penalty);
                assert!(until - now < BLOCKED_FROM, "{kinds:?}");
                now += penalties.add(*kind, now);
            }
            assert!(now > start + Duration::from_secs(900), "{kinds:?}");
        }
    }
}
