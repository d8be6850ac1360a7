//! `first_contact_resolved(at, window [, observed_until])` and `is_repeat_contact(at, window)`: what a customer's contacts
//! on one topic say about each other.
//!
//! Formula: first contact = no earlier contact within the window; resolved = no later one within the window, once it has
//!          elapsed; repeat = an earlier one within the window. `a` is within the window of `b` when a <= b + window.
//! Units:   timestamps or dates and an interval in, boolean out.
//! NULL:    a row without a time is no contact and gives NULL; so does, for `first_contact_resolved`, a contact that is no
//!          first contact or whose window has not elapsed and that none follows.
//! Edges:   a gap equal to the window is within it; of equal times the earlier row of the window's order is the earlier
//!          contact; months are those of the calendar on UTC; `observed_until` = at + window has elapsed.
//! Source:  repeat-based FCR as contact centers report it, with windows from 1 to 30 days; leaving out what is not known yet
//!          is right-censoring (Kaplan and Meier 1958).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, IntervalUnit, Schema, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, Expr, LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF,
    WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::utils::collect_columns;

use self::state::{Unit, Window};
use crate::grouped::{GroupedEvaluator, ranges};

pub(crate) mod state;

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
            Question::Resolved => &["at", "window", "observed_until"],
            Question::Repeat => &["at", "window"],
        }
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
        let observed_until = match (self.question, args.input_exprs().get(2)) {
            (Question::Repeat, _) => ObservedUntil::NotAsked,
            (Question::Resolved, None) => ObservedUntil::Constant(now(unit)),
            (Question::Resolved, Some(expr)) if is_literal(expr) => {
                ObservedUntil::Constant(ticks(name, &constant(name, "observed_until", expr)?)?)
            }
            (Question::Resolved, Some(_)) => ObservedUntil::Column,
        };
        let window = window_of(name, &constant(name, "window", window)?, unit)?;
        Ok(ContactEvaluator { name, window, observed_until, order: vec![] })
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
        let (at, window, observed_until) = match (self.question, arg_types) {
            (_, [at, window]) => (at, window, None),
            (Question::Resolved, [at, window, observed_until]) => (at, window, Some(observed_until)),
            (Question::Resolved, _) => {
                return plan_err!(
                    "{name}: takes at, window and optionally observed_until, got {} arguments",
                    arg_types.len()
                );
            }
            (Question::Repeat, _) => {
                return plan_err!("{name}: takes at and window, got {} arguments", arg_types.len());
            }
        };
        let unit = match at {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimeUnit::Nanosecond,
            _ => TimeUnit::Microsecond,
        };
        let timestamp = |parameter: &str, data_type: &DataType, is_text_welcome: bool| match data_type {
            DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(unit, zone.clone())),
            DataType::Date32 | DataType::Date64 | DataType::Null => Ok(DataType::Timestamp(unit, None)),
            text if is_text_welcome && text.is_string() => Ok(DataType::Timestamp(unit, None)),
            other => plan_err!("{name}: {parameter} must be a timestamp or a date, got {other}"),
        };
        let at = timestamp("at", value_type(at), false)?;
        let window = match value_type(window) {
            DataType::Interval(_) | DataType::Duration(_) | DataType::Null => interval(),
            text if text.is_string() => interval(),
            other => return plan_err!("{name}: window must be an interval such as interval '7 days', got {other}"),
        };
        let observed_until =
            observed_until.map(|given| timestamp("observed_until", value_type(given), true)).transpose()?;
        Ok([at, window].into_iter().chain(observed_until).collect())
    }

    fn field(&self, field_args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let is_nullable = match self.question {
            Question::Resolved => true,
            Question::Repeat => field_args.get_input_field(0).is_none_or(|at| at.is_nullable()),
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
        let observed_until = exprs.get(2).filter(|expr| !is_literal(expr));
        exprs.first().into_iter().chain(observed_until).map(Arc::clone).collect()
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
            Question::Resolved => &RESOLVED_DOCUMENTATION,
            Question::Repeat => &REPEAT_DOCUMENTATION,
        })
    }
}

/// An evaluator over whole partitions; the window's frame has no part in it.
#[derive(Debug)]
pub(crate) struct ContactEvaluator {
    name: &'static str,
    window: Window,
    observed_until: ObservedUntil,
    order: Vec<usize>,
}

