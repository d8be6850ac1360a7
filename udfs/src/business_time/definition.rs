//! What a calendar is made from, as a project writes it: hours, ranges of dates, days of the week.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, Weekday};

/// Days since 1 January 1970.
pub(super) type Day = i32;

pub(super) const DAY_S: i64 = 86_400;

/// The days that a calendar can cover: seconds from the first to the last fit into 32 bits, and the rules of time zones are
/// known.
pub(super) const FIRST_DATE: NaiveDate = date(1970, 1, 1);
pub(super) const LAST_DATE: NaiveDate = date(2099, 12, 31);

/// A date of a constant; one that does not exist is the first that chrono knows.
pub(super) const fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(date) => date,
        None => NaiveDate::MIN,
    }
}

pub(super) fn day_of(date: NaiveDate) -> Day {
    // days are counted from 1 January of the year 1
    date.num_days_from_ce() - 719_163
}

/// Monday is 0.
pub(super) fn weekday_of(day: Day) -> usize {
    // 1 January 1970 was a Thursday
    usize::try_from((i64::from(day) + 3).rem_euclid(7)).unwrap_or(0)
}

/// A calendar as a project defines it. What is not given is that of the calendar that it extends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CalendarDefinition {
    /// The calendar whose time zone, hours, days and years this one has where it does not say otherwise.
    pub extends: Option<String>,
    /// A name of the IANA database such as `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// The hours of each day of the week. They replace those of the extended calendar and its changes.
    pub hours: Option<WeeklyHours>,
    /// The hours of make-up working days; without, those of Monday, or of the first day of the week that has hours.
    pub working_day_hours: Option<DayHours>,
    /// Other hours from a date on.
    pub changes: Vec<HoursChange>,
    /// Days without hours.
    pub holidays: Vec<DateRange>,
    /// Days with the hours of a working day although their day of the week has none, or although they are a holiday.
    pub working_days: Vec<DateRange>,
    /// Days with hours of their own. They go before holidays and working days.
    pub special_days: BTreeMap<NaiveDate, DayHours>,
    /// The days that the calendar knows; without it 1970 to 2099, or those of the extended calendar.
    pub covers: Option<DateRange>,
}

/// Hours that are valid from a date on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HoursChange {
    /// The first day.
    pub from: NaiveDate,
    /// The hours from then on.
    pub hours: WeeklyHours,
}

/// The hours of each day of the week.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WeeklyHours([Option<DayHours>; 7]);

impl WeeklyHours {
    /// Sets the hours of the days that `days` names: `mon`, `monday` or a range such as `mon-fri`.
    ///
    /// # Errors
    /// What is wrong with the days.
    pub fn set(&mut self, days: &str, hours: DayHours) -> Result<(), String> {
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let weekday = |name: &str| {
            name.trim().parse::<Weekday>().ok().and_then(|day| usize::try_from(day.num_days_from_monday()).ok())
        };
        let (Some(first), Some(last)) = (weekday(first), weekday(last)) else {
            return Err(format!("a day of the week (mon, monday) or a range (mon-fri) is wanted, got `{days}`"));
        };
        let length = (last + 7 - first) % 7 + 1;
        for index in (0..length).map(|offset| (first + offset) % 7) {
            let Some(slot) = self.0.get_mut(index) else { continue };
            if slot.is_some() {
                return Err(format!("`{days}` sets the hours of a day of the week for the second time"));
            }
            *slot = Some(hours.clone());
        }
        Ok(())
    }

    /// The hours of a day of the week, Monday being 0.
    pub(super) fn of_weekday(&self, weekday: usize) -> &[Span] {
        self.0.get(weekday).and_then(Option::as_ref).map_or(&[], |hours| hours.spans())
    }

    /// The hours of the first day of the week that has any.
    pub(super) fn of_working_day(&self) -> &[Span] {
        (0..7).map(|weekday| self.of_weekday(weekday)).find(|spans| !spans.is_empty()).unwrap_or(&[])
    }
}

/// Seconds of a day, counted by its clock from midnight; the end may be on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The hours of one day: spans in ascending order, none for a closed day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DayHours(Vec<Span>);

impl DayHours {
    /// Parses spans such as `09:00-12:30` and `22:00-06:00`, which ends on the next day. No span is a closed day.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse<'a>(spans: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parts = spans.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
        let mut spans = parts.map(parse_span).collect::<Result<Vec<_>, _>>()?;
        spans.sort_unstable();
        if let Some((one, other)) = spans.iter().zip(spans.iter().skip(1)).find(|(one, other)| other.start < one.end) {
            return Err(format!("{} and {} overlap", clock(*one), clock(*other)));
        }
        Ok(Self(spans))
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.0
    }
}

