//! [`IntervalScale`]: intervals and durations multiplied and divided by numbers.
//!
//! Formula: months, days and time times the factor; a fraction of a month becomes days (30 to a month), a fraction of a day becomes
//!          time. Durations have one part only.
//! Units:   an interval or a duration, and an integer, a float or a decimal; the same interval or duration type out (intervals as
//!          Interval(MonthDayNano)). Rounded to microseconds, durations to their own unit.
//! NULL:    NULL.
//! Edges:   division by zero, NaN and infinities are errors, and so is a result beyond the range of the type.
//! Source:  PostgreSQL `interval_mul` and `interval_div`; DuckDB answers the same. DataFusion 55.2 refuses them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, IntervalMonthDayNanoArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, IntervalMonthDayNano};
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, exec_datafusion_err, exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::interval_key::{INTERVAL, as_month_day_nano};

const DAY_S: f64 = 86_400.0;

/// `interval * number` or `interval / number`. No SQL name: only the planner of operators calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct IntervalScale {
    is_division: bool,
    signature: Signature,
}

impl IntervalScale {
    pub(crate) fn udf(is_division: bool) -> ScalarUDF {
        ScalarUDF::from(Self { is_division, signature: Signature::any(2, Volatility::Immutable) })
    }

    fn scaled(&self, values: &ArrayRef, numbers: &ArrayRef) -> Result<ArrayRef> {
        if let DataType::Duration(_) = values.data_type() {
            let ticks = cast(values, &DataType::Int64)?;
            return Ok(cast(&self.ticks(ticks.as_primitive(), numbers)?, values.data_type())?);
        }
        let Some(intervals) = as_month_day_nano(values) else {
            return internal_err!("{} of {}", self.name(), values.data_type());
        };
        let numbers = cast(numbers, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let pairs = intervals.iter().zip(numbers.iter()).map(|pair| match pair {
            (Some(interval), Some(number)) => self.interval(interval, number).map(Some),
            _ => Ok(None),
        });
        Ok(Arc::new(pairs.collect::<Result<IntervalMonthDayNanoArray>>()?))
    }

    /// Durations times integers are exact.
    fn ticks(&self, ticks: &Int64Array, numbers: &ArrayRef) -> Result<ArrayRef> {
        let beyond = || exec_datafusion_err!("a duration is beyond the range of 64 bits");
        let result: Int64Array = if numbers.data_type().is_integer() && !self.is_division {
            let numbers = cast(numbers, &DataType::Int64)?;
            let pairs = ticks.iter().zip(numbers.as_primitive::<Int64Type>().iter()).map(|pair| match pair {
                (Some(ticks), Some(number)) => ticks.checked_mul(number).map(Some).ok_or_else(beyond),
                _ => Ok(None),
            });
            pairs.collect::<Result<_>>()?
        } else {
            let numbers = cast(numbers, &DataType::Float64)?;
            let numbers: &Float64Array = numbers.as_primitive();
            let pairs = ticks.iter().zip(numbers.iter()).map(|pair| match pair {
                (Some(ticks), Some(number)) => {
                    let scaled = self.times(ticks as f64, number)?.round_ties_even();
                    // 2^63 is exact, and the first double beyond the range
                    if scaled.abs() < i64::MAX as f64 { Ok(Some(scaled as i64)) } else { Err(beyond()) }
                }
                _ => Ok(None),
            });
            pairs.collect::<Result<_>>()?
        };
        Ok(Arc::new(result))
    }

    fn times(&self, value: f64, number: f64) -> Result<f64> {
        match number {
            number if !number.is_finite() => exec_err!("an interval cannot be multiplied or divided by {number}"),
            0.0 if self.is_division => exec_err!("an interval is divided by zero"),
            number if self.is_division => Ok(value / number),
            number => Ok(value * number),
        }
    }

    fn interval(&self, interval: IntervalMonthDayNano, number: f64) -> Result<IntervalMonthDayNano> {
        // as PostgreSQL: the days of a fraction of a month have six decimals, and so have seconds
        let rounded = |value: f64| (value * 1e6).round_ties_even() / 1e6;
        let months = self.times(interval.months.into(), number)?;
        let days = self.times(interval.days.into(), number)?;
        let time_ns = self.times(interval.nanoseconds as f64, number)?;
        let month_days = rounded(months.fract() * 30.0);
        let mut whole_days = days.trunc() + month_days.trunc();
        let mut rest_s = rounded((days.fract() + month_days.fract()) * DAY_S);
        if rest_s.abs() >= DAY_S {
            whole_days += (rest_s / DAY_S).trunc();
            rest_s %= DAY_S;
        }
        let time_ns = (time_ns / 1e3 + rest_s * 1e6).round_ties_even() * 1e3;
        let is_within = |value: f64, limit: f64| value.abs() < limit;
        if !is_within(months, i32::MAX.into())
            || !is_within(whole_days, i32::MAX.into())
            || !is_within(time_ns, i64::MAX as f64)
        {
            return exec_err!("an interval is beyond its range");
        }
        Ok(IntervalMonthDayNano::new(months.trunc() as i32, whole_days as i32, time_ns as i64))
    }
}

impl ScalarUDFImpl for IntervalScale {
    fn name(&self) -> &str {
        if self.is_division { "interval_over" } else { "interval_times" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [value, _] = take_function_args(self.name(), arg_types)?;
        Ok(if matches!(value, DataType::Duration(_)) { value.clone() } else { INTERVAL })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, number] = take_function_args(self.name(), &args.args)?;
        let is_scalar = matches!((value, number), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let scaled = self.scaled(&value.to_array(rows)?, &number.to_array(rows)?)?;
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&scaled, 0)?)
        } else {
            ColumnarValue::Array(scaled)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: PostgreSQL 15, as months, days and seconds.
    #[test]
    fn products_and_quotients_match_postgresql() {
        let second = 1_000_000_000;
        for (interval, is_division, number, expected) in [
            ((0, 1, 0), false, 1.5, (0, 1, 43_200.0)),
            ((1, 0, 0), false, 1.5, (1, 15, 0.0)),
            ((1, 0, 0), true, 4.0, (0, 7, 43_200.0)),
            ((0, 3, 0), true, 2.0, (0, 1, 43_200.0)),
            ((0, 1, 0), false, 0.1, (0, 0, 8_640.0)),
            ((0, 0, 90 * 60 * second), false, 0.5, (0, 0, 2_700.0)),
            ((14, -3, second), false, -2.0, (-28, 6, -2.0)),
            ((1, 1, 0), true, 7.0, (0, 4, 37_028.546_743)),
            ((0, 0, second), true, 3.0, (0, 0, 0.333_333)),
            ((2, 29, 80_000 * second), false, 0.9, (1, 50, 80_640.0)),
        ] {
            let scale = IntervalScale { is_division, signature: Signature::any(2, Volatility::Immutable) };
            let (months, days, time) = interval;
            let found = scale.interval(IntervalMonthDayNano::new(months, days, time), number).unwrap();
            let seconds = found.nanoseconds as f64 / 1e9;
            assert_eq!((found.months, found.days, seconds), expected, "{interval:?} {is_division} {number}");
            assert!(scale.interval(found, f64::NAN).is_err());
            assert_eq!(scale.interval(found, 0.0).is_err(), is_division);
        }
        let scale = IntervalScale { is_division: false, signature: Signature::any(2, Volatility::Immutable) };
        assert!(scale.interval(IntervalMonthDayNano::new(i32::MAX, 0, 0), 2.0).is_err());
    }
}
