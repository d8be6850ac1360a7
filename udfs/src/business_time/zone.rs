//! The offsets of a time zone as periods, each with one offset from UTC.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::definition::DAY_S;

/// Seconds in UTC in which the clocks of a zone have one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) offset: i64,
}

/// Seconds by which the clock of the zone is ahead of UTC.
fn offset_at(zone: Tz, second: i64) -> i64 {
    let utc = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

/// The periods of `zone` from `start` to `end`, in ascending order and without gaps.
///
/// The database has no list of its changes for us: the offset is read once a day, and a change between two days is searched
/// for by bisection. Two changes on one day that cancel out would not be seen; no zone has had such.
pub(super) fn periods(zone: Tz, start: i64, end: i64) -> Vec<Period> {
    let mut periods = vec![];
    let (mut begin, mut offset) = (start, offset_at(zone, start));
    let mut known = start;
    while known < end {
        let next = (known + DAY_S).min(end);
        let changed = offset_at(zone, next);
        if changed != offset {
            let (mut before, mut after) = (known, next);
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if offset_at(zone, middle) == offset {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            periods.push(Period { start: begin, end: after, offset });
            (begin, offset) = (after, offset_at(zone, after));
            known = after;
            continue;
        }
        known = next;
    }
    periods.push(Period { start: begin, end, offset });
    periods
}

/// The first second in UTC at which the clock shows `local` or later.
pub(super) fn first_second(periods: &[Period], local: i64) -> i64 {
    // a clock that is set back shows an hour twice; periods are longer than that, so that their ends ascend in local time too
    let reached = periods.partition_point(|period| period.end + period.offset <= local);
    match (periods.get(reached), periods.last()) {
        (Some(period), _) => period.start.max(local - period.offset),
        (None, Some(last)) => last.end,
        (None, None) => local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp()
    }

    #[test]
    fn a_year_in_berlin_has_three_periods() {
        let periods = periods(Tz::Europe__Berlin, second("2025-01-01T00:00:00Z"), second("2026-01-01T00:00:00Z"));
        let changes: Vec<i64> = periods.iter().skip(1).map(|period| period.start).collect();
        assert_eq!(changes, [second("2025-03-30T01:00:00Z"), second("2025-10-26T01:00:00Z")]);
        assert_eq!(periods.iter().map(|period| period.offset).collect::<Vec<_>>(), [3600, 7200, 3600]);
    }

    #[test]
    fn a_local_time_that_is_skipped_or_repeated_is_its_first_second() {
        let periods = periods(Tz::Europe__Berlin, second("2025-01-01T00:00:00Z"), second("2026-01-01T00:00:00Z"));
        let first = |local: &str| first_second(&periods, second(local));
        assert_eq!(first("2025-03-30T02:30:00Z"), second("2025-03-30T01:00:00Z"));
        assert_eq!(first("2025-10-26T02:30:00Z"), second("2025-10-26T00:30:00Z"));
        assert_eq!(first("2025-07-01T00:00:00Z"), second("2025-06-30T22:00:00Z"));
    }
}
