//! `kruskal_test(x, group)`: whether the values of some of several groups tend to be larger.
//!
//! Formula: H = 12 / (n (n + 1)) * sum of n_i (mean rank_i - (n + 1) / 2)^2, divided by 1 - sum(t^3 - t) / (n^3 - n).
//! Units:   any number in; epsilon squared out.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   tied values have the mean of their ranks; NaN and infinities count as NULL.
//! Source:  W. H. Kruskal and W. A. Wallis 1952.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{ALL_EQUAL, NO_ROWS, ONE_GROUP, Values};
use super::distribution::chi_square_upper;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{GROUP, each_number, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(KruskalTest)]
}

/// Kruskal and Wallis's statistic of sorted groups.
///
/// # Errors
/// The reason why there is none.
fn kruskal(groups: &[&[f64]]) -> Result<f64, &'static str> {
    match groups.len() {
        0 => return Err(NO_ROWS),
        1 => return Err(ONE_GROUP),
        _ => {}
    }
    let mut values: Vec<(f64, usize)> = vec![];
    for (group, sorted) in groups.iter().enumerate() {
        values.extend(sorted.iter().map(|value| (*value, group)));
    }
    values.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
    let n = values.len() as f64;
    // Ranks from their mean, so that sums of many stay small.
    let (mut rank_sums, mut tie_term, mut below) = (vec![0.0; groups.len()], 0.0, 0.0);
    for tied in values.chunk_by(|(one, _), (other, _)| one == other) {
        let count = tied.len() as f64;
        let rank = below + (count + 1.0) / 2.0 - (n + 1.0) / 2.0;
        for (_, group) in tied {
            if let Some(sum) = rank_sums.get_mut(*group) {
                *sum += rank;
            }
        }
        tie_term += count * count * count - count;
        below += count;
    }
    let untied = 1.0 - tie_term / (n * n * n - n);
    if untied <= 0.0 {
        return Err(ALL_EQUAL);
    }
    let squares: f64 = rank_sums.iter().zip(groups).map(|(sum, group)| sum / group.len() as f64 * sum).sum();
    Ok(12.0 / (n * (n + 1.0)) * squares / untied)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct KruskalTest;

impl Statistic for KruskalTest {
    const CALL: Call = Call {
        function: "kruskal_test",
        syntax: "kruskal_test(x, group)",
        parameters: &[Parameter::column("x", Kind::Number), GROUP],
        arities: &[2],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("df", FieldType::Number),
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("n", FieldType::Count),
        ("group_count", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Values;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish((): &(), entries: &mut [Entry<Values>], _: Option<&[u8]>) -> Record {
        let groups: Vec<&[f64]> = entries.iter_mut().map(|entry| entry.cell.sorted()).collect();
        let n: i64 = groups.iter().map(|group| group.len() as i64).sum();
        let (statistic, reason) = match kruskal(&groups) {
            Ok(statistic) => (Some(statistic), None),
            Err(reason) => (None, Some(reason)),
        };
        let df = groups.len() as f64 - 1.0;
        vec![
            Figure::Number(statistic),
            Figure::Number(statistic.map(|_| df)),
            Figure::Number(statistic.map(|statistic| chi_square_upper(statistic, df))),
            Figure::Number(statistic.map(|statistic| statistic / (n - 1) as f64)),
            Figure::Count(Some(n)),
            Figure::Count(Some(groups.len() as i64)),
            Figure::Text(Some("Kruskal-Wallis test")),
            Figure::Text(reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                KruskalTest::CALL,
                "Whether the values of some of several groups tend to be larger, without an assumption on their distribution.\n\
                 Formula: statistic = H = 12 / (n (n + 1)) sum over the groups of n_i (mean rank - (n + 1) / 2)^2, divided by \
                 1 - sum(t^3 - t) / (n^3 - n) for t tied values; df = groups - 1; p_value is the upper tail of the chi-square \
                 distribution; estimate = epsilon squared, H / (n - 1).\n\
                 Units: any number in; estimate is a ratio from 0 to 1.\n\
                 NULL: a row with a NULL x or group is skipped. Fewer than two groups, or values that are all equal: NULL for the \
                 figures, and a reason.\n\
                 Edges: with fewer than 5 values in a group the p_value is an approximation. NaN and infinities are no measurements \
                 and count as NULL. Values are held in memory, 8 bytes each. DISTINCT is refused.\n\
                 Source: W. H. Kruskal and W. A. Wallis, Journal of the American Statistical Association 47 (1952) 583-621; M. Tomczak \
                 and E. Tomczak, Trends in Sport Sciences 21 (2014) 19-25 (epsilon squared).",
            )
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("group", "The group of the row: a string, a number, a Boolean, a date or a timestamp.")
            .with_sql_example(
                "```sql
select round(t['statistic'], 4) as h, t['df'] as df, round(t['p_value'], 4) as p_value
from (
    select kruskal_test(wait_s, queue) as t
    from (values
        ('billing', 12), ('billing', 35), ('billing', 4),
        ('sales', 8), ('sales', 15), ('sales', 6),
        ('technical', 41), ('technical', 28), ('technical', 90)
    ) as contacts(queue, wait_s)
);
+--------+-----+---------+
| h      | df  | p_value |
+--------+-----+---------+
| 4.3556 | 2.0 | 0.1133  |
+--------+-----+---------+
```",
            )
            .with_related_udf("anova")
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
    fn ranks_by_hand() {
        // Ranks 1 2 3 | 4 5 6 | 7 8 9: mean ranks 2, 5, 8 around 5: H = 12 / 90 * 3 (9 + 0 + 9) = 7.2.
        let groups: [&[f64]; 3] = [&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], &[7.0, 8.0, 9.0]];
        assert!((kruskal(&groups).unwrap() - 7.2).abs() < 1e-12);
        // Two of two tied pairs: ranks 1.5 1.5 | 3.5 3.5 around 2.5: 12 / 20 * 2 (1 + 1) = 2.4, over 1 - 12 / 60.
        assert!((kruskal(&[&[1.0, 1.0], &[2.0, 2.0]]).unwrap() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn figures_that_are_not_defined_have_a_reason() {
        assert_eq!(kruskal(&[]), Err(NO_ROWS));
        assert_eq!(kruskal(&[&[1.0, 2.0]]), Err(ONE_GROUP));
        assert_eq!(kruskal(&[&[1.0, 1.0], &[1.0]]), Err(ALL_EQUAL));
    }
}
