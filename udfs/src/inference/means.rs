//! `mean_ci(x)`, `welch_test(x, group)`, `paired_test(before, after)`: means by Student's distribution.
//!
//! Formula: mean -+ t * s / sqrt(n); Welch's t with the degrees of freedom of Welch and Satterthwaite.
//! Units:   those of x.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   NaN and infinities are no measurements and count as NULL; values that are all equal have no interval.
//! Source:  Student 1908; B. L. Welch 1947.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{ALL_EQUAL, FEW_VALUES, Moments, NO_ROWS, ONE_VALUE, TOO_LARGE, two_groups};
use super::distribution::{student_critical, student_two_sided};
use super::proportion::Level;
use super::record::{COMPARISON_WITH_DF, Comparison, FieldType, Figure, INTERVAL, Interval, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{BASELINE, BASELINE_TEXT, GROUP, GROUP_TEXT, LEVEL, LEVEL_TEXT, each_number, level, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(MeanCi), statistic(WelchTest), statistic(PairedTest)]
}

const X_TEXT: &str = "The values: integers, floats or decimals.";

/// Why a mean has no interval; `None` if it has one.
pub(super) fn lack_of_interval(moments: Moments) -> Option<&'static str> {
    if moments.n == 0 {
        Some(NO_ROWS)
    } else if !moments.is_finite() {
        Some(TOO_LARGE)
    } else if moments.n == 1 {
        Some(ONE_VALUE)
    } else if moments.squares <= 0.0 {
        Some(ALL_EQUAL)
    } else {
        None
    }
}

/// The mean of values and its Student interval.
fn mean_interval(moments: Moments, level: Level) -> Interval {
    let reason = lack_of_interval(moments);
    let bounds = reason.is_none().then(|| {
        let error = (moments.variance() / moments.n as f64).sqrt();
        let margin = error * student_critical(level.level, (moments.n - 1) as f64);
        (moments.mean - margin, moments.mean + margin)
    });
    let has_mean = moments.n > 0 && moments.mean.is_finite();
    Interval { estimate: has_mean.then_some(moments.mean), bounds, n: moments.n, reason }
}

/// Welch's test of two means.
fn welch(one: Moments, other: Moments, level: Level) -> Comparison {
    let difference = other.mean - one.mean;
    let comparison = Comparison {
        difference: difference.is_finite().then_some(difference),
        counts: Some([one.n, other.n]),
        method: WELCH,
        ..Comparison::default()
    };
    let (part_one, part_other) = (one.variance() / one.n as f64, other.variance() / other.n as f64);
    let square = part_one + part_other;
    let reason = if !(one.is_finite() && other.is_finite() && difference.is_finite()) {
        Some(TOO_LARGE)
    } else if one.n < 2 || other.n < 2 {
        Some(FEW_VALUES)
    } else if square <= 0.0 {
        Some("all values of each group are equal")
    } else {
        None
    };
    if reason.is_some() {
        return Comparison { reason, ..comparison };
    }
    // Of the shares of the variance, so that no square over- or underflows.
    let (share_one, share_other) = (part_one / square, part_other / square);
    let df = 1.0 / (share_one * share_one / (one.n - 1) as f64 + share_other * share_other / (other.n - 1) as f64);
    let error = square.sqrt();
    let statistic = difference / error;
    let margin = error * student_critical(level.level, df);
    Comparison {
        statistic: Some(statistic),
        df: Some(df),
        p_value: Some(student_two_sided(statistic, df)),
        bounds: Some((difference - margin, difference + margin)),
        ..comparison
    }
}

const WELCH: &str = "Welch's t test";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MeanCi;

