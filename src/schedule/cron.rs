//! Schedules: cron expressions in a time zone, and what is due or missed since the last poll.
//!
//! Daylight saving time: a local time that falls into the gap runs once, at the first time after the gap; an ambiguous
//! local time runs once, at its first occurrence. A job whose hour field is `*` follows elapsed time instead: it runs
//! in each of the 23 or 25 hours of such a day.

use std::str::FromStr;

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use crate::config::CatchUp;
use crate::source::nearest;

/// A run that is polled at most this long after its scheduled time is on time.
const ON_TIME: Duration = Duration::seconds(90);

/// Maximum number of times that are listed, which a job that is due every second exceeds.
const MAX_TIMES: usize = 10_000;

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    cron: Cron,
    zone: Tz,
    /// Whether the hour field matches every hour.
    is_hourly: bool,
}

/// Parses the name of a time zone.
///
/// # Errors
/// An unknown name; the message suggests the nearest.
pub(crate) fn time_zone(name: &str) -> Result<Tz, String> {
    Tz::from_str(name).map_err(|_| {
        let near = nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("`{name}` is no time zone such as Europe/Berlin{hint}")
    })
}

impl Schedule {
    /// Parses a cron expression: five fields (minute, hour, day, month, weekday), six with seconds first, or a nickname
    /// such as `@daily`.
    ///
    /// # Errors
    /// An invalid expression, or one that no date matches.
    pub(crate) fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let wrong = |cause: String| {
            format!("`{text}` is no cron expression such as `0 8 * * MON` (minute hour day month weekday): {cause}")
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(text).map_err(|error| wrong(error.to_string()))?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        let hours = match fields.as_slice() {
            [_, hours, _, _, _] | [_, _, hours, _, _, _, ..] => *hours,
            [word] if word.eq_ignore_ascii_case("@hourly") => "*",
            _ => "",
        };
        let schedule = Self { cron, zone, is_hourly: ["*", "*/1", "0-23", "?"].contains(&hours) };
        if schedule.after(DateTime::UNIX_EPOCH).is_none() {
            return Err(wrong("no day meets it".into()));
        }
        Ok(schedule)
    }

    /// The first scheduled time after `timestamp`; `None` if there is none in the next thousands of years.
    pub(crate) fn after(&self, timestamp: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_hourly {
            let local = timestamp.with_timezone(&self.zone);
            return self.cron.find_next_occurrence(&local, false).ok().map(|at| at.with_timezone(&Utc));
        }
        // evaluated in local time without offset changes; each match is then converted to UTC
        let wall = timestamp.with_timezone(&self.zone).naive_local();
        // the local time of a match in a gap is before the local time of the timestamp that it runs at
        let mut at = (wall - Duration::hours(3)).and_utc();
        loop {
            at = self.cron.find_next_occurrence(&at, false).ok()?;
            let due = local_to_utc(self.zone, at.naive_utc())?;
            if due > timestamp {
                return Some(due);
            }
        }
    }

    /// The last scheduled time at or before `timestamp`, looking back at most some years.
    pub(crate) fn before(&self, timestamp: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut back = Duration::hours(1);
        while back < Duration::days(3_000) {
            let found = self.between(timestamp - back, timestamp).last().copied();
            if found.is_some() {
                return found;
            }
            back = back * 4;
        }
        None
    }

    /// The scheduled times in (`after`, `until`], at most ten thousand: the newest of more.
    pub(crate) fn between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut times = std::collections::VecDeque::new();
        let mut at = after;
        while let Some(next) = self.after(at).filter(|next| *next <= until) {
            if times.len() == MAX_TIMES {
                times.pop_front();
            }
            times.push_back(next);
            at = next;
        }
        times.into()
    }
}

