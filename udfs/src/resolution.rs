//! `first_contact_resolved(at, window [, observed_until [, observed_from]])` and
//! `is_repeat_contact(at, window [, observed_from])`: what a customer's contacts on one topic say about each other.
//!
//! Formula: first contact = no earlier contact within the window; resolved = no later one within the window; repeat = an
//!          earlier one within the window. `a` is within the window of `b` when a <= b + window.
//! Units:   timestamps or dates and an interval in, boolean out.
//! NULL:    a row without a time is no contact and gives NULL; so does a contact before observed_from + window, as it may
//!          repeat one that was not observed; so does, for `first_contact_resolved`, a contact that is no first contact or
//!          whose window has not elapsed, whether or not a repeat has been seen already.
//! Edges:   a gap equal to the window is within it; of equal times the earlier row of the window's order is the earlier
//!          contact; months are those of the calendar on UTC; `observed_until` = at + window has elapsed; a contact at
//!          observed_from + window is judged.
//! Source:  repeat-based FCR as contact centers report it, with windows from 1 to 30 days; leaving out what is not known yet
//!          is right-censoring, what was before the data begins left-censoring (Klein and Moeschberger, Survival Analysis,
//!          2nd ed. 2003, chapter 3).

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, IntervalUnit, Schema, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, internal_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF,
    WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::utils::collect_columns;

use self::state::{Unit, Window};
use crate::grouped::{GroupedEvaluator, ranges};

mod pages;
pub(crate) mod state;
pub(crate) mod survival;

/// The window functions of the family.
pub(crate) fn window_functions() -> Vec<Arc<WindowUDF>> {
    [Question::Resolved, Question::Repeat]
        .map(|question| Arc::new(WindowUDF::new_from_impl(ContactFunction::new(question))))
        .to_vec()
}

/// What is asked about each contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Resolved,
    Repeat,
}

impl Question {
    fn name(self) -> &'static str {
        match self {
            Question::Resolved => "first_contact_resolved",
            Question::Repeat => "is_repeat_contact",
        }
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Question::Resolved => &["at", "window", "observed_until", "observed_from"],
            Question::Repeat => &["at", "window", "observed_from"],
        }
    }

    /// The parameters as a sentence names them.
    fn takes(self) -> &'static str {
        match self {
            Question::Resolved => "at, window and optionally observed_until and observed_from",
            Question::Repeat => "at, window and optionally observed_from",
        }
    }

    /// The position of a parameter; `None` for one that the function does not have.
    fn position(self, parameter: &str) -> Option<usize> {
        self.parameters().iter().position(|name| *name == parameter)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContactFunction {
    question: Question,
    signature: Signature,
}

impl ContactFunction {
    fn new(question: Question) -> Self {
        // The answer to "resolved by now?" changes from one query to the next.
        let volatility = match question {
            Question::Resolved => Volatility::Stable,
            Question::Repeat => Volatility::Immutable,
        };
        let mut signature = Signature::user_defined(volatility);
        signature.parameter_names = Some(question.parameters().iter().map(|name| (*name).to_string()).collect());
        Self { question, signature }
    }

    /// The evaluator of one call.
    pub(crate) fn evaluator(&self, args: PartitionEvaluatorArgs) -> Result<ContactEvaluator> {
        let name = self.question.name();
        if args.ignore_nulls() {
            return plan_err!("{name}: IGNORE NULLS has no meaning here: rows without a time are never contacts");
        }
        let (Some(at), Some(window)) = (args.input_fields().first(), args.input_exprs().get(1)) else {
            return internal_err!("{name}: planned without its arguments");
        };
        let unit = match at.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Unit::Nanosecond,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Unit::Microsecond,
            other => return internal_err!("{name}: at was not coerced, it is {other}"),
        };
        // Only bounds that are no constants become columns; they follow `at`, in the order of the arguments.
        let mut columns = 1;
        let mut bound = |parameter: &str| match self.bound(parameter, args.input_exprs()) {
            None => Ok(Bound::Absent),
            Some(expr) if is_literal(expr) => {
                Ok(Bound::Constant(ticks(name, parameter, &constant(name, parameter, expr)?)?))
            }
            Some(_) => {
                columns += 1;
                Ok::<_, DataFusionError>(Bound::Column(columns - 1))
            }
        };
        let observed_until = match (self.question, bound("observed_until")?) {
            (Question::Resolved, Bound::Absent) => Bound::Constant(now(unit)),
            (_, bound) => bound,
        };
        let observed_from = bound("observed_from")?;
        let window = window_of(name, &constant(name, "window", window)?, unit)?;
        Ok(ContactEvaluator { question: self.question, window, observed_until, observed_from, order: vec![] })
    }

    /// The expression of `observed_until` or `observed_from`; `None` when it was not given.
    fn bound<'a>(&self, parameter: &str, exprs: &'a [Arc<dyn PhysicalExpr>]) -> Option<&'a Arc<dyn PhysicalExpr>> {
        self.question.position(parameter).and_then(|position| exprs.get(position))
    }
}

