//! Fast `date_part` and `date_trunc` for UTC timestamps by integer arithmetic.
//!
//! Formula: floor division of ticks by the length of a second, minute, hour, day or week; months and years by [`Date`], days to
//!          the proleptic Gregorian calendar in eras of 400 years.
//! Units:   timestamps without a time zone of any unit in; Int32 (`date_part`) or the same timestamps (`date_trunc`) out.
//! NULL:    NULL.
//! Edges:   timestamps beyond 30,000 years from 1970, other fields return `None`: DataFusion's function evaluates
//!          them.
//! Source:  DataFusion 55.2, which constructs a date and a time for each row; its results are the expected values of the tests.
//!
//! Durations and intervals: [`duration_fields`].

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, PrimitiveArray};
use datafusion::arrow::datatypes::{
    ArrowTimestampType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use super::extract::plain_field;
use super::interval_key::{DAY_NS, INTERVAL};
use super::local_time::{ticks, timestamps};
use super::{duration_fields, ticks_per_second};
use crate::kernels::hash::ODD;

const DAY_S: i64 = 86_400;

/// Slots of the cache from timestamps to their field, a power of two.
const CACHE_SLOTS: usize = 1024;

/// Timestamps further than this from 1970, 30,000 years, are left to DataFusion: closer ones cannot overflow.
const MAX_DISTANCE_S: i64 = 30_000 * 366 * DAY_S;

/// The result of `date_part` or `date_trunc` for a column of timestamps without a time zone, or for durations; `None` for other
/// functions and arguments.
pub(super) fn computed(function: &str, args: &[ColumnarValue]) -> Option<ColumnarValue> {
    let [ColumnarValue::Scalar(name), value] = args else { return None };
    let (ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name))) = name else { return None };
    let name = plain_field(name);
    if function == "date_part" && matches!(value.data_type(), DataType::Duration(_) | DataType::Interval(_)) {
        return duration_fields::date_part(&name, value);
    }
    let timestamps = match value {
        ColumnarValue::Array(timestamps) => timestamps,
        // constants have the same answers as columns, years beyond 2262 too
        ColumnarValue::Scalar(value) => {
            let result = computed(function, &[args[0].clone(), ColumnarValue::Array(value.to_array().ok()?)])?;
            return ScalarValue::try_from_array(&result.into_array(1).ok()?, 0).ok().map(ColumnarValue::Scalar);
        }
    };
    let result = match timestamps.data_type() {
        DataType::Timestamp(TimeUnit::Second, None) => {
            computed_ticks::<TimestampSecondType>(function, &name, timestamps)
        }
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            computed_ticks::<TimestampMillisecondType>(function, &name, timestamps)
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            computed_ticks::<TimestampMicrosecondType>(function, &name, timestamps)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            computed_ticks::<TimestampNanosecondType>(function, &name, timestamps)
        }
        _ => None,
    };
    result.map(ColumnarValue::Array)
}

