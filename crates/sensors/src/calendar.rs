//! Conversion between dates of the Gregorian calendar and days since 1970-01-01, and timestamps.
//!
//! Years are counted from 1 March, so that the leap day comes last and one formula gives the
//! lengths of all months.

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;

const SECONDS_PER_DAY: u64 = 86_400;

/// The last second that RFC 3339 can express: its years have four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// The time so many seconds after 1970-01-01 as `2026-11-21T10:00:03Z`. A time after the year 9999
/// becomes the end of that year.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let seconds = seconds.min(LAST_SECOND);
    let (year, month, day) = date(seconds / SECONDS_PER_DAY);
    let second_of_day = seconds % SECONDS_PER_DAY;
    let (minute_of_day, second) = (second_of_day / 60, second_of_day % 60);
    let (hour, minute) = (minute_of_day / 60, minute_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The year, month and day of the month of a day since 1970-01-01.
#[must_use]
pub fn date(day: u64) -> (u64, u64, u64) {
    let days = day + DAYS_BEFORE_1970;
    let day_of_era = days % DAYS_PER_ERA;
    // One every 4 years, none every 100, one every 400.
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months of 31, 30, 31, 30 and 31 days repeat: 153 days in 5 months.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (
        // January and February belong to the year that started in March before.
        days / DAYS_PER_ERA * 400 + year_of_era + u64::from(month <= 2),
        month,
        day_of_month,
    )
}

/// The day since 1970-01-01 of a date; `None` if the date does not exist or is earlier.
#[must_use]
pub fn day(year: u64, month: u64, day_of_month: u64) -> Option<u64> {
    if year < 1970 || !exists(year, month, day_of_month) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let year_of_era = year % 400;
    let month_from_march = (month + 9) % 12;
    // The inverse of the formula in `date`.
    let day_of_year = (153 * month_from_march + 2) / 5 + day_of_month - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (year / 400 * DAYS_PER_ERA + day_of_era).checked_sub(DAYS_BEFORE_1970)
}

/// True if the date exists.
#[must_use]
pub fn exists(year: u64, month: u64, day_of_month: u64) -> bool {
    (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day_of_month)
}

fn month_length(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_agree() {
        let mut expected = (1970, 1, 1);
        for number in 0..2 * DAYS_PER_ERA {
            assert_eq!(date(number), expected);
            let (year, month, of_month) = expected;
            assert_eq!(day(year, month, of_month), Some(number));
            let length = month_length(year, month);
            expected = match (month, of_month) {
                (12, 31) => (year + 1, 1, 1),
                (_, last) if last == length => (year, month + 1, 1),
                (_, of_month) => (year, month, of_month + 1),
            };
        }
    }

    #[test]
    fn known_times_are_formatted() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_000_000_000), "2001-09-09T01:46:40Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
        for last in [LAST_SECOND, u64::MAX] {
            assert_eq!(rfc3339(last), "9999-12-31T23:59:59Z");
        }
    }

    #[test]
    fn impossible_dates_have_no_day() {
        for (year, month, of_month) in [
            (2026, 2, 29),
            (2100, 2, 29),
            (2026, 4, 31),
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 1, 0),
            (1969, 12, 31),
        ] {
            assert_eq!(day(year, month, of_month), None);
        }
        assert_eq!(day(2000, 2, 29), Some(11_016));
    }
}
