//! How long certificates are still good.

use crate::line::{Line, Tone};
use std::time::{SystemTime, UNIX_EPOCH};

/// With fewer days left, it is time to renew.
const SOON: i64 = 30;
const DAY: i64 = 86_400;

/// In seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Whole days until a time, negative when it has passed.
pub(super) fn days(end: i64, now: i64) -> i64 {
    end.saturating_sub(now).div_euclid(DAY)
}

/// Whether a time is known to have passed.
pub(super) fn is_over(end: Option<i64>, now: i64) -> bool {
    end.is_some_and(|end| end < now)
}

/// Ours and the authority's, side by side.
pub(super) fn both(own: Option<i64>, authority: Option<i64>, now: i64) -> Line {
    one("ours", own, now)
        .and(Tone::Plain, ", ")
        .append(one("the authority's", authority, now))
}

fn one(whose: &str, end: Option<i64>, now: i64) -> Line {
    let (tone, text) = match end.map(|end| days(end, now)) {
        None => (Tone::Faint, "unknown".to_owned()),
        Some(..0) => (Tone::Bad, "is OVER: renew it".to_owned()),
        Some(0) => (Tone::Bad, "ends today: renew it".to_owned()),
        Some(1) => (Tone::Warm, "ends in 1 day: renew it".to_owned()),
        Some(left @ ..SOON) => (Tone::Warm, format!("ends in {left} days: renew it")),
        Some(left) => (Tone::Good, format!("good for {left} days")),
    };
    Line::plain(format!("{whose} ")).and(tone, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(end: Option<i64>) -> String {
        one("ours", end, 100 * DAY).render(false)
    }

    #[test]
    fn an_end_is_told_before_it_comes() {
        assert_eq!(told(Some(130 * DAY)), "ours good for 30 days");
        assert_eq!(told(Some(130 * DAY - 1)), "ours ends in 29 days: renew it");
        assert_eq!(told(Some(101 * DAY)), "ours ends in 1 day: renew it");
        assert_eq!(told(Some(100 * DAY)), "ours ends today: renew it");
        assert_eq!(told(Some(100 * DAY - 1)), "ours is OVER: renew it");
        assert_eq!(told(None), "ours unknown");
        assert!(is_over(Some(-1), 0) && !is_over(Some(0), 0) && !is_over(None, 0));
    }
}