impl Statistic for MeanCi {
    const CALL: Call = Call {
        function: "mean_ci",
        syntax: "mean_ci(x [, level])",
        parameters: &[Parameter::column("x", Kind::Number), LEVEL],
        arities: &[1, 2],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Moments;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Moments>], _: Option<&[u8]>) -> Record {
        let moments = entries.first().map(|entry| *entry.cell).unwrap_or_default();
        mean_interval(moments, *level).record()
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                MeanCi::CALL,
                "Mean with its confidence interval.\n\
                 Formula: estimate = mean; low and high are mean -+ t s / sqrt(n) with the sample standard deviation s and the \
                 quantile t of Student's distribution with n - 1 degrees of freedom.\n\
                 Units: those of x.\n\
                 NULL: a NULL is skipped; no value left gives n = 0, NULL for the figures, and a reason. One value, and values that \
                 are all equal, have no interval: low and high are NULL, with a reason.\n\
                 Edges: NaN and infinities are no measurements and count as NULL. Handle times have a long tail: with fewer than \
                 some 30 values median_ci is the safer figure. DISTINCT is refused.\n\
                 Source: Student, The Probable Error of a Mean, Biometrika 6 (1908) 1-25.",
            )
            .with_argument("x", X_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select ci['estimate'] as aht_s, round(ci['low'], 2) as low, round(ci['high'], 2) as high, ci['n'] as n
from (
    select mean_ci(handle_s) as ci
    from (values (280), (310), (295), (420), (345)) as contacts(handle_s)
);
+-------+--------+--------+---+
| aht_s | low    | high   | n |
+-------+--------+--------+---+
| 330.0 | 260.73 | 399.27 | 5 |
+-------+--------+--------+---+
```",
            )
            .with_related_udf("median_ci")
            .with_related_udf("welch_test")
            .with_related_udf("always_valid_ci")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WelchTest;

impl Statistic for WelchTest {
    const CALL: Call = Call {
        function: "welch_test",
        syntax: "welch_test(x, group [, baseline [, level]])",
        parameters: &[Parameter::column("x", Kind::Number), GROUP, BASELINE, LEVEL],
        arities: &[2, 3, 4],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = COMPARISON_WITH_DF;

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
            Ok([one, other]) => welch(*one, *other, *level),
            Err(reason) => Comparison::none(WELCH, reason),
        }
        .record_with_df()
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                WelchTest::CALL,
                "Whether a mean differs between two groups, and by how much. The groups may have different variances.\n\
                 Formula: difference = mean of the other group - mean of the baseline; statistic = t = difference / e with \
                 e = sqrt(v_a + v_b), v = s^2 / n; df = (v_a + v_b)^2 / (v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1)); p_value is \
                 two-sided by Student's distribution; low and high are difference -+ t(level, df) e.\n\
                 Units: those of x for difference, low and high.\n\
                 NULL: a row with a NULL x or group is skipped. Not two groups left, a group with one value, or values that are all \
                 equal in each group: NULL for the figures that are not defined, and a reason.\n\
                 Edges: NaN and infinities are no measurements and count as NULL. A long tail in a small group makes the p_value \
                 an approximation: mann_whitney_test does not mind. DISTINCT is refused.\n\
                 Source: B. L. Welch, Biometrika 34 (1947) 28-35.",
            )
            .with_argument("x", X_TEXT)
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select t['difference'] as difference, round(t['low'], 2) as low, round(t['high'], 2) as high, round(t['p_value'], 4) as p_value
from (
    select welch_test(handle_s, team, baseline => 'north') as t
    from (values
        ('north', 300), ('north', 340), ('north', 280), ('north', 360),
        ('east', 250), ('east', 270), ('east', 230), ('east', 290)
    ) as contacts(team, handle_s)
);
+------------+---------+-------+---------+
| difference | low     | high  | p_value |
+------------+---------+-------+---------+
| -60.0      | -116.22 | -3.78 | 0.0404  |
+------------+---------+-------+---------+
```",
            )
            .with_related_udf("mean_ci")
            .with_related_udf("mann_whitney_test")
            .with_related_udf("cohens_d")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PairedTest;

