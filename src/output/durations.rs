//! Durations and intervals as PostgreSQL writes them: `2 days 03:00:00`, `00:04:05.25`, `1 year 2 mons -3 days`.
//!
//! A duration is read as days and a time; an interval has the months, days and time that it has, so that `36:00:00` stays
//! as it is. Zero parts are left out, a zero is `00:00:00`. After a negative part a positive one has a sign:
//! `-1 days +02:00:00`. Fractions of a second have as many digits as they need, up to nine.

use std::fmt::Write;

use cxql_engine::shown_interval;
use datafusion::arrow::array::{Array, AsArray, IntervalMonthDayNanoArray, PrimitiveArray};
use datafusion::arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field,
    IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{
    ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult,
};

const SECOND_NS: i128 = 1_000_000_000;
const DAY_NS: i128 = 86_400 * SECOND_NS;

/// Formats durations and intervals, at any depth of a type.
#[derive(Debug)]
struct Durations {
    is_iso: bool,
}

/// For readers.
static SHOWN: Durations = Durations { is_iso: false };

/// ISO 8601, for JSON.
static ISO: Durations = Durations { is_iso: true };

impl ArrayFormatterFactory for Durations {
    fn create_array_formatter<'formatter>(
        &self,
        array: &'formatter dyn Array,
        options: &FormatOptions<'formatter>,
        _field: Option<&'formatter Field>,
    ) -> Result<Option<ArrayFormatter<'formatter>>, ArrowError> {
        let Some(values) = values(array) else { return Ok(None) };
        let column = Column { values, null: options.null().to_owned(), is_iso: self.is_iso };
        Ok(Some(ArrayFormatter::new(Box::new(column), options.safe())))
    }
}

enum Values {
    /// Ticks, and nanoseconds of a tick.
    Durations(PrimitiveArray<DurationNanosecondType>, i128),
    Intervals(IntervalMonthDayNanoArray),
}

/// The durations or intervals of a column; `None` for other types.
fn values(array: &dyn Array) -> Option<Values> {
    // ticks of any unit under the type of nanoseconds: nothing is multiplied, nothing overflows
    fn ticks<T: datafusion::arrow::datatypes::ArrowPrimitiveType<Native = i64>>(
        array: &dyn Array,
    ) -> PrimitiveArray<DurationNanosecondType> {
        array.as_primitive::<T>().reinterpret_cast()
    }
    Some(match array.data_type() {
        DataType::Duration(TimeUnit::Second) => Values::Durations(ticks::<DurationSecondType>(array), SECOND_NS),
        DataType::Duration(TimeUnit::Millisecond) => {
            Values::Durations(ticks::<DurationMillisecondType>(array), 1_000_000)
        }
        DataType::Duration(TimeUnit::Microsecond) => Values::Durations(ticks::<DurationMicrosecondType>(array), 1_000),
        DataType::Duration(TimeUnit::Nanosecond) => Values::Durations(ticks::<DurationNanosecondType>(array), 1),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Values::Intervals(array.as_primitive::<IntervalMonthDayNanoType>().clone())
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let interval = |value: IntervalDayTime| {
                IntervalMonthDayNano::new(0, value.days, i64::from(value.milliseconds) * 1_000_000)
            };
            Values::Intervals(array.as_primitive::<IntervalDayTimeType>().unary(interval))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let interval = |months| IntervalMonthDayNano::new(months, 0, 0);
            Values::Intervals(array.as_primitive::<IntervalYearMonthType>().unary(interval))
        }
        _ => return None,
    })
}

struct Column {
    values: Values,
    null: String,
    is_iso: bool,
}

impl DisplayIndex for Column {
    fn write(&self, row: usize, out: &mut dyn Write) -> FormatResult {
        let shown = if self.is_iso { iso_interval } else { shown_interval };
        let text = match &self.values {
            Values::Durations(ticks, _) if ticks.is_null(row) => self.null.clone(),
            Values::Durations(ticks, tick) => {
                let length = i128::from(ticks.value(row)) * tick;
                shown(0, length / DAY_NS, length % DAY_NS)
            }
            Values::Intervals(intervals) if intervals.is_null(row) => self.null.clone(),
            Values::Intervals(intervals) => {
                let IntervalMonthDayNano { months, days, nanoseconds } = intervals.value(row);
                shown(months, days.into(), nanoseconds.into())
            }
        };
        Ok(out.write_str(&text)?)
    }
}

/// ISO 8601, each part with its sign: `P1Y2M-3DT1.5S`.
fn iso_interval(months: i32, days: i128, time_ns: i128) -> String {
    let (seconds, fraction) = (time_ns.unsigned_abs() / 1_000_000_000, time_ns.unsigned_abs() % 1_000_000_000);
    let sign = if time_ns < 0 { "-" } else { "" };
    let mut text = String::from("P");
    for (count, unit) in [(i128::from(months / 12), 'Y'), (i128::from(months % 12), 'M'), (days, 'D')] {
        if count != 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if time_ns != 0 || text == "P" {
        text.push('T');
        for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if count != 0 {
                text.push_str(&format!("{sign}{count}{unit}"));
            }
        }
        let fraction = format!(".{fraction:09}");
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        if seconds % 60 != 0 || !fraction.is_empty() || text.ends_with('T') {
            text.push_str(&format!("{sign}{}{fraction}S", seconds % 60));
        }
    }
    text
}

/// A formatter of a column for readers: ours for durations and intervals, at any depth, Arrow's for all other types.
pub(crate) fn formatter<'a>(
    column: &'a dyn Array,
    options: &FormatOptions<'a>,
) -> Result<ArrayFormatter<'a>, ArrowError> {
    formatter_by(&SHOWN, column, options)
}

/// As [`formatter`], in ISO 8601.
pub(super) fn iso_formatter<'a>(
    column: &'a dyn Array,
    options: &FormatOptions<'a>,
) -> Result<ArrayFormatter<'a>, ArrowError> {
    formatter_by(&ISO, column, options)
}

fn formatter_by<'a>(
    durations: &'static Durations,
    column: &'a dyn Array,
    options: &FormatOptions<'a>,
) -> Result<ArrayFormatter<'a>, ArrowError> {
    let options = options.clone().with_formatter_factory(Some(durations));
    match durations.create_array_formatter(column, &options, None)? {
        Some(formatter) => Ok(formatter),
        None => ArrayFormatter::try_new(column, &options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: PostgreSQL 15 with `set intervalstyle = 'iso_8601'`.
    #[test]
    fn intervals_in_iso_8601() {
        for (months, days, time_ns, expected) in [
            (0, 0, 0, "PT0S"),
            (14, -3, 1_500_000_000, "P1Y2M-3DT1.5S"),
            (0, 2, 10_800_000_000_000, "P2DT3H"),
            (0, 0, -245_250_000_000, "PT-4M-5.25S"),
            (-1, 0, 0, "P-1M"),
        ] {
            assert_eq!(iso_interval(months, days, time_ns), expected);
        }
    }
}
