//! `cox_fit(duration, is_event, features)`: Cox's proportional hazards regression.
//!
//! Formula: hazard(t, x) = baseline(t) exp(sum of estimate (x - mean)); partial likelihood, Newton's method.
//! Units:   estimates are logarithms of hazard ratios per unit of the feature.
//! NULL:    a row with a NULL is left out and counted; a fit that is not defined has a reason.
//! Edges:   strings are dummy-coded; what is constant or a combination of other terms has no estimate.
//! Source:  D. R. Cox 1972; B. Efron 1977; N. Breslow 1974; P. M. Grambsch and T. M. Therneau 1994; F. E. Harrell 1996.

use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::concordance::concordance;
use super::cox::{CoxData, CoxFit as Fitted, Row, Ties, baseline, fit};
use super::curve_functions::is_duration;
use super::logrank::Test;
use super::model::{BASELINES, Matrix};
use super::proportionality::{Transform, test};
use super::{
    DURATION, DURATION_TEXT, IS_EVENT, IS_EVENT_TEXT, LEVEL, LEVEL_TEXT, NO_EVENTS, NO_ROWS, TERM, chi_square_test,
    critical, page, term,
};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::fit::value::{Members, Shape, Value};
use crate::fit::{FitRows, RowFit, row_fit};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![row_fit(CoxFit)]
}

const TIES: &[(&str, Ties)] = &[("efron", Ties::Efron), ("breslow", Ties::Breslow)];

const TRANSFORMS: &[(&str, Transform)] = &[
    ("km", Transform::KaplanMeier),
    ("rank", Transform::Rank),
    ("identity", Transform::Identity),
    ("log", Transform::Log),
];

/// The constants of a call.
#[derive(Debug)]
struct Options {
    ties: Ties,
    transform: Transform,
    z: f64,
}

/// The tests of proportional hazards.
const PROPORTIONALITY: Members =
    &[("term", Shape::Text), ("statistic", Shape::Number), ("df", Shape::Number), ("p_value", Shape::Number)];

/// The cumulative hazard of a row with the means of all features.
pub(super) const BASELINE: Members = &[("stratum", Shape::Text), ("time", Shape::Number), ("hazard", Shape::Number)];

/// The fields of the result.
const FIELDS: Members = &[
    ("method", Shape::Text),
    ("n", Shape::Count),
    ("n_missing", Shape::Count),
    ("n_events", Shape::Count),
    ("is_converged", Shape::Flag),
    ("reason", Shape::Text),
    ("log_likelihood", Shape::Number),
    ("log_likelihood_null", Shape::Number),
    ("statistic", Shape::Number),
    ("df", Shape::Number),
    ("p_value", Shape::Number),
    ("concordance", Shape::Number),
    ("baselines", Shape::List(BASELINES)),
    ("terms", Shape::List(TERM)),
    ("proportionality", Shape::List(PROPORTIONALITY)),
    ("baseline", Shape::List(BASELINE)),
];

/// The sorted rows and their features.
fn cox_data(rows: &FitRows<'_>, matrix: &mut Matrix) -> CoxData {
    let has_strata = rows.keys.as_ref().is_none_or(|keys| !keys.is_empty());
    let stratum = |row: &[f64]| {
        let key = row.len().checked_sub(2).filter(|_| has_strata).and_then(|index| row.get(index));
        key.map_or(0, |key| *key as u32)
    };
    let of_row = |row: &[f64]| match row {
        [time, is_event, .., count] => {
            Some(Row { time: *time, is_event: *is_event != 0.0, stratum: stratum(row), count: *count })
        }
        _ => None,
    };
    let mut data = CoxData {
        rows: rows.rows().filter_map(of_row).collect(),
        features: std::mem::take(&mut matrix.values),
        width: matrix.width(),
    };
    data.sort();
    data
}

/// The risk of each row: the logarithm of its hazard ratio.
fn risks(data: &CoxData, fitted: &Fitted) -> Vec<(u32, f64, bool, f64, f64)> {
    let risk = |index: usize| -> f64 {
        let parts = data.row_features(index).iter().zip(&fitted.estimates).zip(&fitted.means);
        parts.map(|((value, estimate), mean)| estimate.unwrap_or(0.0) * (value - mean)).sum()
    };
    let rows = data.rows.iter().enumerate();
    rows.map(|(index, row)| (row.stratum, row.time, row.is_event, row.count, risk(index))).collect()
}

