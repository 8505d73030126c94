//! Growth of the audit log, and the time until its disk is full.
//!
//! The rate is that of the last day: over an hour, a busy hour would cause an alarm and a
//! quiet night would hide one. A log that existed before the daemon started gives the first
//! measurement: the age and the size of its live file.

use crate::audit_log::retention::Limits;
use std::collections::VecDeque;
use std::time::Duration;

/// The time over which the rate is measured, once so much has passed.
const WINDOW: Duration = Duration::from_secs(86_400);
/// The shortest time that gives a rate.
const MIN_WINDOW: Duration = Duration::from_secs(3600);
/// The time between two measurements that are kept.
const STEP: Duration = Duration::from_secs(3600);
const SECONDS_PER_DAY: u128 = 86_400;

/// The size of a log over time.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The log when the daemon started.
    initial: Measurement,
    /// Measurements an hour apart, the oldest first.
    kept: VecDeque<Measurement>,
    last: Measurement,
}

/// The bytes written to a log by an age of it.
#[derive(Clone, Copy, Debug, Default)]
struct Measurement {
    age: Duration,
    bytes: u64,
}

/// The bytes that a log grows by in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BytesPerDay(pub u64);

impl Growth {
    /// A log whose live file has this age and size.
    #[must_use]
    pub fn new(age: Duration, bytes: u64) -> Self {
        let initial = Measurement { age, bytes };
        // The log had no bytes at age 0, so its first rate is that since then.
        Self {
            initial,
            kept: VecDeque::from([Measurement::default()]),
            last: initial,
        }
    }

    /// Records a measurement: the time and the bytes written since [`Growth::new`].
    pub fn record(&mut self, elapsed: Duration, written: u64) {
        self.last = Measurement {
            age: self.initial.age.saturating_add(elapsed),
            bytes: self.initial.bytes.saturating_add(written),
        };
        let age_since = |kept: &Measurement| self.last.age.saturating_sub(kept.age);
        if self.kept.back().is_none_or(|kept| age_since(kept) >= STEP) {
            self.kept.push_back(self.last);
        }
        // One measurement before the window stays, so that the rate is that of the whole.
        while self
            .kept
            .get(1)
            .is_some_and(|next| age_since(next) >= WINDOW)
        {
            self.kept.pop_front();
        }
    }

