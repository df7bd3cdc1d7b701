//! A moment as people write it, without a calendar of anybody's: seconds since 1970 to a date of the Gregorian one.

use std::fmt;

/// Seconds since 1970-01-01 00:00:00 UTC, without leap seconds (`time_t`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Utc(pub(super) u64);

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// Days of 400 years, after which the calendar is the same again.
const DAYS_AN_ERA: u64 = 146_097;
const DAYS_A_CENTURY: u64 = 36_524;
const DAYS_OF_4_YEARS: u64 = 1_461;
const DAYS_A_YEAR: u64 = 365;

/// From the first of March of the year 0, where eras are counted from, to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Days before each month of a year that begins in March: what a leap year has more is at its end.
const DAYS_BEFORE_MONTH: [u64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

/// Year, month and day of so many days after 1970-01-01.
fn date_of(days: u64) -> (u64, usize, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, days) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    // The last century of an era, and the last year of four, have a day more than the others.
    let century = (days / DAYS_A_CENTURY).min(3);
    let days = days - century * DAYS_A_CENTURY;
    let (fours, days) = (days / DAYS_OF_4_YEARS, days % DAYS_OF_4_YEARS);
    let year = (days / DAYS_A_YEAR).min(3);
    let day = days - year * DAYS_A_YEAR;
    let march = 400 * era + 100 * century + 4 * fours + year;
    let month = DAYS_BEFORE_MONTH.partition_point(|before| *before <= day) - 1;
    let day = day - DAYS_BEFORE_MONTH[month] + 1;
    // January and February are the last two of it.
    match month < 10 {
        true => (march, month + 3, day),
        false => (march + 1, month - 9, day),
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / SECONDS_A_DAY);
        let second = self.0 % SECONDS_A_DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_said_as_date_1_says_them() {
        for (seconds, said) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (68_169_599, "1972-02-28 23:59:59 UTC"),
            (68_169_600, "1972-02-29 00:00:00 UTC"),
            (68_256_000, "1972-03-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (978_220_800, "2000-12-31 00:00:00 UTC"),
            (1_767_441_600, "2026-01-03 12:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            // What X.509 calls no end at all (RFC 5280 §4.1.2.5).
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Utc(seconds).to_string(), said);
        }
        assert!(!Utc(u64::MAX).to_string().is_empty());
    }

    #[test]
    fn each_day_of_800_years_is_the_one_behind_the_one_before() {
        let mut expected = (1970, 1, 1);
        for day in 0..2 * DAYS_AN_ERA {
            assert_eq!(date_of(day), expected);
            let (year, month, day) = expected;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day == last, month == 12) {
                (false, _) => (year, month, day + 1),
                (true, false) => (year, month + 1, 1),
                (true, true) => (year + 1, 1, 1),
            };
        }
    }
}
