//! Parts and beginnings of instants in UTC, and seconds of lengths of time, by arithmetic: the engine makes a date and a time of
//! every row.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    ArrowTimestampType, DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::ticks_per_second;
use crate::kernels::hash::ODD;

const DAY_S: i64 = 86_400;

/// ScatterIndices for instants seen before, a power of two.
const SEEN: usize = 1024;

/// Instants further than this from 1970, 30,000 years, are for the engine.
const FURTHEST_S: i64 = 30_000 * 366 * DAY_S;

/// What a function of the engine gives for a column of instants without a zone, or for lengths of time; `None` for other
/// arguments.
pub(super) fn computed(function: &str, args: &[ColumnarValue]) -> Option<ColumnarValue> {
    let [ColumnarValue::Scalar(name), value] = args else { return None };
    let (ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name))) = name else { return None };
    let name = name.to_lowercase();
    if function == "date_part" && name == "epoch" {
        return duration_seconds(value);
    }
    let ColumnarValue::Array(instants) = value else { return None };
    let result = match instants.data_type() {
        DataType::Timestamp(TimeUnit::Second, None) => of::<TimestampSecondType>(function, &name, instants),
        DataType::Timestamp(TimeUnit::Millisecond, None) => of::<TimestampMillisecondType>(function, &name, instants),
        DataType::Timestamp(TimeUnit::Microsecond, None) => of::<TimestampMicrosecondType>(function, &name, instants),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => of::<TimestampNanosecondType>(function, &name, instants),
        _ => None,
    };
    result.map(ColumnarValue::Array)
}

/// The seconds of lengths of time; `None` for what is none. Those of the engine have no fraction from 2.147483648 s on, and
/// are NULL from 68 years on.
fn duration_seconds(lengths: &ColumnarValue) -> Option<ColumnarValue> {
    let DataType::Duration(unit) = lengths.data_type() else { return None };
    let second = ticks_per_second(unit) as f64;
    let seconds = |ticks: &ArrayRef| -> Option<ArrayRef> {
        let ticks = cast(ticks, &DataType::Int64).ok()?;
        Some(Arc::new(ticks.as_primitive::<Int64Type>().unary::<_, Float64Type>(|ticks| ticks as f64 / second)))
    };
    match lengths {
        ColumnarValue::Array(lengths) => seconds(lengths).map(ColumnarValue::Array),
        ColumnarValue::Scalar(length) => {
            let seconds = seconds(&length.to_array().ok()?)?;
            ScalarValue::try_from_array(&seconds, 0).ok().map(ColumnarValue::Scalar)
        }
    }
}

fn of<T: ArrowTimestampType>(function: &str, name: &str, instants: &ArrayRef) -> Option<ArrayRef> {
    let instants = instants.as_primitive::<T>();
    let second = ticks_per_second(T::UNIT);
    let furthest = FURTHEST_S.saturating_mul(second).min(i64::MAX / 2);
    let is_near = |value: &i64| (-furthest..=furthest).contains(value);
    // without a stop at the first one the check takes no time
    if !instants.values().iter().fold(true, |are_near, value| are_near & is_near(value)) {
        return None;
    }
    match function {
        "date_part" => part(name, second, instants),
        "date_trunc" => beginning(name, second, instants),
        _ => None,
    }
}

fn part<T: ArrowTimestampType>(name: &str, second: i64, instants: &PrimitiveArray<T>) -> Option<ArrayRef> {
    let day = DAY_S * second;
    // what is the same for so long, and rows often come in the order of their time, or have few different instants
    let steady = |length: i64, part: &dyn Fn(i64) -> i32| {
        let (mut now, mut known) = (0..0, 0);
        let mut seen = vec![(i64::MIN, 0); SEEN];
        let parts = instants.values().iter().map(|&value| {
            if !now.contains(&value) {
                let place = (value as u64).wrapping_mul(ODD) >> (u64::BITS - SEEN.ilog2());
                let seen = &mut seen[place as usize];
                now = value..value + 1;
                if seen.0 != value {
                    let number = value.div_euclid(length);
                    now = number * length..(number + 1) * length;
                    *seen = (value, part(number));
                }
                known = seen.1;
            }
            known
        });
        parts.collect::<Vec<i32>>()
    };
    let of_date = |part: &dyn Fn(i64) -> i32| steady(day, part);
    let parts = match name {
        "year" => of_date(&|day| Date::of(day).year as i32),
        "quarter" => of_date(&|day| (Date::of(day).month as i32 + 2) / 3),
        "month" => of_date(&|day| Date::of(day).month as i32),
        "day" => of_date(&|day| Date::of(day).day as i32),
        "doy" => of_date(&|day| (day - Date { month: 1, day: 1, ..Date::of(day) }.days() + 1) as i32),
        // 1 January 1970 was a Thursday
        "dow" => of_date(&|day| (day + 4).rem_euclid(7) as i32),
        "isodow" => of_date(&|day| (day + 3).rem_euclid(7) as i32 + 1),
        "hour" => steady(3600 * second, &|hour| hour.rem_euclid(24) as i32),
        "minute" => steady(60 * second, &|minute| minute.rem_euclid(60) as i32),
        "second" => steady(second, &|second| second.rem_euclid(60) as i32),
        _ => return None,
    };
    Some(Arc::new(Int32Array::new(parts.into(), instants.nulls().cloned())))
}