/// The baseline up to the last time at which a row of the stratum was seen.
fn baseline_list(data: &CoxData, fitted: &Fitted, ties: Ties, names: &[String]) -> Value {
    let mut steps = baseline(data, fitted, ties);
    for stratum in data.rows.chunk_by(|one, other| one.stratum == other.stratum) {
        let Some(last) = stratum.first() else { continue };
        let end = steps.iter().filter(|step| step.0 == last.stratum).max_by(|one, other| one.1.total_cmp(&other.1));
        match end.copied() {
            Some((_, time, _)) if time >= last.time => {}
            end => steps.push((last.stratum, last.time, end.map_or(0.0, |(.., hazard)| hazard))),
        }
    }
    steps.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let name = |stratum: u32| Value::text(names.get(stratum as usize).cloned());
    let steps = steps.into_iter();
    Value::List(
        steps.map(|(stratum, time, hazard)| vec![name(stratum), Value::Number(time), Value::Number(hazard)]).collect(),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CoxFit;

impl CoxFit {
    fn fit(options: &Options, rows: &FitRows<'_>) -> std::result::Result<Vec<Value>, String> {
        let names = rows.keys.as_deref().ok_or("more than 65536 strata")?;
        let mut matrix = Matrix::of(rows)?;
        let data = cox_data(rows, &mut matrix);
        let fitted = fit(&data, options.ties)?;
        let width = matrix.width();
        let left_out: Vec<usize> = (0..width).filter(|index| fitted.estimates.get(*index) == Some(&None)).collect();
        let reason = matrix.reason(fitted.is_converged, &left_out, &fitted.runaway);
        let ratio = Test { statistic: 2.0 * (fitted.log_likelihood - fitted.log_likelihood_null), df: fitted.df };
        let [statistic, df, p_value] = chi_square_test((fitted.df > 0).then_some(ratio));
        let terms = matrix.design.terms.iter().zip(&fitted.estimates).enumerate().map(|(index, (design, estimate))| {
            let variance = fitted.covariance.get(index * width + index).copied().unwrap_or(f64::NAN);
            let mut values = term(&design.name, *estimate, variance, options.z);
            values.extend(matrix.origin(index, fitted.means.get(index).copied().unwrap_or(f64::NAN)));
            values
        });
        let terms = Value::List(terms.collect());
        let (tests, of_all) = test(&data, &fitted, options.ties, options.transform);
        let named = matrix.design.terms.iter().map(|term| term.name.as_str()).zip(tests).chain([("global", of_all)]);
        let proportionality = named.map(|(name, test)| {
            let [statistic, df, p_value] = chi_square_test(test);
            vec![Value::Text(name.to_owned()), statistic, df, p_value]
        });
        Ok(vec![
            Value::Flag(fitted.is_converged),
            Value::text(reason),
            Value::Number(fitted.log_likelihood),
            Value::Number(fitted.log_likelihood_null),
            statistic,
            df,
            p_value,
            Value::number(concordance(&risks(&data, &fitted))),
            matrix.baselines(),
            terms,
            Value::List(proportionality.collect()),
            baseline_list(&data, &fitted, options.ties, names),
        ])
    }
}

impl RowFit for CoxFit {
    const CALL: Call = Call {
        function: "cox_fit",
        syntax: "cox_fit(duration, is_event, features [, ties [, strata [, transform [, level]]]])",
        parameters: &[
            DURATION,
            IS_EVENT,
            Parameter::column("features", Kind::Features),
            Parameter::constant("ties", Kind::Text),
            Parameter::column("strata", Kind::Key),
            Parameter::constant("transform", Kind::Text),
            LEVEL,
        ],
        arities: &[3, 4, 5, 6, 7],
    };
    const RESULT: Shape = Shape::Record(FIELDS);

    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        Ok(Options {
            ties: constants.choice("ties", TIES)?.unwrap_or(Ties::Efron),
            transform: constants.choice("transform", TRANSFORMS)?.unwrap_or(Transform::KaplanMeier),
            z: critical(constants)?,
        })
    }

    fn is_valid(row: &[f64]) -> bool {
        is_duration(row)
    }

    fn finish(options: &Options, rows: &FitRows<'_>) -> Value {
        let events = rows.rows().filter(|row| row.get(1).is_some_and(|is_event| *is_event != 0.0));
        let n_events: f64 = events.filter_map(|row| row.last()).sum();
        let n = rows.count();
        let fitted = match () {
            () if n == 0.0 => Err(NO_ROWS.to_owned()),
            () if n_events == 0.0 => Err(NO_EVENTS.to_owned()),
            () => Self::fit(options, rows),
        };
        let method = match options.ties {
            Ties::Efron => "Cox regression, Efron's ties",
            Ties::Breslow => "Cox regression, Breslow's ties",
        };
        let counts = [n as i64, rows.left_out, n_events as i64].map(Value::Count);
        let mut record: Vec<Value> = [Value::text(Some(method))].into_iter().chain(counts).collect();
        record.extend(fitted.unwrap_or_else(|reason| vec![Value::Flag(false), Value::Text(reason)]));
        Value::Record(record)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CoxFit::CALL,
                "What makes customers leave sooner: Cox's proportional hazards regression. exp(estimate) of a term is the factor by \
                 which one unit of it multiplies the risk of leaving at any time.\n\
                 Formula: hazard(t, x) = baseline(t) exp(sum of estimate (x - mean)); the estimates maximise the partial likelihood. \
                 statistic = 2 (log_likelihood - log_likelihood_null) tests all terms together. concordance is Harrell's: of two rows of \
                 which it is known who left first, how often the one with the higher risk did. proportionality tests each term, and all \
                 (global), for an effect that changes with the transform of time: a small p_value speaks against the model. baseline is \
                 the cumulative hazard of a row with the mean of each term.\n\
                 Units: estimates are logarithms of hazard ratios, per unit of the feature; times as duration.\n\
                 NULL: a row with a NULL, or with a duration below 0, is left out, and counted in n_missing. No event, or too many levels: \
                 no fit, is_converged is false, and reason says why. A term that is constant or a combination of others has a NULL estimate, \
                 and a reason; so has a term that separates the events, whose estimate is not finite and not to be used.\n\
                 Edges: strings are dummy-coded as feature=level against the most frequent level, which baselines names; at most 100 \
                 levels, 500 terms. Strata have hazards of their own. Ties: efron, breslow. In a GROUP BY each group has its model. Distinct \
                 rows are held in memory until the end, 8 bytes per number, three times while the model is computed. DISTINCT is refused.\n\
                 Source: D. R. Cox, Journal of the Royal Statistical Society B 34 (1972) 187-220; B. Efron, Journal of the American \
                 Statistical Association 72 (1977) 557-565; P. M. Grambsch and T. M. Therneau, Biometrika 81 (1994) 515-526; F. E. Harrell, \
                 K. L. Lee and D. B. Mark, Statistics in Medicine 15 (1996) 361-387; as R's survival 3.",
            )
            .with_argument("duration", DURATION_TEXT)
            .with_argument("is_event", IS_EVENT_TEXT)
            .with_argument("features", "Struct of numbers, Booleans and strings: struct(age, plan).")
            .with_argument("ties", "Constant string: 'efron' (default) or 'breslow', for events at the same time.")
            .with_argument("strata", "A value: rows with different ones have different baselines. Default: one stratum.")
            .with_argument(
                "transform",
                "Constant string: the function of time in the test of proportional hazards, 'km' (default), 'rank', 'identity' or 'log'.",
            )
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select term['term'] as term, round(term['estimate'], 4) as estimate, round(exp(term['estimate']), 3) as hazard_ratio
from (
    select unnest(cox_fit(months, has_left, struct(call_count, plan))['terms']) as term
    from (values
        ('basic', 5, 1, true), ('basic', 2, 2, true), ('basic', 4, 3, true), ('basic', 1, 5, false), ('basic', 0, 7, true),
        ('gold', 2, 3, true), ('gold', 3, 6, true), ('gold', 0, 8, false), ('gold', 1, 9, false)
    ) as customers(plan, call_count, months, has_left)
)
order by term;
+------------+----------+--------------+
| term       | estimate | hazard_ratio |
+------------+----------+--------------+
| call_count | 0.7607   | 2.14         |
| plan=gold  | -1.1322  | 0.322        |
+------------+----------+--------------+
```",
            )
            .with_related_udf("survival_at")
            .with_related_udf("weibull_fit")
            .with_related_udf("kaplan_meier")
            .with_related_udf("logrank_test")
            .build()
        });
        &PAGE
    }
}
