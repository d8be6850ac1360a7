//! `[calendars.NAME]`: opening hours, holidays and make-up working days for the functions of business time.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use chrono_tz::Tz;
use cxql_udfs::business_time::{
    CalendarDefinition, Calendars, DateRange, DayHours, HoursChange, WeeklyHours, parse_date,
};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use crate::error::{Error, Result};

/// `[calendars.NAME]`: one calendar. What is not given is that of the one that it extends.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalendarConfig {
    /// Another calendar, shipped (`cn`, `de`) or of this file.
    extends: Option<String>,
    /// A name of the IANA database such as `Europe/Berlin`.
    time_zone: Option<TimeZone>,
    /// Hours by day of the week: `{ mon-fri = ["08:00-12:00", "13:00-17:00"], sat = "10:00-14:00" }`.
    hours: Option<Week>,
    /// The hours of make-up working days; default those of Monday.
    working_day_hours: Option<Hours>,
    /// Other hours from a date on.
    #[serde(default)]
    changes: Vec<ChangeConfig>,
    /// Days without hours: `2025-12-24`, or `2025-12-27..2025-12-31`.
    #[serde(default)]
    holidays: Vec<Dates>,
    /// Days that are worked although their day of the week, or a holiday, has no hours.
    #[serde(default)]
    working_days: Vec<Dates>,
    /// Days with hours of their own: `{ 2025-12-23 = "08:00-12:00" }`.
    #[serde(default)]
    special_days: BTreeMap<Date, Hours>,
    /// The days that the calendar knows: `2020-01-01..2030-12-31`.
    covers: Option<Dates>,
}

/// `[[calendars.NAME.changes]]`: hours from a date on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeConfig {
    /// The first day.
    from: Date,
    /// The hours from then on.
    hours: Week,
}

impl From<&CalendarConfig> for CalendarDefinition {
    fn from(config: &CalendarConfig) -> Self {
        let hours = |Hours(hours): &Hours| hours.clone();
        let ranges = |dates: &[Dates]| dates.iter().map(|Dates(range)| *range).collect();
        Self {
            extends: config.extends.clone(),
            time_zone: config.time_zone.map(|TimeZone(zone)| zone.name().to_owned()),
            hours: config.hours.as_ref().map(|Week(week)| week.clone()),
            working_day_hours: config.working_day_hours.as_ref().map(hours),
            changes: config
                .changes
                .iter()
                .map(|ChangeConfig { from: Date(from), hours: Week(week) }| HoursChange {
                    from: *from,
                    hours: week.clone(),
                })
                .collect(),
            holidays: ranges(&config.holidays),
            working_days: ranges(&config.working_days),
            special_days: config.special_days.iter().map(|(Date(date), day)| (*date, hours(day))).collect(),
            covers: config.covers.map(|Dates(range)| range),
        }
    }
}

/// The shipped calendars and those of the file.
///
/// # Errors
/// The calendar and what is wrong with it.
pub(crate) fn calendars(configs: &BTreeMap<String, CalendarConfig>) -> Result<Calendars> {
    let definitions = configs.iter().map(|(name, config)| (name.clone(), config.into()));
    Calendars::new(definitions.collect())
        .map_err(|(name, what)| Error::usage(format!("[calendars.{name}] in cxql.toml: {what}")))
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct TimeZone(Tz);

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let zone = name.parse().map(Self);
        zone.map_err(|_| D::Error::custom(format!("`{name}` is no time zone; a name such as Europe/Berlin is wanted")))
    }
}

