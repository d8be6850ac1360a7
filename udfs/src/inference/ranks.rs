//! `mann_whitney_test(x, group)` and `cliffs_delta(x, group)`: whether the values of one group tend to be larger.
//!
//! Formula: U = pairs in which the other group is larger, ties half; the difference is the median of all pairwise
//!          differences (Hodges and Lehmann).
//! Units:   those of x for the difference; delta from -1 to 1.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   exact where both groups have fewer than 50 values and none are tied; NaN and infinities count as NULL.
//! Source:  H. B. Mann and D. R. Whitney 1947; N. Cliff 1993; D. Feng and N. Cliff 2004.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{ALL_EQUAL, FEW_VALUES, Values, two_groups};
use super::distribution::normal_upper;
use super::proportion::Level;
use super::record::{Comparison, EFFECT, FieldType, Figure, Interval, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{BASELINE, BASELINE_TEXT, GROUP, GROUP_TEXT, LEVEL, LEVEL_TEXT, each_number, level, page};
use crate::args::{Call, Constants, Kind, Parameter};

mod rank_sum;

use rank_sum::{PairwiseDifferences, RankSums, exact_tails};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(MannWhitneyTest), statistic(CliffsDelta)]
}

const X_TEXT: &str = "The values: integers, floats or decimals.";

/// From as many values in a group the normal approximation is used.
const MANY: usize = 50;

