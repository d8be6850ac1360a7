//! `logrank_test(duration, is_event, group)`: whether groups leave at the same pace.
//!
//! Formula: U' V^-1 U with U = sum over the times of events of weight * (events of the group - expected events) and V the
//!          hypergeometric covariance.
//! Units:   any in; a chi-square statistic out.
//! NULL:    a row with a NULL or a duration below 0 is left out; figures that are not defined are NULL, with a reason.
//! Edges:   a group that nobody is left of adds nothing.
//! Source:  N. Mantel 1966; E. A. Gehan 1965; N. Breslow 1970; R. E. Tarone and J. Ware 1977; R. Peto and J. Peto 1972.

use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::curve::Moment;
use super::curve_functions::{is_duration, moments};
use super::logrank::{Weights, logrank};
use super::{DURATION, DURATION_TEXT, IS_EVENT, IS_EVENT_TEXT, NO_EVENTS, NO_ROWS, chi_square_test, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::fit::value::{Shape, Value};
use crate::fit::{FitRows, RowFit, row_fit};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![row_fit(LogRankTest)]
}

const WEIGHTS: &[(&str, Weights)] = &[
    ("logrank", Weights::LogRank),
    ("wilcoxon", Weights::Wilcoxon),
    ("breslow", Weights::Wilcoxon),
    ("gehan", Weights::Wilcoxon),
    ("tarone-ware", Weights::TaroneWare),
    ("tarone_ware", Weights::TaroneWare),
    ("peto", Weights::Peto),
    ("fleming-harrington", Weights::FlemingHarrington),
    ("fleming_harrington", Weights::FlemingHarrington),
];

/// Most groups.
const MAX_GROUPS: usize = 1_000;