impl WindowUDFImpl for ContactFunction {
    fn name(&self) -> &str {
        self.question.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Times become microseconds or, where `at` has them, nanoseconds; every kind of interval becomes one.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let parameters = self.question.parameters();
        let ([at, window, bounds @ ..], true) = (arg_types, arg_types.len() <= parameters.len()) else {
            return plan_err!("{name}: takes {}, got {} arguments", self.question.takes(), arg_types.len());
        };
        let unit = match at {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimeUnit::Nanosecond,
            _ => TimeUnit::Microsecond,
        };
        let at = timestamp_type(name, "at", at, unit)?;
        let zone = zone_of(&at);
        let window = window_type(name, window)?;
        let bounds = parameters.iter().skip(2).zip(bounds);
        let bounds = bounds.map(|(parameter, given)| bound_type(name, parameter, given, unit, zone.as_ref()));
        [Ok(at), Ok(window)].into_iter().chain(bounds).collect()
    }

    fn field(&self, field_args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let is_nullable = match self.question {
            Question::Resolved => true,
            Question::Repeat => {
                field_args.get_input_field(0).is_none_or(|at| at.is_nullable())
                    || field_args.get_input_field(2).is_some()
            }
        };
        Ok(Arc::new(Field::new(field_args.name(), DataType::Boolean, is_nullable)))
    }

    /// Refuses what an OVER clause may hold and the function has no meaning for; makes "now" the time at which the query
    /// began, the same for all rows.
    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        let question = self.question;
        Some(Box::new(move |mut call: WindowFunction, info| {
            let name = question.name();
            refuse_distinct(name, &call)?;
            if call.params.order_by.is_empty() {
                return plan_err!(
                    "{name}: needs ORDER BY in its OVER clause, got none; write over (partition by .. order by ..) with the time of the contact"
                );
            }
            if question == Question::Resolved
                && let [at, _window] = call.params.args.as_slice()
                && let DataType::Timestamp(unit, zone) = info.get_data_type(at)?
                && let Some(now) = info.query_execution_start_time()
            {
                let now = match unit {
                    TimeUnit::Nanosecond => now.timestamp_nanos_opt(),
                    _ => Some(now.timestamp_micros()),
                };
                call.params.args.push(Expr::Literal(timestamp_scalar(unit, zone, now), None));
            }
            Ok(Expr::from(call))
        }))
    }

    /// Constants are not handed to the evaluator row by row.
    fn expressions(&self, expr_args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        let exprs = expr_args.input_exprs();
        let bounds = ["observed_until", "observed_from"].into_iter().filter_map(|name| self.bound(name, exprs));
        exprs.first().into_iter().chain(bounds.filter(|expr| !is_literal(expr))).map(Arc::clone).collect()
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(self.evaluator(args)?))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // Whether a contact is resolved depends on the rows after it.
        LimitEffect::Unknown
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.question {
            Question::Resolved => &pages::RESOLVED,
            Question::Repeat => &pages::REPEAT,
        })
    }
}