    /// The rate of the last day, or of the log's whole age if that is less. `None` for a log
    /// younger than an hour.
    #[must_use]
    pub fn rate(&self) -> Option<BytesPerDay> {
        let start = self.kept.front()?;
        let time = self.last.age.saturating_sub(start.age);
        if time < MIN_WINDOW {
            return None;
        }
        let bytes = u128::from(self.last.bytes.saturating_sub(start.bytes));
        // In 128 bits, which the bytes times the milliseconds of a day do not overflow.
        let rate = (bytes * SECONDS_PER_DAY * 1000).checked_div(time.as_millis())?;
        Some(BytesPerDay(u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

/// The time until a disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeLeft {
    /// The rate or the free space is unknown.
    #[default]
    Unknown,
    /// It does not fill: the log does not grow, or retention limits it.
    Never,
    /// This long, at the current rate.
    For(Duration),
}

/// The time until a log of `held` bytes fills a disk with `free` bytes, at `rate`.
///
/// `limits` are those in effect: none while something holds the oldest segment. A log that
/// is kept for a number of days grows to what it writes in that time, and no further.
#[must_use]
pub fn time_left(
    free: Option<u64>,
    held: u64,
    rate: Option<BytesPerDay>,
    limits: &Limits,
) -> TimeLeft {
    let (Some(free), Some(BytesPerDay(rate))) = (free, rate) else {
        return TimeLeft::Unknown;
    };
    if rate == 0 {
        return TimeLeft::Never;
    }
    let of_age = limits.age.map(|age| {
        u64::try_from(u128::from(rate) * u128::from(age.as_secs()) / SECONDS_PER_DAY)
            .unwrap_or(u64::MAX)
    });
    // Both limits apply, so the log grows to the lower one.
    let most = of_age.into_iter().chain(limits.bytes).min();
    // The bytes that are still to come before the limit fit on the disk.
    if most.is_some_and(|most| most.saturating_sub(held) < free) {
        return TimeLeft::Never;
    }
    let seconds = u128::from(free) * SECONDS_PER_DAY / u128::from(rate);
    TimeLeft::For(Duration::from_secs(
        u64::try_from(seconds).unwrap_or(u64::MAX),
    ))
}

/// The daily warning about a log without retention; `None` unless its disk will be full.
#[must_use]
pub fn warning(
    directory: &str,
    held: u64,
    rate: Option<BytesPerDay>,
    left: TimeLeft,
) -> Option<String> {
    let (Some(BytesPerDay(rate)), TimeLeft::For(left)) = (rate, left) else {
        return None;
    };
    let days = match u128::from(left.as_secs()) / SECONDS_PER_DAY {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    Some(format!(
        "the audit log in {directory} has {} and grows by {} a day: its disk is full in {days}; \
         set [audit] retain_days or retain_bytes to have old segments removed",
        readable(held),
        readable(rate)
    ))
}

/// A number of bytes for people: three digits and a decimal unit.
#[must_use]
pub fn readable(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (below, unit) = std::iter::successors(Some(1000_u64), |step| step.checked_mul(1000))
        .zip(UNITS)
        .take_while(|(step, _)| bytes >= *step)
        .last()
        .unwrap_or((1000, "kB"));
    let whole = bytes / below;
    // Cut, not rounded: 999,999 bytes are 999 kB, and no value shows as 1000 of its unit.
    let tenths = bytes / (below / 10) % 10;
    if whole < 100 {
        format!("{whole}.{tenths} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const GIB: u64 = 1 << 30;

    fn hours(count: u32) -> Duration {
        HOUR * count
    }

    #[test]
    fn new_log_has_no_rate() {
        let mut growth = Growth::new(Duration::ZERO, 0);
        assert_eq!(growth.rate(), None);
        growth.record(Duration::from_secs(3599), 5000);
        assert_eq!(growth.rate(), None);
        growth.record(HOUR, 5000);
        assert_eq!(growth.rate(), Some(BytesPerDay(5000 * 24)));
    }

    #[test]
    fn existing_log_has_a_rate() {
        let mut growth = Growth::new(hours(240), 10_000_000);
        assert_eq!(growth.rate(), Some(BytesPerDay(1_000_000)));
        growth.record(Duration::ZERO, 0);
        assert_eq!(growth.rate(), Some(BytesPerDay(1_000_000)));
    }

    #[test]
    fn rate_is_that_of_the_last_day() {
        let mut growth = Growth::new(Duration::ZERO, 0);
        let mut written = 0;
        for hour in 1..=1000 {
            // A hundred quiet hours, then busy ones.
            written += if hour <= 100 { 10 } else { 1000 };
            growth.record(hours(hour), written);
            assert!(growth.kept.len() <= 26, "{}", growth.kept.len());
        }
        assert_eq!(growth.rate(), Some(BytesPerDay(24_000)));
        let mut growth = Growth::new(Duration::ZERO, 0);
        for second in 1..=200_000u32 {
            growth.record(Duration::from_secs(second.into()), u64::from(second));
        }
        assert!(growth.kept.len() <= 26);
        assert_eq!(growth.rate(), Some(BytesPerDay(86_400)));
    }

    #[test]
    fn time_left_is_space_over_rate() {
        let none = Limits::default();
        let left = |free, rate| time_left(Some(free), 0, Some(BytesPerDay(rate)), &none);
        assert_eq!(left(10 * GIB, GIB), TimeLeft::For(hours(240)));
        assert_eq!(left(0, GIB), TimeLeft::For(Duration::ZERO));
        assert_eq!(left(10 * GIB, 0), TimeLeft::Never);
        assert_eq!(
            left(u64::MAX, 1),
            TimeLeft::For(Duration::from_secs(u64::MAX))
        );
        assert_eq!(
            time_left(None, 0, Some(BytesPerDay(1)), &none),
            TimeLeft::Unknown
        );
        assert_eq!(time_left(Some(1), 0, None, &none), TimeLeft::Unknown);
    }

    #[test]
    fn lower_limit_ends_the_growth() {
        let limits = |days: Option<u32>, bytes| Limits {
            age: days.map(|days| hours(24) * days),
            bytes,
            unacknowledged: false,
        };
        let left =
            |held, limits: Limits| time_left(Some(10 * GIB), held, Some(BytesPerDay(GIB)), &limits);
        // Ten days until the disk is full.
        assert_eq!(left(0, limits(Some(9), None)), TimeLeft::Never);
        assert_eq!(left(0, limits(Some(11), None)), TimeLeft::For(hours(240)));
        assert_eq!(left(5 * GIB, limits(Some(14), None)), TimeLeft::Never);
        assert_eq!(left(0, limits(None, Some(9 * GIB))), TimeLeft::Never);
        assert_eq!(
            left(0, limits(None, Some(11 * GIB))),
            TimeLeft::For(hours(240))
        );
        assert_eq!(left(0, limits(Some(99), Some(9 * GIB))), TimeLeft::Never);
        // The log already exceeds its limit.
        assert_eq!(left(20 * GIB, limits(None, Some(9 * GIB))), TimeLeft::Never);
    }

    #[test]
    fn warning_names_size_days_and_keys() {
        let warning = |left| {
            warning(
                "/var/log/x",
                31_234_567_890,
                Some(BytesPerDay(85_400_000)),
                left,
            )
        };
        let days = |days: u32| warning(TimeLeft::For(hours(24) * days)).unwrap();
        assert_eq!(
            days(412),
            "the audit log in /var/log/x has 31.2 GB and grows by 85.4 MB a day: its disk is full \
             in 412 days; set [audit] retain_days or retain_bytes to have old segments removed"
        );
        assert!(days(1).contains("in 1 day;"));
        assert!(days(0).contains("in less than a day;"));
        assert_eq!(warning(TimeLeft::Never), None);
        assert_eq!(warning(TimeLeft::Unknown), None);
    }

    #[test]
    fn bytes_are_readable() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (99_999, "99.9 kB"),
            (100_000, "100 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(readable(bytes), text);
        }
    }
}