fn method(weights: Weights) -> &'static str {
    match weights {
        Weights::LogRank => "log-rank test",
        Weights::Wilcoxon => "Gehan-Breslow-Wilcoxon test",
        Weights::TaroneWare => "Tarone-Ware test",
        Weights::Peto => "Peto-Peto test",
        Weights::FlemingHarrington => "Fleming-Harrington test",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LogRankTest;

impl RowFit for LogRankTest {
    const CALL: Call = Call {
        function: "logrank_test",
        syntax: "logrank_test(duration, is_event, group [, weights])",
        parameters: &[
            DURATION,
            IS_EVENT,
            Parameter::column("group", Kind::Key),
            Parameter::constant("weights", Kind::Text),
        ],
        arities: &[3, 4],
    };
    const RESULT: Shape = Shape::Record(&[
        ("statistic", Shape::Number),
        ("df", Shape::Number),
        ("p_value", Shape::Number),
        ("n", Shape::Count),
        ("n_events", Shape::Count),
        ("n_missing", Shape::Count),
        ("group_count", Shape::Count),
        (
            "groups",
            Shape::List(&[
                ("group", Shape::Text),
                ("n", Shape::Count),
                ("events", Shape::Count),
                ("expected", Shape::Number),
            ]),
        ),
        ("method", Shape::Text),
        ("reason", Shape::Text),
    ]);

    type Options = Weights;

    fn bind(constants: &Constants) -> Result<Weights> {
        Ok(constants.choice("weights", WEIGHTS)?.unwrap_or(Weights::LogRank))
    }

    fn is_valid(row: &[f64]) -> bool {
        is_duration(row)
    }

    fn finish(weights: &Weights, rows: &FitRows<'_>) -> Value {
        let names = rows.keys.clone().unwrap_or_default();
        let group_of = |row: &[f64]| row.get(2).map_or(0, |group| *group as usize);
        let mut by_group: Vec<Vec<&[f64]>> = vec![vec![]; names.len()];
        for row in rows.rows() {
            if let Some(rows) = by_group.get_mut(group_of(row)) {
                rows.push(row);
            }
        }
        let tables: Vec<Vec<Moment>> = by_group.into_iter().map(|rows| moments(rows.into_iter())).collect();
        let events_of = |table: &[Moment]| table.iter().map(|moment| moment.events).sum::<u64>();
        let n_events: u64 = tables.iter().map(|table| events_of(table)).sum();
        let tables: Vec<&[Moment]> = tables.iter().map(Vec::as_slice).collect();
        let n = rows.count();
        let is_computed = rows.keys.is_some() && names.len() <= MAX_GROUPS;
        let result = if is_computed { logrank(&tables, *weights) } else { None };
        let reason = match result {
            Some(_) => None,
            None if n == 0.0 => Some(NO_ROWS),
            None if !is_computed => Some("more than 1000 groups"),
            None if names.len() < 2 => Some("rows of one group only; two are compared"),
            None if n_events == 0 => Some(NO_EVENTS),
            None => Some("no event while rows of two groups were at risk"),
        };
        let expected = result.as_ref().map(|result| result.expected.as_slice()).unwrap_or_default();
        let groups = names.iter().zip(&tables).enumerate().map(|(index, (name, table))| {
            vec![
                Value::Text(name.clone()),
                Value::Count(table.iter().map(|moment| moment.events + moment.censored).sum::<u64>() as i64),
                Value::Count(events_of(table) as i64),
                Value::number(expected.get(index).copied()),
            ]
        });
        let groups = if is_computed { Value::List(groups.collect()) } else { Value::Null };
        let [statistic, df, p_value] = chi_square_test(result.map(|result| result.test));
        Value::Record(vec![
            statistic,
            df,
            p_value,
            Value::Count(n as i64),
            Value::Count(n_events as i64),
            Value::Count(rows.left_out),
            Value::Count(names.len() as i64),
            groups,
            Value::text(Some(method(*weights))),
            Value::text(reason),
        ])
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                LogRankTest::CALL,
                "Whether groups leave at the same pace, or the difference of their survival curves is more than chance. groups shows \
                 for each how many left, and how many would have if all left at the same pace.\n\
                 Formula: with d of n at risk leaving at a time, a group with n_j at risk expects d n_j / n; U is the sum over the times of \
                 w (observed - expected), its covariance has the terms w^2 d (n - d) / (n - 1) n_j / n (1 - n_j / n); statistic = \
                 U' V^-1 U, df = groups - 1, p_value the upper tail of the chi-square distribution. w is 1 (logrank), n (wilcoxon, also \
                 breslow and gehan), sqrt(n) (tarone-ware), the product of 1 - d / (n + 1) up to the time (peto), or the Kaplan-Meier \
                 estimate before it (fleming-harrington, R's rho = 1). expected in groups has the weight 1.\n\
                 Units: durations in any unit.\n\
                 NULL: a row with a NULL, or with a duration below 0, is left out, and counted in n_missing. Fewer than two groups, or \
                 no events: NULL for the figures, and a reason.\n\
                 Edges: weights above 1 for early times find early differences: wilcoxon most, then tarone-ware, then peto. Group is \
                 compared as a string; at most 1000 groups. NaN and infinities count as NULL. Distinct rows are held in memory, 32 bytes \
                 each. DISTINCT is refused.\n\
                 Source: N. Mantel, Cancer Chemotherapy Reports 50 (1966) 163-170; R. E. Tarone and J. Ware, Biometrika 64 (1977) \
                 156-160; R. Peto and J. Peto, Journal of the Royal Statistical Society A 135 (1972) 185-207.",
            )
            .with_argument("duration", DURATION_TEXT)
            .with_argument("is_event", IS_EVENT_TEXT)
            .with_argument("group", "The group of the row: a string, a number, a Boolean, a date or a timestamp.")
            .with_argument(
                "weights",
                "Constant string: 'logrank' (default), 'wilcoxon', 'tarone-ware', 'peto' or 'fleming-harrington'.",
            )
            .with_sql_example(
                "```sql
select round(t['statistic'], 4) as statistic, t['df'] as df, round(t['p_value'], 4) as p_value
from (
    select logrank_test(months, has_left, plan) as t
    from (values
        ('basic', 1, true), ('basic', 2, true), ('basic', 3, true), ('basic', 5, false),
        ('gold', 3, true), ('gold', 6, true), ('gold', 8, false), ('gold', 9, false)
    ) as customers(plan, months, has_left)
);
+-----------+-----+---------+
| statistic | df  | p_value |
+-----------+-----+---------+
| 2.3204    | 1.0 | 0.1277  |
+-----------+-----+---------+
```",
            )
            .with_related_udf("kaplan_meier")
            .with_related_udf("cox_fit")
            .build()
        });
        &PAGE
    }
}
