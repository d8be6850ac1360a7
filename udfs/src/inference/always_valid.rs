//! `always_valid_ci(x)`: an interval that holds however often somebody looks.
//!
//! Formula: of a flag all p with C(n, hits) p^hits (1 - p)^misses > (1 - level) / (n + 1); of a number
//!          mean -+ s sqrt(2 (n r^2 + 1) / (n r)^2 * ln(sqrt(n r^2 + 1) / (1 - level))).
//! Units:   a ratio, or those of x.
//! NULL:    a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   1.5 to 1.8 times as wide as an interval for one look where n is some hundreds.
//! Source:  H. Robbins 1970; S. R. Howard and others 2021; I. Waudby-Smith and others 2024.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};
use statrs::function::gamma::ln_gamma;

use super::cells::{Hits, Moments};
use super::distribution::root;
use super::means::lack_of_interval;
use super::record::{FieldType, INTERVAL, Interval, Record};
use super::statistic::{Cell, Entry, Statistic, statistic};
use super::{LEVEL, LEVEL_TEXT, each_flag, each_number, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(AlwaysValidCi)]
}

/// The number of values at which the interval of a mean is narrowest beside one for a single look.
const TUNED_FOR: f64 = 500.0;

/// Robbins' confidence sequence of a share: the true share is within all of them with the probability 1 - `alpha`.
fn share_bounds(share: Hits, alpha: f64) -> (f64, f64) {
    let (hits, misses) = (share.hits as f64, (share.n - share.hits) as f64);
    let n = share.n as f64;
    // ln C(n, hits) as a difference of large logarithms has no more digits than these, but they are enough for a bound.
    let constant = ln_gamma(n + 2.0) - ln_gamma(hits + 1.0) - ln_gamma(misses + 1.0) - alpha.ln();
    let part = |count: f64, log: f64| if count > 0.0 { count * log } else { 0.0 };
    let excess = |p: f64| constant + part(hits, p.ln()) + part(misses, (-p).ln_1p());
    let estimate = share.ratio();
    let low = if share.hits == 0 { 0.0 } else { root(excess, 0.0, estimate) };
    let high = if share.hits == share.n { 1.0 } else { root(|p| -excess(p), estimate, 1.0) };
    (low, high)
}

/// The asymptotic confidence sequence of a mean: its margin.
fn mean_margin(moments: Moments, alpha: f64) -> f64 {
    let n = moments.n as f64;
    let ratio = (-2.0 * alpha.ln() + (1.0 - 2.0 * alpha.ln()).ln()) / TUNED_FOR;
    let scaled = n * ratio + 1.0;
    (moments.variance() * 2.0 * scaled / (n * n * ratio) * (0.5 * scaled.ln() - alpha.ln())).sqrt()
}

/// Flags or numbers, as the call has.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Observed {
    flags: Hits,
    numbers: Moments,
}

/// The value of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Observation {
    Flag(bool),
    Number(f64),
}

impl Cell for Observed {
    type Row = Observation;

    const CAN_REMOVE: bool = false;

    fn add(&mut self, row: Observation) {
        match row {
            Observation::Flag(flag) => self.flags.add(flag),
            Observation::Number(number) => self.numbers.add(number),
        }
    }

    fn merge(&mut self, other: Self) {
        self.flags.merge(other.flags);
        self.numbers.merge(other.numbers);
    }

    fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.numbers.is_empty()
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        self.flags.write(numbers);
        self.numbers.write(numbers);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let (flags, numbers) = numbers.split_at_checked(2)?;
        Some(Self { flags: Hits::read(flags)?, numbers: Moments::read(numbers)? })
    }
}