/// `date_bin` of timestamps without a zone or in UTC, by a constant stride of days or less; `None` for other arguments.
///
/// DataFusion's function converts to nanoseconds and returns NULL before 1677 and after 2262.
pub(super) fn binned(args: &[ColumnarValue]) -> Option<Result<ColumnarValue>> {
    let [ColumnarValue::Scalar(stride), value, origin @ ..] = args else { return None };
    let ScalarValue::IntervalMonthDayNano(Some(stride)) = stride.cast_to(&INTERVAL).ok()? else { return None };
    let DataType::Timestamp(unit, zone) = value.data_type() else { return None };
    let tick = 1_000_000_000 / i128::from(ticks_per_second(unit));
    let stride_ns = i128::from(stride.days) * DAY_NS + i128::from(stride.nanoseconds);
    let origin_ns = match origin {
        [] => 0,
        [ColumnarValue::Scalar(origin)] => {
            let DataType::Timestamp(unit, _) = origin.data_type() else { return None };
            let origin = ticks(&origin.to_array().ok()?).ok()?;
            let origin = origin.is_valid(0).then(|| origin.value(0))?;
            i128::from(origin) * (1_000_000_000 / i128::from(ticks_per_second(unit)))
        }
        _ => return None,
    };
    if stride.months != 0 || stride_ns <= 0 || stride_ns % tick != 0 || origin_ns % tick != 0 {
        return None;
    }
    let (stride, origin) = (stride_ns / tick, origin_ns / tick);
    let bin = |at: i64| i64::try_from(i128::from(at) - (i128::from(at) - origin).rem_euclid(stride)).ok();
    let bins = |values: &ArrayRef| -> Result<ArrayRef> {
        let values = ticks(values)?;
        let bins = values.iter().map(|at| match at.map(bin) {
            Some(None) => exec_err!("date_bin: a bin starts beyond the range of Timestamp({unit})"),
            bin => Ok(bin.flatten()),
        });
        Ok(timestamps(&bins.collect::<Result<_>>()?, unit, zone.clone()))
    };
    Some(match value {
        ColumnarValue::Array(values) => bins(values).map(ColumnarValue::Array),
        ColumnarValue::Scalar(value) => value
            .to_array()
            .and_then(|values| ScalarValue::try_from_array(&bins(&values)?, 0))
            .map(ColumnarValue::Scalar),
    })
}

/// [`computed`] for one time unit.
fn computed_ticks<T: ArrowTimestampType>(function: &str, name: &str, timestamps: &ArrayRef) -> Option<ArrayRef> {
    let timestamps = timestamps.as_primitive::<T>();
    let second = ticks_per_second(T::UNIT);
    let limit = MAX_DISTANCE_S.saturating_mul(second).min(i64::MAX / 2);
    let is_within = |value: &i64| (-limit..=limit).contains(value);
    // no early exit: the loop vectorizes
    if !timestamps.values().iter().fold(true, |are_within, value| are_within & is_within(value)) {
        return None;
    }
    match function {
        "date_part" => date_part(name, second, timestamps),
        "date_trunc" => date_trunc(name, second, timestamps),
        _ => None,
    }
}

fn date_part<T: ArrowTimestampType>(name: &str, second: i64, timestamps: &PrimitiveArray<T>) -> Option<ArrayRef> {
    let day = DAY_S * second;
    // A field that changes every `length` ticks: `field` computes it from the number of the period. It is reused while rows stay
    // within the period, as they often come in time order, and cached by timestamp, of which there may be few distinct ones.
    let by_period = |length: i64, field: &dyn Fn(i64) -> i32| {
        let (mut current, mut known) = (0..0, 0);
        let mut cache = vec![(i64::MIN, 0); CACHE_SLOTS];
        let parts = timestamps.values().iter().map(|&value| {
            if !current.contains(&value) {
                let slot = (value as u64).wrapping_mul(ODD) >> (u64::BITS - CACHE_SLOTS.ilog2());
                let cached = &mut cache[slot as usize];
                current = value..value + 1;
                if cached.0 != value {
                    let period = value.div_euclid(length);
                    current = period * length..(period + 1) * length;
                    *cached = (value, field(period));
                }
                known = cached.1;
            }
            known
        });
        parts.collect::<Vec<i32>>()
    };
    let by_day = |field: &dyn Fn(i64) -> i32| by_period(day, field);
    let parts = match name {
        "year" => by_day(&|day| Date::of(day).year as i32),
        "quarter" => by_day(&|day| (Date::of(day).month as i32 + 2) / 3),
        "month" => by_day(&|day| Date::of(day).month as i32),
        "day" => by_day(&|day| Date::of(day).day as i32),
        "doy" => by_day(&|day| (day - Date { month: 1, day: 1, ..Date::of(day) }.days() + 1) as i32),
        // 1 January 1970 was a Thursday
        "dow" => by_day(&|day| (day + 4).rem_euclid(7) as i32),
        "isodow" => by_day(&|day| (day + 3).rem_euclid(7) as i32 + 1),
        "hour" => by_period(3600 * second, &|hour| hour.rem_euclid(24) as i32),
        "minute" => by_period(60 * second, &|minute| minute.rem_euclid(60) as i32),
        "second" => by_period(second, &|second| second.rem_euclid(60) as i32),
        _ => return None,
    };
    Some(Arc::new(Int32Array::new(parts.into(), timestamps.nulls().cloned())))
}

