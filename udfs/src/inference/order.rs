//! `median_ci(x)`: the median and the interval between two of the ordered values.
//!
//! Formula: the k-th smallest and the k-th largest value, k the largest rank with P(Bin(n, 1/2) < k) <= (1 - level) / 2.
//! Units:   those of x.
//! NULL:    a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   no assumption on the distribution; NaN and infinities count as NULL.
//! Source:  W. R. Thompson, Annals of Mathematical Statistics 7 (1936) 122-128.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{NO_ROWS, Values};
use super::distribution::fair_binomial_lower;
use super::proportion::Level;
use super::record::{FieldType, INTERVAL, Interval, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{LEVEL, LEVEL_TEXT, each_number, level, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(MedianCi)]
}

/// The rank of the lower end among `n` ordered values, counted from 1; `None` where not even the smallest and the largest
/// value reach the level.
fn lower_rank(n: usize, level: f64) -> Option<usize> {
    let tail = (1.0 - level) / 2.0;
    // The level that rounds to just above a power of one half is that power.
    let reaches = |rank: usize| fair_binomial_lower(rank as f64 - 1.0, n as f64) <= tail * (1.0 + 1e-12);
    let (mut reached, mut missed) = (0, n / 2 + 1);
    while missed - reached > 1 {
        let middle = reached + (missed - reached) / 2;
        if reaches(middle) {
            reached = middle;
        } else {
            missed = middle;
        }
    }
    (reached > 0).then_some(reached)
}

/// The median of sorted values, of two in the middle their mean.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    // of halves, so that the sum of large values does not overflow
    Some(if lower == upper { lower } else { lower / 2.0 + upper / 2.0 })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MedianCi;

impl Statistic for MedianCi {
    const CALL: Call = Call {
        function: "median_ci",
        syntax: "median_ci(x [, level])",
        parameters: &[Parameter::column("x", Kind::Number), LEVEL],
        arities: &[1, 2],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Values;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Values>], _: Option<&[u8]>) -> Record {
        let Some(entry) = entries.first_mut() else { return Interval::none(NO_ROWS).record() };
        let sorted = entry.cell.sorted();
        let bounds = lower_rank(sorted.len(), level.level)
            .and_then(|rank| Some((*sorted.get(rank - 1)?, *sorted.get(sorted.len() - rank)?)));
        let reason = if bounds.is_none() { Some("too few values for this level") } else { None };
        Interval { estimate: median(sorted), bounds, n: sorted.len() as i64, reason }.record()
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                MedianCi::CALL,
                "Median with its confidence interval, without an assumption on the distribution.\n\
                 Formula: estimate = median, of an even number of values the mean of the two in the middle; low and high are the \
                 k-th smallest and the k-th largest value with the largest k for which P(X < k) <= (1 - level) / 2, X binomial \
                 with n trials and probability 1/2.\n\
                 Units: those of x.\n\
                 NULL: a NULL is skipped; no value left gives n = 0, NULL for the figures, and a reason. Fewer than 6 values do not \
                 reach 0.95: low and high are NULL, with a reason.\n\
                 Edges: the interval has at least the level. NaN and infinities are no measurements and count as NULL. Values are \
                 held in memory, 8 bytes each. DISTINCT is refused.\n\
                 Source: W. R. Thompson, Annals of Mathematical Statistics 7 (1936) 122-128; G. J. Hahn and W. Q. Meeker, \
                 Statistical Intervals, Wiley 1991, section 5.2.",
            )
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select ci['estimate'] as median_s, ci['low'] as low, ci['high'] as high, ci['n'] as n
from (
    select median_ci(wait_s) as ci
    from (values (3), (8), (9), (12), (15), (21), (30), (240)) as contacts(wait_s)
);
+----------+-----+-------+---+
| median_s | low | high  | n |
+----------+-----+-------+---+
| 13.5     | 3.0 | 240.0 | 8 |
+----------+-----+-------+---+
```",
            )
            .with_related_udf("mean_ci")
            .with_related_udf("mann_whitney_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_the_published_table() {
        // W. J. Conover, Practical Nonparametric Statistics, table of the sign test: 95 % ranks of n values.
        for (n, rank) in
            [(5, None), (6, Some(1)), (8, Some(1)), (9, Some(2)), (20, Some(6)), (25, Some(8)), (50, Some(18))]
        {
            assert_eq!(lower_rank(n, 0.95), rank, "{n}");
        }
        assert_eq!(lower_rank(0, 0.95), None);
        // P(X < 1) of one value is one half: the level 0 would be reached, no other.
        assert_eq!(lower_rank(1, 0.5), None);
        // of two values 1/4: exactly the level .5
        assert_eq!(lower_rank(2, 0.5), Some(1));
    }

    #[test]
    fn ranks_of_many_values_are_near_the_normal_ones() {
        // n / 2 - 1.96 sqrt(n) / 2: 500,000 - 980.
        let rank = lower_rank(1_000_000, 0.95).unwrap();
        assert!((499_018..=499_022).contains(&rank), "{rank}");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[f64::MAX, f64::MAX]), Some(f64::MAX));
        assert_eq!(median(&[-f64::MAX, f64::MAX]), Some(0.0));
    }
}
