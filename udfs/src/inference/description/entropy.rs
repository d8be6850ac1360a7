//! `entropy(x)`: how evenly rows are spread over the values.
//!
//! Formula: - sum over the values of p log2 p.
//! Units:   values of any type in; bits out.
//! NULL:    a NULL is skipped; no rows left gives NULL.
//! Edges:   one value only is 0; NaN is a value.
//! Source:  C. E. Shannon 1948.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::page;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::cells::Count;
use crate::inference::contingency::each_pair;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Entropy)]
}

/// The entropy of the rows of each value, in bits; `None` without rows.
pub(in crate::inference) fn entropy_bits(counts: impl Iterator<Item = i64> + Clone) -> Option<f64> {
    let n = counts.clone().sum::<i64>() as f64;
    let bits = counts.filter(|count| *count > 0).map(|count| count as f64 / n * (n / count as f64).log2());
    (n > 0.0).then(|| bits.sum())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entropy;

impl Statistic for Entropy {
    const CALL: Call = Call {
        function: "entropy",
        syntax: "entropy(x)",
        parameters: &[Parameter::column("x", Kind::Key)],
        arities: &[1],
    };
    const KEYS: &'static [usize] = &[0];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("entropy", FieldType::Number)];
    const IS_STRUCT: bool = false;

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
        vec![Figure::Number(entropy_bits(entries.iter().map(|entry| entry.cell.0)))]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Entropy::CALL,
                "How evenly rows are spread over the values: whether an agent has all topics or one, a customer all channels or one.\n\
                 Formula: - sum over the values of p log2(p), p the share of the rows with the value.\n\
                 Units: values of any type that can be grouped by in; bits out, as DuckDB's entropy (scipy's is in nats: times ln 2). \
                 2^entropy is the number of equally frequent values with the same entropy.\n\
                 NULL: a row with a NULL x is skipped; no rows left gives NULL.\n\
                 Edges: from 0 (one value only) to log2 of the number of values (all equally frequent). Numbers are values as others: \
                 round or bin them first. The distinct values are held in memory. DISTINCT is refused.\n\
                 Source: C. E. Shannon, Bell System Technical Journal 27 (1948) 379-423.",
            )
            .with_argument("x", "The values: strings, numbers, Booleans, dates or timestamps.")
            .with_sql_example(
                "```sql
select agent, entropy(topic) as bits
from (values
    ('Ada', 'billing'), ('Ada', 'billing'), ('Ada', 'delivery'), ('Ada', 'technical'), ('Bo', 'billing'), ('Bo', 'billing')
) as contacts(agent, topic)
group by agent
order by agent;
+-------+------+
| agent | bits |
+-------+------+
| Ada   | 1.5  |
| Bo    | 0.0  |
+-------+------+
```",
            )
            .with_related_udf("mutual_information")
            .with_related_udf("mode")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_by_hand() {
        // 1/2 x 1 + 1/4 x 2 + 1/4 x 2
        assert_eq!(entropy_bits([2, 1, 1].into_iter()), Some(1.5));
        assert_eq!(entropy_bits([7].into_iter()), Some(0.0));
        assert!(entropy_bits([7].into_iter()).unwrap().is_sign_positive());
        assert_eq!(entropy_bits([].into_iter()), None);
    }
}
