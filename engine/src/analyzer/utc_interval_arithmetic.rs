//! [`UtcIntervalArithmetic`]: UTC timestamps plus and minus intervals by integer addition; in other time zones by local days.
//!
//! ```text
//!  Filter: started_at + IntervalMonthDayNano(7 days) < $until  ->  Filter: utc_plus(started_at, IntervalMonthDayNano(..)) < $until
//!    contacts                                                        contacts
//! ```
//! In a zone that is not UTC (`local_plus`) months and days are added to the local time, as PostgreSQL and DataFusion do, and a local
//! time that does not exist or exists twice has an answer ([`crate::functions::local_time`]), where DataFusion's ends the query.
//! Constants are folded later as for any function. Switch: `cxql.engine.utc_interval_arithmetic`.

use std::sync::Arc;

use chrono::{DateTime, Months, Utc};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::{max, min};
use datafusion::arrow::datatypes::{
    ArrowTimestampType, DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::utils::take_function_args;
use datafusion::common::{DFSchema, ScalarValue, exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::functions::local_time::LocalClock;
use crate::functions::overrides::without_utc;
use crate::functions::ticks_per_second;

/// Replaces `timestamp + interval` and `timestamp - interval` by [`Shift`] where the time zone is UTC.
///
/// DataFusion converts each timestamp into a local date and time and back, which takes a hundred nanoseconds. In UTC a day has
/// 24 hours, so that everything but months is an addition.
#[derive(Debug)]
pub(crate) struct UtcIntervalArithmetic {
    utc: [Arc<ScalarUDF>; 2],
    local: [Arc<ScalarUDF>; 2],
}

impl UtcIntervalArithmetic {
    pub(crate) fn new() -> Self {
        let functions = |is_utc| [false, true].map(|is_minus| Arc::new(ScalarUDF::from(Shift::new(is_minus, is_utc))));
        Self { utc: functions(true), local: functions(false) }
    }

    fn rewritten(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(Transformed::no(expr)) };
        if !matches!(op, Operator::Plus | Operator::Minus) {
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
        }
        let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
        let is_zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
        let is_utc = [&left_type, &right_type].into_iter().any(|data_type| without_utc(data_type).is_some());
        // an interval may stand on either side of `+`, but only on the right of `-`
        let args = match op {
            _ if is_zoned(&left_type) && right_type == INTERVAL => (*left, *right),
            Operator::Plus if left_type == INTERVAL && is_zoned(&right_type) => (*right, *left),
            _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        };
        let functions = if is_utc { &self.utc } else { &self.local };
        let function = &functions[usize::from(op == Operator::Minus)];
        Ok(Transformed::yes(function.call(vec![args.0, args.1])))
    }
}

impl AnalyzerRule for UtcIntervalArithmetic {
    fn name(&self) -> &str {
        "utc_interval_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |expr, schema| self.rewritten(expr, schema))
    }
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// `utc_plus(timestamp, interval)` and `utc_minus(timestamp, interval)`: a timestamp shifted by an interval; `local_plus` and
/// `local_minus`: one whose zone is not UTC.
///
/// Units: timestamps of any unit in and out; fractions of a tick are rounded down. NULL: NULL. Edges: months are calendar months
/// and a day beyond the end of the month becomes its last day; as in DataFusion, months are added first, then days, then the
/// time. A result beyond 64 bits or the calendar is an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    is_minus: bool,
    is_utc: bool,
    signature: Signature,
}

impl Shift {
    fn new(is_minus: bool, is_utc: bool) -> Self {
        Self { is_minus, is_utc, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn shifted<T: ArrowTimestampType>(&self, at: &ColumnarValue, by: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
        let time_zone = match at.data_type() {
            DataType::Timestamp(_, time_zone) => time_zone,
            _ => None,
        };
        let per_second = ticks_per_second(T::UNIT);
        let checked = |shifted: Option<i64>, at: i64, by: IntervalMonthDayNano| match shifted {
            Some(at) => Ok(at),
            None => exec_err!("{at} and {by:?} give a timestamp beyond the range of {}", T::DATA_TYPE),
        };
        let mut clock = match &time_zone {
            Some(zone) if !self.is_utc => Some(LocalClock::new(zone)?),
            _ => None,
        };
        let mut shift = |at: i64, by| {
            let shifted = match &mut clock {
                Some(clock) => shift_local(at, by, self.is_minus, per_second, clock),
                None => shift(at, by, self.is_minus, per_second),
            };
            checked(shifted, at, by)
        };
        let at = at.to_array(rows)?;
        let at = at.as_primitive::<T>();
        let shifted: PrimitiveArray<T> = match by {
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(by)))
                if by.months == 0 && (self.is_utc || by.days == 0) =>
            {
                let ticks = day_and_time_ticks(*by, self.is_minus, per_second);
                let add = |at| ticks.and_then(|ticks| checked_add(at, ticks));
                match ticks {
                    // no row overflows if minimum and maximum do not: then the addition vectorizes
                    Some((days, time)) if [min(at), max(at)].into_iter().flatten().all(|at| add(at).is_some()) => {
                        at.unary(|at| at.wrapping_add(days).wrapping_add(time))
                    }
                    _ => at.try_unary(|at| checked(add(at), at, *by))?,
                }
            }
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(by))) => {
                at.iter().map(|at| at.map(|at| shift(at, *by)).transpose()).collect::<Result<_>>()?
            }
            ColumnarValue::Scalar(_) => PrimitiveArray::new_null(rows),
            ColumnarValue::Array(by) => {
                let Some(by) = by.as_primitive_opt::<IntervalMonthDayNanoType>() else {
                    return internal_err!("{} of {}", self.name(), by.data_type());
                };
                let pairs = at.iter().zip(by.iter()).map(|pair| match pair {
                    (Some(at), Some(by)) => shift(at, by).map(Some),
                    _ => Ok(None),
                });
                pairs.collect::<Result<_>>()?
            }
        };
        Ok(Arc::new(shifted.with_timezone_opt(time_zone)))
    }
}

