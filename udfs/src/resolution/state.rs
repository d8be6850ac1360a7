//! The arithmetic of repeats and first-contact resolution, over plain slices.
//!
//! One call works on one partition: the contacts of one customer on one topic. Nothing is allocated for a partition whose
//! known times ascend, so that an operator can call it for millions of tiny partitions with the same buffers.
//!
//! - Times and windows are 64-bit counts of one [`Unit`] since 1970-01-01T00:00:00 UTC.
//! - `is_known(row)` says whether the time of the row is known; a row without a time is no contact and gets `None`.
//! - `order` is scratch space for partitions out of time order. Its contents before and after a call mean nothing.
//! - `out` has one place per row, in the order of the rows: `None` is SQL's NULL.

/// What one tick of a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microsecond,
    Nanosecond,
}

impl Unit {
    const fn per_second(self) -> i64 {
        match self {
            Unit::Microsecond => 1_000_000,
            Unit::Nanosecond => 1_000_000_000,
        }
    }

    pub(crate) const fn per_day(self) -> i64 {
        self.per_second() * 86_400
    }
}

/// How long after a contact another one counts as its repeat.
///
/// Calendar months and a fixed length are kept apart: a month has no length before one knows where it begins. A day is 24
/// hours, as it is on UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    months: i32,
    ticks: i64,
    unit: Unit,
}

impl Window {
    /// A window of `months` calendar months, then `days` of 24 hours, then `nanoseconds`.
    ///
    /// `None` when it is or may be shorter than nothing (the months, or the days and nanoseconds together, are negative).
    /// A length between two ticks counts as the lower one: no time lies between them.
    pub(crate) fn new(months: i32, days: i32, nanoseconds: i64, unit: Unit) -> Option<Self> {
        let per_tick = i128::from(1_000_000_000 / unit.per_second());
        let ticks = i128::from(days) * i128::from(unit.per_day()) + i128::from(nanoseconds).div_euclid(per_tick);
        if months < 0 || ticks < 0 {
            return None;
        }
        Some(Self { months, ticks: i64::try_from(ticks).unwrap_or(i64::MAX), unit })
    }

    /// The last timestamp that is within the window of a contact at `at`.
    ///
    /// A month later is the same day of the next month at the same time of day, or the last day of a month that has no
    /// such day: 31 January + 1 month is 28 or 29 February. Timestamps beyond the range of a 64-bit count are its ends.
    pub(crate) fn end(self, at: i64) -> i64 {
        let at = if self.months == 0 { at } else { add_months(at, self.months, self.unit) };
        at.saturating_add(self.ticks)
    }

    /// How far into the window of a contact at `at` a later timestamp is. Comparable between contacts: ticks, or, as months
    /// differ in length, the part of the contact's own window in units of 2^-53.
    pub(crate) fn progress(self, at: i64, later: i64) -> i64 {
        if self.months == 0 {
            return later.saturating_sub(at);
        }
        let length = i128::from(self.end(at)) - i128::from(at);
        let passed = (i128::from(later) - i128::from(at)) << 53;
        i64::try_from(passed / length.max(1)).unwrap_or(i64::MAX)
    }
}

/// Whether each contact was resolved at first contact.
///
/// A contact is a first contact when no earlier one is within the window. `Some(false)`: another one follows a first
/// contact within the window. `Some(true)`: none does. `None`: no first contact, or not judged.
///
/// A first contact is judged when `is_judged(row, time)` (the window before it is observed) and its window has elapsed by
/// `observed_until(row)`. Neither condition looks at what is known already: a repeat is seen as soon as it happens, its
/// absence only when the window has elapsed, so that known repeats alone would make the newest contacts unresolved.
///
/// Earlier is earlier in time; of contacts at the same time, the one of the earlier row.
pub(crate) fn first_contact_resolved(
    at: &[i64],
    is_known: impl Fn(usize) -> bool,
    window: Window,
    observed_until: impl Fn(usize) -> Option<i64>,
    is_judged: impl Fn(usize, i64) -> bool,
    order: &mut Vec<usize>,
    out: &mut [Option<bool>],
) {
    out.fill(None);
    // The contact before the present one: its row, the end of its window, whether it is known to be a first contact.
    let mut before: Option<(usize, i64, bool)> = None;
    // The latest end of the windows so far. With calendar months a later contact's window can end first: 30 January 12:00
    // + 1 month is later than 31 January 10:00 + 1 month.
    let mut reach: Option<i64> = None;
    let mut settle = |row: usize, end: i64, next: Option<i64>| {
        if let Some(answer) = out.get_mut(row) {
            let is_elapsed = observed_until(row).is_some_and(|until| until >= end);
            *answer = is_elapsed.then(|| next.is_none_or(|next| next > end));
        }
    };
    in_time_order(at, is_known, order, |row, time| {
        if let Some((earlier, end, true)) = before {
            settle(earlier, end, Some(time));
        }
        let end = window.end(time);
        before = Some((row, end, reach.is_none_or(|reach| reach < time) && is_judged(row, time)));
        reach = reach.max(Some(end));
    });
    if let Some((last, end, true)) = before {
        settle(last, end, None);
    }
}

