//! `chi_square_test(a, b)` and `cramers_v(a, b)`: whether two labels go together.
//!
//! Formula: sum over the cells of the table of (observed - expected)^2 / expected; V = sqrt(chi2 / (n min(r - 1, c - 1))).
//! Units:   labels in.
//! NULL:    a row with a NULL label is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   without a correction for continuity; `is_small` where a cell expects fewer than 5 rows.
//! Source:  K. Pearson 1900; H. Cramer 1946.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{Count, NO_ROWS};
use super::distribution::chi_square_upper;
use super::page;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(ChiSquareTest), statistic(CramersV)]
}

/// The parameters of a function of a contingency table.
pub(super) const LABELS: [Parameter; 2] = [Parameter::column("a", Kind::Key), Parameter::column("b", Kind::Key)];

pub(super) const A_TEXT: &str = "The first label of the row: a string, a number, a Boolean, a date or a timestamp.";
pub(super) const B_TEXT: &str = "The second label of the row, likewise.";

/// Every row counts once; the labels are the key.
pub(super) fn each_pair(columns: &[ArrayRef], mut each: impl FnMut(Option<()>)) {
    (0..columns.first().map_or(0, Array::len)).for_each(|_| each(Some(())));
}

/// Rows by two labels: only cells with rows, and the sums by each label, in the order of the labels.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Index of the first label, of the second, and rows.
    pub(super) cells: Vec<(usize, usize, i64)>,
    pub(super) row_sums: Vec<i64>,
    pub(super) column_sums: Vec<i64>,
    pub(super) n: i64,
}

impl Table {
    pub(super) fn of(entries: &[Entry<Count>]) -> Self {
        let mut columns: BTreeMap<&[u8], usize> = entries.iter().map(|entry| (entry.keys[1], 0)).collect();
        columns.values_mut().enumerate().for_each(|(index, column)| *column = index);
        let mut table = Self { column_sums: vec![0; columns.len()], ..Self::default() };
        let mut last_row = None;
        for entry in entries {
            let [row_key, column_key] = entry.keys;
            let count = entry.cell.0;
            if last_row != Some(row_key) {
                last_row = Some(row_key);
                table.row_sums.push(0);
            }
            let (row, column) = (table.row_sums.len() - 1, columns.get(column_key).copied().unwrap_or_default());
            if let Some(sum) = table.row_sums.last_mut() {
                *sum += count;
            }
            if let Some(sum) = table.column_sums.get_mut(column) {
                *sum += count;
            }
            table.cells.push((row, column, count));
            table.n += count;
        }
        table
    }

    /// Pearson's statistic.
    fn chi_square(&self) -> f64 {
        let n = self.n as f64;
        let expected = |row: usize, column: usize| {
            let sum = |sums: &[i64], index: usize| sums.get(index).copied().unwrap_or_default() as f64;
            sum(&self.row_sums, row) / n * sum(&self.column_sums, column)
        };
        let (mut statistic, mut expected_sum) = (0.0, 0.0);
        for (row, column, count) in &self.cells {
            let expected = expected(*row, *column);
            let difference = *count as f64 - expected;
            statistic += difference * difference / expected;
            expected_sum += expected;
        }
        // A cell without rows adds what it expects.
        let has_all = self.cells.len() == self.row_sums.len() * self.column_sums.len();
        if has_all { statistic } else { statistic + (n - expected_sum).max(0.0) }
    }

    /// The fewest rows that a cell expects.
    pub(super) fn least_expected(&self) -> f64 {
        let least = |sums: &[i64]| sums.iter().min().copied().unwrap_or_default() as f64;
        least(&self.row_sums) * (least(&self.column_sums) / self.n as f64)
    }

    /// Why there is nothing to compare; `None` if there is.
    pub(super) fn lack(&self) -> Option<&'static str> {
        match (self.row_sums.len(), self.column_sums.len()) {
            (0, _) => Some(NO_ROWS),
            (1, _) => Some("a has one value only"),
            (_, 1) => Some("b has one value only"),
            _ => None,
        }
    }
}

/// Statistic, degrees of freedom and Cramer's V; `None` where there is nothing to compare.
fn association(table: &Table) -> Option<(f64, f64, f64)> {
    if table.lack().is_some() {
        return None;
    }
    let (rows, columns) = (table.row_sums.len() as f64 - 1.0, table.column_sums.len() as f64 - 1.0);
    let statistic = table.chi_square();
    Some((statistic, rows * columns, (statistic / (table.n as f64 * rows.min(columns))).sqrt().min(1.0)))
}

/// Fewer expected rows than this make the distribution an approximation.
pub(super) const FEW_EXPECTED: f64 = 5.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ChiSquareTest;

