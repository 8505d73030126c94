//! Growth of the audit log, and the time until its disk is full.
//!
//! The rate is measured over the last day, so that a busy hour does not make an alarm
//! and a quiet night does not hide one. A log that was there before the daemon gives
//! the first measurement: the age and the size of its live file.

use crate::retention::Limits;
use std::collections::VecDeque;
use std::time::Duration;

/// The rate is measured over so much time, once there is so much.
const WINDOW: Duration = Duration::from_secs(86_400);
/// Over less time than this no rate is told.
const SHORTEST: Duration = Duration::from_secs(3600);
/// The time between two measurements that are kept.
const STEP: Duration = Duration::from_secs(3600);
const DAY: u128 = 86_400;

/// Measurements of what was written, an hour apart.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Age and bytes of what was there in the beginning.
    before: (Duration, u64),
    /// When, and the bytes written by then; the oldest first.
    measured: VecDeque<(Duration, u64)>,
    last: (Duration, u64),
}

/// The bytes that a log grows by in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

impl Growth {
    /// Begins with a file of this age and size.
    #[must_use]
    pub fn of(age: Duration, bytes: u64) -> Self {
        Self {
            before: (age, bytes),
            measured: VecDeque::from([(Duration::ZERO, 0)]),
            last: (age, bytes),
        }
    }

    /// Takes a measurement: `elapsed` since the beginning, `written` bytes since then.
    pub fn note(&mut self, elapsed: Duration, written: u64) {
        let (age, bytes) = self.before;
        self.last = (age.saturating_add(elapsed), bytes.saturating_add(written));
        let newest = self.measured.back().map_or(Duration::ZERO, |(at, _)| *at);
        if self.last.0.saturating_sub(newest) >= STEP {
            self.measured.push_back(self.last);
        }
        // One that is older than the window stays, to measure the whole of it.
        while let Some((next, _)) = self.measured.get(1)
            && self.last.0.saturating_sub(*next) >= WINDOW
        {
            self.measured.pop_front();
        }
    }

    /// The rate of the last day, or since the beginning if that is shorter; none when
    /// even that is too short a time.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let (from, before) = self.measured.front().copied()?;
        let time = self.last.0.saturating_sub(from);
        let bytes = u128::from(self.last.1.saturating_sub(before));
        let a_day = (bytes * DAY * 1000).checked_div(time.as_millis())?;
        (time >= SHORTEST).then(|| Rate(u64::try_from(a_day).unwrap_or(u64::MAX)))
    }
}

/// The time until a disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeLeft {
    /// The rate is not known yet, or the free space is not.
    #[default]
    Unknown,
    /// At this rate it never is: nothing grows, or retention comes first.
    Never,
    /// So long, at this rate.
    For(Duration),
}

/// The time until a log of `held` bytes fills a disk with `free` bytes, at `rate`.
///
/// `limits` are those that can be kept: none while something holds the oldest segment.
/// A log that is kept for days grows to what it writes in so many, and no further.
#[must_use]
pub fn time_left(free: Option<u64>, held: u64, rate: Option<Rate>, limits: &Limits) -> TimeLeft {
    let (Some(free), Some(Rate(rate))) = (free, rate) else {
        return TimeLeft::Unknown;
    };
    if rate == 0 {
        return TimeLeft::Never;
    }
    let in_days = limits.age.map(|age| {
        let bytes = u128::from(rate) * u128::from(age.as_secs()) / DAY;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    });
    let most = in_days.into_iter().chain(limits.bytes).min();
    if most.is_some_and(|most| most.saturating_sub(held) < free) {
        return TimeLeft::Never;
    }
    let seconds = u128::from(free) * DAY / u128::from(rate);
    TimeLeft::For(Duration::from_secs(
        u64::try_from(seconds).unwrap_or(u64::MAX),
    ))
}