/// The comparison and the probability that a value of the other group is larger.
fn mann_whitney(one: &[f64], other: &[f64], level: Level) -> (Comparison, f64) {
    let sums = RankSums::of(one, other);
    let (m, n) = (one.len() as f64, other.len() as f64);
    let pairs = m * n;
    let differences = PairwiseDifferences::new(one, other);
    let tail = (1.0 - level.level) / 2.0;
    let comparison = Comparison {
        statistic: Some(sums.u),
        difference: Some(differences.median()),
        counts: Some([one.len() as i64, other.len() as i64]),
        ..Comparison::default()
    };
    let superiority = sums.u / pairs;
    if sums.tie_term == 0.0 && one.len() < MANY && other.len() < MANY {
        let tails = exact_tails(one.len(), other.len());
        let lower = |u: f64| tails.get(u as usize).copied().unwrap_or(1.0);
        let p_value = (2.0 * lower(sums.u).min(lower(pairs - sums.u))).min(1.0);
        // The smallest u whose lower tail reaches the level is the first value that is left out below.
        let rank = tails.iter().position(|probability| *probability > tail).unwrap_or_default() as u64;
        let bounds = differences.between(rank);
        let reason = if bounds.is_none() { Some("too few values for an interval of this level") } else { None };
        return (Comparison { p_value: Some(p_value), bounds, method: EXACT, reason, ..comparison }, superiority);
    }
    let total = m + n;
    let variance = pairs / 12.0 * (total + 1.0 - sums.tie_term / (total * (total - 1.0)));
    let comparison = Comparison { method: NORMAL, ..comparison };
    if variance <= 0.0 {
        return (Comparison { reason: Some(ALL_EQUAL), ..comparison }, superiority);
    }
    // The correction for continuity is that of half a pair.
    let z = ((sums.u - pairs / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    let rank = (pairs / 2.0 - level.z * (pairs * (total + 1.0) / 12.0).sqrt()).floor();
    let bounds = differences.between(rank.max(0.0) as u64);
    let reason = if bounds.is_none() { Some("too few values for an interval of this level") } else { None };
    let p_value = Some((2.0 * normal_upper(z)).min(1.0));
    (Comparison { p_value, bounds, reason, ..comparison }, superiority)
}

const EXACT: &str = "Mann-Whitney, exact";
const NORMAL: &str = "Mann-Whitney, normal approximation";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MannWhitneyTest;

impl Statistic for MannWhitneyTest {
    const CALL: Call = Call {
        function: "mann_whitney_test",
        syntax: "mann_whitney_test(x, group [, baseline [, level]])",
        parameters: &[Parameter::column("x", Kind::Number), GROUP, BASELINE, LEVEL],
        arities: &[2, 3, 4],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("difference", FieldType::Number),
        ("low", FieldType::Number),
        ("high", FieldType::Number),
        ("n_a", FieldType::Count),
        ("n_b", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Values;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Values>], baseline: Option<&[u8]>) -> Record {
        let (comparison, superiority) = match two_groups(entries, baseline) {
            Ok([one, other]) => {
                let (comparison, superiority) = mann_whitney(one.sorted(), other.sorted(), *level);
                (comparison, Some(superiority))
            }
            Err(reason) => (Comparison::none("Mann-Whitney", reason), None),
        };
        let mut record = comparison.record();
        record.insert(2, Figure::Number(superiority));
        record
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                MannWhitneyTest::CALL,
                "Whether the values of one group tend to be larger than those of the other, without an assumption on their \
                 distribution: for handle times, waits and scores. Also called the Wilcoxon rank-sum test.\n\
                 Formula: statistic = U = pairs of a row of each group in which the other group has the larger value, ties half; \
                 estimate = U / (n_a n_b), the probability that a value of the other group is larger; p_value is two-sided: exact when \
                 both groups have fewer than 50 values and none are tied, else by the normal distribution with the corrections for \
                 ties and for continuity. difference = median of all pairwise differences, low and high those with the ranks that \
                 belong to the level (Hodges and Lehmann).\n\
                 Units: those of x for difference, low and high; pairs for statistic; a ratio for estimate.\n\
                 NULL: a row with a NULL x or group is skipped. Not two groups left: NULL for the figures, and a reason. Values that \
                 are all equal, and too few values for an interval: NULL for what is not defined, and a reason.\n\
                 Edges: NaN and infinities are no measurements and count as NULL. The difference is not that of the medians. Values \
                 are held in memory, 8 bytes each. DISTINCT is refused.\n\
                 Source: H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18 (1947) 50-60; M. Hollander and D. A. \
                 Wolfe, Nonparametric Statistical Methods, Wiley 1973, sections 4.1 to 4.3.",
            )
            .with_argument("x", X_TEXT)
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select t['statistic'] as u, t['estimate'] as estimate, t['difference'] as difference, round(t['p_value'], 4) as p_value
from (
    select mann_whitney_test(wait_s, queue) as t
    from (values
        ('billing', 12), ('billing', 35), ('billing', 4), ('billing', 20),
        ('technical', 41), ('technical', 28), ('technical', 90), ('technical', 33)
    ) as contacts(queue, wait_s)
);
+------+----------+------------+---------+
| u    | estimate | difference | p_value |
+------+----------+------------+---------+
| 14.0 | 0.875    | 22.5       | 0.1143  |
+------+----------+------------+---------+
```",
            )
            .with_related_udf("welch_test")
            .with_related_udf("cliffs_delta")
            .with_related_udf("kruskal_test")
            .build()
        });
        &PAGE
    }
}

/// Cliff's delta with the interval of Feng and Cliff.
fn cliffs_delta(one: &[f64], other: &[f64], level: Level) -> Interval {
    let sums = RankSums::of(one, other);
    let (m, n) = (one.len() as f64, other.len() as f64);
    let delta = 2.0 * sums.u / (m * n) - 1.0;
    let interval = Interval { estimate: Some(delta), ..Interval::default() };
    if one.len() < 2 || other.len() < 2 {
        return Interval { reason: Some(FEW_VALUES), ..interval };
    }
    let dominance = rank_sum::dominance(one, other, delta);
    let variance =
        (n * n * dominance.rows_one + m * m * dominance.rows_other - dominance.pairs) / (m * n * (m - 1.0) * (n - 1.0));
    if variance <= 0.0 {
        return Interval { reason: Some("the groups do not overlap, or do not differ: no variance"), ..interval };
    }
    let square = delta * delta;
    let z_square = level.z * level.z * variance;
    let spread = (z_square * ((1.0 - square) * (1.0 - square) + z_square)).sqrt();
    let middle = delta - delta * square;
    let scale = 1.0 - square + z_square;
    Interval { bounds: Some(((middle - spread) / scale, (middle + spread) / scale)), ..interval }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CliffsDelta;

impl Statistic for CliffsDelta {
    const CALL: Call = Call {
        function: "cliffs_delta",
        syntax: "cliffs_delta(x, group [, baseline [, level]])",
        ..MannWhitneyTest::CALL
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = EFFECT;

    type Cell = Values;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Values>], baseline: Option<&[u8]>) -> Record {
        match two_groups(entries, baseline) {
            Ok([one, other]) => {
                let interval = cliffs_delta(one.sorted(), other.sorted(), *level);
                interval.effect(Some([one.len(), other.len()]))
            }
            Err(reason) => Interval::none(reason).effect(None),
        }
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CliffsDelta::CALL,
                "Effect size of a difference between two groups without an assumption on the distribution: how much more often \
                 the other group has the larger value. About 0.15 is small, 0.33 medium, 0.47 large.\n\
                 Formula: estimate = P(other > baseline) - P(other < baseline) over all pairs; low and high are \
                 (d - d^3 -+ z s sqrt((1 - d^2)^2 + z^2 s^2)) / (1 - d^2 + z^2 s^2) with the unbiased variance s^2 of d.\n\
                 Units: any number in; estimate, low and high from -1 to 1.\n\
                 NULL: a row with a NULL x or group is skipped. Not two groups left: NULL for the figures, and a reason. A group with \
                 one value, or groups that do not overlap: no interval, and a reason.\n\
                 Edges: ties count for neither. estimate = 2 estimate of mann_whitney_test - 1. NaN and infinities are no \
                 measurements and count as NULL. Values are held in memory, 8 bytes each. DISTINCT is refused.\n\
                 Source: N. Cliff, Psychological Bulletin 114 (1993) 494-509; D. Feng and N. Cliff, Journal of Modern Applied \
                 Statistical Methods 3 (2004) 322-332 (interval); J. Romano and others, Florida Association of Institutional \
                 Research 2006 (what is small).",
            )
            .with_argument("x", X_TEXT)
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select d['estimate'] as delta, round(d['low'], 4) as low, round(d['high'], 4) as high
from (
    select cliffs_delta(wait_s, queue) as d
    from (values
        ('billing', 12), ('billing', 35), ('billing', 4), ('billing', 20),
        ('technical', 41), ('technical', 28), ('technical', 90), ('technical', 33)
    ) as contacts(queue, wait_s)
);
+-------+--------+--------+
| delta | low    | high   |
+-------+--------+--------+
| 0.75  | 0.0092 | 0.9593 |
+-------+--------+--------+
```",
            )
            .with_related_udf("mann_whitney_test")
            .with_related_udf("cohens_d")
            .build()
        });
        &PAGE
    }
}
