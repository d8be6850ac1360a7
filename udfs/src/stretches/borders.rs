//! Borders of half hours, hours, days, weeks and months on the clock of a time zone.
//!
//! Times are seconds since 1970-01-01T00:00:00, UTC or local. A border is where the local time reaches the next multiple of
//! the step. Where clocks are set back, both hours of the autumn night have borders of their own; where they are set forward,
//! a step that does not exist has none. A step of a day or more is from one local midnight to another, whatever its length.

use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

const DAY_S: i64 = 86_400;
/// Monday, 1969-12-29, in days since 1970-01-01.
const MONDAY: i64 = -3;

/// The distance of two borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Seconds that divide a day, counted from local midnight.
    Seconds(i64),
    /// Days, counted from 1970-01-01; multiples of 7 from a Monday.
    Days(i64),
    /// Months, counted from a January.
    Months(i64),
}

impl Step {
    /// The step of an interval; `None` for one that is not positive, mixes months with days or days with hours, or does not
    /// divide a day.
    pub(super) fn new(interval: IntervalMonthDayNano) -> Option<Self> {
        match (i64::from(interval.months), i64::from(interval.days), interval.nanoseconds) {
            (months @ 1.., 0, 0) => Some(Self::Months(months)),
            (0, days @ 1.., 0) => Some(Self::Days(days)),
            (0, 0, nanoseconds @ 1..) => {
                let seconds = nanoseconds / 1_000_000_000;
                let is_whole = nanoseconds % 1_000_000_000 == 0;
                (is_whole && DAY_S % seconds == 0).then_some(Self::Seconds(seconds))
            }
            _ => None,
        }
    }

    /// The local start of the step that holds a local time.
    fn start(self, local: i64) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => local.checked_sub(local.rem_euclid(seconds)),
            Self::Days(days) => {
                let origin = if days % 7 == 0 { MONDAY } else { 0 };
                let day = local.div_euclid(DAY_S) - origin;
                (day - day.rem_euclid(days) + origin).checked_mul(DAY_S)
            }
            Self::Months(months) => {
                let date = DateTime::from_timestamp(local, 0)?.date_naive();
                let month = i64::from(date.year()) * 12 + i64::from(date.month0());
                first_of(month - month.rem_euclid(months))
            }
        }
    }

    /// The local end of the step that starts at a local time.
    fn end(self, start: i64) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => start.checked_add(seconds),
            Self::Days(days) => start.checked_add(days.checked_mul(DAY_S)?),
            Self::Months(months) => {
                let date = DateTime::from_timestamp(start, 0)?.date_naive();
                first_of(i64::from(date.year()) * 12 + i64::from(date.month0()) + months)
            }
        }
    }
}

/// The midnight at which a month begins; months are counted from January of year 0.
fn first_of(month: i64) -> Option<i64> {
    let year = i32::try_from(month.div_euclid(12)).ok()?;
    let month = u32::try_from(month.rem_euclid(12)).ok()? + 1;
    Some(NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0)?.and_utc().timestamp())
}

/// The clock of a time zone.
#[derive(Debug)]
pub(super) struct Clock {
    /// `None` is UTC.
    zone: Option<Tz>,
    /// Seconds in UTC with one offset, and that offset.
    known: (Range<i64>, i64),
}

impl Clock {
    /// `None` for what is no time zone.
    pub(super) fn new(zone: Option<&str>) -> Option<Self> {
        let zone = zone.filter(|zone| !["UTC", "Z", "+00:00", "Etc/UTC"].contains(zone));
        let zone = zone.map(Tz::from_str).transpose().ok()?;
        Some(Self { zone, known: (0..0, 0) })
    }

    fn lookup(zone: Tz, utc: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp(utc, 0)?.naive_utc();
        Some(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into())
    }

    /// The seconds by which the clock is ahead of UTC; `None` beyond the calendar.
    fn offset(&mut self, utc: i64) -> Option<i64> {
        let Some(zone) = self.zone else { return Some(0) };
        if self.known.0.contains(&utc) {
            return Some(self.known.1);
        }
        // no zone changes its clock twice within a day
        let day = utc.div_euclid(DAY_S).checked_mul(DAY_S)?;
        let (start, end) = (Self::lookup(zone, day)?, Self::lookup(zone, day.checked_add(DAY_S)?)?);
        if start == end {
            self.known = (day..day + DAY_S, start);
            return Some(start);
        }
        Self::lookup(zone, utc)
    }

    /// The first second after `after` and up to `until` at which the clock is set.
    fn first_change(&mut self, after: i64, until: i64) -> Option<i64> {
        self.zone?;
        let offset = self.offset(after)?;
        let mut known = after;
        while known < until {
            let next = (known + DAY_S).min(until);
            if self.offset(next)? != offset {
                let (mut before, mut changed) = (known, next);
                while changed - before > 1 {
                    let middle = before + (changed - before) / 2;
                    if self.offset(middle)? == offset { before = middle } else { changed = middle }
                }
                return Some(changed);
            }
            known = next;
        }
        None
    }