/// Whether each contact repeats an earlier one, that is whether an earlier one is within the window.
///
/// `None` for a row without a time and for one that is not judged. Both terms mean the same as in
/// [`first_contact_resolved`].
pub(crate) fn is_repeat_contact(
    at: &[i64],
    is_known: impl Fn(usize) -> bool,
    window: Window,
    is_judged: impl Fn(usize, i64) -> bool,
    order: &mut Vec<usize>,
    out: &mut [Option<bool>],
) {
    out.fill(None);
    let mut reach: Option<i64> = None;
    in_time_order(at, is_known, order, |row, time| {
        if let Some(answer) = out.get_mut(row) {
            *answer = is_judged(row, time).then(|| reach.is_some_and(|reach| reach >= time));
        }
        reach = reach.max(Some(window.end(time)));
    });
}

/// Visits the known rows by time, rows of equal time by row number.
fn in_time_order(
    at: &[i64],
    is_known: impl Fn(usize) -> bool,
    order: &mut Vec<usize>,
    mut visit: impl FnMut(usize, i64),
) {
    let known = || at.iter().copied().enumerate().filter(|(row, _)| is_known(*row));
    if known().is_sorted_by_key(|(_, time)| time) {
        known().for_each(|(row, time)| visit(row, time));
        return;
    }
    order.clear();
    order.extend(known().map(|(row, _)| row));
    order.sort_unstable_by_key(|&row| (at.get(row).copied(), row));
    for &row in order.iter() {
        if let Some(&time) = at.get(row) {
            visit(row, time);
        }
    }
}

