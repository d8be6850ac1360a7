//! `weighted_mean(x, weight)` and `weighted_quantile(x, weight, p)`: rows that stand for more or less than one.
//!
//! Formula: sum of w x / sum of w; the smallest x up to which at least the share p of all weight lies.
//! Units:   those of x.
//! NULL:    a row with a NULL x or weight is skipped; no weight left gives NULL.
//! Edges:   a negative weight, NaN and infinities count as NULL.
//! Source:  R. J. Hyndman and Y. Fan 1996, type 1 (inverted distribution function), with weights.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{X, X_TEXT, page};
use crate::aggregate::numbers;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Cell, Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(WeightedMean), statistic(WeightedQuantile)]
}

const WEIGHT: Parameter = Parameter::column("weight", Kind::Number);
const WEIGHT_TEXT: &str = "How much the row counts: a number that is not negative, such as a number of contacts.";

/// Calls `each` once per row, with the value and its weight where both are known.
fn each_weighted(columns: &[ArrayRef], mut each: impl FnMut(Option<(f64, f64)>)) -> Result<()> {
    let (values, weights) = (numbers(columns, 0)?, numbers(columns, 1)?);
    let rows = values.values().iter().copied().zip(weights.values().iter().copied());
    let counts = |(value, weight): &(f64, f64)| value.is_finite() && weight.is_finite() && *weight >= 0.0;
    match NullBuffer::union(values.nulls(), weights.nulls()).filter(|nulls| nulls.null_count() > 0) {
        None => rows.for_each(|row| each(Some(row).filter(counts))),
        Some(nulls) => {
            rows.zip(nulls.iter()).for_each(|(row, is_known)| each(Some(row).filter(|row| is_known && counts(row))));
        }
    }
    Ok(())
}

/// The sums of the weights and of the weighted values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct WeightedSum {
    n: i64,
    weights: f64,
    values: f64,
}

impl WeightedSum {
    fn mean(self) -> Option<f64> {
        (self.weights > 0.0 && self.weights.is_finite() && self.values.is_finite()).then(|| self.values / self.weights)
    }
}

impl Cell for WeightedSum {
    type Row = (f64, f64);

    // A large value that leaves a frame would take the digits of the others with it.
    const CAN_REMOVE: bool = false;

    fn add(&mut self, (value, weight): (f64, f64)) {
        self.n += 1;
        self.weights += weight;
        self.values += value * weight;
    }

    fn merge(&mut self, other: Self) {
        self.n += other.n;
        self.weights += other.weights;
        self.values += other.values;
    }

    fn is_empty(&self) -> bool {
        self.n == 0
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.n as f64, self.weights, self.values]);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let [n, weights, values] = *numbers else { return None };
        Some(Self { n: n as i64, weights, values })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WeightedMean;

