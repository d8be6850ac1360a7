//! `correlation_ratio(category, x)`: how much of the spread of a number lies between the groups of a label.
//!
//! Formula: eta squared = squares between the groups / all squares; eta its root.
//! Units:   a label and a number in; 0 to 1 out.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   of few rows per group it is too large; NaN and infinities count as NULL.
//! Source:  K. Pearson 1905; R. A. Fisher 1925 (p-value).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::page;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::anova::Squares;
use crate::inference::cells::{ALL_EQUAL, Moments};
use crate::inference::each_number;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(CorrelationRatio)]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CorrelationRatio;

impl Statistic for CorrelationRatio {
    const CALL: Call = Call {
        function: "correlation_ratio",
        syntax: "correlation_ratio(category, x)",
        parameters: &[Parameter::column("category", Kind::Key), Parameter::column("x", Kind::Number)],
        arities: &[2],
    };
    const KEYS: &'static [usize] = &[0];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("estimate", FieldType::Number),
        ("eta_squared", FieldType::Number),
        ("p_value", FieldType::Number),
        ("n", FieldType::Count),
        ("group_count", FieldType::Count),
        ("reason", FieldType::Text),
    ];

    type Cell = Moments;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 1, each)
    }

    fn finish((): &(), entries: &mut [Entry<Moments>], _: Option<&[u8]>) -> Record {
        let groups: Vec<Moments> = entries.iter().map(|entry| *entry.cell).collect();
        let squares = Squares::of(&groups);
        let eta_squared = squares.ok().and_then(Squares::eta_squared);
        let p_value = squares.ok().and_then(|squares| squares.p_value());
        let reason = match squares {
            Err(reason) => Some(reason),
            Ok(_) if eta_squared.is_none() => Some(ALL_EQUAL),
            Ok(_) if p_value.is_none() => Some("all values of each group are equal: no p-value"),
            Ok(_) => None,
        };
        vec![
            Figure::Number(eta_squared.map(f64::sqrt)),
            Figure::Number(eta_squared),
            Figure::Number(p_value.filter(|_| eta_squared.is_some())),
            Figure::Count(Some(groups.iter().map(|group| group.n).sum())),
            Figure::Count(Some(groups.len() as i64)),
            Figure::Text(reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CorrelationRatio::CALL,
                "How closely a number goes with a label: handle time with the topic, a score with the channel. Eta, the correlation \
                 ratio.\n\
                 Formula: eta_squared = sum over the groups of rows (mean of the group - mean of all)^2 / sum of (x - mean of all)^2; \
                 estimate = its root, eta; p_value is that of anova: the upper tail of the F distribution.\n\
                 Units: any number in; 0 (all groups have one mean) to 1 (the label tells the number) out. eta_squared is the share of \
                 the variance that lies between the groups.\n\
                 NULL: a row with a NULL category or x is skipped. Rows of fewer than two groups, or values that are all equal: NULL \
                 for the figures, and a reason. Where all values of each group are equal, or each group has one: no p_value, and a reason.\n\
                 Edges: no direction: of the labels none is larger. It grows with the number of groups also where the label means \
                 nothing, by (groups - 1) / (n - 1) in eta_squared. NaN and infinities are no measurements and count as NULL. DISTINCT \
                 is refused.\n\
                 Source: K. Pearson, Drapers' Company Research Memoirs, Biometric Series 2 (1905); R. A. Fisher, Statistical Methods for \
                 Research Workers, 1925 (p_value).",
            )
            .with_argument("category", "The label of the row: a string, a number, a Boolean, a date or a timestamp.")
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_sql_example(
                "```sql
select round(r['estimate'], 4) as eta, round(r['eta_squared'], 4) as eta_squared, round(r['p_value'], 4) as p_value
from (
    select correlation_ratio(topic, handle_s) as r
    from (values
        ('billing', 200), ('billing', 240), ('billing', 310), ('delivery', 150), ('delivery', 170), ('delivery', 260)
    ) as contacts(topic, handle_s)
);
+-------+-------------+---------+
| eta   | eta_squared | p_value |
+-------+-------------+---------+
| 0.519 | 0.2693      | 0.2914  |
+-------+-------------+---------+
```",
            )
            .with_related_udf("anova")
            .with_related_udf("spearman")
            .with_related_udf("cramers_v")
            .build()
        });
        &PAGE
    }
}