/// Converts a local time to UTC: the earlier of two if it is ambiguous, the first time after the gap if it does not
/// exist.
pub(crate) fn local_to_utc(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.with_timezone(&Utc)),
        LocalResult::None => {
            // offsets change at whole minutes, by at most a day
            let minute = wall - Duration::seconds(wall.and_utc().timestamp().rem_euclid(60));
            let later = (1..=26 * 60).map(|minutes| minute + Duration::minutes(minutes));
            let mut found = later.filter_map(|later| zone.from_local_datetime(&later).earliest());
            found.next().map(|at| at.with_timezone(&Utc))
        }
    }
}

/// What to do with the scheduled times since the last poll.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DueTimes {
    /// Times to run, the oldest first.
    pub run: Vec<DateTime<Utc>>,
    /// The late ones among `run`: no scheduler polled in time.
    pub late: Vec<DateTime<Utc>>,
    /// Times that are recorded as missed and not run.
    pub missed: Vec<DateTime<Utc>>,
}

/// Splits the scheduled times in (`polled_at`, `now`] into those to run and those missed.
///
/// After the clock was set back nothing is due until it has passed `polled_at` again.
pub(crate) fn due(schedule: &Schedule, polled_at: DateTime<Utc>, now: DateTime<Utc>, catch_up: CatchUp) -> DueTimes {
    let times = schedule.between(polled_at, now);
    let (late, on_time): (Vec<_>, Vec<_>) = times.into_iter().partition(|at| now - *at > ON_TIME);
    let split = match catch_up {
        CatchUp::None => late.len(),
        // a time that is on time makes catching up unnecessary
        CatchUp::Last => late.len() - usize::from(on_time.is_empty() && !late.is_empty()),
        CatchUp::All => 0,
    };
    let (missed, late) = late.split_at(split);
    DueTimes { run: late.iter().chain(&on_time).copied().collect(), late: late.to_vec(), missed: missed.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, zone_name: &str) -> Schedule {
        Schedule::parse(cron, time_zone(zone_name).unwrap()).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn times(cron: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
        let times = schedule(cron, zone).between(at(after), at(until));
        times.iter().map(|at| at.format("%m-%dT%H:%M").to_string()).collect()
    }

    // Berlin, 2025: 30 March 02:00 becomes 03:00 (01:00 UTC); 26 October 03:00 becomes 02:00 (01:00 UTC).

    #[test]
    fn a_time_in_the_gap_runs_once_after_it() {
        let all = times("30 2 * * *", "Europe/Berlin", "2025-03-28T12:00:00Z", "2025-04-01T00:00:00Z");
        assert_eq!(all, ["03-29T01:30", "03-30T01:00", "03-31T00:30"]);
        // two times in the gap, and one that coincides with their replacement, are one
        let all = times("0,30 2,3 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-30T12:00:00Z");
        assert_eq!(all, ["03-30T01:00", "03-30T01:30"]);
        // several hours: none is lost
        let all = times("15 2,14 * * *", "Europe/Berlin", "2025-03-29T14:00:00Z", "2025-03-30T22:00:00Z");
        assert_eq!(all, ["03-30T01:00", "03-30T12:15"]);
    }

    #[test]
    fn a_time_that_comes_twice_runs_once() {
        let all = times("30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", "2025-10-27T12:00:00Z");
        assert_eq!(all, ["10-26T00:30", "10-27T01:30"]);
        // polled between the two occurrences: the second does not count
        let next = schedule("30 2 * * *", "Europe/Berlin").after(at("2025-10-26T00:45:00Z"));
        assert_eq!(next, Some(at("2025-10-27T01:30:00Z")));
    }

    #[test]
    fn every_hour_means_every_hour_that_passes() {
        let spring = times("0 * * * *", "Europe/Berlin", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z");
        assert_eq!(spring.len(), 23);
        let autumn = times("0 * * * *", "Europe/Berlin", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z");
        assert_eq!(autumn.len(), 25);
        assert_eq!(autumn[1..4], ["10-26T00:00", "10-26T01:00", "10-26T02:00"]);
    }

    #[test]
    fn a_zone_that_moves_by_half_an_hour_is_no_exception() {
        // Lord Howe, 2025: 5 October 02:00 becomes 02:30 (15:30 UTC the day before)
        let all = times("15 2 * * *", "Australia/Lord_Howe", "2025-10-04T00:00:00Z", "2025-10-05T00:00:00Z");
        assert_eq!(all, ["10-04T15:30"]);
    }

    #[test]
    fn a_leap_day_comes_in_leap_years() {
        let next = schedule("0 6 29 2 *", "UTC").after(at("2025-01-01T00:00:00Z"));
        assert_eq!(next, Some(at("2028-02-29T06:00:00Z")));
        let all = times("0 0 L * *", "UTC", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
        assert_eq!(all, ["02-29T00:00"]);
    }

    #[test]
    fn five_years_of_a_weekly_job_are_261_mondays() {
        let all =
            schedule("0 8 * * MON", "Europe/Berlin").between(at("2021-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        // the first Monday is 4 January 2021, the last 29 December 2025
        assert_eq!(all.len(), 261);
        let local = |at: &DateTime<Utc>| at.with_timezone(&chrono_tz::Europe::Berlin).format("%a %H:%M").to_string();
        assert!(all.iter().all(|at| local(at) == "Mon 08:00"));
    }

    #[test]
    fn the_time_before_is_found() {
        let weekly = schedule("0 8 * * MON", "UTC");
        assert_eq!(weekly.before(at("2025-01-08T00:00:00Z")), Some(at("2025-01-06T08:00:00Z")));
        assert_eq!(weekly.before(at("2025-01-06T08:00:00Z")), Some(at("2025-01-06T08:00:00Z")));
        assert_eq!(schedule("0 0 29 2 *", "UTC").before(at("2027-01-01T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
    }

    #[test]
    fn catching_up_follows_the_policy() {
        let daily = schedule("0 8 * * *", "UTC");
        let (polled_at, now) = (at("2025-01-01T09:00:00Z"), at("2025-01-04T12:00:00Z"));
        let days = |days: &[u32]| -> Vec<DateTime<Utc>> {
            days.iter().map(|day| Utc.with_ymd_and_hms(2025, 1, *day, 8, 0, 0).unwrap()).collect()
        };
        let none = due(&daily, polled_at, now, CatchUp::None);
        assert_eq!((none.run, none.missed), (vec![], days(&[2, 3, 4])));
        let last = due(&daily, polled_at, now, CatchUp::Last);
        assert_eq!((last.run, last.late, last.missed), (days(&[4]), days(&[4]), days(&[2, 3])));
        let all = due(&daily, polled_at, now, CatchUp::All);
        assert_eq!((all.run, all.missed), (days(&[2, 3, 4]), vec![]));
        // one is on time: the last before it is not caught up
        let on_time = due(&daily, polled_at, at("2025-01-04T08:00:01Z"), CatchUp::Last);
        assert_eq!((on_time.run, on_time.late, on_time.missed), (days(&[4]), vec![], days(&[2, 3])));
    }

    #[test]
    fn a_clock_set_back_has_nothing_due() {
        let daily = schedule("0 8 * * *", "UTC");
        assert_eq!(
            due(&daily, at("2025-01-04T12:00:00Z"), at("2025-01-04T07:00:00Z"), CatchUp::All),
            DueTimes::default()
        );
    }

    #[test]
    fn errors_name_what_is_expected() {
        assert!(time_zone("Europe/Berln").unwrap_err().contains("did you mean `Europe/Berlin`?"));
        let error = |text: &str| Schedule::parse(text, Tz::UTC).unwrap_err();
        assert!(error("61 * * * *").contains("minute hour day month weekday"));
        assert!(error("0 8 * *").contains("no cron expression"));
        assert!(error("0 0 30 2 *").contains("no cron expression"));
    }
}