/// The daily warning about a log without retention; none while nothing is known, or the
/// disk never gets full.
#[must_use]
pub fn warning(directory: &str, held: u64, rate: Option<Rate>, left: TimeLeft) -> Option<String> {
    let (Some(Rate(rate)), TimeLeft::For(left)) = (rate, left) else {
        return None;
    };
    let days = match u128::from(left.as_secs()) / DAY {
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

/// A number of bytes for people: three digits, in steps of a thousand.
#[must_use]
pub fn readable(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let steps = std::iter::successors(Some(1000_u64), |step| step.checked_mul(1000));
    let (below, unit) = steps
        .zip(UNITS)
        .take_while(|(step, _)| bytes >= *step)
        .last()
        .unwrap_or((1000, "kB"));
    let whole = bytes / below;
    let tenths = bytes / (below / 10) % 10;
    match whole {
        0..100 => format!("{whole}.{tenths} {unit}"),
        _ => format!("{whole} {unit}"),
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
    fn a_new_log_has_no_rate_for_an_hour() {
        let mut growth = Growth::of(Duration::ZERO, 0);
        assert_eq!(growth.rate(), None);
        growth.note(Duration::from_secs(3599), 5000);
        assert_eq!(growth.rate(), None);
        growth.note(HOUR, 5000);
        assert_eq!(growth.rate(), Some(Rate(5000 * 24)));
    }

    #[test]
    fn a_log_that_was_there_has_a_rate_at_once() {
        let mut growth = Growth::of(hours(240), 10_000_000);
        assert_eq!(growth.rate(), Some(Rate(1_000_000)));
        growth.note(Duration::ZERO, 0);
        assert_eq!(growth.rate(), Some(Rate(1_000_000)));
    }

    #[test]
    fn the_last_day_counts_and_what_was_before_is_forgotten() {
        let mut growth = Growth::of(Duration::ZERO, 0);
        let mut written = 0;
        for hour in 1..=1000 {
            // A hundred quiet hours, then busy ones.
            written += if hour <= 100 { 10 } else { 1000 };
            growth.note(hours(hour), written);
            assert!(growth.measured.len() <= 26, "{}", growth.measured.len());
        }
        assert_eq!(growth.rate(), Some(Rate(24_000)));
        let mut growth = Growth::of(Duration::ZERO, 0);
        for second in 1..=200_000u32 {
            growth.note(Duration::from_secs(second.into()), u64::from(second));
        }
        assert!(growth.measured.len() <= 26);
        assert_eq!(growth.rate(), Some(Rate(86_400)));
    }

    #[test]
    fn the_time_left_is_the_free_space_over_the_rate() {
        let none = Limits::default();
        let left = |free, rate| time_left(Some(free), 0, Some(Rate(rate)), &none);
        assert_eq!(left(10 * GIB, GIB), TimeLeft::For(hours(240)));
        assert_eq!(left(0, GIB), TimeLeft::For(Duration::ZERO));
        assert_eq!(left(10 * GIB, 0), TimeLeft::Never);
        assert_eq!(
            left(u64::MAX, 1),
            TimeLeft::For(Duration::from_secs(u64::MAX))
        );
        assert_eq!(time_left(None, 0, Some(Rate(1)), &none), TimeLeft::Unknown);
        assert_eq!(time_left(Some(1), 0, None, &none), TimeLeft::Unknown);
    }

    #[test]
    fn a_limit_that_comes_before_the_end_of_the_disk_ends_the_growth() {
        let limits = |days: Option<u32>, bytes| Limits {
            age: days.map(|days| hours(24) * days),
            bytes,
            unacknowledged: false,
        };
        let left = |held, limits: Limits| time_left(Some(10 * GIB), held, Some(Rate(GIB)), &limits);
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
        // It has more already than it may.
        assert_eq!(left(20 * GIB, limits(None, Some(9 * GIB))), TimeLeft::Never);
    }
    #[test]
    fn the_warning_names_directory_bytes_days_and_both_keys() {
        let warning = |left| warning("/var/log/x", 31_234_567_890, Some(Rate(85_400_000)), left);
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
