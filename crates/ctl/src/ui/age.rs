//! Durations, in the unit that fits.

use std::time::Duration;

/// A duration with one decimal below ten seconds.
pub(crate) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..10 => format!("{:.1} s", age.as_secs_f64()),
        _ => ago_whole(age),
    }
}

/// A duration in whole units.
pub(crate) fn ago_whole(age: Duration) -> String {
    match age.as_secs() {
        // A unit begins at two of it: "1 min" would stand for anything up to 119 s.
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits() {
        let ago = |ms| ago(Duration::from_millis(ms));
        assert_eq!(ago(0), "0.0 s");
        assert_eq!(ago(9_940), "9.9 s");
        assert_eq!(ago(10_000), "10 s");
        assert_eq!(ago(125_000), "2 min");
        assert_eq!(ago(7_200_000), "2 h");
        assert_eq!(ago_whole(Duration::from_millis(9_940)), "9 s");
    }
}
