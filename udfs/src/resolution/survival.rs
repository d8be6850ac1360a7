//! `fcr_survival(at, next_at, window [, observed_until])` and `fcr_survival_error(..)`: first-contact resolution with the
//! newest contacts, whose windows have not elapsed, by the Kaplan-Meier estimator.
//!
//! Formula: product over the times t <= window at which repeats follow of 1 - repeats at t / contacts followed up to t; a
//!          contact is followed up to its repeat, the end of its window or observed_until. The error is Greenwood's,
//!          S * sqrt(sum of d / (n (n - d))).
//! Units:   timestamps or dates and an interval in, ratio in [0, 1] out.
//! NULL:    a row without at or observed_until is skipped, as is one after observed_until; no row left gives NULL, and so
//!          does data in which no contact is followed up to the end of the window.
//! Edges:   a repeat and the end of the observation at the same time: the repeat was seen. A next_at before at is an error.
//! Source:  Kaplan and Meier, Nonparametric Estimation from Incomplete Observations, Journal of the American Statistical
//!          Association 53 (1958) 457-481; Greenwood, The Natural Duration of Cancer, 1926.
//! Choices: docs/decisions/definitions.md, Resolution.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err, internal_datafusion_err, internal_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, ReversedUDAF, Signature, Volatility,
};

use self::estimate::FollowUp;
use super::state::{Unit, Window};
use super::{
    bound_type, constant, now, pages, time_values, timestamp_scalar, timestamp_type, window_of, window_type, zone_of,
};

mod estimate;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [Figure::Share, Figure::Error].map(|figure| Arc::new(AggregateUDF::from(SurvivalFunction::new(figure)))).to_vec()
}

/// Which figure of the estimate is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Figure {
    Share,
    Error,
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Figure::Share => "fcr_survival",
            Figure::Error => "fcr_survival_error",
        }
    }
}

const PARAMETERS: [&str; 4] = ["at", "next_at", "window", "observed_until"];

#[derive(Debug, PartialEq, Eq, Hash)]
struct SurvivalFunction {
    figure: Figure,
    signature: Signature,
}

impl SurvivalFunction {
    fn new(figure: Figure) -> Self {
        // How long a contact has been followed changes from one query to the next.
        let mut signature = Signature::user_defined(Volatility::Stable);
        signature.parameter_names = Some(PARAMETERS.iter().map(|name| (*name).to_string()).collect());
        Self { figure, signature }
    }

    fn refuse_distinct(&self, is_distinct: bool) -> Result<()> {
        if is_distinct {
            return plan_err!(
                "{}: DISTINCT is not supported, equal rows are different contacts; \
                 remove duplicate rows before with select distinct",
                self.name()
            );
        }
        Ok(())
    }
}

