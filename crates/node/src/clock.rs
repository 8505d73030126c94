//! RFC 3339 timestamps in UTC.

use pulse_sensors::calendar;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time as `2026-11-21T10:00:03Z`. A time before 1970 becomes the beginning of 1970.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    calendar::rfc3339(time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_before_1970_is_its_beginning() {
        let beginning = "1970-01-01T00:00:00Z";
        assert_eq!(rfc3339(UNIX_EPOCH), beginning);
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), beginning);
    }
}
