//! `cohens_h(flag, group)` and `cohens_d(x, group)`: effect sizes of a difference of two shares or means.
//!
//! Formula: 2 asin sqrt(p_b) - 2 asin sqrt(p_a); (mean_b - mean_a) / pooled standard deviation.
//! Units:   h in radians, d in standard deviations.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   about 0.2 is small, 0.5 medium, 0.8 large.
//! Source:  J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. 1988.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{Hits, Moments, TOO_LARGE, two_groups};
use super::proportion::Level;
use super::record::{EFFECT, FieldType, Interval, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{BASELINE, BASELINE_TEXT, GROUP, GROUP_TEXT, LEVEL, LEVEL_TEXT, each_flag, each_number, level, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(CohensH), statistic(CohensD)]
}

/// An estimate with the bounds that its standard error gives.
fn normal_interval(estimate: f64, variance: f64, level: Level) -> Interval {
    let margin = level.z * variance.sqrt();
    Interval { estimate: Some(estimate), bounds: Some((estimate - margin, estimate + margin)), ..Interval::default() }
}

fn cohens_h(one: Hits, other: Hits, level: Level) -> Interval {
    let angle = |share: Hits| 2.0 * share.ratio().sqrt().asin();
    normal_interval(angle(other) - angle(one), 1.0 / one.n as f64 + 1.0 / other.n as f64, level)
}

fn cohens_d(one: Moments, other: Moments, level: Level) -> Interval {
    let n = (one.n + other.n) as f64;
    let pooled = (one.squares + other.squares) / (n - 2.0);
    let d = (other.mean - one.mean) / pooled.sqrt();
    if !(one.is_finite() && other.is_finite()) {
        return Interval::none(TOO_LARGE);
    }
    if !(n > 2.0 && pooled > 0.0 && d.is_finite()) {
        return Interval::none("all values of each group are equal");
    }
    normal_interval(d, n / (one.n as f64 * other.n as f64) + d * d / (2.0 * n), level)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CohensH;

impl Statistic for CohensH {
    const CALL: Call = Call {
        function: "cohens_h",
        syntax: "cohens_h(flag, group [, baseline [, level]])",
        parameters: &[Parameter::column("flag", Kind::Flag), GROUP, BASELINE, LEVEL],
        arities: &[2, 3, 4],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = EFFECT;

    type Cell = Hits;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<bool>)) -> Result<()> {
        each_flag(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Hits>], baseline: Option<&[u8]>) -> Record {
        match two_groups(entries, baseline) {
            Ok([one, other]) => cohens_h(*one, *other, *level).effect(Some([one.n, other.n])),
            Err(reason) => Interval::none(reason).effect(None),
        }
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CohensH::CALL,
                "Effect size of the difference of two shares: the same step is larger near 0 and 1 than in the middle. About 0.2 \
                 is small, 0.5 medium, 0.8 large.\n\
                 Formula: estimate = 2 asin sqrt(share of the other group) - 2 asin sqrt(share of the baseline); low and high are \
                 estimate -+ z sqrt(1 / n_a + 1 / n_b).\n\
                 Units: Boolean in; radians from -pi to pi out.\n\
                 NULL: a row with a NULL flag or group is skipped. Not two groups left: NULL for the figures, and a reason.\n\
                 Edges: 0 to 1 is pi. DISTINCT is refused.\n\
                 Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed., Erlbaum 1988, chapter 6; the \
                 interval by the variance 1/n of the transformed share.",
            )
            .with_argument("flag", "Boolean: whether the row is a hit; NULL where it is not known.")
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(h['estimate'], 4) as h, round(h['low'], 4) as low, round(h['high'], 4) as high
from (
    select cohens_h(is_resolved, team) as h
    from (values
        ('east', true), ('east', false), ('east', false), ('east', true),
        ('north', true), ('north', true), ('north', true), ('north', false)
    ) as contacts(team, is_resolved)
);
+--------+---------+--------+
| h      | low     | high   |
+--------+---------+--------+
| 0.5236 | -0.8623 | 1.9095 |
+--------+---------+--------+
```",
            )
            .with_related_udf("proportion_test")
            .with_related_udf("sample_size")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CohensD;

impl Statistic for CohensD {
    const CALL: Call = Call {
        function: "cohens_d",
        syntax: "cohens_d(x, group [, baseline [, level]])",
        parameters: &[Parameter::column("x", Kind::Number), GROUP, BASELINE, LEVEL],
        arities: &[2, 3, 4],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = EFFECT;

    type Cell = Moments;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Moments>], baseline: Option<&[u8]>) -> Record {
        match two_groups(entries, baseline) {
            Ok([one, other]) => cohens_d(*one, *other, *level).effect(Some([one.n, other.n])),
            Err(reason) => Interval::none(reason).effect(None),
        }
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CohensD::CALL,
                "Effect size of the difference of two means, in standard deviations. About 0.2 is small, 0.5 medium, 0.8 large.\n\
                 Formula: estimate = d = (mean of the other group - mean of the baseline) / s with the pooled standard deviation \
                 s = sqrt(((n_a - 1) s_a^2 + (n_b - 1) s_b^2) / (n_a + n_b - 2)); low and high are \
                 d -+ z sqrt((n_a + n_b) / (n_a n_b) + d^2 / (2 (n_a + n_b))).\n\
                 Units: any number in; standard deviations out.\n\
                 NULL: a row with a NULL x or group is skipped. Not two groups left, or values that are all equal in each group: \
                 NULL for the figures, and a reason.\n\
                 Edges: without the small-sample correction of Hedges. NaN and infinities are no measurements and count as NULL. \
                 DISTINCT is refused.\n\
                 Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed., Erlbaum 1988, chapter 2; \
                 L. V. Hedges and I. Olkin, Statistical Methods for Meta-Analysis, Academic Press 1985, chapter 5 (interval).",
            )
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(d['estimate'], 4) as d, round(d['low'], 4) as low, round(d['high'], 4) as high
from (
    select cohens_d(handle_s, team, baseline => 'north') as d
    from (values
        ('north', 300), ('north', 340), ('north', 280), ('north', 360),
        ('east', 250), ('east', 270), ('east', 230), ('east', 290)
    ) as contacts(team, handle_s)
);
+---------+---------+---------+
| d       | low     | high    |
+---------+---------+---------+
| -1.8974 | -3.5662 | -0.2285 |
+---------+---------+---------+
```",
            )
            .with_related_udf("welch_test")
            .with_related_udf("cliffs_delta")
            .build()
        });
        &PAGE
    }
}