fn parse_span(text: &str) -> Result<Span, String> {
    let wrong = || format!("hours such as 09:00-17:30 are wanted, got `{text}`");
    let (start, end) = text.split_once('-').ok_or_else(wrong)?;
    let (start, end) = (parse_clock(start).ok_or_else(wrong)?, parse_clock(end).ok_or_else(wrong)?);
    if start == end || start == DAY_S {
        return Err(format!("`{text}` has no time in it; a whole day is 00:00-24:00"));
    }
    Ok(Span { start, end: if end < start { end + DAY_S } else { end } })
}

/// Seconds since midnight of `9:00`, `09:00`, `09:00:30` or `24:00`.
fn parse_clock(text: &str) -> Option<i64> {
    let mut parts = text.trim().split(':').map(|part| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<i64>().ok().filter(|_| is_number)
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let is_time = parts.next().is_none() && minute < 60 && second < 60;
    let seconds = hour * 3600 + minute * 60 + second;
    (is_time && seconds <= DAY_S).then_some(seconds)
}

fn clock(span: Span) -> String {
    let time = |second: i64| format!("{:02}:{:02}", second / 3600, second / 60 % 60);
    format!("{}-{}", time(span.start), time(if span.end > DAY_S { span.end - DAY_S } else { span.end }))
}

/// One date, or all from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateRange {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
}

impl DateRange {
    /// Parses `2025-12-24` or `2025-12-27..2025-12-31`, both ends included.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (parse_date(first)?, parse_date(last)?);
        if last < first {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { first, last })
    }

    pub(super) fn days(self) -> RangeInclusive<Day> {
        day_of(self.first)..=day_of(self.last)
    }
}

/// Parses a date such as `2025-12-24`, of the years 1970 to 2099.
///
/// # Errors
/// What is wrong with it.
pub fn parse_date(text: &str) -> Result<NaiveDate, String> {
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d")
        .map_err(|_| format!("a date such as 2025-12-24 is wanted, got `{text}`"))?;
    if !(FIRST_DATE..=LAST_DATE).contains(&date) {
        return Err(format!("a date from {FIRST_DATE} to {LAST_DATE} is wanted, got `{text}`"));
    }
    Ok(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Result<Vec<(i64, i64)>, String> {
        DayHours::parse([text]).map(|hours| hours.spans().iter().map(|span| (span.start, span.end)).collect())
    }

    #[test]
    fn hours_are_seconds_of_the_day() {
        assert_eq!(hours("09:00-12:30").unwrap(), [(32_400, 45_000)]);
        assert_eq!(hours("13:00-17:00, 9:00-12:00").unwrap(), [(32_400, 43_200), (46_800, 61_200)]);
        assert_eq!(hours("00:00-24:00").unwrap(), [(0, 86_400)]);
        // six hours of the next day: 86400 + 6 * 3600
        assert_eq!(hours("22:00-06:00").unwrap(), [(79_200, 108_000)]);
        assert_eq!(hours("").unwrap(), []);
    }

    #[test]
    fn wrong_hours_say_what_is_wanted() {
        for text in ["9-17", "09:00", "09:00-25:00", "09:60-10:00", "a:b-c:d", "+9:00-10:00", "09:00-10:00-11:00"] {
            let error = hours(text).unwrap_err();
            assert_eq!(error, format!("hours such as 09:00-17:30 are wanted, got `{text}`"));
        }
        assert!(hours("09:00-09:00").unwrap_err().contains("a whole day is 00:00-24:00"));
        assert_eq!(hours("09:00-12:00, 11:00-13:00").unwrap_err(), "09:00-12:00 and 11:00-13:00 overlap");
    }

    #[test]
    fn days_of_the_week_are_names_and_ranges() {
        let day = || DayHours::parse(["09:00-10:00"]).unwrap();
        let open = |days: &str| {
            let mut week = WeeklyHours::default();
            week.set(days, day()).map(|()| (0..7).filter(|day| !week.of_weekday(*day).is_empty()).collect::<Vec<_>>())
        };
        assert_eq!(open("mon-fri").unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(open("Saturday").unwrap(), [5]);
        assert_eq!(open("sat-mon").unwrap(), [0, 5, 6]);
        assert!(open("weekday").unwrap_err().contains("got `weekday`"));
        let mut week = WeeklyHours::default();
        week.set("mon-fri", day()).unwrap();
        assert!(week.set("wed", day()).unwrap_err().contains("for the second time"));
    }

    #[test]
    fn dates_are_checked() {
        assert!(DateRange::parse("2025-12-27..2025-12-24").unwrap_err().contains("ends before it begins"));
        assert!(DateRange::parse("24.12.2025").unwrap_err().contains("a date such as 2025-12-24"));
        assert!(DateRange::parse("2100-01-01").unwrap_err().contains("from 1970-01-01 to 2099-12-31"));
        let range = DateRange::parse("1970-01-02..1970-01-05").unwrap();
        assert_eq!(range.days(), 1..=4);
        // 2 January 1970 was a Friday
        assert_eq!(range.days().map(weekday_of).collect::<Vec<_>>(), [4, 5, 6, 0]);
    }
}
