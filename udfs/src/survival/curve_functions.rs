//! `kaplan_meier(duration, is_event)` and `median_survival(duration, is_event)`: the share that is left after each time.
//!
//! Formula: S(t) = product over the times of events up to t of 1 - events / at risk; Greenwood's error.
//! Units:   those of the duration.
//! NULL:    a row with a NULL or a duration below 0 is skipped.
//! Edges:   events at a time come before the censorings at it.
//! Source:  E. L. Kaplan and P. Meier 1958; M. Greenwood 1926; J. D. Kalbfleisch and R. L. Prentice 2002 (log-log interval);
//!          R. Brookmeyer and J. Crowley 1982 (interval of the median).

use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::curve::{Band, Moment, kaplan_meier, life_table, median_with_bounds};
use super::{DURATION, DURATION_TEXT, IS_EVENT, IS_EVENT_TEXT, LEVEL, LEVEL_TEXT, NO_ROWS, critical, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::fit::value::{Shape, Value};
use crate::fit::{FitRows, RowFit, row_fit};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![row_fit(KaplanMeier), row_fit(MedianSurvival)]
}

const METHODS: &[(&str, Band)] =
    &[("log-log", Band::LogLog), ("log_log", Band::LogLog), ("log", Band::Log), ("plain", Band::Plain)];

const METHOD: Parameter = Parameter::constant("method", Kind::Text);

const METHOD_TEXT: &str =
    "Constant string: the scale of the interval, 'log_log' (default), 'log' (that of R) or 'plain'.";

/// The interval of a call.
#[derive(Debug)]
struct Interval {
    band: Band,
    z: f64,
}

fn interval(constants: &Constants) -> Result<Interval> {
    let band = constants.choice("method", METHODS)?.unwrap_or(Band::LogLog);
    Ok(Interval { band, z: critical(constants)? })
}

/// The life table of sorted rows `duration, is_event, .., count`.
pub(super) fn moments<'a>(rows: impl Iterator<Item = &'a [f64]>) -> Vec<Moment> {
    life_table(rows.filter_map(|row| match row {
        [time, is_event, .., count] => Some((*time, *is_event != 0.0, *count as u64)),
        _ => None,
    }))
}

