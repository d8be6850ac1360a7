//! `spearman(x, y)` and `kendall(x, y)`: whether one column grows with the other, whatever the shape of the growth.
//!
//! Formula: Pearson's coefficient of the ranks, ties their mean rank; (concordant - discordant pairs) / sqrt((pairs not tied
//!          in x) (pairs not tied in y)).
//! Units:   numbers or flags in; -1 to 1 out.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   NaN and infinities count as NULL; all pairs are held in memory.
//! Source:  C. Spearman 1904; M. G. Kendall 1938 and 1945; W. R. Knight 1966; D. G. Bonett and T. A. Wright 2000.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::concordance::kendall;
use super::correlation::{Correlation, rank_moments, ranks};
use super::{each_value, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::proportion::Level;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Cell, Entry, Statistic, statistic};
use crate::inference::{LEVEL, LEVEL_TEXT, level};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Spearman), statistic(Kendall)]
}

const X_TEXT: &str = "The first value: an integer, float, decimal or Boolean, which counts as 1 or 0.";
const Y_TEXT: &str = "The second value, likewise.";

const FIELDS: &[(&str, FieldType)] = &[
    ("estimate", FieldType::Number),
    ("low", FieldType::Number),
    ("high", FieldType::Number),
    ("p_value", FieldType::Number),
    ("n", FieldType::Count),
    ("method", FieldType::Text),
    ("reason", FieldType::Text),
];

fn record(correlation: Correlation, method: &'static str) -> Record {
    let (low, high) = correlation.bounds.unzip();
    vec![
        Figure::Number(correlation.estimate),
        Figure::Number(low),
        Figure::Number(high),
        Figure::Number(correlation.p_value),
        Figure::Count(Some(correlation.n)),
        Figure::Text(Some(method)),
        Figure::Text(correlation.reason),
    ]
}

/// All pairs.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    /// Bytes for each pair in which ranks are computed, beside the pairs: both columns, the ranks, and an order.
    const WORKING_BYTES: usize = 48;
}

impl Cell for Pairs {
    type Row = (f64, f64);

    const CAN_REMOVE: bool = false;
    const NUMBERS_PER_ROW: usize = 2;
    /// A vector grows to twice its length.
    const HEAP_BYTES_PER_NUMBER: usize = (2 * size_of::<(f64, f64)>() + Self::WORKING_BYTES) / Self::NUMBERS_PER_ROW;

    fn add(&mut self, (x, y): (f64, f64)) {
        // -0 and 0 are ties
        self.0.push((x + 0.0, y + 0.0));
    }

    fn merge(&mut self, mut other: Self) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.append(&mut other.0);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend(self.0.iter().flat_map(|(x, y)| [*x, *y]));
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        rest.is_empty().then(|| Self(pairs.iter().map(|[x, y]| (*x, *y)).collect()))
    }

    fn heap_size(&self) -> usize {
        self.0.capacity() * size_of::<(f64, f64)>() + self.0.len() * Self::WORKING_BYTES
    }
}

/// Calls `each` once per row, with the pair where both values are known.
fn each_pair(columns: &[ArrayRef], mut each: impl FnMut(Option<(f64, f64)>)) -> Result<()> {
    let mut x = Vec::with_capacity(columns.first().map_or(0, |column| column.len()));
    each_value(columns, 0, |value| x.push(value))?;
    let mut x = x.into_iter();
    each_value(columns, 1, |y| each(x.next().flatten().zip(y)))
}

const PARAMETERS: &[Parameter] =
    &[Parameter::column("x", Kind::FlagOrNumber), Parameter::column("y", Kind::FlagOrNumber), LEVEL];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Spearman;

impl Statistic for Spearman {
    const CALL: Call =
        Call { function: "spearman", syntax: "spearman(x, y [, level])", parameters: PARAMETERS, arities: &[2, 3] };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = FIELDS;

