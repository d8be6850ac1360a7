//! `weibull_fit(duration, is_event [, features])`: Weibull regression of durations.
//!
//! Formula: S(t) = exp(-(t / exp(intercept + sum of estimate x))^(1 / scale)); maximum likelihood.
//! Units:   estimates are logarithms of factors on the duration, per unit of the feature.
//! NULL:    a row with a NULL or a duration that is not above 0 is left out and counted.
//! Edges:   strings are dummy-coded; what is constant or a combination of other terms has no estimate.
//! Source:  J. D. Kalbfleisch and R. L. Prentice 2002, chapter 3; as R's survreg.

use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::model::{BASELINES, Matrix};
use super::weibull::{WeibullData, fit};
use super::{DURATION, IS_EVENT, IS_EVENT_TEXT, LEVEL, LEVEL_TEXT, NO_EVENTS, NO_ROWS, TERM, critical, page, term};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::fit::value::{Members, Shape, Value};
use crate::fit::{FitRows, RowFit, row_fit};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![row_fit(WeibullFit)]
}

/// The name of the first term.
pub(super) const INTERCEPT: &str = "(intercept)";

/// The name of the last term.
const LOG_SCALE: &str = "log(scale)";

/// The fields of the result.
const FIELDS: Members = &[
    ("method", Shape::Text),
    ("n", Shape::Count),
    ("n_missing", Shape::Count),
    ("n_events", Shape::Count),
    ("is_converged", Shape::Flag),
    ("reason", Shape::Text),
    ("log_likelihood", Shape::Number),
    ("scale", Shape::Number),
    ("baselines", Shape::List(BASELINES)),
    ("terms", Shape::List(TERM)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WeibullFit;

impl WeibullFit {
    fn fit(z: f64, rows: &FitRows<'_>) -> std::result::Result<Vec<Value>, String> {
        let matrix = Matrix::of(rows)?;
        let mut data = WeibullData { features: matrix.values.clone(), width: matrix.width(), ..WeibullData::default() };
        for row in rows.rows() {
            let [time, is_event, .., count] = row else { continue };
            data.times.push(*time);
            data.is_event.push(*is_event != 0.0);
            data.counts.push(*count);
        }
        let fitted = fit(&data)?;
        // the terms of the features come after the intercept
        let left_out: Vec<usize> =
            (0..matrix.width()).filter(|index| fitted.estimates.get(index + 1) == Some(&None)).collect();
        let runaway: Vec<usize> = fitted.runaway.iter().map(|index| index - 1).collect();
        let reason = matrix.reason(fitted.is_converged, &left_out, &runaway);
        let size = matrix.width() + 2;
        let names = [INTERCEPT].into_iter().chain(matrix.design.terms.iter().map(|term| term.name.as_str()));
        let named = names.zip(fitted.estimates.iter().copied()).chain([(LOG_SCALE, Some(fitted.log_scale))]);
        let n = rows.count();
        let mut means = vec![0.0; matrix.width()];
        for (values, count) in matrix.values.chunks_exact(matrix.width().max(1)).zip(&data.counts) {
            means.iter_mut().zip(values).for_each(|(mean, value)| *mean += value * count);
        }
        means.iter_mut().for_each(|mean| *mean /= n);
        let terms = named.enumerate().map(|(index, (name, estimate))| {
            let variance = fitted.covariance.get(index * size + index).copied().unwrap_or(f64::NAN);
            let mut values = term(name, estimate, variance, z);
            if let Some((index, mean)) = index.checked_sub(1).and_then(|index| Some((index, means.get(index)?))) {
                values.extend(matrix.origin(index, *mean));
            }
            values
        });
        let terms = Value::List(terms.collect());
        Ok(vec![
            Value::Flag(fitted.is_converged),
            Value::text(reason),
            Value::Number(fitted.log_likelihood),
            Value::Number(fitted.log_scale.exp()),
            matrix.baselines(),
            terms,
        ])
    }
}

impl RowFit for WeibullFit {
    const CALL: Call = Call {
        function: "weibull_fit",
        syntax: "weibull_fit(duration, is_event [, features [, level]])",
        parameters: &[DURATION, IS_EVENT, Parameter::column("features", Kind::Features), LEVEL],
        arities: &[2, 3, 4],
    };
    const RESULT: Shape = Shape::Record(FIELDS);

    type Options = f64;

    fn bind(constants: &Constants) -> Result<f64> {
        critical(constants)
    }

    fn is_valid(row: &[f64]) -> bool {
        row.first().is_some_and(|duration| *duration > 0.0)
    }

    fn finish(z: &f64, rows: &FitRows<'_>) -> Value {
        let events = rows.rows().filter(|row| row.get(1).is_some_and(|is_event| *is_event != 0.0));
        let n_events: f64 = events.filter_map(|row| row.last()).sum();
        let n = rows.count();
        let fitted = match () {
            () if n == 0.0 => Err(NO_ROWS.to_owned()),
            () if n_events == 0.0 => Err(NO_EVENTS.to_owned()),
            () => Self::fit(*z, rows),
        };
        let counts = [n as i64, rows.left_out, n_events as i64].map(Value::Count);
        let mut record: Vec<Value> = [Value::text(Some("Weibull regression"))].into_iter().chain(counts).collect();
        record.extend(fitted.unwrap_or_else(|reason| vec![Value::Flag(false), Value::Text(reason)]));
        Value::Record(record)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                WeibullFit::CALL,
                "Durations with a smooth curve that goes on after the last one seen: the Weibull model of an accelerated life. \
                 exp(estimate) of a term is the factor by which one unit of it stretches all durations.\n\
                 Formula: S(t) = exp(-(t / exp(intercept + sum of estimate x))^(1 / scale)); maximum likelihood, in which a censored row \
                 counts with S. With scale < 1 the risk of leaving rises with time, with scale > 1 it falls.\n\
                 Units: estimates are logarithms of factors on the duration, per unit of the feature.\n\
                 NULL: a row with a NULL, or with a duration that is not above 0, is left out, and counted in n_missing. No event, or \
                 durations that are all equal: no fit, is_converged is false, and reason says why. A term that is constant or a combination \
                 of others has a NULL estimate, and a reason.\n\
                 Edges: terms has the intercept, the features and log(scale). Strings are dummy-coded as feature=level against the most \
                 frequent level, which baselines names; at most 100 levels, 500 terms. Distinct rows are held in memory until the \
                 end, 8 bytes per number, three times while the model is computed. DISTINCT is refused.\n\
                 Source: J. D. Kalbfleisch and R. L. Prentice, The Statistical Analysis of Failure Time Data, 2nd ed., Wiley 2002, chapter \
                 3; as R's survreg.",
            )
            .with_argument("duration", "Number > 0: the time until the event, or until the row was last seen without it.")
            .with_argument("is_event", IS_EVENT_TEXT)
            .with_argument("features", "Struct of numbers, Booleans and strings: struct(age, plan). Default: none.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select fit['n'] as n, round(fit['scale'], 4) as scale, round(fit['terms'][1]['estimate'], 4) as intercept
from (
    select weibull_fit(months, has_left) as fit
    from (values (1, true), (2, false), (3, true), (3, true), (5, false), (6, true), (8, false)) as customers(months, has_left)
);
+---+--------+-----------+
| n | scale  | intercept |
+---+--------+-----------+
| 7 | 0.6709 | 1.836     |
+---+--------+-----------+
```",
            )
            .with_related_udf("survival_at")
            .with_related_udf("cox_fit")
            .build()
        });
        &PAGE
    }
}