/// An evaluator over whole partitions; the window's frame has no part in it.
#[derive(Debug)]
pub(crate) struct ContactEvaluator {
    question: Question,
    window: Window,
    observed_until: Bound,
    observed_from: Bound,
    order: Vec<usize>,
}

/// Where one end of the observed period comes from.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Absent,
    Constant(Option<i64>),
    /// The index of its column among those given to the evaluator.
    Column(usize),
}

impl Bound {
    /// The end for each row: `None` where it is NULL. Not to be asked of an absent one.
    fn values(self, name: &str, columns: &[ArrayRef]) -> Result<impl Fn(usize) -> Option<i64>> {
        let (constant, column) = match self {
            Bound::Absent => (None, None),
            Bound::Constant(constant) => (constant, None),
            Bound::Column(index) => match columns.get(index) {
                Some(column) => (None, Some((column.nulls(), time_values(name, column)?))),
                None => return internal_err!("{name}: column {index} of its arguments is missing"),
            },
        };
        Ok(move |row: usize| match column {
            None => constant,
            Some((nulls, values)) => values.get(row).copied().filter(|_| nulls.is_none_or(|nulls| nulls.is_valid(row))),
        })
    }
}

impl PartitionEvaluator for ContactEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        self.evaluate_groups(values, &[0, num_rows])
    }
}

impl GroupedEvaluator for ContactEvaluator {
    fn evaluate_groups(&mut self, values: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        let name = self.question.name();
        let Some(at) = values.first() else {
            return internal_err!("{name}: evaluated without its arguments");
        };
        let times = time_values(name, at)?;
        let observed_until = self.observed_until.values(name, values)?;
        let observed_from = self.observed_from.values(name, values)?;
        let (nulls, window, order) = (at.nulls(), self.window, &mut self.order);
        let is_from_given = !matches!(self.observed_from, Bound::Absent);
        let is_judged =
            |row: usize, time: i64| !is_from_given || observed_from(row).is_some_and(|from| window.end(from) <= time);
        let mut answers = vec![None; bounds.last().copied().unwrap_or_default()];
        for range in ranges(bounds) {
            let start = range.start;
            let (Some(times), Some(out)) = (times.get(range.clone()), answers.get_mut(range)) else {
                return internal_err!("{name}: partitions beyond the rows");
            };
            let is_known = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(start + row));
            let is_judged = |row: usize, time: i64| is_judged(start + row, time);
            match self.question {
                Question::Repeat => state::is_repeat_contact(times, is_known, window, is_judged, order, out),
                Question::Resolved => {
                    let until = |row: usize| observed_until(start + row);
                    state::first_contact_resolved(times, is_known, window, until, is_judged, order, out);
                }
            }
        }
        Ok(Arc::new(BooleanArray::from(answers)))
    }
}

/// Refuses `DISTINCT`, which DataFusion accepts after every window function and hands to none. (It refuses FILTER itself.)
pub(crate) fn refuse_distinct(name: &str, call: &WindowFunction) -> Result<()> {
    if call.params.distinct {
        return plan_err!("{name}: DISTINCT is not supported, got it; remove duplicates in a subquery or a CTE before");
    }
    Ok(())
}

/// The type of the values of a dictionary, any other type itself.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// The type to which a time is cast: a timestamp of `unit`.
fn timestamp_type(name: &str, parameter: &str, given: &DataType, unit: TimeUnit) -> Result<DataType> {
    match value_type(given) {
        DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(unit, zone.clone())),
        DataType::Date32 | DataType::Date64 | DataType::Null => Ok(DataType::Timestamp(unit, None)),
        other => plan_err!("{name}: {parameter} must be a timestamp or a date, got {other}"),
    }
}

/// The type to which an end of the observed period is cast, which may be a string. What has no time zone is in that of the
/// times, `zone`.
fn bound_type(
    name: &str,
    parameter: &str,
    given: &DataType,
    unit: TimeUnit,
    zone: Option<&Arc<str>>,
) -> Result<DataType> {
    if value_type(given).is_string() {
        return Ok(DataType::Timestamp(unit, zone.cloned()));
    }
    Ok(match timestamp_type(name, parameter, given, unit)? {
        DataType::Timestamp(unit, None) => DataType::Timestamp(unit, zone.cloned()),
        zoned => zoned,
    })
}

