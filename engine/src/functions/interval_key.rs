//! [`IntervalKey`]: the length of intervals and durations, by which they are compared, sorted and grouped.
//!
//! Formula: ((months * 30) + days) * 24 h + time, in nanoseconds.
//! Units:   intervals and durations of any unit in; Decimal128(38, 0) out, which holds every length.
//! NULL:    NULL.
//! Edges:   none; [`JUSTIFIED_INTERVAL`] of a length beyond 2^31 months is an error.
//! Source:  PostgreSQL, `interval_cmp_value` in timestamp.c; DuckDB, `Interval::Normalize`. Both compare with months of 30 days and
//!          days of 24 hours. Arrow compares part by part.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, exec_datafusion_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::ticks_per_second;

/// Nanoseconds of a day.
pub(crate) const DAY_NS: i128 = 86_400_000_000_000;
/// Days of a month where intervals are compared.
const MONTH_DAYS: i128 = 30;

/// The type of all results.
pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// The type of lengths.
const LENGTH: DataType = DataType::Decimal128(38, 0);

/// The name of the function, which plans show.
pub(crate) const INTERVAL_KEY: &str = "interval_key";
/// The name of the form for readers: of equal length, with months of 30 days.
pub(crate) const JUSTIFIED_INTERVAL: &str = "justified_interval";

/// The length of an interval in nanoseconds.
pub(crate) fn length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * MONTH_DAYS + i128::from(interval.days);
    days * DAY_NS + i128::from(interval.nanoseconds)
}

/// The interval of a length with months of 30 days and days of 24 hours; `None` beyond 2^31 months.
fn justified(length: i128) -> Option<IntervalMonthDayNano> {
    let days = length / DAY_NS;
    Some(IntervalMonthDayNano {
        months: i32::try_from(days / MONTH_DAYS).ok()?,
        // both are remainders
        days: (days % MONTH_DAYS) as i32,
        nanoseconds: (length % DAY_NS) as i64,
    })
}

/// Intervals of any unit as months, days and nanoseconds; `None` for other types. Nothing overflows.
pub(crate) fn as_month_day_nano(values: &ArrayRef) -> Option<IntervalMonthDayNanoArray> {
    Some(match values.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => values.as_primitive::<IntervalMonthDayNanoType>().clone(),
        DataType::Interval(IntervalUnit::DayTime) => {
            let parts = |value: datafusion::arrow::datatypes::IntervalDayTime| IntervalMonthDayNano {
                months: 0,
                days: value.days,
                nanoseconds: i64::from(value.milliseconds) * 1_000_000,
            };
            values.as_primitive::<IntervalDayTimeType>().unary(parts)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let months = |months| IntervalMonthDayNano { months, days: 0, nanoseconds: 0 };
            values.as_primitive::<IntervalYearMonthType>().unary(months)
        }
        _ => return None,
    })
}

/// The ticks of durations; `None` for other types.
pub(crate) fn duration_ticks(values: &ArrayRef) -> Option<(TimeUnit, &[i64])> {
    let DataType::Duration(unit) = values.data_type() else { return None };
    let ticks = match unit {
        TimeUnit::Second => values.as_primitive::<DurationSecondType>().values(),
        TimeUnit::Millisecond => values.as_primitive::<DurationMillisecondType>().values(),
        TimeUnit::Microsecond => values.as_primitive::<DurationMicrosecondType>().values(),
        TimeUnit::Nanosecond => values.as_primitive::<DurationNanosecondType>().values(),
    };
    Some((*unit, ticks))
}

/// `interval_key(x)`: see the module. No SQL name: only the analyzer rule `IntervalComparison` calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct IntervalKey {
    /// Whether the length is an interval again, for readers.
    is_shown: bool,
    signature: Signature,
}

impl IntervalKey {
    pub(crate) fn udf(is_shown: bool) -> ScalarUDF {
        ScalarUDF::from(Self { is_shown, signature: Signature::any(1, Volatility::Immutable) })
    }
}

/// The lengths of a column in nanoseconds.
pub(crate) fn lengths(values: &ArrayRef) -> Result<Decimal128Array> {
    let lengths: Decimal128Array = if let Some((unit, ticks)) = duration_ticks(values) {
        let tick = 1_000_000_000 / i128::from(ticks_per_second(unit));
        let lengths = ticks.iter().map(|ticks| i128::from(*ticks) * tick);
        Decimal128Array::new(lengths.collect(), values.nulls().cloned())
    } else if let Some(intervals) = as_month_day_nano(values) {
        intervals.unary(length)
    } else {
        return internal_err!("{INTERVAL_KEY} of {}", values.data_type());
    };
    Ok(lengths.with_data_type(LENGTH))
}

impl ScalarUDFImpl for IntervalKey {
    fn name(&self) -> &str {
        if self.is_shown { JUSTIFIED_INTERVAL } else { INTERVAL_KEY }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [value] = take_function_args(self.name(), arg_types)?;
        match value {
            DataType::Interval(_) | DataType::Duration(_) => Ok(if self.is_shown { INTERVAL } else { LENGTH }),
            other => plan_err!("{} of {other}", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name(), args.args)?;
        let of = |values: &ArrayRef| -> Result<ArrayRef> {
            let lengths = lengths(values)?;
            if !self.is_shown {
                return Ok(Arc::new(lengths));
            }
            let beyond = |length: i128| exec_datafusion_err!("an interval of {} days is too long", length / DAY_NS);
            let shown: IntervalMonthDayNanoArray =
                lengths.try_unary(|length| justified(length).ok_or_else(|| beyond(length)))?;
            Ok(Arc::new(shown))
        };
        Ok(match value {
            ColumnarValue::Array(values) => ColumnarValue::Array(of(&values)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&of(&value.to_array()?)?, 0)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand; PostgreSQL 15 orders them so: -1 day < -1 hour < 0 < 23 hours < 1 day = 24 hours < 29 days < 1 month = 30 days
    /// < 1 month 1 hour < 1 year = 360 days.
    #[test]
    fn lengths_are_ordered() {
        let hour = 3_600_000_000_000;
        let order = [
            vec![(0, -1, 0), (0, 0, -24 * hour)],
            vec![(0, 0, -hour)],
            vec![(0, 0, 0), (0, 1, -24 * hour)],
            vec![(0, 0, 23 * hour)],
            vec![(0, 1, 0), (0, 0, 24 * hour)],
            vec![(0, 29, 0)],
            vec![(1, 0, 0), (0, 30, 0), (2, -30, 0)],
            vec![(1, 0, hour)],
            vec![(12, 0, 0), (0, 360, 0)],
        ];
        let lengths = order.map(|equal| {
            let lengths = equal.iter().map(|(months, days, time)| {
                let length = length(IntervalMonthDayNano::new(*months, *days, *time));
                assert_eq!(self::length(justified(length).unwrap()), length);
                length
            });
            let lengths: Vec<i128> = lengths.collect();
            assert!(lengths.iter().all(|length| *length == lengths[0]), "{equal:?}");
            lengths[0]
        });
        assert!(lengths.is_sorted_by(|a, b| a < b), "{lengths:?}");
        // -90 minutes, -25 hours, 45 days
        let hour = i128::from(hour);
        let shown = [-hour * 3 / 2, -25 * hour, 45 * 24 * hour].map(|length| justified(length).unwrap());
        let part = |months, days, time: i128| IntervalMonthDayNano::new(months, days, time as i64);
        assert_eq!(shown, [part(0, 0, -hour * 3 / 2), part(0, -1, -hour), part(1, 15, 0)]);
        assert_eq!(justified(length(IntervalMonthDayNano::MAX)), None);
    }
}
