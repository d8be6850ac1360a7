//! [`Timeline`]: the opening hours of a calendar as segments in UTC, with the open seconds before each of them.
//!
//! ```text
//!  seconds   0        9h      17h      24h      33h      41h          segment   start  end  before
//!            |--------[========)--------|--------[========)---          0         9h   17h     0
//!  position  0        0       8h       8h       8h       16h            1        33h   41h     8h
//!                                                                     day -> first segment that ends after it begins: 0, 1
//! ```
//! The position of a time is the number of open seconds before it, so that business time is the difference of two positions. It
//! is found by the day (an index, not a search) and the few segments of that day; years between two times cost nothing.
//! A timeline of 130 years with two spans a day has about 68,000 segments, 1.1 MB.

use super::definition::{DAY_S, Day, Span};
use super::zone::{Period, first_second, periods};

const NANOS_PER_S: i64 = 1_000_000_000;

/// A point in time: seconds since 1970 in UTC, and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant {
    pub(super) second: i64,
    pub(super) nanos: u32,
}

/// Seconds are counted from the start of the timeline; 130 years of them fit into 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    start: u32,
    end: u32,
    /// Open seconds before the start.
    before: u32,
}

/// The opening hours of a calendar over the days that it covers.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The first second, in UTC.
    start: i64,
    /// The second after the last one, in UTC.
    end: i64,
    /// In ascending order, no two of them touch; the last one is beyond the end and holds all open seconds in `before`.
    segments: Vec<Segment>,
    /// For each 86,400 seconds from the start the index of the first segment that ends after they begin.
    first_of_day: Vec<u32>,
    periods: Vec<Period>,
}

impl Timeline {
    /// Builds the timeline from `first` to `last`, whose spans `spans_of` gives for each day; it is asked for the day before the
    /// first one too, for its hours past midnight.
    pub(super) fn new(
        zone: chrono_tz::Tz,
        first: Day,
        last: Day,
        mut spans_of: impl FnMut(Day, &mut Vec<Span>),
    ) -> Self {
        let midnight = |day: Day| i64::from(day) * DAY_S;
        let periods = periods(zone, midnight(first) - 2 * DAY_S, midnight(last) + 3 * DAY_S);
        let start = first_second(&periods, midnight(first));
        let end = first_second(&periods, midnight(last) + DAY_S);

        // open spans by the clock, merged where hours past midnight reach into those of the next day
        let mut local: Vec<Span> = vec![];
        let mut of_day = vec![];
        for day in first.saturating_sub(1)..=last {
            of_day.clear();
            spans_of(day, &mut of_day);
            for span in &of_day {
                let span = Span { start: midnight(day) + span.start, end: midnight(day) + span.end };
                match local.last_mut() {
                    Some(open) if span.start <= open.end => open.end = open.end.max(span.end),
                    _ => local.push(span),
                }
            }
        }

        let mut segments: Vec<Segment> = vec![];
        let mut before = 0;
        for period in &periods {
            // a clock that is set back shows a time twice: it is open, or closed, twice
            let reached = local.partition_point(|span| span.end <= period.start + period.offset);
            for span in local.iter().skip(reached) {
                let from = (span.start - period.offset).max(period.start).max(start);
                if from >= period.end.min(end) {
                    break;
                }
                let until = (span.end - period.offset).min(period.end).min(end);
                let (Ok(from), Ok(until)) = (u32::try_from(from - start), u32::try_from(until - start)) else {
                    continue;
                };
                if until <= from {
                    continue;
                }
                match segments.last_mut() {
                    Some(open) if open.end == from => open.end = until,
                    _ => segments.push(Segment { start: from, end: until, before }),
                }
                before += until - from;
            }
        }
        segments.push(Segment { start: u32::MAX, end: u32::MAX, before });

        let days = (end - start) / DAY_S + 1;
        let mut first_of_day = Vec::with_capacity(usize::try_from(days).unwrap_or(0));
        let mut index = 0;
        for day in 0..days {
            while segments.get(index).is_some_and(|segment| i64::from(segment.end) <= day * DAY_S) {
                index += 1;
            }
            first_of_day.push(u32::try_from(index).unwrap_or(u32::MAX));
        }
        Self { start, end, segments, first_of_day, periods }
    }

