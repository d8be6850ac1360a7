//! `de`: the public holidays of all of Germany, by rule.
//!
//! Those that all sixteen states have: 1 January, Good Friday, Easter Monday, 1 May, Ascension, Whit Monday, 3 October
//! (Einigungsvertrag of 31 August 1990, article 2), 25 and 26 December; and 31 October 2017, once for 500 years of Reformation.
//! The Day of Repentance was one until 1994 (Pflege-Versicherungsgesetz of 26 May 1994, article 58: since then Saxony alone), so
//! that the calendar begins with 1995. Holidays of single states, such as Epiphany or Corpus Christi, are a project's own.
//! Source: laws on holidays of the states; Easter by the algorithm of Meeus, Jones and Butcher (J. Meeus, Astronomical
//! Algorithms, 1991, chapter 8).

use chrono::NaiveDate;

use super::definition::{Day, day_of};

/// The years of the calendar.
pub(super) const FIRST_YEAR: i32 = 1995;
pub(super) const LAST_YEAR: i32 = 2099;

/// Easter Sunday of a year of the Gregorian calendar.
fn easter(year: i32) -> Option<NaiveDate> {
    let golden = year % 19;
    let (century, year_of_century) = (year / 100, year % 100);
    let (leap_centuries, century_rest) = (century / 4, century % 4);
    let correction = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - leap_centuries - correction + 15) % 30;
    let (leaps, leap_rest) = (year_of_century / 4, year_of_century % 4);
    let to_sunday = (32 + 2 * century_rest + 2 * leaps - epact - leap_rest) % 7;
    let exception = (golden + 11 * epact + 22 * to_sunday) / 451;
    let sum = epact + to_sunday - 7 * exception + 114;
    NaiveDate::from_ymd_opt(year, u32::try_from(sum / 31).ok()?, u32::try_from(sum % 31 + 1).ok()?)
}

/// The holidays of all years.
pub(super) fn holidays() -> Vec<Day> {
    let mut days = vec![];
    for year in FIRST_YEAR..=LAST_YEAR {
        let fixed = [(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)];
        days.extend(fixed.iter().filter_map(|(month, day)| NaiveDate::from_ymd_opt(year, *month, *day)).map(day_of));
        if let Some(easter) = easter(year).map(day_of) {
            // Good Friday, Easter Monday, Ascension, Whit Monday
            days.extend([-2, 1, 39, 50].map(|offset| easter + offset));
        }
    }
    days.extend(NaiveDate::from_ymd_opt(2017, 10, 31).map(day_of));
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easter_is_that_of_published_tables() {
        // Physikalisch-Technische Bundesanstalt, "Das Datum des Osterfestes"; 2038 is the latest day that there is, 2008 an early
        // one, 1981 and 1954 are the exceptions of the rule of Gauss.
        let published =
            ["1954-04-18", "1981-04-19", "2008-03-23", "2024-03-31", "2025-04-20", "2026-04-05", "2038-04-25"];
        for text in published {
            let date: NaiveDate = text.parse().unwrap();
            assert_eq!(easter(chrono::Datelike::year(&date)), Some(date));
        }
    }
}