/// A date as TOML writes it, or in quotes.
fn date_text<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Ok(text),
        toml::Value::Datetime(date) => Ok(date.to_string()),
        other => Err(D::Error::custom(format!("a date such as 2025-12-24 is wanted, got `{other}`"))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Date(NaiveDate);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        parse_date(&date_text(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Dates(DateRange);

impl<'de> Deserialize<'de> for Dates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        DateRange::parse(&date_text(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// The hours of a day: a string, or a list of them.
#[derive(Debug, Clone, PartialEq)]
struct Hours(DayHours);

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let spans = super::OneOrMany::deserialize(deserializer)?;
        DayHours::parse(spans.0.iter().map(String::as_str)).map(Self).map_err(D::Error::custom)
    }
}

/// The hours of a week, by days.
#[derive(Debug, Clone, PartialEq)]
struct Week(WeeklyHours);

impl<'de> Deserialize<'de> for Week {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Days;

        impl<'de> Visitor<'de> for Days {
            type Value = WeeklyHours;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("hours by day of the week, { mon-fri = \"09:00-17:00\" }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<WeeklyHours, A::Error> {
                let mut week = WeeklyHours::default();
                while let Some(days) = map.next_key_seed(DayNames)? {
                    let Hours(hours) = map.next_value()?;
                    week.set(&days, hours).map_err(A::Error::custom)?;
                }
                Ok(week)
            }
        }

        deserializer.deserialize_map(Days).map(Self)
    }
}

/// The name of a day of the week, or a range of them; a wrong one is an error at its place in the file.
struct DayNames;

impl<'de> DeserializeSeed<'de> for DayNames {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<String, D::Error> {
        let days = String::deserialize(deserializer)?;
        WeeklyHours::default().set(&days, DayHours::default()).map_err(D::Error::custom)?;
        Ok(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    const SUPPORT: &str = r#"
[calendars.support]
extends = "de"
time_zone = "Europe/Vienna"
hours = { mon-fri = ["08:00-12:00", "12:45-18:00"], sat = "10:00-14:00", sun = [] }
working_day_hours = "08:00-16:00"
holidays = [2025-12-24, "2025-12-27..2025-12-30", "2025-12-31"]
working_days = ["2025-10-03"]
special_days = { 2025-12-23 = "08:00-12:00" }
covers = "2020-01-01..2030-12-31"

[[calendars.support.changes]]
from = 2025-07-01
hours = { mon-sun = "00:00-24:00" }

[calendars.nights]
time_zone = "Asia/Shanghai"

[calendars.nights.hours]
mon-fri = "22:00-06:00"
"#;

    fn parse(text: &str) -> Result<Calendars> {
        calendars(&ConfigFile::parse(text, "cxql.toml")?.calendars)
    }

    #[test]
    fn calendars_with_every_key_parse() {
        assert_eq!(parse(SUPPORT).unwrap().names().collect::<Vec<_>>(), ["cn", "de", "nights", "support"]);
        let config = ConfigFile::parse(SUPPORT, "cxql.toml").unwrap();
        let support = CalendarDefinition::from(&config.calendars["support"]);
        assert_eq!(support.holidays[0], DateRange::parse("2025-12-24").unwrap());
        assert_eq!((support.holidays.len(), support.changes.len(), support.special_days.len()), (3, 1, 1));
    }

    #[test]
    fn errors_have_their_line() {
        for (text, place, words) in [
            ("holiday = []", "cxql.toml:3:1", "did you mean `holidays`?"),
            ("holidays = ['24.12.2025']", "cxql.toml:3:12", "a date such as 2025-12-24 is wanted, got `24.12.2025`"),
            ("holidays = [24]", "cxql.toml:3:12", "a date such as 2025-12-24 is wanted"),
            ("hours = { mon-fri = '9-17' }", "cxql.toml:3:21", "hours such as 09:00-17:30 are wanted, got `9-17`"),
            ("hours = { workdays = '09:00-17:00' }", "cxql.toml:3:11", "(mon-fri) is wanted, got `workdays`"),
            ("time_zone = 'Berlin'", "cxql.toml:3:13", "`Berlin` is no time zone"),
            ("changes = [{ from = '2025-07-01', hour = {} }]", "cxql.toml:3:", "did you mean `hours`?"),
            ("covers = '2025-01-01..2024-01-01'", "cxql.toml:3:10", "ends before it begins"),
        ] {
            let message = parse(&format!("[calendars.a]\nextends = 'de'\n{text}\n")).unwrap_err().to_string();
            assert!(message.contains(place) && message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn a_calendar_that_lacks_something_is_named() {
        let message = parse("[calendars.a]\nextends = 'fr'\n").unwrap_err().to_string();
        assert!(message.contains("[calendars.a] in cxql.toml: extends: there is no calendar `fr`"), "{message}");
        let message = parse("[calendars.a]\ntime_zone = 'Europe/Paris'\n").unwrap_err().to_string();
        assert!(message.contains("[calendars.a] in cxql.toml: hours are missing"), "{message}");
    }
}