fn date_trunc<T: ArrowTimestampType>(name: &str, second: i64, timestamps: &PrimitiveArray<T>) -> Option<ArrayRef> {
    let day = DAY_S * second;
    let of_length =
        |length: i64, value: i64| value.div_euclid(length) * length..(value.div_euclid(length) + 1) * length;
    // periods of 1, 3 or 12 months
    let of_months = |months: i64, value: i64| {
        let date = Date::of(value.div_euclid(day));
        let start = Date { month: (date.month - 1) / months * months + 1, day: 1, ..date };
        let next = start.month + months;
        let end = Date { year: start.year + (next - 1) / 12, month: (next - 1) % 12 + 1, day: 1 };
        start.days() * day..end.days() * day
    };
    let period: &dyn Fn(i64) -> Range<i64> = match name {
        "second" => &|value| of_length(second, value),
        "minute" => &|value| of_length(60 * second, value),
        "hour" => &|value| of_length(3600 * second, value),
        "day" => &|value| of_length(day, value),
        // weeks begin on Mondays; 29 December 1969 was one
        "week" => &|value| {
            let week = of_length(7 * day, value + 3 * day);
            week.start - 3 * day..week.end - 3 * day
        },
        "month" => &|value| of_months(1, value),
        "quarter" => &|value| of_months(3, value),
        "year" => &|value| of_months(12, value),
        _ => return None,
    };
    let mut known = 0..0;
    let starts = timestamps.values().iter().map(|&value| {
        if !known.contains(&value) {
            known = period(value);
        }
        known.start
    });
    let starts: Vec<i64> = starts.collect();
    Some(Arc::new(PrimitiveArray::<T>::new(starts.into(), timestamps.nulls().cloned())))
}

/// A date of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
}

/// Days of 400, 100, 4 years and of one; a century has one leap day less than 25 cycles of four years.
const DAYS: [i64; 4] = [146_097, 36_524, 1_461, 365];

/// Days from 1 March 0000, the start of the first era, to 1 January 1970.
const TO_1970: i64 = 719_468;

/// Days from 1 March to the first of each month, March first.
const BEFORE_MONTH: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

impl Date {
    /// The date this many days after 1 January 1970. Years start on 1 March, so that a leap day is the last day of its year.
    fn of(days: i64) -> Self {
        let days = days + TO_1970;
        let (eras, days) = (days.div_euclid(DAYS[0]), days.rem_euclid(DAYS[0]));
        // the last century and the last year of a cycle can be a day longer, hence `min(3)`
        let (centuries, days) = ((days / DAYS[1]).min(3), days - (days / DAYS[1]).min(3) * DAYS[1]);
        let (cycles, days) = (days / DAYS[2], days % DAYS[2]);
        let (years, days) = ((days / DAYS[3]).min(3), days - (days / DAYS[3]).min(3) * DAYS[3]);
        let months = BEFORE_MONTH.partition_point(|before| *before <= days) - 1;
        let year = 400 * eras + 100 * centuries + 4 * cycles + years;
        let (year, month) = if months < 10 { (year, months + 3) } else { (year + 1, months - 9) };
        Self { year, month: month as i64, day: days - BEFORE_MONTH[months] + 1 }
    }