impl Statistic for PairedTest {
    const CALL: Call = Call {
        function: "paired_test",
        syntax: "paired_test(before, after [, level])",
        parameters: &[Parameter::column("before", Kind::Number), Parameter::column("after", Kind::Number), LEVEL],
        arities: &[2, 3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("df", FieldType::Number),
        ("p_value", FieldType::Number),
        ("difference", FieldType::Number),
        ("low", FieldType::Number),
        ("high", FieldType::Number),
        ("n", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Moments;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], mut each: impl FnMut(Option<f64>)) -> Result<()> {
        let mut before = vec![];
        each_number(columns, 0, |value| before.push(value))?;
        let mut before = before.into_iter();
        each_number(columns, 1, |after| {
            let before = before.next().flatten();
            each(after.zip(before).map(|(after, before)| after - before).filter(|difference| difference.is_finite()));
        })
    }

    fn finish(level: &Level, entries: &mut [Entry<Moments>], _: Option<&[u8]>) -> Record {
        let moments = entries.first().map(|entry| *entry.cell).unwrap_or_default();
        let interval = mean_interval(moments, *level);
        let (low, high) = interval.bounds.unzip();
        let df = (moments.n - 1) as f64;
        let statistic = interval.bounds.map(|_| moments.mean / (moments.variance() / moments.n as f64).sqrt());
        vec![
            Figure::Number(statistic),
            Figure::Number(statistic.map(|_| df)),
            Figure::Number(statistic.map(|statistic| student_two_sided(statistic, df))),
            Figure::Number(interval.estimate),
            Figure::Number(low),
            Figure::Number(high),
            Figure::Count(Some(moments.n)),
            Figure::Text(Some("paired t test")),
            Figure::Text(match interval.reason {
                Some(NO_ROWS) => Some("no row with both values"),
                Some(ONE_VALUE) => Some("one pair only"),
                Some(ALL_EQUAL) => Some("all differences are equal"),
                reason => reason,
            }),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                PairedTest::CALL,
                "Whether a value changed, for agents, queues or customers that were measured twice: one row with both values for \
                 each.\n\
                 Formula: difference = mean of after - before; statistic = t = difference / (s / sqrt(n)) with the sample standard \
                 deviation s of the differences; df = n - 1; p_value is two-sided by Student's distribution; low and high are \
                 difference -+ t(level, df) s / sqrt(n).\n\
                 Units: those of the values for difference, low and high; n counts pairs.\n\
                 NULL: a row in which either value is NULL is skipped. Fewer than two pairs, or differences that are all equal: NULL \
                 for the figures that are not defined, and a reason.\n\
                 Edges: NaN and infinities are no measurements and count as NULL. Without pairs, welch_test. DISTINCT is refused.\n\
                 Source: Student, The Probable Error of a Mean, Biometrika 6 (1908) 1-25.",
            )
            .with_argument("before", "The first values: integers, floats or decimals.")
            .with_argument("after", "The second values of the same agents, queues or customers.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select t['difference'] as difference, round(t['low'], 2) as low, round(t['high'], 2) as high, round(t['p_value'], 4) as p_value
from (
    select paired_test(old_aht_s, new_aht_s) as t
    from (values ('a1', 300, 280), ('a2', 340, 330), ('a3', 280, 285), ('a4', 360, 320)) as agents(agent_id, old_aht_s, new_aht_s)
);
+------------+--------+-------+---------+
| difference | low    | high  | p_value |
+------------+--------+-------+---------+
| -16.25     | -46.28 | 13.78 | 0.1836  |
+------------+--------+-------+---------+
```",
            )
            .with_related_udf("welch_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::distribution::normal_critical;
    use crate::inference::statistic::Cell;

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.add(*value));
        moments
    }

    fn level() -> Level {
        Level { level: 0.95, z: normal_critical(0.95) }
    }

    /// R's data set sleep: the extra hours of ten patients by two drugs.
    const SLEEP: [[f64; 10]; 2] =
        [[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]];

    #[test]
    fn welch_of_the_sleep_data() {
        // R documentation of t.test: t = -1.8608, df = 17.776, p-value = 0.07939, -3.3654832 to 0.2054832.
        let comparison = welch(moments(&SLEEP[1]), moments(&SLEEP[0]), level());
        assert!((comparison.statistic.unwrap() + 1.8608134675).abs() < 1e-9);
        assert!((comparison.df.unwrap() - 17.7764735162).abs() < 1e-9);
        assert!((comparison.p_value.unwrap() - 0.0793941402).abs() < 1e-9);
        let (low, high) = comparison.bounds.unwrap();
        assert!((low + 3.3654832).abs() < 1e-7 && (high - 0.2054832).abs() < 1e-7, "{low} {high}");
    }

    #[test]
    fn figures_that_are_not_defined_have_a_reason() {
        assert_eq!(mean_interval(moments(&[]), level()).reason, Some(NO_ROWS));
        assert_eq!(mean_interval(moments(&[3.0]), level()).reason, Some(ONE_VALUE));
        let equal = mean_interval(moments(&[0.1; 7]), level());
        assert_eq!((equal.reason, equal.bounds, equal.estimate), (Some(ALL_EQUAL), None, Some(0.1)));
        let large = mean_interval(moments(&[f64::MAX, f64::MIN, f64::MAX]), level());
        assert_eq!((large.reason, large.bounds), (Some(TOO_LARGE), None));
        assert_eq!(welch(moments(&[1.0]), moments(&[1.0, 2.0]), level()).reason, Some(FEW_VALUES));
        assert!(welch(moments(&[1.0; 3]), moments(&[2.0; 3]), level()).reason.is_some());
        // One group may be constant.
        assert_eq!(welch(moments(&[1.0; 3]), moments(&[2.0, 3.0]), level()).reason, None);
    }

    #[test]
    fn moments_far_from_zero_keep_their_digits() {
        // 1e9 + 4, 7, 13, 16: mean 1e9 + 10, variance 30.
        let far = moments(&[4.0, 7.0, 13.0, 16.0].map(|value| value + 1e9));
        assert_eq!((far.mean, far.variance()), (1e9 + 10.0, 30.0));
        let mut merged = moments(&[4.0 + 1e9]);
        merged.merge(moments(&[7.0, 13.0, 16.0].map(|value| value + 1e9)));
        assert!((merged.mean - far.mean).abs() < 1e-6 && (merged.variance() - 30.0).abs() < 1e-6);
        merged.merge(Moments::default());
        assert_eq!(merged.n, 4);
    }
}
