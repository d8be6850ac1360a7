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
                shown_interval(0, length / DAY_NS, length % DAY_NS)
            }
            Values::Intervals(intervals) if intervals.is_null(row) => self.null.clone(),
            Values::Intervals(intervals) => {
                let IntervalMonthDayNano { months, days, nanoseconds } = intervals.value(row);
                shown_interval(months, days.into(), nanoseconds.into())
            }
        };
        Ok(out.write_str(&text)?)
    }
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