/// Whether a duration is one.
pub(super) fn is_duration(row: &[f64]) -> bool {
    row.first().is_some_and(|duration| *duration >= 0.0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct KaplanMeier;

impl RowFit for KaplanMeier {
    const CALL: Call = Call {
        function: "kaplan_meier",
        syntax: "kaplan_meier(duration, is_event [, method [, level]])",
        parameters: &[DURATION, IS_EVENT, METHOD, LEVEL],
        arities: &[2, 3, 4],
    };
    const RESULT: Shape = Shape::List(&[
        ("time", Shape::Number),
        ("at_risk", Shape::Count),
        ("events", Shape::Count),
        ("censored", Shape::Count),
        ("survival", Shape::Number),
        ("std_error", Shape::Number),
        ("low", Shape::Number),
        ("high", Shape::Number),
    ]);

    type Options = Interval;

    fn bind(constants: &Constants) -> Result<Interval> {
        interval(constants)
    }

    fn is_valid(row: &[f64]) -> bool {
        is_duration(row)
    }

    fn finish(options: &Interval, rows: &FitRows<'_>) -> Value {
        let steps = kaplan_meier(&moments(rows.rows()), options.band, options.z);
        if steps.is_empty() {
            return Value::Null;
        }
        let steps = steps.into_iter().map(|step| {
            let (low, high) = step.bounds.unzip();
            vec![
                Value::Number(step.time),
                Value::Count(step.at_risk as i64),
                Value::Count(step.events as i64),
                Value::Count(step.censored as i64),
                Value::Number(step.survival),
                Value::Number(step.std_error),
                Value::number(low),
                Value::number(high),
            ]
        });
        Value::List(steps.collect())
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                KaplanMeier::CALL,
                "The survival curve: which share is still there after each time, with those who have not left yet counted as long \
                 as they were seen. A list with one row per time, for unnest.\n\
                 Formula: survival = product over the times up to this one of 1 - events / at_risk; std_error is Greenwood's, \
                 S sqrt(sum of d / (n (n - d))); low and high are S^exp(+-z std_error / (S |ln S|)) (log_log), \
                 S exp(+-z std_error / S) (log) or S +- z std_error (plain), within 0 and 1.\n\
                 Units: time as duration; survival is a ratio from 0 to 1; at_risk, events and censored count rows.\n\
                 NULL: a row with a NULL, or with a duration below 0, is skipped; no row left gives NULL. low and high are NULL where \
                 the scale has no value: before the first event and after the last row left (not for plain).\n\
                 Edges: of events and censorings at one time the events come first. There is no row for time 0, where survival is 1. NaN \
                 and infinities count as NULL. Distinct rows are held in memory, 24 bytes each. DISTINCT is refused.\n\
                 Source: E. L. Kaplan and P. Meier, Journal of the American Statistical Association 53 (1958) 457-481; M. Greenwood, \
                 The Natural Duration of Cancer, 1926; J. D. Kalbfleisch and R. L. Prentice, The Statistical Analysis of Failure Time \
                 Data, 2nd ed., Wiley 2002, chapter 1.",
            )
            .with_argument("duration", DURATION_TEXT)
            .with_argument("is_event", IS_EVENT_TEXT)
            .with_argument("method", METHOD_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select step['time'] as months, step['at_risk'] as at_risk, step['events'] as left_count, round(step['survival'], 4) as survival
from (
    select unnest(kaplan_meier(months, has_left)) as step
    from (values (1, true), (2, false), (3, true), (3, true), (5, false), (6, true), (8, false)) as customers(months, has_left)
)
order by months;
+--------+---------+------------+----------+
| months | at_risk | left_count | survival |
+--------+---------+------------+----------+
| 1.0    | 7       | 1          | 0.8571   |
| 2.0    | 6       | 0          | 0.8571   |
| 3.0    | 5       | 2          | 0.5143   |
| 5.0    | 3       | 0          | 0.5143   |
| 6.0    | 2       | 1          | 0.2571   |
| 8.0    | 1       | 0          | 0.2571   |
+--------+---------+------------+----------+
```",
            )
            .with_related_udf("median_survival")
            .with_related_udf("logrank_test")
            .with_related_udf("cox_fit")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MedianSurvival;

impl RowFit for MedianSurvival {
    const CALL: Call = Call {
        function: "median_survival",
        syntax: "median_survival(duration, is_event [, method [, level]])",
        ..KaplanMeier::CALL
    };
    const RESULT: Shape = Shape::Record(&[
        ("estimate", Shape::Number),
        ("low", Shape::Number),
        ("high", Shape::Number),
        ("n", Shape::Count),
        ("n_events", Shape::Count),
        ("n_missing", Shape::Count),
        ("reason", Shape::Text),
    ]);

    type Options = Interval;

    fn bind(constants: &Constants) -> Result<Interval> {
        interval(constants)
    }

    fn is_valid(row: &[f64]) -> bool {
        is_duration(row)
    }

    fn finish(options: &Interval, rows: &FitRows<'_>) -> Value {
        let steps = kaplan_meier(&moments(rows.rows()), options.band, options.z);
        let (estimate, low, high) = median_with_bounds(&steps);
        let n_events: u64 = steps.iter().map(|step| step.events).sum();
        let reason = match (estimate, low, high) {
            _ if steps.is_empty() => Some(NO_ROWS),
            (None, None, _) => Some("more than half are left at the last time, and so at its lower bound"),
            (None, ..) => Some("more than half are left at the last time"),
            (_, _, None) => Some("the upper bound of the curve stays above one half"),
            (_, None, _) => Some("the lower bound of the curve is not known where it reaches one half"),
            _ => None,
        };
        Value::Record(vec![
            Value::number(estimate),
            Value::number(low),
            Value::number(high),
            Value::Count(rows.count() as i64),
            Value::Count(n_events as i64),
            Value::Count(rows.left_out),
            Value::text(reason),
        ])
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                MedianSurvival::CALL,
                "The time after which half have left, with its interval, from the survival curve.\n\
                 Formula: estimate is the first time at which the curve of kaplan_meier is below one half, or the middle of the stretch \
                 on which it is one half; low and high are the same of the lower and the upper ends of its interval.\n\
                 Units: that of duration.\n\
                 NULL: a row with a NULL, or with a duration below 0, is left out, and counted in n_missing. A curve, or an end of its \
                 interval, that stays above one half: NULL, and a reason.\n\
                 Edges: without censoring, estimate is the median. NaN and infinities count as NULL. Distinct rows are held in memory, 24 \
                 bytes each. DISTINCT is refused.\n\
                 Source: R. Brookmeyer and J. Crowley, Biometrics 38 (1982) 29-41; as R's survfit and SAS's LIFETEST.",
            )
            .with_argument("duration", DURATION_TEXT)
            .with_argument("is_event", IS_EVENT_TEXT)
            .with_argument("method", METHOD_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select m['estimate'] as months, m['low'] as low, m['high'] as high, m['reason'] as reason
from (
    select median_survival(months, has_left) as m
    from (values (1, true), (2, false), (3, true), (3, true), (5, false), (6, true), (8, false)) as customers(months, has_left)
);
+--------+-----+------+---------------------------------------------------+
| months | low | high | reason                                            |
+--------+-----+------+---------------------------------------------------+
| 6.0    | 1.0 |      | the upper bound of the curve stays above one half |
+--------+-----+------+---------------------------------------------------+
```",
            )
            .with_related_udf("kaplan_meier")
            .with_related_udf("logrank_test")
            .build()
        });
        &PAGE
    }
}
