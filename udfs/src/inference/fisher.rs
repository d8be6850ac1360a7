//! `fisher_test(a, b)`: whether two labels of two values each go together, exactly.
//!
//! Formula: the sum of the probabilities of all tables with the same sums that are at most as probable as the observed one.
//! Units:   labels in; an odds ratio out.
//! NULL:    a row with a NULL label is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   a label with more than two values has no odds ratio.
//! Source:  R. A. Fisher 1935; the conditional estimate and its interval as in R's fisher.test.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::Count;
use super::contingency::{A_TEXT, B_TEXT, LABELS, Table, each_pair};
use super::distribution::root;
use super::proportion::Level;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{LEVEL, LEVEL_TEXT, level, page};
use crate::args::{Call, Constants};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(FisherTest)]
}

/// The most tables with the same sums for which the exact figures are computed.
const MOST_TABLES: i64 = 1 << 17;

/// The logarithm of the largest odds ratio that is looked for.
const LARGEST_LOG_ODDS: f64 = 700.0;

/// Probabilities of x in the table (x, row - x; column - x, ..) by the noncentral hypergeometric distribution.
#[derive(Debug)]
struct TableProbabilities {
    least: i64,
    /// The logarithm of the probability of least, least + 1, .. for independent labels, less a constant.
    logs: Vec<f64>,
}

impl TableProbabilities {
    /// `None` if there are too many tables.
    fn new(row: i64, column: i64, n: i64) -> Option<Self> {
        let least = (row + column - n).max(0);
        let most = row.min(column);
        if most - least >= MOST_TABLES {
            return None;
        }
        let mut logs = vec![0.0];
        let mut log = 0.0;
        for x in least..most {
            let up = (row - x) as f64 * (column - x) as f64;
            let down = (x + 1) as f64 * (n - row - column + x + 1) as f64;
            log += (up / down).ln();
            logs.push(log);
        }
        Some(Self { least, logs })
    }

    fn most(&self) -> i64 {
        self.least + self.logs.len() as i64 - 1
    }

    /// Each x with its weight at these odds, and the sum of all weights.
    fn weights(&self, log_odds: f64) -> (impl Iterator<Item = (f64, f64)>, f64) {
        let exponent = move |(index, log): (usize, &f64)| log + index as f64 * log_odds;
        let largest = self.logs.iter().enumerate().map(exponent).fold(f64::NEG_INFINITY, f64::max);
        let weights = move || {
            let least = self.least as f64;
            self.logs.iter().enumerate().map(move |entry| {
                let x = least + entry.0 as f64;
                (x, (exponent(entry) - largest).exp())
            })
        };
        let sum = weights().map(|(_, weight)| weight).sum();
        (weights(), sum)
    }

    fn mean(&self, log_odds: f64) -> f64 {
        let (weights, sum) = self.weights(log_odds);
        weights.map(|(x, weight)| x * (weight / sum)).sum()
    }

    fn probability(&self, log_odds: f64, is_in: impl Fn(f64) -> bool) -> f64 {
        let (weights, sum) = self.weights(log_odds);
        weights.filter(|(x, _)| is_in(*x)).map(|(_, weight)| weight).sum::<f64>() / sum
    }

    /// Two-sided: tables that are at most as probable, as R compares them.
    fn p_value(&self, x: i64) -> f64 {
        let (weights, sum) = self.weights(0.0);
        let weights: Vec<f64> = weights.map(|(_, weight)| weight).collect();
        let observed = weights.get((x - self.least) as usize).copied().unwrap_or_default() * (1.0 + 1e-7);
        (weights.iter().filter(|weight| **weight <= observed).sum::<f64>() / sum).min(1.0)
    }

    /// The conditional maximum likelihood estimate of the odds ratio.
    fn odds_ratio(&self, x: i64) -> f64 {
        if x == self.least {
            0.0
        } else if x == self.most() {
            f64::INFINITY
        } else {
            root(|log_odds| self.mean(log_odds) - x as f64, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS).exp()
        }
    }