    type Cell = Pairs;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<(f64, f64)>)) -> Result<()> {
        each_pair(columns, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Pairs>], _: Option<&[u8]>) -> Record {
        let pairs = entries.first().map(|entry| entry.cell.0.as_slice()).unwrap_or_default();
        let ranks_of = |value: fn(&(f64, f64)) -> f64| ranks(&pairs.iter().map(value).collect::<Vec<_>>());
        let moments = rank_moments(&ranks_of(|(x, _)| *x), &ranks_of(|(_, y)| *y));
        record(moments.spearman(*level), "Spearman's rho, t approximation")
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Spearman::CALL,
                "How closely one column grows or falls with another by rank, on a line or not: for handle times, waits and scores, \
                 which are skewed or have few values. Also called rho.\n\
                 Formula: estimate = Pearson's coefficient of the ranks, tied values their mean rank; p_value is two-sided, of \
                 t = r sqrt((n - 2) / (1 - r^2)) with n - 2 degrees of freedom; low and high are tanh(artanh r -+ z sqrt((1 + r^2 / 2) \
                 / (n - 3))).\n\
                 Units: numbers or Booleans in; -1 (the larger one, the smaller the other) to 1 out.\n\
                 NULL: a row with a NULL x or y is skipped. No rows, one row, or a column whose values are all equal: NULL for the \
                 figures, and a reason. Fewer than 4 rows, and a coefficient of 1 or -1: no interval, and a reason.\n\
                 Edges: no cause is shown. NaN and infinities are no measurements and count as NULL. Of two Booleans it is the phi \
                 coefficient. The p_value is an approximation below some ten rows. Pairs are held in memory, 16 bytes each and 48 more while the result is computed. DISTINCT \
                 is refused.\n\
                 Source: C. Spearman, American Journal of Psychology 15 (1904) 72-101; D. G. Bonett and T. A. Wright, Psychometrika \
                 65 (2000) 23-28 (interval); estimate and p_value as scipy.stats.spearmanr.",
            )
            .with_argument("x", X_TEXT)
            .with_argument("y", Y_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(r['estimate'], 4) as estimate, round(r['low'], 4) as low, round(r['high'], 4) as high, round(r['p_value'], 4) as p_value
from (
    select spearman(handle_s, score) as r
    from (values (120, 5), (300, 4), (240, 5), (420, 2), (380, 4), (610, 1), (150, 3), (510, 2)) as contacts(handle_s, score)
);
+----------+--------+---------+---------+
| estimate | low    | high    | p_value |
+----------+--------+---------+---------+
| -0.8244  | -0.975 | -0.1545 | 0.0118  |
+----------+--------+---------+---------+
```",
            )
            .with_related_udf("kendall")
            .with_related_udf("correlation_matrix")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kendall;

impl Statistic for Kendall {
    const CALL: Call = Call { function: "kendall", syntax: "kendall(x, y [, level])", ..Spearman::CALL };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = FIELDS;

    type Cell = Pairs;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<(f64, f64)>)) -> Result<()> {
        each_pair(columns, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Pairs>], _: Option<&[u8]>) -> Record {
        let pairs = entries.first_mut().map(|entry| entry.cell.0.as_mut_slice()).unwrap_or_default();
        let (correlation, method) = kendall(pairs, *level);
        record(correlation, method)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Kendall::CALL,
                "How closely one column grows or falls with another, by pairs of rows: Kendall's tau-b. Of two rows taken by chance, \
                 (1 + tau) / 2 is how often the one with the larger x has the larger y, where nothing is tied.\n\
                 Formula: estimate = (concordant - discordant pairs) / sqrt((pairs not tied in x) (pairs not tied in y)), counted by \
                 sorting in n log n steps; p_value is two-sided: exact where nothing is tied and there are at most 33 rows (or at most \
                 one pair is out of order), else by the normal distribution with the variance for ties. low and high are \
                 tanh(artanh tau -+ z sqrt(0.437 / (n - 4))).\n\
                 Units: numbers or Booleans in; -1 to 1 out.\n\
                 NULL: a row with a NULL x or y is skipped. No rows, one row, or a column whose values are all equal: NULL for the \
                 figures, and a reason. Fewer than 5 rows, and a coefficient of 1 or -1: no interval, and a reason.\n\
                 Edges: no cause is shown. NaN and infinities are no measurements and count as NULL. tau is smaller than spearman's \
                 coefficient of the same rows, by about a third. Pairs are held in memory, 16 bytes each and 48 more while the result is computed. DISTINCT is refused.\n\
                 Source: M. G. Kendall, Biometrika 30 (1938) 81-93 and 33 (1945) 239-251 (ties); W. R. Knight, Journal of the American \
                 Statistical Association 61 (1966) 436-439 (counting); D. G. Bonett and T. A. Wright, Psychometrika 65 (2000) 23-28 \
                 (interval); estimate and p_value as scipy.stats.kendalltau.",
            )
            .with_argument("x", X_TEXT)
            .with_argument("y", Y_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(r['estimate'], 4) as estimate, round(r['low'], 4) as low, round(r['high'], 4) as high, round(r['p_value'], 4) as p_value
from (
    select kendall(handle_s, score) as r
    from (values (120, 5), (300, 4), (240, 5), (420, 2), (380, 4), (610, 1), (150, 3), (510, 2)) as contacts(handle_s, score)
);
+----------+--------+---------+---------+
| estimate | low    | high    | p_value |
+----------+--------+---------+---------+
| -0.7181  | -0.914 | -0.2505 | 0.0161  |
+----------+--------+---------+---------+
```",
            )
            .with_related_udf("spearman")
            .with_related_udf("correlation_matrix")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_an_odd_number_of_numbers_are_refused() {
        assert_eq!(Pairs::read(&[1.0, 2.0, 3.0]), None);
        assert_eq!(Pairs::read(&[1.0, 2.0]), Some(Pairs(vec![(1.0, 2.0)])));
    }
}