    /// The first border after a second in UTC; `None` beyond the calendar.
    pub(super) fn border_after(&mut self, utc: i64, step: Step) -> Option<i64> {
        let mut at = utc;
        let start = step.start(utc.checked_add(self.offset(utc)?)?)?;
        let end = step.end(start)?;
        loop {
            let border = end.checked_sub(self.offset(at)?)?;
            let Some(change) = self.first_change(at, border) else { return Some(border) };
            let is_within = step.start(change.checked_add(self.offset(change)?)?)? == start;
            let is_short = matches!(step, Step::Seconds(_));
            if !is_within || (is_short && change == border) {
                return Some(change);
            }
            at = change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> i64 {
        text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp()
    }

    /// The borders from a time on, as UTC.
    fn borders(zone: &str, from: &str, step: Step, count: usize) -> Vec<String> {
        let mut clock = Clock::new(Some(zone)).unwrap();
        let mut at = utc(from);
        let mut next = || {
            at = clock.border_after(at, step).unwrap();
            DateTime::from_timestamp(at, 0).unwrap().format("%m-%d %H:%M").to_string()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn steps_of_intervals() {
        let step = |months, days, nanoseconds| Step::new(IntervalMonthDayNano::new(months, days, nanoseconds));
        assert_eq!(step(0, 0, 1_800_000_000_000), Some(Step::Seconds(1800)));
        assert_eq!(step(0, 7, 0), Some(Step::Days(7)));
        assert_eq!(step(3, 0, 0), Some(Step::Months(3)));
        for wrong in
            [step(0, 0, 0), step(1, 1, 0), step(0, 1, 1), step(-1, 0, 0), step(0, 0, 1), step(0, 0, 7_000_000_000)]
        {
            assert_eq!(wrong, None);
        }
    }

    #[test]
    fn borders_of_utc() {
        let hours = borders("UTC", "2025-03-01T09:10:00Z", Step::Seconds(1800), 2);
        assert_eq!(hours, ["03-01 09:30", "03-01 10:00"]);
        // 1 March 2025 is a Saturday; weeks begin on Mondays
        assert_eq!(borders("UTC", "2025-03-01T09:10:00Z", Step::Days(7), 2), ["03-03 00:00", "03-10 00:00"]);
        assert_eq!(borders("UTC", "2025-02-10T09:10:00Z", Step::Months(3), 2), ["04-01 00:00", "07-01 00:00"]);
        assert_eq!(borders("UTC", "1969-12-31T09:10:00Z", Step::Days(1), 1), ["01-01 00:00"]);
    }

    #[test]
    fn hours_of_the_autumn_night_stay_apart() {
        // Berlin, 26 October 2025: 03:00+02:00 (01:00 UTC) is 02:00+01:00
        let hours = borders("Europe/Berlin", "2025-10-25T23:30:00Z", Step::Seconds(3600), 4);
        assert_eq!(hours, ["10-26 00:00", "10-26 01:00", "10-26 02:00", "10-26 03:00"]);
        // six hours from local midnight are seven
        assert_eq!(
            borders("Europe/Berlin", "2025-10-25T22:00:00Z", Step::Seconds(21_600), 2),
            ["10-26 05:00", "10-26 11:00"]
        );
    }

    #[test]
    fn days_have_the_hours_that_they_have() {
        // 30 March 2025 has 23 hours in Berlin, 26 October has 25
        assert_eq!(borders("Europe/Berlin", "2025-03-29T23:00:00Z", Step::Days(1), 1), ["03-30 22:00"]);
        assert_eq!(borders("Europe/Berlin", "2025-10-25T22:00:00Z", Step::Days(1), 1), ["10-26 23:00"]);
        // the hour from 02:00 to 03:00 does not exist on 30 March
        assert_eq!(
            borders("Europe/Berlin", "2025-03-30T00:00:00Z", Step::Seconds(3600), 2),
            ["03-30 01:00", "03-30 02:00"]
        );
        // clocks that are set back at midnight do not end the day twice: Sao Paulo, 18 February 2018, 02:00 UTC
        assert_eq!(borders("America/Sao_Paulo", "2018-02-17T12:00:00Z", Step::Days(1), 1), ["02-18 03:00"]);
        assert_eq!(borders("Asia/Kathmandu", "2025-03-01T00:00:00Z", Step::Seconds(3600), 1), ["03-01 00:15"]);
    }

    #[test]
    fn what_is_no_zone_and_what_is_beyond_the_calendar() {
        assert!(Clock::new(Some("Europe/Nowhere")).is_none());
        let mut clock = Clock::new(Some("Europe/Berlin")).unwrap();
        assert_eq!(clock.border_after(i64::MAX - 5, Step::Days(1)), None);
        let mut clock = Clock::new(None).unwrap();
        assert_eq!(clock.border_after(i64::MAX - 5, Step::Days(1)), None);
    }
}