    /// Days after 1 January 1970.
    fn days(self) -> i64 {
        let (year, months) = if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        365 * year + leap_days + BEFORE_MONTH[months as usize] + self.day - 1 - TO_1970
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::compute::cast;
    use datafusion::prelude::SessionContext;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn dates_match_chrono() {
        // 400 years around 1970, the year 0 and the year 8000; chrono has the expected values
        for days in (-80_000..80_000).chain(-800_000..-640_000).chain(2_000_000..2_200_000) {
            let known = NaiveDate::from_num_days_from_ce_opt(days + 719_163).unwrap();
            let date = Date::of(i64::from(days));
            assert_eq!(
                (date.year, date.month, date.day),
                (i64::from(known.year()), i64::from(known.month()), i64::from(known.day())),
                "{days}"
            );
            assert_eq!(date.days(), i64::from(days));
        }
    }

    /// Expected values: DataFusion's own functions, whose `date_trunc` refuses timestamps before 1677 and after 2262.
    #[tokio::test]
    async fn date_part_and_date_trunc_match_datafusion() {
        let mut random = Pcg64::seed_from_u64(11);
        let context = SessionContext::new();
        let date_part = Arc::clone(&context.state().scalar_functions()["date_part"]);
        let date_trunc = Arc::clone(&context.state().scalar_functions()["date_trunc"]);
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            let second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            let year = 366 * DAY_S * second;
            for (function, width) in
                [(&date_part, if second == 1_000_000_000 { 140 } else { 8000 }), (&date_trunc, 140)]
            {
                let mut values: Vec<Option<i64>> = (0..3000)
                    .map(|row| match row % 20 {
                        0 => None,
                        1..4 => Some(random.random_range(-3 * DAY_S..3 * DAY_S) * second),
                        _ => Some(random.random_range(-width * year..width * year)),
                    })
                    .collect();
                values.extend([-1, 0, 1, -second, DAY_S * second, DAY_S * second - 1, -DAY_S * second].map(Some));
                let kind = DataType::Timestamp(unit, None);
                let timestamps = cast(&Int64Array::from(values), &kind).unwrap();
                let names =
                    ["year", "quarter", "month", "day", "doy", "dow", "isodow", "hour", "minute", "second", "week"];
                let is_part = function.name() == "date_part";
                let is_known =
                    |name: &str| if is_part { name != "week" } else { !matches!(name, "doy" | "dow" | "isodow") };
                for name in names.iter().filter(|name| is_known(name)) {
                    let args = [
                        ColumnarValue::Scalar(ScalarValue::from(*name)),
                        ColumnarValue::Array(Arc::clone(&timestamps)),
                    ];
                    let ours = computed(function.name(), &args).unwrap().into_array(timestamps.len()).unwrap();
                    let return_type = ours.data_type().clone();
                    let field =
                        |data_type: DataType| Arc::new(datafusion::arrow::datatypes::Field::new("x", data_type, true));
                    let theirs = function.invoke_with_args(datafusion::logical_expr::ScalarFunctionArgs {
                        args: args.to_vec(),
                        arg_fields: vec![field(DataType::Utf8), field(kind.clone())],
                        number_rows: timestamps.len(),
                        return_field: field(return_type),
                        config_options: Arc::default(),
                    });
                    let theirs = theirs.unwrap().into_array(timestamps.len()).unwrap();
                    assert_eq!(&ours, &theirs, "{} {name} {unit:?}", function.name());
                }
            }
        }
    }

    #[test]
    fn distant_timestamps_and_other_arguments_are_left_to_datafusion() {
        let of = |function, name: ScalarValue, value: i64| {
            let timestamps = cast(&Int64Array::from(vec![0, value]), &DataType::Timestamp(TimeUnit::Second, None));
            computed(function, &[ColumnarValue::Scalar(name), ColumnarValue::Array(timestamps.unwrap())])
        };
        assert!(of("date_trunc", "month".into(), 5).is_some());
        assert!(
            of("date_trunc", "month".into(), i64::MIN).is_none() && of("date_part", "hour".into(), i64::MAX).is_none()
        );
        assert!(of("date_trunc", "century".into(), 5).is_none() && of("date_part", "epoch".into(), 5).is_none());
        assert!(
            of("to_timestamp", "month".into(), 5).is_none() && of("date_part", ScalarValue::Utf8(None), 5).is_none()
        );
    }
}
