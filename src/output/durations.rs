//! Durations and intervals as PostgreSQL writes them: `2 days 03:00:00`, `00:04:05.25`, `1 year 2 mons -3 days`.
//!
//! A duration is read as days and a time; an interval has the months, days and time that it has, so that `36:00:00` stays
//! as it is. Zero parts are left out, a zero is `00:00:00`. After a negative part a positive one has a sign:
//! `-1 days +02:00:00`. Fractions of a second have as many digits as they need, up to nine.

use std::fmt::Write;

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
struct Durations;

impl ArrayFormatterFactory for Durations {
    fn create_array_formatter<'formatter>(
        &self,
        array: &'formatter dyn Array,
        options: &FormatOptions<'formatter>,
        _field: Option<&'formatter Field>,
    ) -> Result<Option<ArrayFormatter<'formatter>>, ArrowError> {
        let Some(values) = values(array) else { return Ok(None) };
        let column = Column { values, null: options.null().to_owned() };
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
}

impl DisplayIndex for Column {
    fn write(&self, row: usize, out: &mut dyn Write) -> FormatResult {
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

/// Months, days and nanoseconds as PostgreSQL writes them.
fn shown(months: i32, days: i128, time_ns: i128) -> String {
    let mut parts: Vec<String> = vec![];
    let mut is_after_negative = false;
    let counted = [(i128::from(months / 12), "year"), (i128::from(months % 12), "mon"), (days, "day")];
    for (count, unit) in counted.into_iter().filter(|(count, _)| *count != 0) {
        let sign = if is_after_negative && count > 0 { "+" } else { "" };
        parts.push(format!("{sign}{count} {unit}{}", if count == 1 { "" } else { "s" }));
        is_after_negative = count < 0;
    }
    if time_ns != 0 || parts.is_empty() {
        let sign = match time_ns {
            ..0 => "-",
            _ if is_after_negative => "+",
            _ => "",
        };
        let (seconds, fraction) = (time_ns.unsigned_abs() / 1_000_000_000, time_ns.unsigned_abs() % 1_000_000_000);
        let mut time = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction != 0 {
            time.push_str(format!(".{fraction:09}").trim_end_matches('0'));
        }
        parts.push(time);
    }
    parts.join(" ")
}

/// A formatter of a column: ours for durations and intervals, at any depth, Arrow's for all other types.
pub(crate) fn formatter<'a>(
    column: &'a dyn Array,
    options: &FormatOptions<'a>,
) -> Result<ArrayFormatter<'a>, ArrowError> {
    let options = options.clone().with_formatter_factory(Some(&Durations));
    match Durations.create_array_formatter(column, &options, None)? {
        Some(formatter) => Ok(formatter),
        None => ArrayFormatter::try_new(column, &options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: PostgreSQL 15.
    #[test]
    fn values_are_written_as_postgresql_writes_them() {
        let second = SECOND_NS;
        for (months, days, time_ns, expected) in [
            (0, 0, 0, "00:00:00"),
            (0, 2, 3 * 3600 * second, "2 days 03:00:00"),
            (0, 0, 245_250_000_000, "00:04:05.25"),
            (0, 0, -245_250_000_000, "-00:04:05.25"),
            (0, -1, -2 * 3600 * second, "-1 days -02:00:00"),
            (0, -1, 2 * 3600 * second, "-1 days +02:00:00"),
            (14, -3, second, "1 year 2 mons -3 days +00:00:01"),
            (-14, 3, 0, "-1 years -2 mons +3 days"),
            (1, 1, 0, "1 mon 1 day"),
            (0, 0, 36 * 3600 * second, "36:00:00"),
            (0, 0, 1_000, "00:00:00.000001"),
        ] {
            assert_eq!(shown(months, days, time_ns), expected);
        }
        // PostgreSQL has no nanoseconds
        assert_eq!(shown(0, 0, 1), "00:00:00.000000001");
    }
}
