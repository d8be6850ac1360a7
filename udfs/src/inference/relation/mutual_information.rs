//! `mutual_information(a, b)`: how much one label tells of the other, of any kind of relation.
//!
//! Formula: sum over the pairs of labels of p(a, b) log2(p(a, b) / (p(a) p(b))).
//! Units:   labels in; bits out.
//! NULL:    a row with a NULL label is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   of few rows it is too large, as labels that are independent go together by chance: see `p_value` and `is_small`.
//! Source:  C. E. Shannon 1948.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::page;
use crate::args::{Call, Constants};
use crate::inference::cells::Count;
use crate::inference::contingency::{A_TEXT, B_TEXT, FEW_EXPECTED, LABELS, Table, each_pair};
use crate::inference::description::entropy_bits;
use crate::inference::distribution::chi_square_upper;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(MutualInformation)]
}

/// The mutual information of a table with rows, in bits.
fn bits(table: &Table) -> f64 {
    let n = table.n as f64;
    let sum_of = |sums: &[i64], index: usize| sums.get(index).copied().unwrap_or_default() as f64;
    let bits = table.cells.iter().map(|(row, column, count)| {
        let count = *count as f64;
        let expected = sum_of(&table.row_sums, *row) / n * sum_of(&table.column_sums, *column);
        count / n * (count / expected).log2()
    });
    bits.sum::<f64>().max(0.0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MutualInformation;

impl Statistic for MutualInformation {
    const CALL: Call =
        Call { function: "mutual_information", syntax: "mutual_information(a, b)", parameters: &LABELS, arities: &[2] };
    const KEYS: &'static [usize] = &[0, 1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("estimate", FieldType::Number),
        ("normalized", FieldType::Number),
        ("p_value", FieldType::Number),
        ("n", FieldType::Count),
        ("is_small", FieldType::Flag),
        ("reason", FieldType::Text),
    ];

    type Cell = Count;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<()>)) -> Result<()> {
        each_pair(columns, each);
        Ok(())
    }

    fn finish((): &(), entries: &mut [Entry<Count>], _: Option<&[u8]>) -> Record {
        let table = Table::of(entries);
        let lack = table.lack();
        let estimate = (table.n > 0).then(|| bits(&table));
        let compared = estimate.filter(|_| lack.is_none());
        let entropies = [&table.row_sums, &table.column_sums].map(|sums| entropy_bits(sums.iter().copied()));
        let [a, b] = entropies.map(Option::unwrap_or_default);
        let df = (table.row_sums.len() as f64 - 1.0) * (table.column_sums.len() as f64 - 1.0);
        let statistic = |bits: f64| 2.0 * table.n as f64 * bits * std::f64::consts::LN_2;
        vec![
            Figure::Number(estimate),
            Figure::Number(compared.map(|bits| (bits / f64::midpoint(a, b)).min(1.0))),
            Figure::Number(compared.map(|bits| chi_square_upper(statistic(bits), df))),
            Figure::Count(Some(table.n)),
            Figure::Flag(compared.is_none() || table.least_expected() < FEW_EXPECTED),
            Figure::Text(lack),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                MutualInformation::CALL,
                "How much one label tells of the other: how many bits of the entropy of b are known once a is, and the other way \
                 round. It sees relations of any shape, not only those that grow or fall.\n\
                 Formula: estimate = sum over all pairs of labels of p(a, b) log2(p(a, b) / (p(a) p(b))) = entropy(a) + entropy(b) - \
                 entropy of the pairs; normalized = estimate / mean of both entropies; p_value is the upper tail of the chi-square \
                 distribution at 2 n ln(2) estimate (the G-test) with (labels of a - 1) (labels of b - 1) degrees of freedom.\n\
                 Units: labels in; bits out (1 bit = 0.6931 nats); normalized from 0 (independent) to 1 (one label tells the other).\n\
                 NULL: a row with a NULL label is skipped. No row left: NULL for the figures, and a reason. A label with one value only \
                 tells nothing: estimate is 0, normalized and p_value are NULL, with a reason.\n\
                 Edges: of few rows or many labels the estimate is too large, by about (labels of a - 1) (labels of b - 1) / (2 n ln 2) \
                 bits; is_small where a pair expects fewer than 5 rows. Numbers are labels: round or bin them first, see \
                 floor(x / 60). The distinct pairs are held in memory. DISTINCT is refused.\n\
                 Source: C. E. Shannon, Bell System Technical Journal 27 (1948) 379-423; G. A. Miller, Information Theory in Psychology \
                 1955 (bias); estimate as scikit-learn's mutual_info_score, which is in nats, normalized as its \
                 normalized_mutual_info_score.",
            )
            .with_argument("a", A_TEXT)
            .with_argument("b", B_TEXT)
            .with_sql_example(
                "```sql
select round(i['estimate'], 4) as bits, round(i['normalized'], 4) as normalized, round(i['p_value'], 4) as p_value
from (
    select mutual_information(channel, is_resolved) as i
    from (values
        ('chat', true), ('chat', true), ('chat', false), ('chat', true), ('phone', true),
        ('phone', false), ('phone', false), ('mail', false), ('mail', false), ('mail', true)
    ) as contacts(channel, is_resolved)
);
+--------+------------+---------+
| bits   | normalized | p_value |
+--------+------------+---------+
| 0.1245 | 0.0969     | 0.4219  |
+--------+------------+---------+
```",
            )
            .with_related_udf("entropy")
            .with_related_udf("cramers_v")
            .with_related_udf("chi_square_test")
            .build()
        });
        &PAGE
    }
}