impl Statistic for ChiSquareTest {
    const CALL: Call =
        Call { function: "chi_square_test", syntax: "chi_square_test(a, b)", parameters: &LABELS, arities: &[2] };
    const KEYS: &'static [usize] = &[0, 1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("df", FieldType::Number),
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("n", FieldType::Count),
        ("is_small", FieldType::Flag),
        ("method", FieldType::Text),
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
        let association = association(&table);
        let figure = |of: fn((f64, f64, f64)) -> f64| Figure::Number(association.map(of));
        vec![
            figure(|(statistic, ..)| statistic),
            figure(|(_, df, _)| df),
            figure(|(statistic, df, _)| chi_square_upper(statistic, df)),
            figure(|(.., v)| v),
            Figure::Count(Some(table.n)),
            Figure::Flag(association.is_none() || table.least_expected() < FEW_EXPECTED),
            Figure::Text(Some("Pearson's chi-square test")),
            Figure::Text(table.lack()),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ChiSquareTest::CALL,
                "Whether two labels go together: a channel and a topic, a team and whether a contact was resolved.\n\
                 Formula: statistic = sum over all pairs of labels of (rows - expected)^2 / expected, expected = rows of a x rows of \
                 b / n; df = (labels of a - 1) (labels of b - 1); p_value is the upper tail of the chi-square distribution; estimate \
                 is Cramer's V, sqrt(statistic / (n min(labels of a - 1, labels of b - 1))).\n\
                 Units: labels in; estimate from 0 (independent) to 1 (one label tells the other).\n\
                 NULL: a row with a NULL label is skipped. A label with one value only: NULL for the figures, and a reason.\n\
                 Edges: is_small where a pair expects fewer than 5 rows, so that the p_value is an approximation: fisher_test is \
                 exact for two by two labels. No correction for continuity, as R's chisq.test(correct = FALSE). DISTINCT is refused.\n\
                 Source: K. Pearson, Philosophical Magazine 50 (1900) 157-175; W. G. Cochran, Biometrics 10 (1954) 417-451 (5 rows).",
            )
            .with_argument("a", A_TEXT)
            .with_argument("b", B_TEXT)
            .with_sql_example(
                "```sql
select round(t['statistic'], 4) as chi_square, t['df'] as df, round(t['p_value'], 4) as p_value, t['is_small'] as is_small
from (
    select chi_square_test(channel, is_resolved) as t
    from (values
        ('chat', true), ('chat', true), ('chat', false), ('chat', true), ('phone', true),
        ('phone', false), ('phone', false), ('mail', false), ('mail', false), ('mail', true)
    ) as contacts(channel, is_resolved)
);
+------------+-----+---------+----------+
| chi_square | df  | p_value | is_small |
+------------+-----+---------+----------+
| 1.6667     | 2.0 | 0.4346  | true     |
+------------+-----+---------+----------+
```",
            )
            .with_related_udf("fisher_test")
            .with_related_udf("cramers_v")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CramersV;

impl Statistic for CramersV {
    const CALL: Call = Call { function: "cramers_v", syntax: "cramers_v(a, b)", ..ChiSquareTest::CALL };
    const KEYS: &'static [usize] = &[0, 1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("estimate", FieldType::Number),
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
        let association = association(&table);
        vec![
            Figure::Number(association.map(|(.., v)| v)),
            Figure::Count(Some(table.n)),
            Figure::Flag(association.is_none() || table.least_expected() < FEW_EXPECTED),
            Figure::Text(table.lack()),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CramersV::CALL,
                "How closely two labels go together, whatever the number of rows. Of two by two labels about 0.1 is small, 0.3 \
                 medium, 0.5 large.\n\
                 Formula: sqrt(chi2 / (n min(labels of a - 1, labels of b - 1))) with the statistic chi2 of chi_square_test.\n\
                 Units: labels in; estimate from 0 (independent) to 1 (one label tells the other).\n\
                 NULL: a row with a NULL label is skipped. A label with one value only: NULL, with a reason.\n\
                 Edges: of few rows it is too large: independent labels are above 0 by chance. is_small where a pair of labels expects \
                 fewer than 5 rows. DISTINCT is refused.\n\
                 Source: H. Cramer, Mathematical Methods of Statistics, Princeton 1946, section 21.9.",
            )
            .with_argument("a", A_TEXT)
            .with_argument("b", B_TEXT)
            .with_sql_example(
                "```sql
select round(v['estimate'], 4) as v, v['n'] as n
from (
    select cramers_v(channel, is_resolved) as v
    from (values
        ('chat', true), ('chat', true), ('chat', false), ('chat', true), ('phone', true),
        ('phone', false), ('phone', false), ('mail', false), ('mail', false), ('mail', true)
    ) as contacts(channel, is_resolved)
);
+--------+----+
| v      | n  |
+--------+----+
| 0.4082 | 10 |
+--------+----+
```",
            )
            .with_related_udf("chi_square_test")
            .build()
        });
        &PAGE
    }
}