/// `at` some calendar months later, at the end of the range of a 64-bit count when it is beyond.
///
/// Days to dates and back after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013): years begin in
/// March, so that the leap day is the last of a year.
fn add_months(at: i64, months: i32, unit: Unit) -> i64 {
    let (day_number, time_of_day) = (at.div_euclid(unit.per_day()), at.rem_euclid(unit.per_day()));

    // 719468 days from 0000-03-01 to 1970-01-01; 146097 days in an era of 400 years.
    let shifted = day_number + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - first_day_of(march_month);

    let month_number = (era * 400 + year_of_era) * 12 + march_month + i64::from(months);
    let (year, march_month) = (month_number.div_euclid(12), month_number.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let days_in_month = match march_month {
        // February: the leap day belongs to the calendar year in which this year, begun in March, ends.
        11 if (year + 1).rem_euclid(4) == 0 && ((year + 1).rem_euclid(100) != 0 || (year + 1).rem_euclid(400) == 0) => {
            29
        }
        11 => 28,
        _ => first_day_of(march_month + 1) - first_day_of(march_month),
    };
    let day_of_year = first_day_of(march_month) + day.min(days_in_month - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let day_number = era * 146_097 + day_of_era - 719_468;

    let later = i128::from(day_number) * i128::from(unit.per_day()) + i128::from(time_of_day);
    i64::try_from(later).unwrap_or(i64::MAX)
}

/// Days from 1 March to the first of the month, which is counted from March = 0.
const fn first_day_of(march_month: i64) -> i64 {
    (153 * march_month + 2) / 5
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{IntervalMonthDayNano, TimestampMicrosecondType};

    use super::*;

    const DAY: i64 = Unit::Microsecond.per_day();

    /// Marsaglia's xorshift64 (2003): the same sequence on every machine.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % bound
        }
    }

    fn days(days: i32) -> Window {
        Window::new(0, days, 0, Unit::Microsecond).unwrap()
    }

    fn months(months: i32) -> Window {
        Window::new(months, 0, 0, Unit::Microsecond).unwrap()
    }

    /// Microseconds since 1970 of a UTC time, by Arrow's parser.
    fn utc(text: &str) -> i64 {
        datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).unwrap() / 1000
    }

    fn resolved(at: &[Option<i64>], window: Window, observed_until: Option<i64>) -> Vec<Option<bool>> {
        let times: Vec<i64> = at.iter().map(|time| time.unwrap_or(-1)).collect();
        let mut out = vec![Some(true); at.len()];
        let known = |row: usize| at[row].is_some();
        first_contact_resolved(&times, known, window, |_| observed_until, |_, _| true, &mut vec![], &mut out);
        out
    }

    fn repeats(at: &[Option<i64>], window: Window) -> Vec<Option<bool>> {
        let times: Vec<i64> = at.iter().map(|time| time.unwrap_or(-1)).collect();
        let mut out = vec![Some(true); at.len()];
        is_repeat_contact(&times, |row| at[row].is_some(), window, |_, _| true, &mut vec![], &mut out);
        out
    }

    /// The definition word for word, every pair of contacts compared: O(n^2), dates by Arrow's own calendar.
    fn by_definition(
        at: &[Option<i64>],
        within: impl Fn(i64, i64) -> bool,
        elapsed: impl Fn(i64, usize) -> bool,
        judged: impl Fn(i64, usize) -> bool,
    ) -> (Vec<Option<bool>>, Vec<Option<bool>>) {
        let contacts: Vec<(usize, i64)> =
            at.iter().enumerate().filter_map(|(row, time)| time.map(|time| (row, time))).collect();
        let is_earlier = |a: (usize, i64), b: (usize, i64)| a.1 < b.1 || (a.1 == b.1 && a.0 < b.0);
        let mut resolved = vec![None; at.len()];
        let mut repeat = vec![None; at.len()];
        for &this in &contacts {
            let preceded = contacts.iter().any(|&other| is_earlier(other, this) && within(other.1, this.1));
            let followed = contacts.iter().any(|&other| is_earlier(this, other) && within(this.1, other.1));
            if judged(this.1, this.0) {
                repeat[this.0] = Some(preceded);
                resolved[this.0] = (!preceded && elapsed(this.1, this.0)).then_some(!followed);
            }
        }
        (resolved, repeat)
    }

    #[test]
    fn a_gap_equal_to_the_window_is_within_it() {
        // 7 days: 0 -> 7 is a gap of 7 and within; 7 -> 14 + 1 us is not.
        let at = [Some(0), Some(7 * DAY), Some(14 * DAY + 1)];
        assert_eq!(repeats(&at, days(7)), [Some(false), Some(true), Some(false)]);
        assert_eq!(resolved(&at, days(7), Some(30 * DAY)), [Some(false), None, Some(true)]);
    }

    #[test]
    fn a_chain_of_repeats_has_one_first_contact() {
        // Each 5 days after the one before: only the first has none within the 7 days before it.
        let at = [Some(0), Some(5 * DAY), Some(10 * DAY), Some(15 * DAY)];
        assert_eq!(resolved(&at, days(7), Some(99 * DAY)), [Some(false), None, None, None]);
        assert_eq!(repeats(&at, days(7)), [Some(false), Some(true), Some(true), Some(true)]);
    }

    #[test]
    fn resolution_is_unknown_until_the_window_has_elapsed() {
        let at = [Some(0)];
        assert_eq!(resolved(&at, days(7), Some(7 * DAY - 1)), [None]);
        assert_eq!(resolved(&at, days(7), Some(7 * DAY)), [Some(true)]);
        assert_eq!(resolved(&at, days(7), None), [None]);
        // A repeat that is seen already changes nothing: successes of the same age are not known either.
        assert_eq!(resolved(&[Some(0), Some(DAY)], days(7), Some(7 * DAY - 1)), [None, None]);
        assert_eq!(resolved(&[Some(0), Some(DAY)], days(7), Some(7 * DAY)), [Some(false), None]);
        assert_eq!(resolved(&[Some(0), Some(DAY)], days(7), None), [None, None]);
    }

    #[test]
    fn nothing_is_judged_before_the_window_since_the_beginning_of_the_data() {
        // Days 0, 3, 7, 20 of data that begins on day 0: 7 days before day 3 are not observed, those before day 7 are.
        let times = [0, 3 * DAY, 7 * DAY, 20 * DAY];
        let judged = |_: usize, time: i64| days(7).end(0) <= time;
        let mut out = vec![None; 4];
        is_repeat_contact(&times, |_| true, days(7), judged, &mut vec![], &mut out);
        assert_eq!(out, [None, None, Some(true), Some(false)]);
        first_contact_resolved(&times, |_| true, days(7), |_| Some(99 * DAY), judged, &mut vec![], &mut out);
        assert_eq!(out, [None, None, None, Some(true)]);
    }

    #[test]
    fn rows_without_a_time_are_no_contacts() {
        let at = [None, Some(0), None, Some(8 * DAY), None];
        assert_eq!(resolved(&at, days(7), Some(99 * DAY)), [None, Some(true), None, Some(true), None]);
        assert_eq!(repeats(&at, days(7)), [None, Some(false), None, Some(false), None]);
        assert_eq!(resolved(&[None, None], days(7), Some(0)), [None, None]);
        assert_eq!(resolved(&[], days(7), Some(0)), []);
    }

    #[test]
    fn of_contacts_at_the_same_time_the_earlier_row_is_the_earlier_contact() {
        let at = [Some(DAY), Some(DAY)];
        assert_eq!(resolved(&at, days(0), Some(99 * DAY)), [Some(false), None]);
        assert_eq!(repeats(&at, days(0)), [Some(false), Some(true)]);
        // Also when the rows come latest first.
        let at = [Some(20 * DAY), Some(DAY), Some(DAY)];
        assert_eq!(resolved(&at, days(7), Some(99 * DAY)), [Some(true), Some(false), None]);
    }

    #[test]
    fn rows_out_of_time_order_are_judged_by_their_times() {
        let at = [Some(14 * DAY), None, Some(3 * DAY), Some(0)];
        assert_eq!(resolved(&at, days(7), Some(99 * DAY)), [Some(true), None, None, Some(false)]);
        assert_eq!(repeats(&at, days(7)), [Some(false), None, Some(true), Some(false)]);
    }

    #[test]
    fn a_month_ends_on_the_same_day_or_the_last_day_of_the_next_month() {
        for (from, count, to) in [
            ("2025-01-15T08:30:00Z", 1, "2025-02-15T08:30:00Z"),
            ("2025-01-31T08:30:00Z", 1, "2025-02-28T08:30:00Z"),
            ("2024-01-31T08:30:00Z", 1, "2024-02-29T08:30:00Z"),
            ("1900-01-31T00:00:00Z", 1, "1900-02-28T00:00:00Z"),
            ("2000-01-31T00:00:00Z", 1, "2000-02-29T00:00:00Z"),
            ("2024-02-29T12:00:00Z", 12, "2025-02-28T12:00:00Z"),
            ("2025-03-31T23:59:59.999999Z", 1, "2025-04-30T23:59:59.999999Z"),
            ("1969-12-31T23:59:59Z", 2, "1970-02-28T23:59:59Z"),
            ("2025-11-30T00:00:00Z", 3, "2026-02-28T00:00:00Z"),
        ] {
            assert_eq!(months(count).end(utc(from)), utc(to), "{from} + {count} months");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar_of_arrow() {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for _ in 0..20_000 {
            // 1653 to 2286: what Arrow's calendar and 10^16 microseconds share.
            let at = random.below(20_000_000_000_000_000) as i64 - 10_000_000_000_000_000;
            let (count, days, nanoseconds) = (random.below(40) as i32, random.below(50) as i32, random.below(1 << 40));
            let window = Window::new(count, days, nanoseconds as i64, Unit::Microsecond).unwrap();
            let delta = IntervalMonthDayNano::new(count, days, nanoseconds as i64);
            let expected = TimestampMicrosecondType::add_month_day_nano(at, delta, "+00:00".parse().unwrap()).unwrap();
            // Arrow keeps no sub-microsecond part either.
            assert_eq!(window.end(at), expected, "{at} + {delta:?}");
        }
    }

    #[test]
    fn with_months_the_window_of_an_older_contact_may_end_later() {
        // 30 Jan 12:00 + 1 month = 28 Feb 12:00; 31 Jan 10:00 + 1 month = 28 Feb 10:00. At 28 Feb 11:00 the window of the
        // first one has not ended, the window of the second one has.
        let at = [
            Some(utc("2025-01-30T12:00:00Z")),
            Some(utc("2025-01-31T10:00:00Z")),
            Some(utc("2025-02-28T11:00:00Z")),
            Some(utc("2025-03-28T12:00:00Z")),
        ];
        assert_eq!(repeats(&at, months(1)), [Some(false), Some(true), Some(true), Some(false)]);
        let until = Some(utc("2026-01-01T00:00:00Z"));
        assert_eq!(resolved(&at, months(1), until), [Some(false), None, None, Some(true)]);
    }

    #[test]
    fn windows_at_the_ends_of_time_do_not_overflow() {
        let at = [Some(i64::MIN), Some(i64::MAX)];
        for window in [days(7), days(i32::MAX), months(1)] {
            assert_eq!(repeats(&at, window), [Some(false), Some(false)]);
            assert_eq!(resolved(&at, window, Some(i64::MAX)), [Some(true), Some(true)]);
        }
        // 2^31 months are 178 million years, twice 292 thousand years fit into 64 bits of microseconds.
        assert_eq!(repeats(&at, months(i32::MAX)), [Some(false), Some(true)]);
        let longest = Window::new(i32::MAX, i32::MAX, i64::MAX, Unit::Nanosecond).unwrap();
        assert_eq!(longest.end(i64::MIN), i64::MAX);
    }

    #[test]
    fn a_window_is_never_negative() {
        let window = |months, days, nanoseconds| Window::new(months, days, nanoseconds, Unit::Microsecond);
        assert_eq!(window(0, -1, 0), None);
        assert_eq!(window(-1, 40, 0), None);
        assert_eq!(window(1, -3, 0), None);
        assert_eq!(window(0, 0, -1), None);
        // 7 days less an hour is a length: 7 * 24 - 1 = 167 h.
        assert_eq!(window(0, 7, -3_600_000_000_000).map(|window| window.end(0)), Some(167 * 3_600_000_000));
        assert_eq!(window(0, 0, 1_999).map(|window| window.end(0)), Some(1));
        assert_eq!(Window::new(0, 0, 1_999, Unit::Nanosecond).map(|window| window.end(0)), Some(1_999));
    }

    #[test]
    fn random_partitions_agree_with_the_definition() {
        let mut random = Random(0xD1B5_4A32_D192_ED03);
        let mut seen = [0_usize; 3];
        for round in 0..4_000 {
            let n = random.below(9) as usize;
            // A few hours apart over some days around the end of January, so that gaps equal to the window, equal times,
            // and months of different lengths are all frequent.
            let start = utc("2025-01-28T00:00:00Z");
            let mut at: Vec<Option<i64>> =
                (0..n).map(|_| (random.below(8) > 0).then(|| start + random.below(72) as i64 * DAY / 2)).collect();
            match round % 3 {
                0 => at.sort_unstable(),
                1 => at.sort_unstable_by(|a, b| b.cmp(a)),
                _ => {}
            }
            let until: Vec<Option<i64>> =
                (0..n).map(|_| (random.below(6) > 0).then(|| start + random.below(150) as i64 * DAY / 2)).collect();
            let (month_count, day_count) = if round % 2 == 0 { (0, random.below(15) as i32) } else { (1, 0) };
            let window = Window::new(month_count, day_count, 0, Unit::Microsecond).unwrap();
            let end = |time: i64| {
                let delta = IntervalMonthDayNano::new(month_count, day_count, 0);
                TimestampMicrosecondType::add_month_day_nano(time, delta, "+00:00".parse().unwrap()).unwrap()
            };
            let from: Vec<Option<i64>> = (0..n)
                .map(|_| (random.below(9) > 0).then(|| start + (random.below(40) as i64 - 30) * DAY / 2))
                .collect();
            let judged = |time: i64, row: usize| from[row].is_some_and(|from| end(from) <= time);
            let (expected_resolved, expected_repeat) = by_definition(
                &at,
                |earlier, later| later <= end(earlier),
                |time, row| until[row].is_some_and(|until| until >= end(time)),
                judged,
            );

            let times: Vec<i64> = at.iter().map(|time| time.unwrap_or(i64::MIN)).collect();
            let (mut order, mut out) = (vec![7; 3], vec![Some(true); n]);
            let known = |row: usize| at[row].is_some();
            let is_judged = |row, time| judged(time, row);
            first_contact_resolved(&times, known, window, |row| until[row], is_judged, &mut order, &mut out);
            assert_eq!(out, expected_resolved, "{at:?} {window:?} {until:?} {from:?}");
            for answer in &out {
                seen[answer.map_or(0, |answer| 1 + usize::from(answer))] += 1;
            }
            is_repeat_contact(&times, known, window, is_judged, &mut order, &mut out);
            assert_eq!(out, expected_repeat, "{at:?} {window:?} {from:?}");
        }
        assert!(seen.iter().all(|&count| count > 500), "each answer is tried often: {seen:?}");
    }
}