fn interval(observed: Observed, alpha: f64) -> Interval {
    let Observed { flags, numbers } = observed;
    if flags.n > 0 {
        let bounds = Some(share_bounds(flags, alpha));
        return Interval { estimate: Some(flags.ratio()), bounds, n: flags.n, reason: None };
    }
    let reason = lack_of_interval(numbers);
    let margin = mean_margin(numbers, alpha);
    let bounds = reason.is_none().then_some((numbers.mean - margin, numbers.mean + margin));
    let estimate = Some(numbers.mean).filter(|mean| numbers.n > 0 && mean.is_finite());
    Interval { estimate, bounds, n: numbers.n, reason }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AlwaysValidCi;

impl Statistic for AlwaysValidCi {
    const CALL: Call = Call {
        function: "always_valid_ci",
        syntax: "always_valid_ci(x [, level])",
        parameters: &[Parameter::column("x", Kind::FlagOrNumber), LEVEL],
        arities: &[1, 2],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Observed;
    /// 1 - level.
    type Options = f64;

    fn bind(constants: &Constants) -> Result<f64> {
        Ok(1.0 - constants.probability("level", 0.95)?)
    }

    fn each_row(_: &f64, columns: &[ArrayRef], mut each: impl FnMut(Option<Observation>)) -> Result<()> {
        if columns.first().is_some_and(|column| *column.data_type() == DataType::Boolean) {
            each_flag(columns, 0, |flag| each(flag.map(Observation::Flag)))
        } else {
            each_number(columns, 0, |number| each(number.map(Observation::Number)))
        }
    }

    fn finish(alpha: &f64, entries: &mut [Entry<Observed>], _: Option<&[u8]>) -> Record {
        interval(entries.first().map(|entry| *entry.cell).unwrap_or_default(), *alpha).record()
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                AlwaysValidCi::CALL,
                "Share of a flag or mean of a number, with an interval that holds however often somebody looks: for a figure \
                 that is watched day by day, and an alert on it. An interval for one look misses the truth sooner or later when \
                 it is looked at every day; all intervals of this function together miss it with the probability 1 - level.\n\
                 Formula: estimate = share or mean. Of a flag, low and high bound the p for which (n + 1) C(n, hits) p^hits \
                 (1 - p)^(n - hits) > 1 - level. Of a number they are mean -+ s sqrt(2 (n r + 1) / (n^2 r) ln(sqrt(n r + 1) / a)) with \
                 a = 1 - level, r = (-2 ln a + ln(1 - 2 ln a)) / 500 and the sample standard deviation s.\n\
                 Units: a ratio from 0 to 1 of a flag, the units of x of a number.\n\
                 NULL: a NULL is skipped; no value left gives n = 0, NULL for the figures, and a reason. One number, and numbers that \
                 are all equal, have no interval: low and high are NULL, with a reason.\n\
                 Edges: the rows must come as they are, each look with all rows of the look before. Of a flag it holds for any \
                 number of rows; of a number for many (is_small says when they are few), narrowest near 500. At 500 rows it is \
                 1.5 to 1.8 times as wide as an interval for one look. NaN and infinities are no measurements and count as NULL. \
                 DISTINCT is refused.\n\
                 Source: H. Robbins, Annals of Mathematical Statistics 41 (1970) 1397-1409 (flag); I. Waudby-Smith, D. Arbour, \
                 R. Sinha, E. H. Kennedy and A. Ramdas, Annals of Statistics 52 (2024) 2613-2640 (number); the field in S. R. Howard, \
                 A. Ramdas, J. McAuliffe and J. Sekhon, Annals of Statistics 49 (2021) 1055-1080.",
            )
            .with_argument("x", "Boolean, or the values: integers, floats or decimals.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select ci['estimate'] as estimate, round(ci['low'], 4) as low, round(ci['high'], 4) as high, ci['n'] as n
from (select always_valid_ci(value % 4 > 0) as ci from generate_series(1, 200));
+----------+--------+--------+-----+
| estimate | low    | high   | n   |
+----------+--------+--------+-----+
| 0.75     | 0.6399 | 0.8418 | 200 |
+----------+--------+--------+-----+
```",
            )
            .with_related_udf("proportion_ci")
            .with_related_udf("mean_ci")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_solve_the_equation_of_robbins() {
        for (hits, n) in [(0_i64, 5_i64), (3, 10), (10, 10), (150, 200), (1, 100_000), (7_000_000, 10_000_000)] {
            let (low, high) = share_bounds(Hits { hits, n }, 0.05);
            let estimate = hits as f64 / n as f64;
            assert!(low <= estimate && estimate <= high, "{hits} of {n}");
            assert_eq!((low == 0.0, high == 1.0), (hits == 0, hits == n));
        }
        // No hit of 5: 6 (1 - p)^5 = 0.05, p = 1 - (0.05 / 6)^(1/5).
        let (_, high) = share_bounds(Hits { hits: 0, n: 5 }, 0.05);
        assert!((high - (1.0 - (0.05_f64 / 6.0).powf(0.2))).abs() < 1e-12);
    }

    /// A fair coin is thrown 2,000 times in 400 series, and looked at after each throw. The intervals for one look miss one
    /// half in more than half of the series; those that are always valid in at most 5 of 100.
    #[test]
    fn looking_every_time_misses_rarely() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut throw = || {
            // Marsaglia's xorshift64 (2003), the highest bit.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 63 == 1
        };
        let (mut missed, mut missed_once) = (0, 0);
        for _ in 0..400 {
            let mut share = Hits::default();
            let (mut is_missed, mut is_missed_once) = (false, false);
            for _ in 0..2_000 {
                share.add(throw());
                let half = 0.5;
                let (low, high) = crate::inference::proportion::wilson(share, 1.959_964);
                is_missed_once |= half < low || half > high;
                // Only where the interval for one look misses can the wider one.
                if half < low || half > high {
                    let (low, high) = share_bounds(share, 0.05);
                    is_missed |= half < low || half > high;
                }
            }
            missed += i32::from(is_missed);
            missed_once += i32::from(is_missed_once);
        }
        assert!(missed <= 20, "{missed} of 400");
        assert!(missed_once > 200, "{missed_once} of 400");
    }
}
