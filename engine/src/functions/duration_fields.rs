//! `date_part(field, x)` of durations and intervals.
//!
//! Formula: a duration is read as days and a time, as the difference of two timestamps is in PostgreSQL and DuckDB; an interval has
//!          its own months, days and time. `epoch`: years of 365.25 days, months of 30 days, days of 24 hours.
//! Units:   durations and intervals of any unit in; Int32, Int64 (`nanosecond`) or seconds as Float64 (`epoch`) out. `second`,
//!          `millisecond` and `microsecond` are those of the minute, without a fraction, as in DuckDB.
//! NULL:    NULL.
//! Edges:   all fields of a negative value are negative or 0. The hours of `interval '36 hours'` are 36, those of a duration of 36
//!          hours are 12 (and its days 1). Other fields return `None`: DataFusion's function refuses them.
//! Source:  PostgreSQL 15, section 9.9.1, and its answers. DataFusion 55.2 loses the fraction of `epoch` from 2.147483648 s on, and
//!          returns NULL from 68 years on.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array};
use datafusion::arrow::compute::kernels::cast_utils::IntervalUnit;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::interval_key::{DAY_NS, as_month_day_nano, duration_ticks};
use super::ticks_per_second;

const SECOND_NS: i128 = 1_000_000_000;

/// A duration or an interval.
#[derive(Debug, Clone, Copy)]
struct Parts {
    months: i64,
    days: i64,
    time_ns: i128,
}

impl Parts {
    fn of_duration(length_ns: i128) -> Self {
        // a day has so many nanoseconds that the quotient of 2^63 seconds fits
        Self { months: 0, days: (length_ns / DAY_NS) as i64, time_ns: length_ns % DAY_NS }
    }

    fn of_interval(interval: IntervalMonthDayNano) -> Self {
        let IntervalMonthDayNano { months, days, nanoseconds } = interval;
        Self { months: months.into(), days: days.into(), time_ns: nanoseconds.into() }
    }

    fn epoch(self) -> f64 {
        let days_x4 = self.months / 12 * 1461 + self.months % 12 * 120 + self.days * 4;
        let length_ns = i128::from(days_x4) * (DAY_NS / 4) + self.time_ns;
        // whole seconds are exact, as far as a double has digits
        (length_ns / SECOND_NS) as f64 + (length_ns % SECOND_NS) as f64 / 1e9
    }

    fn field(self, name: &str) -> Option<i64> {
        let of_minute = |unit_ns: i128| (self.time_ns % (60 * SECOND_NS) / unit_ns) as i64;
        use IntervalUnit::{Day, Hour, Microsecond, Millisecond, Minute, Month, Nanosecond, Second, Week, Year};
        if matches!(name, "quarter" | "qtr") {
            return Some(self.months % 12 / 3 + 1);
        }
        // plurals and abbreviations, as DataFusion's function has them
        Some(match IntervalUnit::from_str(name).ok()? {
            Year => self.months / 12,
            Month => self.months % 12,
            Week => self.days / 7,
            Day => self.days,
            Hour => (self.time_ns / (3600 * SECOND_NS)) as i64,
            Minute => (self.time_ns / (60 * SECOND_NS) % 60) as i64,
            Second => of_minute(SECOND_NS),
            Millisecond => of_minute(1_000_000),
            Microsecond => of_minute(1_000),
            Nanosecond => of_minute(1),
            _ => return None,
        })
    }
}

/// The field of each value; `None` for other types and fields.
pub(super) fn date_part(name: &str, value: &ColumnarValue) -> Option<ColumnarValue> {
    match value {
        ColumnarValue::Array(values) => fields(name, values).map(ColumnarValue::Array),
        ColumnarValue::Scalar(value) => {
            let field = fields(name, &value.to_array().ok()?)?;
            ScalarValue::try_from_array(&field, 0).ok().map(ColumnarValue::Scalar)
        }
    }
}

fn fields(name: &str, values: &ArrayRef) -> Option<ArrayRef> {
    let parts: Vec<Parts> = match values.data_type() {
        DataType::Duration(_) => {
            let (unit, ticks) = duration_ticks(values)?;
            let tick = SECOND_NS / i128::from(ticks_per_second(unit));
            ticks.iter().map(|ticks| Parts::of_duration(i128::from(*ticks) * tick)).collect()
        }
        _ => as_month_day_nano(values)?.values().iter().map(|interval| Parts::of_interval(*interval)).collect(),
    };
    let nulls = values.nulls().cloned();
    if name == "epoch" {
        return Some(Arc::new(Float64Array::new(parts.into_iter().map(Parts::epoch).collect(), nulls)));
    }
    let fields = parts.into_iter().map(|parts| parts.field(name)).collect::<Option<Vec<i64>>>()?;
    if matches!(IntervalUnit::from_str(name), Ok(IntervalUnit::Nanosecond)) {
        return Some(Arc::new(Int64Array::new(fields.into(), nulls)));
    }
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    // days of a duration in seconds may exceed 32 bits: DataFusion's function answers then
    let fields: Option<Vec<i32>> = fields
        .into_iter()
        .enumerate()
        .map(|(row, field)| if is_null(row) { Some(0) } else { i32::try_from(field).ok() })
        .collect();
    Some(Arc::new(Int32Array::new(fields?.into(), nulls)))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{Float64Type, TimeUnit};

    use super::*;

    /// By hand, as column and as scalar.
    #[test]
    fn durations_keep_fractions_of_seconds() {
        for (unit, ticks, expected) in [
            (TimeUnit::Second, 3_000_000_000, 3e9),
            (TimeUnit::Millisecond, 3_500, 3.5),
            (TimeUnit::Microsecond, -86_400_250_000, -86_400.25),
            (TimeUnit::Nanosecond, 2_147_483_648, 2.147_483_648),
        ] {
            let kind = DataType::Duration(unit);
            let column = cast(&Int64Array::from(vec![Some(ticks), None]), &kind).unwrap();
            let of = |value| {
                date_part("epoch", &value).unwrap().into_array(1).unwrap().as_primitive::<Float64Type>().clone()
            };
            let alone = ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0).unwrap());
            assert_eq!(of(alone).iter().collect::<Vec<_>>(), [Some(expected)], "{unit:?}");
            assert_eq!(of(ColumnarValue::Array(column)).iter().collect::<Vec<_>>(), [Some(expected), None], "{unit:?}");
        }
    }

    /// Expected values: PostgreSQL 15, `select extract(... from interval '...')`; seconds without their fraction.
    #[test]
    fn fields_match_postgresql() {
        let interval = Parts { months: 14, days: 17, time_ns: 97_445_250_000_000 };
        let negative = Parts { months: -14, days: -17, time_ns: -97_445_250_000_000 };
        let of = |parts: Parts| {
            ["year", "quarter", "month", "day", "hour", "minute", "second", "millisecond", "microsecond"]
                .map(|name| parts.field(name).unwrap())
        };
        assert_eq!(of(interval), [1, 1, 2, 17, 27, 4, 5, 5_250, 5_250_000]);
        assert_eq!(of(negative), [-1, 1, -2, -17, -27, -4, -5, -5_250, -5_250_000]);
        assert_eq!((interval.epoch(), negative.epoch()), (38_307_845.25, -38_307_845.25));
        // timestamp '2025-01-03 03:04:05.25' - timestamp '2025-01-01'
        let difference = Parts::of_duration(183_845_250_000_000);
        assert_eq!(of(difference), [0, 1, 0, 2, 3, 4, 5, 5_250, 5_250_000]);
        assert_eq!(difference.field("dow"), None);
    }
}