    /// The first second of a day by the clock of the calendar.
    pub(super) fn start_of_day(&self, day: Day) -> Instant {
        Instant { second: first_second(&self.periods, i64::from(day) * DAY_S), nanos: 0 }
    }

    /// The segment in which a time is or that begins after it, and the second counted from the start. None for a time before
    /// the start or after the end.
    #[inline]
    fn segment(&self, at: Instant) -> Option<(Segment, u32)> {
        if at.second < self.start || at.second > self.end || (at.second == self.end && at.nanos > 0) {
            return None;
        }
        let second = u32::try_from(at.second - self.start).ok()?;
        let day = usize::try_from(i64::from(second) / DAY_S).ok()?;
        let mut segments = self.segments.get(*self.first_of_day.get(day)? as usize..)?.iter();
        segments.find(|segment| segment.end > second).map(|segment| (*segment, second))
    }

    /// Open nanoseconds from the start to a time; None where the calendar does not cover it.
    #[inline]
    pub(super) fn position(&self, at: Instant) -> Option<i64> {
        let (segment, second) = self.segment(at)?;
        Some(match second.checked_sub(segment.start) {
            Some(open) => (i64::from(segment.before) + i64::from(open)) * NANOS_PER_S + i64::from(at.nanos),
            None => i64::from(segment.before) * NANOS_PER_S,
        })
    }

    /// Open seconds from one time to another, negative where the second is before the first.
    #[inline]
    pub(super) fn seconds_between(&self, start: Instant, end: Instant) -> Option<f64> {
        let nanos = self.position(end)? - self.position(start)?;
        Some(nanos as f64 / NANOS_PER_S as f64)
    }

    /// Whether a time is open. The end is the first time that is not known.
    #[inline]
    pub(super) fn is_open(&self, at: Instant) -> Option<bool> {
        let (segment, second) = self.segment(at).filter(|_| at.second < self.end)?;
        Some(segment.start <= second)
    }

    /// The first open time from `at` on.
    #[inline]
    pub(super) fn next_open(&self, at: Instant) -> Option<Instant> {
        let (segment, second) = self.segment(at)?;
        if segment.start <= second {
            return Some(at);
        }
        self.instant(segment.start, 0)
    }

    /// The time until or since which `seconds` are open, counted from `at`: the first such time after it, and for negative seconds
    /// the last one before it.
    #[inline]
    pub(super) fn add(&self, at: Instant, seconds: f64) -> Option<Instant> {
        let position = self.position(at)?;
        // no more than that is open, and far below the limit of 64 bits
        if seconds.is_nan() || seconds.abs() > 5e9 {
            return None;
        }
        let nanos = (seconds * NANOS_PER_S as f64).round() as i64;
        if nanos == 0 {
            return Some(at);
        }
        let wanted = position.checked_add(nanos).filter(|wanted| *wanted >= 0)?;
        let before = |segment: &Segment| i64::from(segment.before) * NANOS_PER_S;
        let later = match nanos > 0 {
            true => self.segments.partition_point(|segment| before(segment) < wanted),
            false => self.segments.partition_point(|segment| before(segment) <= wanted),
        };
        // the last segment is beyond the end: it is reached only by more than all open seconds
        let segment = self.segments.get(later.checked_sub(1)?).filter(|segment| segment.end < u32::MAX)?;
        let open = wanted - before(segment);
        let second = i64::from(segment.start) + open / NANOS_PER_S;
        self.instant(u32::try_from(second).ok()?, u32::try_from(open % NANOS_PER_S).ok()?)
    }

