//! Rows in the order of time, with an empty row for each step that is missing.
//!
//! A month without rows is a gap on the axis: bars side by side, or a line across it, would say that nothing is missing.
//! The step is the largest of year, quarter, month, week, day, hour and parts of it on which all timestamps lie; a column
//! called `month` has months. Timestamps without a common step are only sorted.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Days, Months, NaiveDateTime, Timelike, Utc};

use crate::{Column, Kind, Plot, Values};

/// Limit of slots of a bar chart whose step is only a guess: more would be thinner than a line.
const MAX_GUESSED: i64 = 400;
/// Limit of slots of any chart.
const MAX_SLOTS: i64 = 4000;
/// Part of the slots that has rows from which a guessed step of a line is trusted.
const DENSE: f64 = 0.3;
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

/// The distance of two neighbours on the axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Months(u32),
    Days(u64),
    Minutes(i64),
}

/// The plot with its rows in the order of time and its gaps as rows; unchanged if x has no timestamps.
pub(crate) fn ordered(plot: &Plot) -> Cow<'_, Plot> {
    let is_axis =
        matches!(plot.kind, Kind::Bar | Kind::Line | Kind::Area | Kind::Sparkline | Kind::Heatmap | Kind::Box);
    let Some(Column { name, values: Values::Timestamps(times) }) = plot.x.as_ref().filter(|_| is_axis) else {
        return Cow::Borrowed(plot);
    };
    let mut rows: Vec<(Option<i64>, usize)> = times.iter().copied().zip(0..).collect();
    // NULL is last
    rows.sort_by_key(|(time, row)| (time.is_none(), *time, *row));
    let mut known: Vec<i64> = rows.iter().filter_map(|(time, _)| *time).collect();
    known.dedup();
    let missing = if plot.kind == Kind::Box { vec![] } else { missing(plot.kind, name, &known) };
    if missing.is_empty() && rows.windows(2).all(|pair| pair[0].1 < pair[1].1) {
        return Cow::Borrowed(plot);
    }
    let mut all: Vec<(Option<i64>, Option<usize>)> = rows.into_iter().map(|(time, row)| (time, Some(row))).collect();
    all.extend(missing.into_iter().map(|time| (Some(time), None)));
    // a stable sort: rows of one time keep their order
    all.sort_by_key(|(time, _)| (time.is_none(), *time));
    let order: Vec<Option<usize>> = all.iter().map(|(_, row)| *row).collect();
    let empty = |column: &Option<Column>| column.as_ref().map(|column| taken(column, &order, None));
    // a gap belongs to a series that exists
    let first = |column: &Column| taken(column, &order, Some(0));
    let x = Column { name: name.clone(), values: Values::Timestamps(all.iter().map(|(time, _)| *time).collect()) };
    let is_heat = plot.kind == Kind::Heatmap;
    Cow::Owned(Plot {
        x: Some(x),
        y: plot.y.iter().map(|y| if is_heat { first(y) } else { taken(y, &order, None) }).collect(),
        series: plot.series.as_ref().map(first),
        low: empty(&plot.low),
        high: empty(&plot.high),
        value: empty(&plot.value),
        previous: empty(&plot.previous),
        p_value: empty(&plot.p_value),
        unit: empty(&plot.unit),
        label: empty(&plot.label),
        partial: empty(&plot.partial),
        base: empty(&plot.base),
        title: plot.title.clone(),
        ..*plot
    })
}

/// The values of some rows; those without a row are NULL or have the value of the row `otherwise`.
fn taken(column: &Column, order: &[Option<usize>], otherwise: Option<usize>) -> Column {
    fn pick<T: Clone>(values: &[Option<T>], order: &[Option<usize>], otherwise: Option<usize>) -> Vec<Option<T>> {
        order.iter().map(|row| values.get((*row).or(otherwise)?).cloned().flatten()).collect()
    }
    let values = match &column.values {
        Values::Numbers(values) => Values::Numbers(pick(values, order, otherwise)),
        Values::Timestamps(values) => Values::Timestamps(pick(values, order, otherwise)),
        Values::Strings(values) => Values::Strings(pick(values, order, otherwise)),
    };
    Column { name: column.name.clone(), values }
}

