//! Token buckets, kept as one instant each: the generic cell rate algorithm (ITU-T I.371)
//! in its virtual scheduling form.

use std::time::{Duration, Instant};

/// The rate at which a bucket gives tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time in which one token comes back.
    pub interval: Duration,
    /// The number of tokens in a full bucket; 0 counts as 1.
    pub burst: u32,
}

impl Rate {
    /// The rate of one of `parts` that share this one.
    #[must_use]
    pub fn part(self, parts: u32) -> Self {
        Self {
            interval: self.interval.saturating_mul(parts),
            burst: self.burst.div_ceil(parts.max(1)),
        }
    }
}

/// A bucket, full at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes a token, if there is one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let room = rate.interval.saturating_mul(rate.burst.saturating_sub(1));
        let has_one = self
            .full_at
            .is_none_or(|at| at.saturating_duration_since(now) <= room);
        if has_one {
            self.borrow(rate, now);
        }
        has_one
    }

    /// Takes a token that may only come later: until then there are none.
    pub fn borrow(&mut self, rate: Rate, now: Instant) {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(full_at + rate.interval);
    }

    /// Whether the bucket is full: then it has nothing to remember.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    /// The instant at which the bucket is full, unless it is as it was at first.
    #[must_use]
    pub fn full_at(&self) -> Option<Instant> {
        self.full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_tokens_are_paid_back() {
        let (mut bucket, start) = (TokenBucket::default(), Instant::now());
        let rate = Rate {
            interval: Duration::from_secs(1),
            burst: 2,
        };
        assert!(bucket.take(rate, start) && bucket.take(rate, start));
        assert!(!bucket.take(rate, start));
        bucket.borrow(rate, start);
        assert!(!bucket.take(rate, start + Duration::from_secs(1)));
        assert!(bucket.take(rate, start + Duration::from_secs(2)));
        assert!(bucket.is_full(start + Duration::from_secs(4)));
    }
}