fn beginning<T: ArrowTimestampType>(name: &str, second: i64, instants: &PrimitiveArray<T>) -> Option<ArrayRef> {
    let day = DAY_S * second;
    let of_length =
        |length: i64, value: i64| value.div_euclid(length) * length..(value.div_euclid(length) + 1) * length;
    // from the first of a month for so many months
    let of_months = |months: i64, value: i64| {
        let date = Date::of(value.div_euclid(day));
        let start = Date { month: (date.month - 1) / months * months + 1, day: 1, ..date };
        let next = start.month + months;
        let end = Date { year: start.year + (next - 1) / 12, month: (next - 1) % 12 + 1, day: 1 };
        start.days() * day..end.days() * day
    };
    let around: &dyn Fn(i64) -> Range<i64> = match name {
        "second" => &|value| of_length(second, value),
        "minute" => &|value| of_length(60 * second, value),
        "hour" => &|value| of_length(3600 * second, value),
        "day" => &|value| of_length(day, value),
        // weeks begin on Mondays, the first one on 29 December 1969
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
    let starts = instants.values().iter().map(|&value| {
        if !known.contains(&value) {
            known = around(value);
        }
        known.start
    });
    let starts: Vec<i64> = starts.collect();
    Some(Arc::new(PrimitiveArray::<T>::new(starts.into(), instants.nulls().cloned())))
}

/// A date of the Gregorian calendar, also before it was introduced.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Date {
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
}

/// Days of 400 years, of 100 with one leap year less than every four, of 4, and of one.
const DAYS: [i64; 4] = [146_097, 36_524, 1_461, 365];

/// Days from 1 March 0000, which begins a year of this calculation, to 1 January 1970.
const TO_1970: i64 = 719_468;

/// Days of a year from 1 March on before each month, with March first.
const BEFORE_MONTH: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

impl Date {
    /// The date so many days after 1 January 1970. Years are counted from 1 March on, so that a leap day is the last one.
    fn of(days: i64) -> Self {
        let days = days + TO_1970;
        let (eras, days) = (days.div_euclid(DAYS[0]), days.rem_euclid(DAYS[0]));
        // the last of each is a day longer where there is a leap day
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
    fn dates_are_those_of_the_calendar() {
        // the 400 years around 1970 and those around the year 0 and 8000, by chrono
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

    /// Expected are the engine's own functions; its `date_trunc` refuses instants before 1677 and after 2262.
    #[tokio::test]
    async fn parts_and_beginnings_are_the_engine_s() {
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
                let instants = cast(&Int64Array::from(values), &kind).unwrap();
                let names =
                    ["year", "quarter", "month", "day", "doy", "dow", "isodow", "hour", "minute", "second", "week"];
                let is_part = function.name() == "date_part";
                let is_known =
                    |name: &str| if is_part { name != "week" } else { !matches!(name, "doy" | "dow" | "isodow") };
                for name in names.iter().filter(|name| is_known(name)) {
                    let args =
                        [ColumnarValue::Scalar(ScalarValue::from(*name)), ColumnarValue::Array(Arc::clone(&instants))];
                    let ours = computed(function.name(), &args).unwrap().into_array(instants.len()).unwrap();
                    let return_type = ours.data_type().clone();
                    let field =
                        |data_type: DataType| Arc::new(datafusion::arrow::datatypes::Field::new("x", data_type, true));
                    let engine = function.invoke_with_args(datafusion::logical_expr::ScalarFunctionArgs {
                        args: args.to_vec(),
                        arg_fields: vec![field(DataType::Utf8), field(kind.clone())],
                        number_rows: instants.len(),
                        return_field: field(return_type),
                        config_options: Arc::default(),
                    });
                    let engine = engine.unwrap().into_array(instants.len()).unwrap();
                    assert_eq!(&ours, &engine, "{} {name} {unit:?}", function.name());
                }
            }
        }
    }

    /// By hand, in columns and alone.
    #[test]
    fn lengths_have_all_their_seconds() {
        for (unit, ticks, expected) in [
            (TimeUnit::Second, 3_000_000_000, 3e9),
            (TimeUnit::Millisecond, 3_500, 3.5),
            (TimeUnit::Microsecond, -86_400_250_000, -86_400.25),
            (TimeUnit::Nanosecond, 2_147_483_648, 2.147_483_648),
        ] {
            let kind = DataType::Duration(unit);
            let column = cast(&Int64Array::from(vec![Some(ticks), None]), &kind).unwrap();
            let of = |value| {
                let args = [ColumnarValue::Scalar("EPOCH".into()), value];
                computed("date_part", &args).unwrap().into_array(1).unwrap().as_primitive::<Float64Type>().clone()
            };
            let alone = ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0).unwrap());
            assert_eq!(of(alone).iter().collect::<Vec<_>>(), [Some(expected)], "{unit:?}");
            assert_eq!(of(ColumnarValue::Array(column)).iter().collect::<Vec<_>>(), [Some(expected), None], "{unit:?}");
        }
    }

    #[test]
    fn far_instants_and_other_arguments_are_for_the_engine() {
        let of = |function, name: ScalarValue, value: i64| {
            let instants = cast(&Int64Array::from(vec![0, value]), &DataType::Timestamp(TimeUnit::Second, None));
            computed(function, &[ColumnarValue::Scalar(name), ColumnarValue::Array(instants.unwrap())])
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