    /// The interval of the odds ratio.
    fn bounds(&self, x: i64, level: f64) -> (f64, f64) {
        let tail = (1.0 - level) / 2.0;
        let bound = |f: &dyn Fn(f64) -> f64| root(f, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS).exp();
        let at = x as f64;
        let low = |log_odds: f64| self.probability(log_odds, |other| other >= at) - tail;
        let high = |log_odds: f64| tail - self.probability(log_odds, |other| other <= at);
        (if x == self.least { 0.0 } else { bound(&low) }, if x == self.most() { f64::INFINITY } else { bound(&high) })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FisherTest;

impl Statistic for FisherTest {
    const CALL: Call = Call {
        function: "fisher_test",
        syntax: "fisher_test(a, b [, level])",
        parameters: &[LABELS[0], LABELS[1], LEVEL],
        arities: &[2, 3],
    };
    const KEYS: &'static [usize] = &[0, 1];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("low", FieldType::Number),
        ("high", FieldType::Number),
        ("n", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Count;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<()>)) -> Result<()> {
        each_pair(columns, each);
        Ok(())
    }

    fn finish(level: &Level, entries: &mut [Entry<Count>], _: Option<&[u8]>) -> Record {
        let table = Table::of(entries);
        let first = table.cells.iter().find(|(row, column, _)| (*row, *column) == (0, 0));
        let x = first.map_or(0, |(.., count)| *count);
        let (probabilities, reason) = match (table.row_sums.as_slice(), table.column_sums.as_slice()) {
            ([row, _], [column, _]) => match TableProbabilities::new(*row, *column, table.n) {
                Some(probabilities) => (Some(probabilities), None),
                None => (None, Some("too many rows for exact figures; use proportion_test or chi_square_test")),
            },
            _ => (None, table.lack().or(Some("a label with more than two values; use chi_square_test"))),
        };
        let bounds = probabilities.as_ref().map(|probabilities| probabilities.bounds(x, level.level));
        let (low, high) = bounds.unzip();
        vec![
            Figure::Number(probabilities.as_ref().map(|probabilities| probabilities.p_value(x))),
            Figure::Number(probabilities.as_ref().map(|probabilities| probabilities.odds_ratio(x))),
            Figure::Number(low),
            Figure::Number(high),
            Figure::Count(Some(table.n)),
            Figure::Text(Some("Fisher's exact test")),
            Figure::Text(reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                FisherTest::CALL,
                "Whether two labels of two values each go together, exactly for any number of rows.\n\
                 Formula: p_value = sum of the probabilities of all tables with the same sums that are at most as probable as the \
                 observed one; estimate = the conditional maximum likelihood estimate of the odds ratio of the table with the \
                 smaller values first, (n11 n22) / (n12 n21) of large tables; low and high are the odds ratios at which the observed \
                 table or one further out has the probability (1 - level) / 2.\n\
                 Units: labels in; an odds ratio from 0 to infinity out, 1 where the labels are independent. With a flag as a, it \
                 is the odds of true in the larger group of b over those in the smaller.\n\
                 NULL: a row with a NULL label is skipped. A label that has not two values, or more than 131,072 possible tables: \
                 NULL for the figures, and a reason.\n\
                 Edges: a table with a 0 has the estimate 0 or infinity. DISTINCT is refused.\n\
                 Source: R. A. Fisher, The Logic of Inductive Inference, Journal of the Royal Statistical Society 98 (1935) 39-82; \
                 estimate, interval and two-sided p_value as R's fisher.test.",
            )
            .with_argument("a", A_TEXT)
            .with_argument("b", B_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(t['p_value'], 4) as p_value, round(t['estimate'], 4) as odds_ratio, round(t['low'], 4) as low, round(t['high'], 2) as high
from (
    select fisher_test(guess, truth) as t
    from (values
        ('milk', 'milk'), ('milk', 'milk'), ('milk', 'milk'), ('milk', 'tea'),
        ('tea', 'milk'), ('tea', 'tea'), ('tea', 'tea'), ('tea', 'tea')
    ) as cups(guess, truth)
);
+---------+------------+--------+--------+
| p_value | odds_ratio | low    | high   |
+---------+------------+--------+--------+
| 0.4857  | 6.4083     | 0.2117 | 626.24 |
+---------+------------+--------+--------+
```",
            )
            .with_related_udf("chi_square_test")
            .with_related_udf("proportion_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lady_tasting_tea() {
        // R documentation of fisher.test: 3, 1; 1, 3: odds ratio 6.408309, one-sided 95 % from 0.3135693, both to 1e-4 as R
        // searches for them; two-sided 0.2117356 to 626.24353 by scipy 1.17.1.
        let tables = TableProbabilities::new(4, 4, 8).unwrap();
        assert!((tables.p_value(3) - 34.0 / 70.0).abs() < 1e-12);
        assert!((tables.odds_ratio(3) - 6.408309).abs() < 1e-4);
        assert!((tables.bounds(3, 0.9).0 - 0.3135693).abs() < 1e-4);
        let (low, high) = tables.bounds(3, 0.95);
        assert!((low - 0.2117356).abs() < 1e-7 && (high - 626.24353).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn ends_of_the_support() {
        let tables = TableProbabilities::new(4, 4, 8).unwrap();
        assert_eq!(tables.odds_ratio(0), 0.0);
        assert_eq!(tables.odds_ratio(4), f64::INFINITY);
        assert_eq!(tables.bounds(0, 0.95).0, 0.0);
        assert_eq!(tables.bounds(4, 0.95).1, f64::INFINITY);
        // 1 / 70 twice
        assert!((tables.p_value(4) - 2.0 / 70.0).abs() < 1e-12);
        assert!(TableProbabilities::new(1 << 40, 1 << 40, 1 << 42).is_none());
    }
}
