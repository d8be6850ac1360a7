//! `age(later, earlier)`: the years, months and days between two timestamps or dates, as people count them.
//!
//! Formula: the difference of years, months, days and times of day, each; a negative one borrows from the next larger: the day of
//!          the month in which the earlier timestamp lies (of the first argument, where that is the earlier one).
//! Units:   an interval, so that `age(date '2025-03-31', date '2024-02-29')` is `1 year 1 mon 2 days`.
//! NULL:    gives NULL.
//! Edges:   with a time zone what its clocks show; a timestamp without one beside it is such a local time.
//! Source:  PostgreSQL 15, `timestamp_age`. `age(x)` is `age(current_date, x)`, by [`rewrite_statement`](crate::sql).
//!
//! Days of ages compare as 30-day months, as all intervals do: for an exact length subtract the timestamps.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use datafusion::arrow::array::{ArrayRef, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::interval_key::DAY_NS;
use super::local_time::{as_local, ticks};
use super::ticks_per_second;

/// The function; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Age {
    signature: Signature,
}

impl Age {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection { include: true, label: "Time and Date Functions", description: None },
        "The years, months and days between two timestamps or dates, as people count them.",
        "age(later, earlier)",
    )
    .with_argument("later", "A timestamp or date.")
    .with_argument("earlier", "A timestamp or date. Without it, `later` is the earlier one, and today the later.")
    .build()
});

/// The age of a point in time at another one.
fn age(at: NaiveDateTime, earlier: NaiveDateTime) -> IntervalMonthDayNano {
    let time =
        |at: NaiveDateTime| i64::from(at.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(at.nanosecond());
    let (sign, borrowed) = if at < earlier { (-1, at) } else { (1, earlier) };
    let months = |at: NaiveDateTime| at.year() * 12 + at.month0() as i32;
    let mut months = sign * (months(at) - months(earlier));
    let mut days = sign * (at.day() as i32 - earlier.day() as i32);
    let mut nanoseconds = i64::from(sign) * (time(at) - time(earlier));
    if nanoseconds < 0 {
        nanoseconds += DAY_NS as i64;
        days -= 1;
    }
    while days < 0 {
        days += days_of_month(borrowed);
        months -= 1;
    }
    IntervalMonthDayNano::new(sign * months, sign * days, i64::from(sign) * nanoseconds)
}

fn days_of_month(at: NaiveDateTime) -> i32 {
    let first = NaiveDate::from_ymd_opt(at.year(), at.month(), 1);
    let next = first.and_then(|first| first.checked_add_months(chrono::Months::new(1)));
    match (first, next) {
        (Some(first), Some(next)) => (next - first).num_days() as i32,
        // the last month of the calendar
        _ => 31,
    }
}

/// Timestamps as the clocks of their time zone show them.
fn local_times(values: &ArrayRef) -> Result<Vec<Option<NaiveDateTime>>> {
    let local = as_local(values, false)?;
    let DataType::Timestamp(unit, _) = local.data_type() else {
        return plan_err!("age takes timestamps, not {}", values.data_type());
    };
    let second = ticks_per_second(*unit);
    let time = |ticks: i64| {
        let nanoseconds = ticks.rem_euclid(second) * (1_000_000_000 / second);
        let at = DateTime::from_timestamp(ticks.div_euclid(second), u32::try_from(nanoseconds).ok()?)?;
        Some(at.naive_utc())
    };
    let times = ticks(&local)?;
    let beyond = || exec_datafusion_err!("age: a timestamp is beyond the calendar");
    times.iter().map(|ticks| ticks.map(|ticks| time(ticks).ok_or_else(beyond)).transpose()).collect()
}

impl ScalarUDFImpl for Age {
    fn name(&self) -> &str {
        "age"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let timestamp = |data_type: &DataType| match data_type {
            DataType::Timestamp(..) => Some(data_type.clone()),
            DataType::Date32 | DataType::Date64 => Some(DataType::Timestamp(TimeUnit::Second, None)),
            found if found.is_string() || found.is_null() => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
            _ => None,
        };
        let types: Option<Vec<DataType>> = arg_types.iter().map(timestamp).collect();
        match types.as_deref() {
            Some([DataType::Timestamp(unit, Some(zone)), DataType::Timestamp(other, Some(_))]) => {
                let zoned = |unit| DataType::Timestamp(unit, Some(Arc::clone(zone)));
                Ok(vec![zoned(*unit), zoned(*other)])
            }
            Some([later, earlier]) => Ok(vec![later.clone(), earlier.clone()]),
            _ => plan_err!("age: one or two timestamps or dates are wanted, such as age(ended_at, started_at)"),
        }
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [later, earlier] = take_function_args(self.name(), args.args)?;
        let (later, earlier) = (local_times(&later.to_array(rows)?)?, local_times(&earlier.to_array(rows)?)?);
        let ages = later.into_iter().zip(earlier).map(|(later, earlier)| Some(age(later?, earlier?)));
        Ok(ColumnarValue::Array(Arc::new(ages.collect::<IntervalMonthDayNanoArray>())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}