    /// A time from its seconds counted from the start; None beyond the end.
    #[inline]
    fn instant(&self, second: u32, nanos: u32) -> Option<Instant> {
        let second = self.start + i64::from(second);
        (second <= self.end).then_some(Instant { second, nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: i64) -> Instant {
        Instant { second: hour * 3600, nanos: 0 }
    }

    /// Open from 9 to 17 on 1 to 10 January 1970, in UTC; the night of the 5th from 22 to 6.
    fn timeline() -> Timeline {
        Timeline::new(chrono_tz::Tz::UTC, 0, 9, |day, spans| {
            spans.push(Span { start: 9 * 3600, end: 17 * 3600 });
            if day == 4 {
                spans.push(Span { start: 22 * 3600, end: 30 * 3600 });
            }
        })
    }

    #[test]
    fn positions_are_open_seconds_before() {
        let timeline = timeline();
        let position = |at| timeline.position(hour(at)).map(|nanos| nanos / 3600 / NANOS_PER_S);
        let expected =
            [(0, 0), (9, 0), (10, 1), (17, 8), (24, 8), (33, 8), (41, 16), (4 * 24 + 23, 41), (5 * 24 + 9, 48)];
        for (at, hours) in expected {
            assert_eq!(position(at), Some(hours), "hour {at}");
        }
        // ten days of eight hours, and the night
        assert_eq!(position(240), Some(88));
        assert_eq!((position(-1), position(241)), (None, None));
    }

    #[test]
    fn time_before_is_negative() {
        let timeline = timeline();
        assert_eq!(timeline.seconds_between(hour(10), hour(34)), Some(8.0 * 3600.0));
        assert_eq!(timeline.seconds_between(hour(34), hour(10)), Some(-8.0 * 3600.0));
        let late = Instant { second: 16 * 3600, nanos: 250_000_000 };
        assert_eq!(timeline.seconds_between(late, hour(30)), Some(3599.75));
    }

    #[test]
    fn what_is_added_is_what_is_between() {
        let timeline = timeline();
        for at in 0..240 {
            for hours in -20..=20 {
                let seconds = f64::from(hours) * 3600.0;
                let Some(end) = timeline.add(hour(at), seconds) else { continue };
                assert_eq!(timeline.seconds_between(hour(at), end), Some(seconds), "{at} + {hours}");
            }
        }
    }

    #[test]
    fn added_time_ends_with_the_hours_and_taken_time_begins_with_them() {
        let timeline = timeline();
        let hours = |at, hours: f64| timeline.add(hour(at), hours * 3600.0).map(|end| end.second / 3600);
        assert_eq!(hours(9, 8.0), Some(17));
        assert_eq!(hours(9, 9.0), Some(34));
        assert_eq!(hours(20, 0.0), Some(20));
        assert_eq!(hours(41, -8.0), Some(33));
        assert_eq!(hours(20, -1.0), Some(16));
        // the last open hour is 16 to 17 of the tenth day
        assert_eq!(hours(0, 88.0), Some(9 * 24 + 17));
        for beyond in [88.001, f64::INFINITY, f64::NAN, -0.001, -1e300] {
            assert_eq!(hours(0, beyond), None, "{beyond}");
        }
    }

    #[test]
    fn open_is_from_the_first_second_to_before_the_last() {
        let timeline = timeline();
        let is_open = |at| timeline.is_open(hour(at));
        assert_eq!([8, 9, 16, 17, 18].map(is_open), [Some(false), Some(true), Some(true), Some(false), Some(false)]);
        assert_eq!([4 * 24 + 23, 5 * 24 + 5, 5 * 24 + 6].map(is_open), [Some(true), Some(true), Some(false)]);
        assert_eq!((is_open(239), is_open(240)), (Some(false), None));
        let next = |at| timeline.next_open(hour(at)).map(|at| at.second / 3600);
        assert_eq!([0, 9, 12, 17, 4 * 24 + 18].map(next), [Some(9), Some(9), Some(12), Some(33), Some(4 * 24 + 22)]);
        assert_eq!(next(9 * 24 + 17), None);
    }

    #[test]
    fn clock_changes_are_what_the_clock_shows() {
        // 30 March and 26 October 2025, days 20177 and 20387: 23 and 25 hours
        let open = |start: i64, end: i64| {
            let timeline = Timeline::new(chrono_tz::Tz::Europe__Berlin, 20_150, 20_450, |_, spans| {
                spans.push(Span { start, end });
            });
            [20_176, 20_177, 20_387].map(|day| {
                let seconds = timeline.seconds_between(timeline.start_of_day(day), timeline.start_of_day(day + 1));
                seconds.unwrap() / 60.0
            })
        };
        assert_eq!(open(0, 86_400), [1440.0, 1380.0, 1500.0]);
        // 01:00 to 02:30: the clock goes from 02:00 to 03:00 in spring; in autumn it shows 02:00 to 02:30 twice
        assert_eq!(open(3600, 9000), [90.0, 60.0, 120.0]);
        assert_eq!(open(7200, 10_800), [60.0, 0.0, 120.0]);
    }
}
