//! `anova(x, group)`: whether a mean differs among several groups.
//!
//! Formula: F = (squares between groups / (k - 1)) / (squares within groups / (n - k)).
//! Units:   any number in; eta squared, a share of the squares, out.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   the groups are taken to have one variance; NaN and infinities count as NULL.
//! Source:  R. A. Fisher, Statistical Methods for Research Workers, 1925.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{Moments, NO_ROWS, ONE_GROUP, TOO_LARGE};
use super::distribution::f_upper;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{GROUP, each_number, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Anova)]
}

/// The figures of an analysis of variance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Variances {
    statistic: f64,
    df_between: f64,
    df_within: f64,
    /// The share of the squares that is between the groups.
    eta_squared: f64,
}

/// The squares of the deviations between and within the groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Squares {
    between: f64,
    within: f64,
    df_between: f64,
    df_within: f64,
}

impl Squares {
    /// # Errors
    /// The reason why there is nothing to compare.
    pub(super) fn of(groups: &[Moments]) -> Result<Self, &'static str> {
        let first = match groups {
            [] => return Err(NO_ROWS),
            [_] => return Err(ONE_GROUP),
            [first, ..] => first.mean,
        };
        let n = groups.iter().map(|group| group.n).sum::<i64>() as f64;
        // Counted from the mean of one group, so that means far from 0 keep their digits.
        let moved = |group: &Moments| group.mean - first;
        let middle = groups.iter().map(|group| group.n as f64 / n * moved(group)).sum::<f64>();
        let between: f64 = groups.iter().map(|group| group.n as f64 * (moved(group) - middle).powi(2)).sum();
        let within: f64 = groups.iter().map(|group| group.squares).sum();
        if !(between.is_finite() && within.is_finite()) {
            return Err(TOO_LARGE);
        }
        Ok(Self { between, within, df_between: groups.len() as f64 - 1.0, df_within: n - groups.len() as f64 })
    }

    /// The share of the squares that is between the groups; `None` where there are no squares.
    pub(super) fn eta_squared(self) -> Option<f64> {
        // of halves, so that the sum does not overflow
        let (between, within) = (self.between / 2.0, self.within / 2.0);
        (between + within > 0.0).then(|| between / (between + within))
    }

    /// # Errors
    /// The reason why there are no figures.
    fn variances(self) -> Result<Variances, &'static str> {
        let Self { between, within, df_between, df_within } = self;
        if df_within <= 0.0 {
            return Err("one value only in each group");
        }
        if within <= 0.0 {
            return Err("all values of each group are equal");
        }
        let statistic = (between / df_between) / (within / df_within);
        Ok(Variances { statistic, df_between, df_within, eta_squared: between / (between + within) })
    }

    /// The probability of means that differ as much by chance; `None` where nothing varies within the groups.
    pub(super) fn p_value(self) -> Option<f64> {
        self.variances().ok().map(Variances::p_value)
    }
}

impl Variances {
    fn p_value(self) -> f64 {
        f_upper(self.statistic, self.df_between, self.df_within)
    }
}

/// # Errors
/// The reason why there are no figures.
fn analyse(groups: &[Moments]) -> Result<Variances, &'static str> {
    Squares::of(groups)?.variances()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Anova;

impl Statistic for Anova {
    const CALL: Call = Call {
        function: "anova",
        syntax: "anova(x, group)",
        parameters: &[Parameter::column("x", Kind::Number), GROUP],
        arities: &[2],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("df", FieldType::Number),
        ("df_within", FieldType::Number),
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("n", FieldType::Count),
        ("group_count", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Moments;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish((): &(), entries: &mut [Entry<Moments>], _: Option<&[u8]>) -> Record {
        let groups: Vec<Moments> = entries.iter().map(|entry| *entry.cell).collect();
        let (variances, reason) = match analyse(&groups) {
            Ok(variances) => (Some(variances), None),
            Err(reason) => (None, Some(reason)),
        };
        let figure = |of: fn(Variances) -> f64| Figure::Number(variances.map(of));
        vec![
            figure(|figures| figures.statistic),
            figure(|figures| figures.df_between),
            figure(|figures| figures.df_within),
            figure(Variances::p_value),
            figure(|figures| figures.eta_squared),
            Figure::Count(Some(groups.iter().map(|group| group.n).sum())),
            Figure::Count(Some(groups.len() as i64)),
            Figure::Text(Some("one-way analysis of variance")),
            Figure::Text(reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Anova::CALL,
                "Whether a mean differs among several groups: the one-way analysis of variance.\n\
                 Formula: statistic = F = (squares between the groups / df) / (squares within the groups / df_within) with df = \
                 groups - 1 and df_within = n - groups; p_value is the upper tail of the F distribution; estimate = eta squared, the \
                 share of all squares that is between the groups.\n\
                 Units: any number in; estimate is a ratio from 0 to 1.\n\
                 NULL: a row with a NULL x or group is skipped. Fewer than two groups, one value in each, or values that are all equal \
                 in each group: NULL for the figures, and a reason.\n\
                 Edges: the groups are taken to have one variance; where they have not, and for long tails, kruskal_test. NaN and \
                 infinities are no measurements and count as NULL. DISTINCT is refused.\n\
                 Source: R. A. Fisher, Statistical Methods for Research Workers, Oliver and Boyd 1925, chapter 7.",
            )
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("group", "The group of the row: a string, a number, a Boolean, a date or a timestamp.")
            .with_sql_example(
                "```sql
select round(t['statistic'], 4) as f, t['df'] as df, t['df_within'] as df_within, round(t['p_value'], 4) as p_value
from (
    select anova(handle_s, team) as t
    from (values
        ('east', 250), ('east', 270), ('east', 230),
        ('north', 300), ('north', 340), ('north', 280),
        ('west', 260), ('west', 310), ('west', 270)
    ) as contacts(team, handle_s)
);
+--------+-----+-----------+---------+
| f      | df  | df_within | p_value |
+--------+-----+-----------+---------+
| 3.5574 | 2.0 | 6.0       | 0.0958  |
+--------+-----+-----------+---------+
```",
            )
            .with_related_udf("kruskal_test")
            .with_related_udf("welch_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(values: &[f64]) -> Moments {
        use crate::inference::statistic::Cell;
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.add(*value));
        moments
    }

    #[test]
    fn three_groups_by_hand() {
        // Means 2, 3, 7 of three values each, 4 in all; between 3 (4 + 1 + 9) = 42, within 2 + 2 + 2 = 6: F = (42/2) / (6/6).
        let groups = [group(&[1.0, 2.0, 3.0]), group(&[2.0, 3.0, 4.0]), group(&[6.0, 7.0, 8.0])];
        let figures = analyse(&groups).unwrap();
        assert!((figures.statistic - 21.0).abs() < 1e-12);
        assert_eq!((figures.df_between, figures.df_within), (2.0, 6.0));
        assert!((figures.eta_squared - 42.0 / 48.0).abs() < 1e-15);
    }

    #[test]
    fn figures_that_are_not_defined_have_a_reason() {
        assert_eq!(analyse(&[]), Err(NO_ROWS));
        assert_eq!(analyse(&[group(&[1.0, 2.0])]), Err(ONE_GROUP));
        assert!(analyse(&[group(&[1.0]), group(&[2.0])]).is_err());
        assert!(analyse(&[group(&[1.0, 1.0]), group(&[2.0])]).is_err());
        assert_eq!(analyse(&[group(&[1e200, -1e200]), group(&[2.0])]), Err(TOO_LARGE));
        assert!(analyse(&[group(&[1.0, 3.0]), group(&[2.0])]).is_ok());
    }
}