/// The timestamps between the first and the last that have no row.
fn missing(kind: Kind, name: &str, times: &[i64]) -> Vec<i64> {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return vec![] };
    let Some((step, is_named)) = step(name, times) else { return vec![] };
    let count = match step {
        Step::Months(months) => span_months(*first, *last) / i64::from(months),
        Step::Days(days) => (last - first) / DAY / days as i64,
        Step::Minutes(minutes) => (last - first) / MINUTE / minutes,
    } + 1;
    let is_dense = is_named || times.len() as f64 >= count as f64 * DENSE;
    let is_filled = count <= MAX_SLOTS && (is_dense || (kind == Kind::Bar && count <= MAX_GUESSED));
    if !is_filled || count as usize == times.len() {
        return vec![];
    }
    let Some(start) = timestamp(*first) else { return vec![] };
    let slots = (0..count).filter_map(|index| {
        let at = match step {
            Step::Months(months) => start.checked_add_months(Months::new(u32::try_from(index).ok()? * months)),
            Step::Days(days) => start.checked_add_days(Days::new(u64::try_from(index).ok()? * days)),
            Step::Minutes(minutes) => timestamp(first + index * minutes * MINUTE),
        }?;
        Some(at.and_utc().timestamp_millis())
    });
    slots.filter(|slot| times.binary_search(slot).is_err()).collect()
}

fn timestamp(milliseconds: i64) -> Option<NaiveDateTime> {
    DateTime::<Utc>::from_timestamp_millis(milliseconds).map(|at| at.naive_utc())
}

fn month_number(milliseconds: i64) -> i64 {
    timestamp(milliseconds).map_or(0, |at| i64::from(at.year()) * 12 + i64::from(at.month0()))
}