impl AggregateUDFImpl for SurvivalFunction {
    fn name(&self) -> &str {
        self.figure.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let ([at, next_at, window, observed_until @ ..], true) = (arg_types, arg_types.len() <= PARAMETERS.len())
        else {
            return plan_err!(
                "{name}: takes at, next_at, window and optionally observed_until, got {} arguments",
                arg_types.len()
            );
        };
        let unit = match at {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => TimeUnit::Nanosecond,
            _ => TimeUnit::Microsecond,
        };
        let at = timestamp_type(name, "at", at, unit)?;
        let zone = zone_of(&at);
        let mut types = vec![at, timestamp_type(name, "next_at", next_at, unit)?, window_type(name, window)?];
        for given in observed_until {
            types.push(bound_type(name, "observed_until", given, unit, zone.as_ref())?);
        }
        Ok(types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn is_nullable(&self) -> bool {
        true
    }

    /// Makes "now" the time at which the query began, the same in all partitions.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let figure = self.figure;
        Some(Box::new(move |mut call: AggregateFunction, info| {
            Self::new(figure).refuse_distinct(call.params.distinct)?;
            if let [at, _next_at, _window] = call.params.args.as_slice()
                && let DataType::Timestamp(unit, zone) = info.get_data_type(at)?
                && let Some(now) = info.query_execution_start_time()
            {
                let now = match unit {
                    TimeUnit::Nanosecond => now.timestamp_nanos_opt(),
                    _ => Some(now.timestamp_micros()),
                };
                call.params.args.push(Expr::Literal(timestamp_scalar(unit, zone, now), None));
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.refuse_distinct(args.is_distinct)?;
        let times = DataType::List(times_field());
        let columns = [("repeated", times.clone()), ("censored", times), ("resolved", DataType::Int64)];
        let fields = columns
            .map(|(column, data_type)| Arc::new(Field::new(format_state_name(args.name, column), data_type, true)));
        Ok(fields.to_vec())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let name = self.figure.name();
        self.refuse_distinct(args.is_distinct)?;
        let (Some(at), Some(window)) = (args.expr_fields.first(), args.exprs.get(2)) else {
            return internal_err!("{name}: planned without its arguments");
        };
        let unit = match at.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Unit::Nanosecond,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Unit::Microsecond,
            other => return internal_err!("{name}: at was not coerced, it is {other}"),
        };
        let window = window_of(name, &constant(name, "window", window)?, unit)?;
        Ok(Box::new(SurvivalAccumulator { figure: self.figure, window, now: now(unit), seen: FollowUp::default() }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.figure {
            Figure::Share => &SHARE,
            Figure::Error => &ERROR,
        })
    }
}

fn times_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

/// One group.
#[derive(Debug)]
struct SurvivalAccumulator {
    figure: Figure,
    window: Window,
    /// For a plan that no optimizer gave the start of its query.
    now: Option<i64>,
    seen: FollowUp,
}

impl SurvivalAccumulator {
    /// Hands each contact of a batch to `each`: its time, the time of the next one, the end of the observation.
    fn each_contact(&self, values: &[ArrayRef], mut each: impl FnMut(i64, Option<i64>, i64)) -> Result<()> {
        let name = self.figure.name();
        let (Some(at), Some(next_at)) = (values.first(), values.get(1)) else {
            return internal_err!("{name}: evaluated without its arguments");
        };
        let (times, next_times) = (time_values(name, at)?, time_values(name, next_at)?);
        let until = match values.get(3) {
            None => None,
            Some(column) => Some((column, time_values(name, column)?)),
        };
        for (row, (&time, &next_time)) in times.iter().zip(next_times).enumerate() {
            let observed_until = match until {
                None => self.now,
                Some((column, ends)) => ends.get(row).copied().filter(|_| column.is_valid(row)),
            };
            let (true, Some(observed_until)) = (at.is_valid(row), observed_until) else { continue };
            let next = next_at.is_valid(row).then_some(next_time);
            if next.is_some_and(|next| next < time) {
                return exec_err!(
                    "{name}: next_at must not be before at, got a contact whose next one is earlier; write \
                     lead(at) over (partition by .. order by at)"
                );
            }
            each(time, next, observed_until);
        }
        Ok(())
    }
}

impl Accumulator for SurvivalAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut seen = std::mem::take(&mut self.seen);
        let window = self.window;
        let result = self.each_contact(values, |at, next, until| seen.add(at, next, window, until));
        self.seen = seen;
        result
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut gone = FollowUp::default();
        self.each_contact(values, |at, next, until| gone.add(at, next, self.window, until))?;
        self.seen.retract(gone);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let name = self.figure.name();
        let wrong = || internal_datafusion_err!("{name}: its state is not two lists and a count");
        let list = |index: usize| states.get(index).and_then(|column| column.as_list_opt::<i32>()).ok_or_else(wrong);
        let resolved = states.get(2).and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(wrong)?;
        let (repeated, censored) = (list(0)?, list(1)?);
        for (row, &resolved) in resolved.values().iter().enumerate() {
            let (repeated, censored) = (repeated.value(row), censored.value(row));
            let repeated = repeated.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            let censored = censored.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            self.seen.merge(repeated.values(), censored.values(), resolved);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (repeated, censored, resolved) = self.seen.parts();
        let list = |times: &[i64]| -> Result<ScalarValue> {
            let values = times.iter().copied().map(Some).collect::<Int64Array>();
            let offsets = OffsetBuffer::from_lengths([times.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(times_field(), offsets, Arc::new(values), None)?)))
        };
        Ok(vec![list(repeated)?, list(censored)?, ScalarValue::Int64(Some(resolved))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let estimate = self.seen.estimate();
        Ok(ScalarValue::Float64(estimate.map(|estimate| match self.figure {
            Figure::Share => estimate.share,
            Figure::Error => estimate.error,
        })))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.heap_size()
    }
}

const AT: &str = "Time of a first contact: a timestamp or a date.";
const NEXT_AT: &str = "Time of the next contact of the same customer and topic, `lead(at) over (partition by customer_id, topic \
     order by at)`; NULL when none followed.";
const WINDOW: &str = "How long after a contact another one counts as its repeat: a constant interval such as `interval '7 days'` \
     or the text `'7 days'`, not negative.";
const OBSERVED_UNTIL: &str = "Up to when contacts are known, per row: a timestamp, a date (its start) or such a text. An extract \
     gives its own end. Default: the time at which the query starts.";

const EXAMPLE: &str = "from (values
    (timestamp '2025-03-01 09:00:00', timestamp '2025-03-04 09:00:00'),
    (timestamp '2025-03-10 09:00:00', null),
    (timestamp '2025-03-20 09:00:00', null),
    (timestamp '2025-03-29 09:00:00', null),
    (timestamp '2025-03-30 09:00:00', timestamp '2025-03-30 21:00:00')
) as first_contacts (started_at, next_at)
```";

static SHARE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        pages::SECTION,
        "First-contact resolution with the newest contacts: the share of first contacts that no repeat follows within the \
         window, by the Kaplan-Meier estimator. The plain share, fcr(first_contact_resolved(..)), rests on the contacts whose \
         window has elapsed; this one also uses what is known of the others. Give it first contacts only: filter (where not \
         is_repeat).\n\
         Formula: the product over the times t up to the window of 1 - d / n, with d contacts repeated after t and n contacts \
         that were followed for at least t. A contact is followed up to its repeat or to observed_until, where it is censored. \
         Where no window is cut short this is the plain share, exactly.\n\
         Units: timestamps of any unit and zone, or dates, and an interval in; ratio from 0 to 1 out.\n\
         NULL: a row whose at or observed_until is NULL is skipped, and so is one after observed_until. No row left gives NULL; so \
         does a group in which the last contact in observation is censored before its window ends, as nothing is known of the \
         rest of the window.\n\
         Edges: a repeat exactly at the end of the window is within it. A repeat after observed_until was not observed. Of a \
         repeat and a censoring after the same time the repeat comes first. With calendar months, whose lengths differ, time \
         runs as the part of each contact's own window. A next_at before at is an error; DISTINCT is refused. The times of \
         repeats and censored contacts are held in memory, 8 bytes each.\n\
         Source: E. L. Kaplan and P. Meier, Nonparametric Estimation from Incomplete Observations, Journal of the American \
         Statistical Association 53 (1958) 457-481. It assumes that the newest contacts are repeated like the older ones.",
        "fcr_survival(at, next_at, window [, observed_until])",
    )
    .with_argument("at", AT)
    .with_argument("next_at", NEXT_AT)
    .with_argument("window", WINDOW)
    .with_argument("observed_until", OBSERVED_UNTIL)
    .with_sql_example(format!(
        "```sql
select fcr_survival(started_at, next_at, '7 days', '2025-03-31 09:00:00') as fcr_survival_ratio
{EXAMPLE}
```text
+--------------------+
| fcr_survival_ratio |
+--------------------+
| 0.5333333333333333 |
+--------------------+
```"
    ))
    .with_related_udf("fcr_survival_error")
    .with_related_udf("fcr")
    .with_related_udf("first_contact_resolved")
    .build()
});