fn zone_of(data_type: &DataType) -> Option<Arc<str>> {
    match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

/// The type to which a window is cast.
fn window_type(name: &str, given: &DataType) -> Result<DataType> {
    match value_type(given) {
        DataType::Interval(_) | DataType::Duration(_) | DataType::Null => Ok(interval()),
        string if string.is_string() => Ok(interval()),
        other => plan_err!("{name}: window must be an interval such as interval '7 days', got {other}"),
    }
}

const fn interval() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

fn timestamp_scalar(unit: TimeUnit, zone: Option<Arc<str>>, ticks: Option<i64>) -> ScalarValue {
    match unit {
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(ticks, zone),
        _ => ScalarValue::TimestampMicrosecond(ticks, zone),
    }
}

/// The present time, for a plan that no optimizer gave the start of its query.
fn now(unit: Unit) -> Option<i64> {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(match unit {
        Unit::Microsecond => since_1970.as_micros(),
        Unit::Nanosecond => since_1970.as_nanos(),
    })
    .ok()
}

fn is_literal(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some()
}

fn evaluate_constant(expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
    match expr.evaluate(&batch)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}

/// The value of an argument that must be the same for all rows.
fn constant(name: &str, parameter: &str, expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    if !collect_columns(expr).is_empty() {
        return plan_err!("{name}: {parameter} must be a constant, got {expr}");
    }
    evaluate_constant(expr).map_err(|error| match error.find_root() {
        // such as an interval without a unit
        DataFusionError::Execution(message) => plan_datafusion_err!("{name}: {parameter}: {message}"),
        _ => plan_datafusion_err!("{name}: {parameter} must be a constant, got {expr} ({})", error.strip_backtrace()),
    })
}

fn window_of(name: &str, value: &ScalarValue, unit: Unit) -> Result<Window> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(length)) => {
            Window::new(length.months, length.days, length.nanoseconds, unit)
                .ok_or_else(|| plan_datafusion_err!("{name}: window must be >= 0, got {}", interval_text(value)))
        }
        value if value.is_null() => plan_err!("{name}: window must be an interval such as interval '7 days', got NULL"),
        other => internal_err!("{name}: window was not coerced, it is {}", other.data_type()),
    }
}

/// An interval as SQL shows it; the value itself when it cannot be shown.
fn interval_text(value: &ScalarValue) -> String {
    value.to_array().and_then(|array| Ok(array_value_to_string(&array, 0)?)).unwrap_or_else(|_| value.to_string())
}

fn ticks(name: &str, parameter: &str, value: &ScalarValue) -> Result<Option<i64>> {
    match value {
        ScalarValue::TimestampMicrosecond(ticks, _) | ScalarValue::TimestampNanosecond(ticks, _) => Ok(*ticks),
        other => internal_err!("{name}: {parameter} was not coerced, it is {}", other.data_type()),
    }
}