/// One timestamp shifted by an interval; `None` beyond 64 bits or the range of the calendar.
fn shift(at: i64, by: IntervalMonthDayNano, is_minus: bool, per_second: i64) -> Option<i64> {
    let sign = if is_minus { -1 } else { 1 };
    let months = i64::from(by.months) * sign;
    let at = if months == 0 {
        at
    } else {
        let (seconds, ticks) = (at.div_euclid(per_second), at.rem_euclid(per_second));
        let date: DateTime<Utc> = DateTime::from_timestamp(seconds, 0)?;
        let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        let date = if months < 0 { date.checked_sub_months(count)? } else { date.checked_add_months(count)? };
        date.timestamp().checked_mul(per_second)?.checked_add(ticks)?
    };
    checked_add(at, day_and_time_ticks(by, is_minus, per_second)?)
}

/// As [`shift`], with months and days added to the local time.
fn shift_local(
    at: i64,
    by: IntervalMonthDayNano,
    is_minus: bool,
    per_second: i64,
    clock: &mut LocalClock,
) -> Option<i64> {
    let IntervalMonthDayNano { months, days, nanoseconds } = by;
    let at = if months == 0 && days == 0 {
        at
    } else {
        let (seconds, ticks) = (at.div_euclid(per_second), at.rem_euclid(per_second));
        let local = seconds.checked_add(clock.offset(seconds)?)?;
        let local = shift(local, IntervalMonthDayNano { months, days, nanoseconds: 0 }, is_minus, 1)?;
        clock.utc(local)?.checked_mul(per_second)?.checked_add(ticks)?
    };
    shift(at, IntervalMonthDayNano { months: 0, days: 0, nanoseconds }, is_minus, per_second)
}