impl Statistic for WeightedMean {
    const CALL: Call =
        Call { function: "weighted_mean", syntax: "weighted_mean(x, weight)", parameters: &[X, WEIGHT], arities: &[2] };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("mean", FieldType::Number)];
    const IS_STRUCT: bool = false;

    type Cell = WeightedSum;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<(f64, f64)>)) -> Result<()> {
        each_weighted(columns, each)
    }

    fn finish((): &(), entries: &mut [Entry<WeightedSum>], _: Option<&[u8]>) -> Record {
        vec![Figure::Number(entries.first().and_then(|entry| entry.cell.mean()))]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                WeightedMean::CALL,
                "Mean of rows that count differently: the mean of daily means by the contacts of the day, of answers by the share of \
                 those who answer. avg of means that rest on different numbers of rows is no mean of the rows.\n\
                 Formula: sum of weight x / sum of weight.\n\
                 Units: those of x; weights of any unit.\n\
                 NULL: a row with a NULL x or weight is skipped; no row left, or none with a weight above 0, gives NULL.\n\
                 Edges: a negative weight has no meaning and counts as NULL. NaN and infinities are no measurements and count as NULL. \
                 Products that leave a Float64 give NULL. DISTINCT is refused.\n\
                 Source: definition; as numpy.average(x, weights=weight).",
            )
            .with_argument("x", X_TEXT)
            .with_argument("weight", WEIGHT_TEXT)
            .with_sql_example(
                "```sql
select weighted_mean(aht_s, contact_count) as aht_s, avg(aht_s) as mean_of_days
from (values (300, 10), (200, 90)) as days(aht_s, contact_count);
+-------+--------------+
| aht_s | mean_of_days |
+-------+--------------+
| 210.0 | 250.0        |
+-------+--------------+
```",
            )
            .with_related_udf("weighted_quantile")
            .build()
        });
        &PAGE
    }
}

/// All values with their weights.
#[derive(Debug, Clone, Default, PartialEq)]
struct WeightedValues(Vec<(f64, f64)>);

impl Cell for WeightedValues {
    type Row = (f64, f64);

    const CAN_REMOVE: bool = false;
    /// A vector grows to twice its length.
    const HEAP_BYTES_PER_NUMBER: usize = 2 * size_of::<f64>();
    const NUMBERS_PER_ROW: usize = 2;

    fn add(&mut self, (value, weight): (f64, f64)) {
        // without weight a value is no quantile, not even the smallest
        if weight > 0.0 {
            self.0.push((value + 0.0, weight));
        }
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
        numbers.extend(self.0.iter().flat_map(|(value, weight)| [*value, *weight]));
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        rest.is_empty().then(|| Self(pairs.iter().map(|[value, weight]| (*value, *weight)).collect()))
    }

    fn heap_size(&self) -> usize {
        self.0.capacity() * size_of::<(f64, f64)>()
    }
}

/// A sum that keeps the digits which rounding drops (A. Neumaier, 1974).
#[derive(Debug, Clone, Copy, Default)]
struct ExactSum {
    sum: f64,
    rest: f64,
}

impl ExactSum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) = if self.sum >= value { (self.sum, value) } else { (value, self.sum) };
        self.rest += (large - sum) + small;
        self.sum = sum;
    }

    fn total(self) -> f64 {
        self.sum + self.rest
    }
}

/// The smallest value up to which at least the share `p` of the weight lies. Puts the values into order.
fn weighted_quantile(values: &mut [(f64, f64)], p: f64) -> Option<f64> {
    values.sort_unstable_by(|(one, a), (other, b)| one.total_cmp(other).then_with(|| a.total_cmp(b)));
    let mut all = ExactSum::default();
    values.iter().for_each(|(_, weight)| all.add(*weight));
    let all = all.total();
    if !all.is_finite() {
        return None;
    }
    // p of the weight is rounded: a sum that is as near to it as that reaches it
    let target = all * (p - 4.0 * f64::EPSILON);
    let mut below = ExactSum::default();
    let reached = values.iter().find(|(_, weight)| {
        below.add(*weight);
        below.total() >= target
    });
    reached.or(values.last()).map(|(value, _)| *value)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WeightedQuantile;

impl Statistic for WeightedQuantile {
    const CALL: Call = Call {
        function: "weighted_quantile",
        syntax: "weighted_quantile(x, weight, p)",
        parameters: &[X, WEIGHT, Parameter::constant("p", Kind::Number)],
        arities: &[3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("quantile", FieldType::Number)];
    const IS_STRUCT: bool = false;

    type Cell = WeightedValues;
    /// p
    type Options = f64;

    fn bind(constants: &Constants) -> Result<f64> {
        match constants.number("p")? {
            Some(p) if (0.0..=1.0).contains(&p) => Ok(p),
            Some(p) => plan_err!("weighted_quantile: p must be from 0 to 1, got {p}"),
            None => plan_err!("weighted_quantile: p must be from 0 to 1, got NULL"),
        }
    }

    fn each_row(_: &f64, columns: &[ArrayRef], each: impl FnMut(Option<(f64, f64)>)) -> Result<()> {
        each_weighted(columns, each)
    }

    fn finish(p: &f64, entries: &mut [Entry<WeightedValues>], _: Option<&[u8]>) -> Record {
        vec![Figure::Number(entries.first_mut().and_then(|entry| weighted_quantile(&mut entry.cell.0, *p)))]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                WeightedQuantile::CALL,
                "Quantile of rows that count differently, such as the median wait of contacts from rows that each stand for several.\n\
                 Formula: the smallest x for which the rows up to x have at least the share p of all weight: what percentile_disc(p) \
                 gives where each row is repeated weight times.\n\
                 Units: those of x.\n\
                 NULL: a row with a NULL x or weight is skipped; no row left, or none with a weight above 0, gives NULL.\n\
                 Edges: one of the values, nothing is interpolated; p = 0 and 1 are the smallest and the largest value with a weight. A \
                 negative weight has no meaning and counts as NULL. NaN and infinities are no measurements and count as NULL. Values are \
                 held in memory, 16 bytes each. DISTINCT is refused.\n\
                 Source: R. J. Hyndman and Y. Fan, The American Statistician 50 (1996) 361-365, definition 1; as numpy.quantile(x, p, \
                 weights=weight, method='inverted_cdf').",
            )
            .with_argument("x", X_TEXT)
            .with_argument("weight", WEIGHT_TEXT)
            .with_argument("p", "Constant number from 0 to 1: 0.5 is the median.")
            .with_sql_example(
                "```sql
select weighted_quantile(wait_s, contact_count, 0.5) as median_s, weighted_quantile(wait_s, contact_count, p => 0.9) as p90_s
from (values (5, 60), (20, 25), (60, 10), (300, 5)) as waits(wait_s, contact_count);
+----------+-------+
| median_s | p90_s |
+----------+-------+
| 5.0      | 60.0  |
+----------+-------+
```",
            )
            .with_related_udf("weighted_mean")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_rounds_is_reached() {
        // ten equal weights: the share .3 is that of the third, although .1 + .1 + .1 is no .3
        let mut values: Vec<(f64, f64)> = (1..=10).map(|i| (f64::from(i), 0.1)).collect();
        for tenth in 1..=10 {
            assert_eq!(weighted_quantile(&mut values, f64::from(tenth) / 10.0), Some(f64::from(tenth)));
        }
        // .07 x 100 is above 7
        let mut values: Vec<(f64, f64)> = (1..=100).map(|i| (f64::from(i), 1.0)).collect();
        assert_eq!(weighted_quantile(&mut values, 0.07), Some(7.0));
        assert_eq!(weighted_quantile(&mut values, 0.0701), Some(8.0));
    }

    #[test]
    fn ends_are_the_smallest_and_the_largest_value() {
        let mut values = vec![(3.0, 2.0), (1.0, 1e-9), (2.0, 1e9)];
        assert_eq!(weighted_quantile(&mut values, 0.0), Some(1.0));
        assert_eq!(weighted_quantile(&mut values, 1.0), Some(3.0));
        assert_eq!(weighted_quantile(&mut [], 0.5), None);
        assert_eq!(weighted_quantile(&mut [(1.0, f64::MAX), (2.0, f64::MAX)], 0.5), None);
    }
}