static ERROR: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        pages::SECTION,
        "Standard error of fcr_survival; 1.96 times it is the margin of 95 %.\n\
         Formula: Greenwood's, S * sqrt(sum of d / (n (n - d))) over the times up to the window, with S, d and n of \
         fcr_survival. Where no window is cut short this is sqrt(S (1 - S) / n).\n\
         Units: timestamps of any unit and zone, or dates, and an interval in; a part of the ratio out.\n\
         NULL: as fcr_survival.\n\
         Edges: a share of 0 or 1 has the error 0, whatever the number of contacts. DISTINCT is refused.\n\
         Source: M. Greenwood, The Natural Duration of Cancer, Reports on Public Health and Medical Subjects 33, HMSO 1926.",
        "fcr_survival_error(at, next_at, window [, observed_until])",
    )
    .with_argument("at", AT)
    .with_argument("next_at", NEXT_AT)
    .with_argument("window", WINDOW)
    .with_argument("observed_until", OBSERVED_UNTIL)
    .with_sql_example(format!(
        "```sql
select round(fcr_survival_error(started_at, next_at, '7 days', '2025-03-31 09:00:00'), 4) as fcr_survival_error
{EXAMPLE}
```text
+--------------------+
| fcr_survival_error |
+--------------------+
| 0.2483             |
+--------------------+
```"
    ))
    .with_related_udf("fcr_survival")
    .build()
});