fn span_months(from: i64, to: i64) -> i64 {
    month_number(to) - month_number(from)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The common step of timestamps, and whether the name of the column says it.
fn step(name: &str, times: &[i64]) -> Option<(Step, bool)> {
    if times.len() < 2 {
        return None;
    }
    let name = name.to_lowercase();
    let common = |gap: fn(i64, i64) -> i64| times.windows(2).map(|pair| gap(pair[0], pair[1])).fold(0, gcd);
    let is_first = |time: &i64| {
        timestamp(*time).is_some_and(|at| at.day() == 1 && at.num_seconds_from_midnight() == 0 && at.nanosecond() == 0)
    };
    if times.iter().all(is_first) && !name.contains("day") && !name.contains("date") && !name.contains("week") {
        let months = common(span_months);
        let wanted = [("month", 1), ("quarter", 3), ("year", 12)];
        let named = wanted.into_iter().find(|(word, each)| name.contains(word) && months % i64::from(*each) == 0);
        let natural = [12, 3, 1].into_iter().find(|each| months % i64::from(*each) == 0)?;
        return Some((Step::Months(named.map_or(natural, |(_, each)| each)), named.is_some()));
    }
    let gap = common(|a, b| b - a);
    if gap % DAY == 0 {
        let days = gap / DAY;
        let wanted = [("day", 1), ("date", 1), ("week", 7)];
        let named = wanted.into_iter().find(|(word, each)| name.contains(word) && days % *each as i64 == 0);
        let natural = if days % 7 == 0 { 7 } else { 1 };
        return Some((Step::Days(named.map_or(natural, |(_, each)| each)), named.is_some()));
    }
    let natural = [60, 30, 15, 10, 5, 1].into_iter().find(|minutes| gap % (minutes * MINUTE) == 0)?;
    Some((Step::Minutes(natural), name.contains("hour") && natural == 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(date: &str) -> i64 {
        let text = if date.len() == 10 { format!("{date}T00:00:00Z") } else { date.to_string() };
        DateTime::parse_from_rfc3339(&text).unwrap().timestamp_millis()
    }

    fn plot(kind: Kind, name: &str, dates: &[&str]) -> Plot {
        let times = dates.iter().map(|date| Some(milliseconds(date))).collect();
        let counts = (0..dates.len()).map(|at| Some(at as f64)).collect();
        Plot {
            x: Some(Column { name: name.into(), values: Values::Timestamps(times) }),
            y: vec![Column { name: "n".into(), values: Values::Numbers(counts) }],
            ..Plot::new(kind)
        }
    }

    /// Dates and values after ordering; a gap is `-`.
    fn shown(plot: &Plot) -> Vec<String> {
        let plot = ordered(plot);
        let times = &plot.x.as_ref().unwrap().values;
        let label = |row: usize| timestamp(times.number(row).unwrap() as i64).unwrap().format("%m-%d").to_string();
        let value = |row: usize| plot.y[0].values.number(row).map_or("-".to_string(), |value| value.to_string());
        (0..times.len()).map(|row| format!("{} {}", label(row), value(row))).collect()
    }

    #[test]
    fn months_are_sorted_and_an_empty_one_is_a_gap() {
        let plot = plot(Kind::Bar, "month", &["2025-04-01", "2025-01-01", "2025-02-01"]);
        assert_eq!(shown(&plot), ["01-01 1", "02-01 2", "03-01 -", "04-01 0"]);
    }

    #[test]
    fn the_name_decides_where_the_step_is_ambiguous() {
        assert_eq!(shown(&plot(Kind::Line, "month", &["2025-01-01", "2025-04-01"])).len(), 4);
        assert_eq!(shown(&plot(Kind::Line, "quarter", &["2025-01-01", "2025-07-01"])).len(), 3);
        // two Mondays three weeks apart
        assert_eq!(shown(&plot(Kind::Bar, "week", &["2025-01-06", "2025-01-27"])).len(), 4);
        assert_eq!(shown(&plot(Kind::Bar, "day", &["2025-01-06", "2025-01-27"])).len(), 22);
    }

    #[test]
    fn days_run_over_the_end_of_a_month_and_hours_over_midnight() {
        assert_eq!(shown(&plot(Kind::Bar, "at", &["2025-02-27", "2025-02-28", "2025-03-02"])).len(), 4);
        let hours = ["2025-01-01T22:00:00Z", "2025-01-01T23:00:00Z", "2025-01-02T01:00:00Z"];
        assert_eq!(shown(&plot(Kind::Line, "hour_at", &hours))[2], "01-02 -");
    }

    #[test]
    fn events_without_a_step_are_only_sorted() {
        let times = ["2025-01-03T10:00:13Z", "2025-01-01T09:12:47Z", "2025-01-02T09:12:40Z"];
        assert_eq!(shown(&plot(Kind::Line, "at", &times)), ["01-01 1", "01-02 2", "01-03 0"]);
        // releases: a line with a point each hundred days has no step of a day
        let releases = ["2025-01-01", "2025-04-11", "2025-07-21", "2025-10-30"];
        assert_eq!(shown(&plot(Kind::Line, "released_at", &releases)).len(), 4);
    }

    #[test]
    fn a_gap_makes_no_series_of_its_own() {
        let mut plot = plot(Kind::Bar, "month", &["2025-01-01", "2025-03-01"]);
        let names = vec![Some("a".to_string()), Some("b".to_string())];
        plot.series = Some(Column { name: "s".into(), values: Values::Strings(names) });
        let grid = crate::grid::Grid::new(&ordered(&plot));
        assert_eq!((grid.series.len(), grid.firsts.len()), (2, 3));
    }

    #[test]
    fn null_and_strings_stay_as_they_are() {
        let mut plot = plot(Kind::Bar, "month", &["2025-02-01", "2025-01-01"]);
        if let Some(Values::Timestamps(times)) = plot.x.as_mut().map(|x| &mut x.values) {
            times.insert(0, None);
        }
        plot.y[0].values = Values::Numbers(vec![Some(7.0), Some(2.0), Some(1.0)]);
        let ordered = ordered(&plot);
        assert_eq!(ordered.y[0].values, Values::Numbers(vec![Some(1.0), Some(2.0), Some(7.0)]));
        let strings = Column { name: "x".into(), values: Values::Strings(vec![Some("b".into()), Some("a".into())]) };
        let plot = Plot { x: Some(strings), ..Plot::new(Kind::Bar) };
        assert!(matches!(super::ordered(&plot), Cow::Borrowed(_)));
    }
}
