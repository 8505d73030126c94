//! The days until certificates expire.

use crate::ui::line::{Line, Tone};
use std::time::{SystemTime, UNIX_EPOCH};

/// Certificates are to be renewed when they have fewer days left.
const SOON: i64 = 30;
const DAY: i64 = 86_400;

/// The time, in seconds since 1970.
pub(in crate::commands) fn now() -> i64 {
    // A clock before 1970 is not set: nothing has expired then.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Whole days until a time, negative when it has passed.
fn days(end: i64, now: i64) -> i64 {
    // Rounded down, below zero too: a second after the end is day -1.
    end.saturating_sub(now).div_euclid(DAY)
}

/// True when a certificate expires before [`SOON`]; unknown is no.
pub(super) fn is_soon(end: Option<i64>, now: i64) -> bool {
    end.is_some_and(|end| days(end, now) < SOON)
}

/// True when a certificate has expired; unknown is no.
pub(super) fn has_expired(end: Option<i64>, now: i64) -> bool {
    end.is_some_and(|end| end < now)
}

/// Our certificate and the authority's.
pub(super) fn both(own: Option<i64>, authority: Option<i64>, now: i64) -> Line {
    one("ours", own, now)
        .and(Tone::Plain, ", ")
        .append(one("the authority's", authority, now))
}

fn one(whose: &str, end: Option<i64>, now: i64) -> Line {
    let (tone, text) = match end.map(|end| days(end, now)) {
        None => (Tone::Faint, "unknown".to_owned()),
        Some(..0) => (Tone::Bad, "has EXPIRED: renew it".to_owned()),
        Some(0) => (Tone::Bad, "expires today: renew it".to_owned()),
        Some(1) => (Tone::Warm, "expires in 1 day: renew it".to_owned()),
        Some(left @ ..SOON) => (Tone::Warm, format!("expires in {left} days: renew it")),
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
    fn certificates_expire_in_days() {
        assert_eq!(told(Some(130 * DAY)), "ours good for 30 days");
        assert_eq!(
            told(Some(130 * DAY - 1)),
            "ours expires in 29 days: renew it"
        );
        assert_eq!(told(Some(101 * DAY)), "ours expires in 1 day: renew it");
        assert_eq!(told(Some(100 * DAY)), "ours expires today: renew it");
        assert_eq!(told(Some(100 * DAY - 1)), "ours has EXPIRED: renew it");
        assert_eq!(told(None), "ours unknown");
        assert!(is_soon(Some(29 * DAY), 0) && !is_soon(Some(30 * DAY), 0) && !is_soon(None, 0));
        assert!(has_expired(Some(-1), 0) && !has_expired(Some(0), 0) && !has_expired(None, 0));
    }
}