fn time_values<'a>(name: &str, times: &'a ArrayRef) -> Result<&'a [i64]> {
    if let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() {
        Ok(times.values())
    } else if let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() {
        Ok(times.values())
    } else {
        exec_err!("{name}: cannot read times of type {}", times.data_type())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::TimestampMicrosecondArray;
    use datafusion::arrow::datatypes::IntervalMonthDayNano;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    fn microseconds() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    }

    fn at_field(is_nullable: bool) -> FieldRef {
        Arc::new(Field::new("at", microseconds(), is_nullable))
    }

    #[test]
    fn a_plan_without_a_start_of_the_query_counts_up_to_now() -> Result<()> {
        let week = ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, 7, 0)));
        let args: [Arc<dyn PhysicalExpr>; 2] = [Arc::new(Column::new("at", 0)), Arc::new(Literal::new(week))];
        let fields = [at_field(true), Arc::new(Field::new("window", interval(), false))];
        let function = ContactFunction::new(Question::Resolved);
        let mut evaluator = function.partition_evaluator(PartitionEvaluatorArgs::new(&args, &fields, false, false))?;
        // In 1970 and a day ago.
        let yesterday = now(Unit::Microsecond).map(|now| now - Unit::Microsecond.per_day());
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, yesterday]));
        let answers = evaluator.evaluate_all(&[times], 3)?;
        assert_eq!(answers.as_boolean(), &BooleanArray::from(vec![Some(true), None, None]));
        Ok(())
    }

    #[test]
    fn a_repeat_is_unknown_only_where_the_time_may_be() -> Result<()> {
        for (question, is_nullable, arguments, expected) in [
            (Question::Repeat, false, 2, false),
            (Question::Repeat, true, 2, true),
            // A contact may be too near to observed_from.
            (Question::Repeat, false, 3, true),
            (Question::Resolved, false, 2, true),
        ] {
            let fields = vec![at_field(is_nullable); arguments];
            let field = ContactFunction::new(question).field(WindowUDFFieldArgs::new(&fields, "f"))?;
            assert_eq!(field.is_nullable(), expected, "{question:?}, nullable {is_nullable}, {arguments} arguments");
        }
        Ok(())
    }

    #[test]
    fn the_ends_of_the_observed_period_may_be_columns_or_constants() -> Result<()> {
        let day = |day: i64| Some(day * Unit::Microsecond.per_day());
        let times = |days: &[Option<i64>]| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(days.to_vec())) };
        let literal =
            |ticks| -> Arc<dyn PhysicalExpr> { Arc::new(Literal::new(ScalarValue::TimestampMicrosecond(ticks, None))) };
        let column = |index| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new("c", index)) };
        let week = ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, 7, 0)));
        let week: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(week));
        let fields = vec![at_field(true); 4];
        // Days 5, 7, 20 and 25 of data from day 0 to day 30: 5 is too early, 7 repeats it, 20 is repeated on day 25.
        let at = times(&[day(5), day(7), day(20), day(25)]);
        let (until, from) = (times(&[day(30); 4]), times(&[day(0); 4]));
        for (bounds, columns) in [
            ([literal(day(30)), literal(day(0))], vec![]),
            ([column(1), literal(day(0))], vec![Arc::clone(&until)]),
            ([literal(day(30)), column(1)], vec![Arc::clone(&from)]),
            ([column(1), column(2)], vec![until, from]),
        ] {
            let args: Vec<_> = [column(0), Arc::clone(&week)].into_iter().chain(bounds).collect();
            let function = ContactFunction::new(Question::Resolved);
            let args = PartitionEvaluatorArgs::new(&args, &fields, false, false);
            let values: Vec<ArrayRef> = [Arc::clone(&at)].into_iter().chain(columns).collect();
            let answers = function.evaluator(args)?.evaluate_groups(&values, &[0, 4])?;
            assert_eq!(answers.as_boolean(), &BooleanArray::from(vec![None, None, Some(false), None]));
        }
        Ok(())
    }

    #[test]
    fn observed_until_takes_the_unit_of_at_and_keeps_its_zone() -> Result<()> {
        let function = ContactFunction::new(Question::Resolved);
        let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        let nanoseconds = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Into::into));
        for (given, expected) in [
            (
                [utc(TimeUnit::Microsecond), DataType::Utf8, nanoseconds(Some("+00:00"))],
                [
                    utc(TimeUnit::Microsecond),
                    interval(),
                    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
                ],
            ),
            ([nanoseconds(None), interval(), DataType::Date32], [nanoseconds(None), interval(), nanoseconds(None)]),
            (
                [DataType::Date32, DataType::Null, utc(TimeUnit::Second)],
                [microseconds(), interval(), utc(TimeUnit::Microsecond)],
            ),
        ] {
            assert_eq!(function.coerce_types(&given)?, expected);
        }
        Ok(())
    }
}