/// The ticks of an interval's days and of its time; `None` beyond 64 bits.
fn day_and_time_ticks(by: IntervalMonthDayNano, is_minus: bool, per_second: i64) -> Option<(i64, i64)> {
    let sign = if is_minus { -1 } else { 1 };
    let days = i64::from(by.days) * sign;
    let nanoseconds = i128::from(by.nanoseconds) * i128::from(sign);
    // rounded down, also below 0
    let ticks = i64::try_from(nanoseconds.div_euclid(i128::from(1_000_000_000 / per_second))).ok()?;
    Some((days.checked_mul(86_400)?.checked_mul(per_second)?, ticks))
}

fn checked_add(at: i64, (days, time): (i64, i64)) -> Option<i64> {
    at.checked_add(days)?.checked_add(time)
}

impl ScalarUDFImpl for Shift {
    fn name(&self) -> &str {
        match (self.is_utc, self.is_minus) {
            (true, false) => "utc_plus",
            (true, true) => "utc_minus",
            (false, false) => "local_plus",
            (false, true) => "local_minus",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [at, _] = take_function_args(self.name(), arg_types)?;
        Ok(at.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [at, by] = take_function_args(self.name(), &args.args)?;
        let is_scalar = matches!((at, by), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let shifted = match at.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => self.shifted::<TimestampSecondType>(at, by, rows)?,
            DataType::Timestamp(TimeUnit::Millisecond, _) => self.shifted::<TimestampMillisecondType>(at, by, rows)?,
            DataType::Timestamp(TimeUnit::Microsecond, _) => self.shifted::<TimestampMicrosecondType>(at, by, rows)?,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => self.shifted::<TimestampNanosecondType>(at, by, rows)?,
            other => return internal_err!("{} of {other}", self.name()),
        };
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&shifted, 0)?)
        } else {
            ColumnarValue::Array(shifted)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{IntervalMonthDayNanoArray, RecordBatch, TimestampMicrosecondArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn context(has_rule: bool) -> SessionContext {
        let mut config = SessionConfig::new();
        config.options_mut().execution.time_zone = Some("UTC".into());
        let context = SessionContext::new_with_config(config);
        if has_rule {
            context.add_analyzer_rule(Arc::new(UtcIntervalArithmetic::new()));
        }
        context
    }

    async fn answer(context: &SessionContext, sql: &str) -> (String, String) {
        let frame = context.sql(sql).await.unwrap();
        let plan = frame.clone().into_optimized_plan().unwrap().to_string();
        let batches = frame.collect().await.unwrap();
        (pretty_format_batches(&batches).unwrap().to_string(), plan)
    }

    /// DataFusion's own arithmetic has the expected values.
    #[tokio::test]
    async fn random_timestamps_and_intervals_match_datafusion() {
        let mut random = Pcg64::seed_from_u64(20);
        let count = 4000;
        // 1905 to 2100, with NULLs, midnights and ends of months
        let day = 86_400_000_000_i64;
        let at = (0..count).map(|row| {
            let at = random.random_range(-23_741..47_482) * day;
            (row % 17 > 0).then(|| if row % 3 == 0 { at } else { at + random.random_range(0..day) })
        });
        let at = TimestampMicrosecondArray::from_iter(at).with_timezone("UTC");
        let by = (0..count).map(|row| {
            let part = |is_there: bool, part: i64| if is_there { part } else { 0 };
            let months = part(row % 2 == 0, random.random_range(-30..30)) as i32;
            let days = part(row % 3 == 0, random.random_range(-70..70)) as i32;
            let nanoseconds = part(row % 5 > 0, random.random_range(-200_000_000_000_000..200_000_000_000_000));
            (row % 13 > 0).then(|| IntervalMonthDayNano::new(months, days, nanoseconds))
        });
        let by = IntervalMonthDayNanoArray::from_iter(by);
        let rows =
            RecordBatch::try_from_iter([("t", Arc::new(at) as ArrayRef), ("i", Arc::new(by) as ArrayRef)]).unwrap();
        let (ours, theirs) = (context(true), context(false));
        for context in [&ours, &theirs] {
            context.register_batch("rows", rows.clone()).unwrap();
        }
        for sql in [
            "select t + i as a, t - i as b, i + t as c from rows",
            "select t + interval '1 month 2 days 3 hours' as a, t - interval '1 year' as b, interval '7 days' + t as c from rows",
            "select timestamptz '2024-01-31 12:00:00Z' + i as a from rows",
            "select timestamptz '2024-01-31 12:00:00Z' + interval '1 month' as a",
            "select date_trunc('second', t) + interval '1.5 seconds' as a, t - cast(null as interval) as b from rows",
            "select count(*) from rows where t + interval '30 days' < timestamptz '2000-01-01 00:00:00Z' - interval '1 month'",
            "select count(*) from rows as a where exists (select 1 from rows as b where b.t - interval '1 day' = a.t + interval '1 day')",
        ] {
            let ((ours, plan), (theirs, _)) = (answer(&ours, sql).await, answer(&theirs, sql).await);
            assert!(ours == theirs, "{sql}");
            // constant expressions are folded during planning
            assert_eq!(plan.contains("utc_"), sql.contains("from rows"), "{plan}");
        }
    }

    /// By hand: the greatest 64-bit integer is 9,223,372,036,854,775,807.
    #[test]
    fn shifts_beyond_the_range_are_none() {
        let by = |months, days, nanoseconds| IntervalMonthDayNano::new(months, days, nanoseconds);
        assert_eq!(shift(i64::MAX - 1, by(0, 0, 1_000), false, 1_000_000), Some(i64::MAX));
        assert_eq!(shift(i64::MAX, by(0, 0, 1_000), false, 1_000_000), None);
        assert_eq!(shift(i64::MIN, by(0, 1, 0), true, 1_000_000), None);
        assert_eq!(shift(0, by(i32::MIN, 0, 0), true, 1), None);
        assert_eq!(shift(0, by(0, 0, -1), false, 1_000_000), Some(-1));
        assert_eq!(shift(0, by(0, 0, 1), true, 1_000_000), Some(-1));
    }

    /// Expected values: PostgreSQL 15 with `set time zone 'Europe/Berlin'`.
    #[test]
    fn days_are_local_days() {
        let seconds = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp();
        for (at, by, is_minus, expected) in [
            ("2025-03-29T12:00:00+01:00", (0, 1, 0), false, "2025-03-30T12:00:00+02:00"),
            ("2025-03-29T02:30:00+01:00", (0, 1, 0), false, "2025-03-30T03:30:00+02:00"),
            ("2025-10-25T02:30:00+02:00", (0, 1, 0), false, "2025-10-26T02:30:00+01:00"),
            ("2025-03-29T12:00:00+01:00", (0, 0, 24), false, "2025-03-30T13:00:00+02:00"),
            ("2025-03-31T12:00:00+02:00", (1, 1, 1), true, "2025-02-27T11:00:00+01:00"),
            ("2025-04-30T02:30:00+02:00", (1, 0, 0), true, "2025-03-30T03:30:00+02:00"),
        ] {
            let by = IntervalMonthDayNano::new(by.0, by.1, by.2 * 3_600_000_000_000);
            let mut clock = LocalClock::new("Europe/Berlin").unwrap();
            let found = shift_local(seconds(at) * 1_000 + 5, by, is_minus, 1_000, &mut clock);
            assert_eq!(found, Some(seconds(expected) * 1_000 + 5), "{at} {by:?}");
        }
    }

    #[tokio::test]
    async fn a_timestamp_beyond_the_range_is_an_error() {
        let sql = "select t + interval '1 day' from (select timestamptz '2262-04-11 12:00:00Z' as t union all select null) where t is not null";
        let ours = context(true);
        let error = ours.sql(sql).await.unwrap().collect().await.unwrap_err().to_string();
        assert!(error.contains("beyond the range of Timestamp(ns"), "{error}");
    }
}
