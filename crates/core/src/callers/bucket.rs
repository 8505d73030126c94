//! Token buckets, kept as one instant each: the generic cell rate algorithm (ITU-T I.371)
//! in its virtual scheduling form.

use std::time::{Duration, Instant};

/// The rate of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time after which one token comes back.
    pub interval: Duration,
    /// The tokens of a full bucket; 0 counts as 1.
    pub burst: u32,
}

impl Rate {
    /// The rate of one of `shares` equal shares.
    #[must_use]
    pub(crate) fn split(self, shares: u32) -> Self {
        Self {
            interval: self.interval.saturating_mul(shares),
            burst: self.burst.div_ceil(shares.max(1)),
        }
    }
}

/// A token bucket, full at first.
///
/// Its state is one instant: unlike a counter of tokens it needs no refill and rounds no
/// fractions of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes a token; `false` when there is none.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        // One token is left exactly when the others come back within this time.
        let others = rate.interval.saturating_mul(rate.burst.saturating_sub(1));
        let is_left = self
            .full_at
            .is_none_or(|at| at.saturating_duration_since(now) <= others);
        if is_left {
            self.borrow(rate, now);
        }
        is_left
    }

    /// Takes a token that may not be there yet: [`TokenBucket::take`] gives none until it
    /// has come back.
    pub fn borrow(&mut self, rate: Rate, now: Instant) {
        // A full bucket counts from now: time without requests adds no token to it.
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + rate.interval);
    }

    /// The time until [`TokenBucket::take`] gives a token.
    #[must_use]
    pub(crate) fn next_token_in(&self, rate: Rate, now: Instant) -> Duration {
        let others = rate.interval.saturating_mul(rate.burst.saturating_sub(1));
        let full_in = self
            .full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        full_in.saturating_sub(others)
    }

    /// True for a full bucket, which is the same as a new one.
    #[must_use]
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    /// The instant at which the bucket is or was full again; `None` for an unused one.
    #[must_use]
    pub(crate) fn full_at(&self) -> Option<Instant> {
        self.full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_token_is_paid_back() {
        let (mut bucket, start) = (TokenBucket::default(), Instant::now());
        let rate = Rate {
            interval: Duration::from_secs(1),
            burst: 2,
        };
        assert!(bucket.take(rate, start) && bucket.take(rate, start));
        assert!(!bucket.take(rate, start));
        assert_eq!(bucket.next_token_in(rate, start), rate.interval);
        bucket.borrow(rate, start);
        assert!(!bucket.take(rate, start + Duration::from_secs(1)));
        assert_eq!(bucket.next_token_in(rate, start), rate.interval * 2);
        assert!(bucket.take(rate, start + Duration::from_secs(2)));
        assert!(bucket.is_full(start + Duration::from_secs(4)));
    }
}
