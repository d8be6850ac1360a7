//! Relative dates of parameters: `start of last week`, `today - 7 days`.
//!
//! They are relative to the scheduled time of a run, not to the current time, in the job's time zone, so that a retry,
//! a late run and a backfill bind the same values as a run that is on time. Weeks begin on Monday. The end of a period
//! is the start of the next, for half-open conditions (`at >= $since and at < $until`).

use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use chrono_tz::Tz;

use super::cron::local_to_utc;

const FORM: &str = "write `today`, `yesterday`, `start of last week`, `end of this month`, `3 days ago`, \
                    `scheduled - 2 hours` or the like";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn named(word: &str) -> Option<Self> {
        Some(match word.strip_suffix('s').unwrap_or(word) {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// Adds `count` units to a local time.
    fn shift(self, at: NaiveDateTime, count: i64) -> Option<NaiveDateTime> {
        let months = |each: i64| {
            let months = count.checked_mul(each)?;
            let length = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
            if months < 0 { at.checked_sub_months(length) } else { at.checked_add_months(length) }
        };
        match self {
            Self::Minute => at.checked_add_signed(Duration::try_minutes(count)?),
            Self::Hour => at.checked_add_signed(Duration::try_hours(count)?),
            Self::Day => at.checked_add_signed(Duration::try_days(count)?),
            Self::Week => at.checked_add_signed(Duration::try_weeks(count)?),
            Self::Month => months(1),
            Self::Quarter => months(3),
            Self::Year => months(12),
        }
    }

    /// The start of the period that contains a local time.
    fn start(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let day = at.date();
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN);
        match self {
            Self::Minute => at.with_second(0)?.with_nanosecond(0),
            Self::Hour => at.with_minute(0)?.with_second(0)?.with_nanosecond(0),
            Self::Day => Some(midnight(day)),
            Self::Week => {
                Some(midnight(day.checked_sub_signed(Duration::days(day.weekday().num_days_from_monday().into()))?))
            }
            Self::Month => Some(midnight(day.with_day(1)?)),
            Self::Quarter => Some(midnight(day.with_day(1)?.with_month(day.month0() / 3 * 3 + 1)?)),
            Self::Year => Some(midnight(day.with_day(1)?.with_month(1)?)),
        }
    }
}

/// A parsed relative date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateExpr {
    base: Base,
    /// The boundary and the period, if it is one.
    edge: Option<(Edge, Unit)>,
    shifts: Vec<(i64, Unit)>,
}

/// The base: the scheduled time plus `count` units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Base {
    count: i64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