#[derive(Debug)]
enum ObservedUntil {
    /// The question is whether a contact repeats another one.
    NotAsked,
    Constant(Option<i64>),
    /// The second column given to the evaluator.
    Column,
}

impl PartitionEvaluator for ContactEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        self.evaluate_groups(values, &[0, num_rows])
    }
}

impl GroupedEvaluator for ContactEvaluator {
    fn evaluate_groups(&mut self, values: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        let Some(at) = values.first() else {
            return internal_err!("{}: evaluated without its arguments", self.name);
        };
        let times = time_values(self.name, at)?;
        let ends = match (&self.observed_until, values.get(1)) {
            (ObservedUntil::Column, Some(column)) => Some((column, time_values(self.name, column)?)),
            (ObservedUntil::Column, None) => return internal_err!("{}: observed_until got lost", self.name),
            _ => None,
        };
        let mut answers = vec![None; bounds.last().copied().unwrap_or_default()];
        let (nulls, window, order) = (at.nulls(), self.window, &mut self.order);
        for range in ranges(bounds) {
            let start = range.start;
            let (Some(times), Some(out)) = (times.get(range.clone()), answers.get_mut(range)) else {
                return internal_err!("{}: partitions beyond the rows", self.name);
            };
            let is_known = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(start + row));
            match (&self.observed_until, ends) {
                (ObservedUntil::NotAsked, _) => state::is_repeat_contact(times, is_known, window, order, out),
                (ObservedUntil::Constant(until), _) => {
                    state::first_contact_resolved(times, is_known, window, |_| *until, order, out);
                }
                (ObservedUntil::Column, ends) => {
                    let until = |row: usize| {
                        let (column, ends) = ends?;
                        ends.get(start + row).copied().filter(|_| column.is_valid(start + row))
                    };
                    state::first_contact_resolved(times, is_known, window, until, order, out);
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
    evaluate_constant(expr).map_err(|error| {
        plan_datafusion_err!("{name}: {parameter} must be a constant, got {expr} ({})", error.strip_backtrace())
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

fn ticks(name: &str, value: &ScalarValue) -> Result<Option<i64>> {
    match value {
        ScalarValue::TimestampMicrosecond(ticks, _) | ScalarValue::TimestampNanosecond(ticks, _) => Ok(*ticks),
        other => internal_err!("{name}: observed_until was not coerced, it is {}", other.data_type()),
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

const SECTION: DocSection = DocSection {
    include: true,
    label: "Resolution",
    description: Some("Which contacts solved the matter, and which had to be repeated."),
};

static RESOLVED_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Whether a contact was resolved at first contact, by what the customer did afterwards. \
         Partition by the customer and, unless contacts on any topic are to count as repeats, by the topic.\n\
         Formula: NULL unless no earlier contact of the partition is within the window (first contact); then false when a \
         later one is within the window, true when none is and the window has elapsed, NULL when none is and it has not. \
         A later contact is within the window of an earlier one when later <= earlier + window.\n\
         Units: timestamps of any unit and zone, or dates, in; boolean out. The share of true among the known is the FCR: \
         fcr(first_contact_resolved(..)) over a subquery.\n\
         NULL: a row whose at is NULL is no contact and gives NULL. A contact that is no first contact gives NULL, and so \
         does one that none follows while its window has not elapsed (not known is not resolved) or whose observed_until is NULL.\n\
         Edges: a gap equal to the window is within it. The window has elapsed when observed_until >= at + window: a contact \
         at that very time would have been seen. A contact after observed_until still counts when it is in the data. First contact means no earlier contact \
         within the window before, whatever that one was: three contacts 5 days apart and a window of 7 days have one first \
         contact. Rows of equal time count in the order of the window. Rows are judged by at, also when the window orders them \
         by something else; without ORDER BY the call is an error. The frame has no effect. Months are calendar months on UTC \
         (31 January + 1 month is the last of February), a day is 24 hours; a timestamp without a zone is read as UTC.\n\
         Source: repeat-based FCR as contact centers report it, with windows from 1 to 30 days; the NULL for windows that have not \
         elapsed is right-censoring (Kaplan and Meier 1958), without which the latest contacts look resolved.",
        "first_contact_resolved(at, window [, observed_until]) over (partition by customer_id, topic order by at)",
    )
    .with_argument("at", "Time of the contact: a timestamp or a date.")
    .with_argument(
        "window",
        "How long after a contact another one counts as its repeat: a constant interval such as `interval '7 days'` or the \
         text `'7 days'`, not negative.",
    )
    .with_argument(
        "observed_until",
        "Up to when contacts are known, per row: a timestamp, a date (its start) or such a text. An extract gives its \
         own end. Default: the time at which the query starts.",
    )
    .with_sql_example(
        "```sql
select
    customer_id,
    started_at,
    first_contact_resolved(started_at, '7 days', '2025-03-31') over (
        partition by customer_id order by started_at
    ) as is_resolved
from (values
    ('ann', timestamp '2025-03-01 09:00:00'),
    ('ann', timestamp '2025-03-08 09:00:00'),
    ('ann', timestamp '2025-03-20 09:00:00'),
    ('bob', timestamp '2025-03-28 09:00:00')
) as contacts (customer_id, started_at)
order by customer_id, started_at
```
```text
+-------------+---------------------+-------------+
| customer_id | started_at          | is_resolved |
+-------------+---------------------+-------------+
| ann         | 2025-03-01T09:00:00 | false       |
| ann         | 2025-03-08T09:00:00 |             |
| ann         | 2025-03-20T09:00:00 | true        |
| bob         | 2025-03-28T09:00:00 |             |
+-------------+---------------------+-------------+
```",
    )
    .with_related_udf("is_repeat_contact")
    .build()
});

static REPEAT_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Whether a contact repeats an earlier one. Partition by the customer and, unless contacts on any topic are to count, by \
         the topic.\n\
         Formula: true when an earlier contact of the partition is within the window, that is when at <= earlier + window; \
         else false.\n\
         Units: timestamps of any unit and zone, or dates, in; boolean out. The share of true is the repeat rate: \
         rate(is_repeat_contact(..)) over a subquery.\n\
         NULL: a row whose at is NULL is no contact and gives NULL; no other row does.\n\
         Edges: a gap equal to the window is within it. Rows of equal time count in the order of the window: the first of them \
         repeats none of the others. Rows are judged by at, also when the window orders them by something else; without ORDER \
         BY the call is an error. The frame has no effect. Months are calendar months on UTC (31 January + 1 month is the last \
         of February), a day is 24 hours.\n\
         Source: repeat contact rate as contact centers report it, with windows from 1 to 30 days, 7 to 14 most.",
        "is_repeat_contact(at, window) over (partition by customer_id, topic order by at)",
    )
    .with_argument("at", "Time of the contact: a timestamp or a date.")
    .with_argument(
        "window",
        "How long after a contact another one counts as its repeat: a constant interval such as `interval '7 days'` or the \
         text `'7 days'`, not negative.",
    )
    .with_sql_example(
        "```sql
select
    customer_id,
    started_at,
    is_repeat_contact(started_at, '7 days') over (partition by customer_id order by started_at) as is_repeat
from (values
    ('ann', timestamp '2025-03-01 09:00:00'),
    ('ann', timestamp '2025-03-08 09:00:00'),
    ('ann', timestamp '2025-03-20 09:00:00'),
    ('bob', timestamp '2025-03-28 09:00:00')
) as contacts (customer_id, started_at)
order by customer_id, started_at
```
```text
+-------------+---------------------+-----------+
| customer_id | started_at          | is_repeat |
+-------------+---------------------+-----------+
| ann         | 2025-03-01T09:00:00 | false     |
| ann         | 2025-03-08T09:00:00 | true      |
| ann         | 2025-03-20T09:00:00 | false     |
| bob         | 2025-03-28T09:00:00 | false     |
+-------------+---------------------+-----------+
```",
    )
    .with_related_udf("first_contact_resolved")
    .build()
});

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
        for (question, is_nullable, expected) in
            [(Question::Repeat, false, false), (Question::Repeat, true, true), (Question::Resolved, false, true)]
        {
            let fields = [at_field(is_nullable)];
            let field = ContactFunction::new(question).field(WindowUDFFieldArgs::new(&fields, "f"))?;
            assert_eq!(field.is_nullable(), expected, "{question:?} of a nullable {is_nullable} time");
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