impl DateExpr {
    /// Parses a relative date.
    ///
    /// # Errors
    /// The rejected text and the accepted forms.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let spaced = text.to_lowercase().replace('+', " + ").replace('-', " - ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        Self::of_words(&words).ok_or_else(|| format!("`{text}` is no date; {FORM}"))
    }

    fn of_words(words: &[&str]) -> Option<Self> {
        let (mut words, edge) = match words {
            ["start", "of", rest @ ..] => (rest, Some(Edge::Start)),
            ["end", "of", rest @ ..] => (rest, Some(Edge::End)),
            all => (all, None),
        };
        let day = |count| (Base { count, unit: Unit::Day }, Some((edge.unwrap_or(Edge::Start), Unit::Day)));
        let (base, edge) = match words {
            ["scheduled" | "now", rest @ ..] if edge.is_none() => {
                words = rest;
                (Base { count: 0, unit: Unit::Day }, None)
            }
            ["today", rest @ ..] => {
                words = rest;
                day(0)
            }
            ["yesterday", rest @ ..] => {
                words = rest;
                day(-1)
            }
            ["tomorrow", rest @ ..] => {
                words = rest;
                day(1)
            }
            [which @ ("this" | "last" | "next"), unit, rest @ ..] => {
                let unit = Unit::named(unit)?;
                let count = match *which {
                    "this" => 0,
                    "last" => -1,
                    _ => 1,
                };
                words = rest;
                (Base { count, unit }, Some((edge?, unit)))
            }
            [count, unit, "ago", rest @ ..] => {
                let (count, unit) = (count.parse::<u32>().ok()?, Unit::named(unit)?);
                words = rest;
                // `3 days ago` is a timestamp, `start of 3 months ago` the start of a period
                (Base { count: -i64::from(count), unit }, edge.map(|edge| (edge, unit)))
            }
            _ => return None,
        };
        let mut shifts = Vec::new();
        while let [sign @ ("+" | "-"), count, unit, rest @ ..] = words {
            let count = i64::from(count.parse::<u32>().ok()?);
            shifts.push((if *sign == "-" { -count } else { count }, Unit::named(unit)?));
            words = rest;
        }
        words.is_empty().then_some(Self { base, edge, shifts })
    }

    /// The local time in the job's time zone for a scheduled time; `None` if it is out of range.
    fn wall(&self, scheduled: DateTime<Utc>, zone: Tz) -> Option<NaiveDateTime> {
        let scheduled = scheduled.with_timezone(&zone).naive_local();
        // truncate first: a month after 31 January is 28 February, which is in the right month only by chance
        let mut at = match self.edge {
            Some((edge, unit)) => {
                let after = self.base.count + i64::from(edge == Edge::End);
                unit.shift(unit.start(scheduled)?, after)?
            }
            None => self.base.unit.shift(scheduled, self.base.count)?,
        };
        for (count, unit) in &self.shifts {
            at = unit.shift(at, *count)?;
        }
        Some(at)
    }

    /// The timestamp for a scheduled time; `None` if it is out of range.
    pub(crate) fn timestamp(&self, scheduled: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        // hours and minutes are elapsed time, whatever the offset of the time zone does meanwhile
        let is_passing = |unit: &Unit| matches!(unit, Unit::Minute | Unit::Hour);
        if self.edge.is_none()
            && (self.base.count == 0 || is_passing(&self.base.unit))
            && self.shifts.iter().all(|(_, unit)| is_passing(unit))
        {
            let mut at = self.base.unit.shift(scheduled.naive_utc(), self.base.count)?;
            for (count, unit) in &self.shifts {
                at = unit.shift(at, *count)?;
            }
            return Some(at.and_utc());
        }
        local_to_utc(zone, self.wall(scheduled, zone)?)
    }

    /// The local date for a scheduled time; `None` if it is out of range.
    pub(crate) fn day(&self, scheduled: DateTime<Utc>, zone: Tz) -> Option<NaiveDate> {
        self.wall(scheduled, zone).map(|at| at.date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str, scheduled: &str, zone: Tz) -> String {
        let expr = DateExpr::parse(text).unwrap();
        expr.timestamp(scheduled.parse().unwrap(), zone).unwrap().format("%Y-%m-%dT%H:%M").to_string()
    }

    #[test]
    fn periods_count_from_the_scheduled_time() {
        // a Wednesday
        let scheduled = "2025-05-14T08:30:00Z";
        for (text, wanted) in [
            ("scheduled", "2025-05-14T08:30"),
            ("now - 2 hours", "2025-05-14T06:30"),
            ("today", "2025-05-14T00:00"),
            ("yesterday", "2025-05-13T00:00"),
            ("end of today", "2025-05-15T00:00"),
            ("today - 7 days", "2025-05-07T00:00"),
            ("start of this week", "2025-05-12T00:00"),
            ("Start of last week", "2025-05-05T00:00"),
            ("end of last week", "2025-05-12T00:00"),
            ("start of last month", "2025-04-01T00:00"),
            ("start of 2 months ago", "2025-03-01T00:00"),
            ("start of this quarter", "2025-04-01T00:00"),
            ("start of last quarter - 1 day", "2024-12-31T00:00"),
            ("start of this year+1 month", "2025-02-01T00:00"),
            ("start of next year", "2026-01-01T00:00"),
            ("start of last hour", "2025-05-14T07:00"),
            ("3 days ago", "2025-05-11T08:30"),
        ] {
            assert_eq!(timestamp(text, scheduled, Tz::UTC), wanted, "{text}");
        }
    }

    #[test]
    fn the_last_day_of_a_long_month_lies_in_the_month_before() {
        assert_eq!(timestamp("start of last month", "2025-03-31T12:00:00Z", Tz::UTC), "2025-02-01T00:00");
        assert_eq!(timestamp("1 month ago", "2025-03-31T12:00:00Z", Tz::UTC), "2025-02-28T12:00");
        assert_eq!(timestamp("today - 1 year", "2024-02-29T12:00:00Z", Tz::UTC), "2023-02-28T00:00");
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let (berlin, shanghai) = (chrono_tz::Europe::Berlin, chrono_tz::Asia::Shanghai);
        // half past midnight in Berlin
        assert_eq!(timestamp("today", "2025-05-13T22:30:00Z", berlin), "2025-05-13T22:00");
        assert_eq!(timestamp("start of this week", "2025-05-11T23:00:00Z", shanghai), "2025-05-11T16:00");
        // a day with 23 hours
        assert_eq!(timestamp("today", "2025-03-30T10:00:00Z", berlin), "2025-03-29T23:00");
        assert_eq!(timestamp("end of today", "2025-03-30T10:00:00Z", berlin), "2025-03-30T22:00");
        let day = DateExpr::parse("yesterday").unwrap().day("2025-05-13T22:30:00Z".parse().unwrap(), berlin);
        assert_eq!(day, NaiveDate::from_ymd_opt(2025, 5, 13));
    }

    #[test]
    fn other_words_are_refused() {
        for text in [
            "",
            "soon",
            "last week",
            "start of",
            "start of scheduled",
            "today +",
            "3 days",
            "today - x days",
            "2025-01-01",
        ] {
            assert!(DateExpr::parse(text).unwrap_err().contains("start of last week"), "{text}");
        }
        // two hours before 03:30 on the day that lacks 02:00 to 03:00
        let at = timestamp("scheduled - 2 hours", "2025-03-30T01:30:00Z", chrono_tz::Europe::Berlin);
        assert_eq!(at, "2025-03-29T23:30");
        let far = DateExpr::parse("today - 4000000000 years").unwrap();
        assert_eq!(far.timestamp(DateTime::UNIX_EPOCH, Tz::UTC), None);
    }
}
