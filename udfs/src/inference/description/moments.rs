//! `skewness(x)` and `kurtosis(x)`: how lopsided and how heavy-tailed the values are.
//!
//! Formula: sqrt(n (n - 1)) / (n - 2) m3 / m2^1.5; (n - 1) ((n + 1) m4 / m2^2 - 3 (n - 1)) / ((n - 2) (n - 3)); m_k the mean
//!          k-th power of the deviations from the mean.
//! Units:   any number in, no unit out.
//! NULL:    a NULL is skipped; fewer than 3 or 4 values, or values that are all equal, give NULL.
//! Edges:   NaN and infinities count as NULL; values whose fourth power leaves a Float64 give NULL.
//! Source:  D. N. Joanes and C. A. Gill 1998; P. Pebay 2008 (moments that merge).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{X, X_TEXT, page};
use crate::args::{Call, Constants};
use crate::inference::each_number;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Cell, Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Skewness), statistic(Kurtosis)]
}

/// Number, mean and the sums of the second to fourth powers of the deviations from it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct FourMoments {
    n: i64,
    mean: f64,
    second: f64,
    third: f64,
    fourth: f64,
}

impl FourMoments {
    /// Of all values, in their order.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut moments = Self::default();
        values.iter().for_each(|value| moments.add(*value));
        moments
    }

    /// The mean; `None` of no value, and where it leaves the range of a Float64.
    pub(super) fn mean(self) -> Option<f64> {
        (self.n > 0 && self.mean.is_finite()).then_some(self.mean)
    }

    /// The sample standard deviation.
    pub(super) fn stddev(self) -> Option<f64> {
        let variance = self.second / (self.n - 1) as f64;
        (self.n > 1 && variance.is_finite()).then(|| variance.sqrt())
    }

    pub(super) fn skewness(self) -> Option<f64> {
        let n = self.n as f64;
        let variance = self.second / n;
        let skewness = self.third / n / (variance * variance.sqrt());
        Some((n * (n - 1.0)).sqrt() / (n - 2.0) * skewness).filter(|skewness| self.n > 2 && skewness.is_finite())
    }

    pub(super) fn kurtosis(self) -> Option<f64> {
        let n = self.n as f64;
        let variance = self.second / n;
        let kurtosis = self.fourth / n / variance / variance;
        Some((n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * kurtosis - 3.0 * (n - 1.0)))
            .filter(|kurtosis| self.n > 3 && kurtosis.is_finite())
    }
}

impl Cell for FourMoments {
    type Row = f64;

    const CAN_REMOVE: bool = false;

    fn add(&mut self, value: f64) {
        let before = self.n as f64;
        self.n += 1;
        let n = self.n as f64;
        let difference = value - self.mean;
        let step = difference / n;
        let square = difference * step * before;
        self.mean += step;
        self.fourth +=
            square * step * step * (n * n - 3.0 * n + 3.0) + 6.0 * step * step * self.second - 4.0 * step * self.third;
        self.third += square * step * (n - 2.0) - 3.0 * step * self.second;
        self.second += square;
    }

    fn merge(&mut self, other: Self) {
        if self.n == 0 {
            *self = other;
            return;
        }
        let (one, two) = (self.n as f64, other.n as f64);
        let n = one + two;
        let (share_one, share_two) = (one / n, two / n);
        let difference = other.mean - self.mean;
        let square = difference * difference;
        let weight = one * share_two;
        let fourth = square * square * weight * (share_one * share_one - share_one * share_two + share_two * share_two)
            + 6.0 * square * (share_one * share_one * other.second + share_two * share_two * self.second)
            + 4.0 * difference * (share_one * other.third - share_two * self.third);
        let third = square * difference * weight * (share_one - share_two)
            + 3.0 * difference * (share_one * other.second - share_two * self.second);
        self.n += other.n;
        self.mean += difference * share_two;
        self.fourth += other.fourth + fourth;
        self.third += other.third + third;
        self.second += other.second + square * weight;
    }

    fn is_empty(&self) -> bool {
        self.n == 0
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.n as f64, self.mean, self.second, self.third, self.fourth]);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let [n, mean, second, third, fourth] = *numbers else { return None };
        Some(Self { n: n as i64, mean, second, third, fourth })
    }
}

/// The moments of a group; empty without rows.
fn moments(entries: &[Entry<FourMoments>]) -> FourMoments {
    entries.first().map(|entry| *entry.cell).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Skewness;

impl Statistic for Skewness {
    const CALL: Call = Call { function: "skewness", syntax: "skewness(x)", parameters: &[X], arities: &[1] };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("skewness", FieldType::Number)];
    const IS_STRUCT: bool = false;

    type Cell = FourMoments;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish((): &(), entries: &mut [Entry<FourMoments>], _: Option<&[u8]>) -> Record {
        vec![Figure::Number(moments(entries).skewness())]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Skewness::CALL,
                "How lopsided the values are: above 0 with a long tail of large ones, as waits and handle times have, below 0 with a \
                 long tail of small ones, 0 where both sides are alike.\n\
                 Formula: sqrt(n (n - 1)) / (n - 2) m3 / m2^1.5, with the mean second and third powers m2 and m3 of the deviations from \
                 the mean: the sample skewness, corrected for bias, as in DuckDB, pandas, Excel and SAS. scipy's is m3 / m2^1.5 unless \
                 bias=False.\n\
                 Units: any number in; no unit out.\n\
                 NULL: a NULL is skipped. Fewer than 3 values, and values that are all equal, give NULL.\n\
                 Edges: NaN and infinities are no measurements and count as NULL. Moments are updated and merged around the mean, so that \
                 values far from 0 lose no digits. Values so large that their third power leaves a Float64 give NULL. DISTINCT is \
                 refused.\n\
                 Source: D. N. Joanes and C. A. Gill, The Statistician 47 (1998) 183-189; P. Pebay, Sandia Report SAND2008-6212 (2008).",
            )
            .with_argument("x", X_TEXT)
            .with_sql_example(
                "```sql
select round(skewness(wait_s), 4) as skewness, round(skewness(talk_s), 4) as even
from (values (5, 1), (10, 2), (20, 3), (30, 4), (160, 5)) as contacts(wait_s, talk_s);
+----------+------+
| skewness | even |
+----------+------+
| 2.1165   | 0.0  |
+----------+------+
```",
            )
            .with_related_udf("kurtosis")
            .with_related_udf("describe")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kurtosis;

impl Statistic for Kurtosis {
    const CALL: Call = Call { function: "kurtosis", syntax: "kurtosis(x)", ..Skewness::CALL };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("kurtosis", FieldType::Number)];
    const IS_STRUCT: bool = false;

    type Cell = FourMoments;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish((): &(), entries: &mut [Entry<FourMoments>], _: Option<&[u8]>) -> Record {
        vec![Figure::Number(moments(entries).kurtosis())]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Kurtosis::CALL,
                "How heavy the tails are: how much of the spread comes from few values far away. Above 0 is heavier than the normal \
                 distribution, below 0 lighter.\n\
                 Formula: (n - 1) / ((n - 2) (n - 3)) ((n + 1) m4 / m2^2 - 3 (n - 1)), with the mean second and fourth powers m2 and m4 \
                 of the deviations from the mean: the sample excess kurtosis, corrected for bias, as in DuckDB, pandas, Excel and SAS. \
                 scipy's is m4 / m2^2 - 3 unless bias=False.\n\
                 Units: any number in; no unit out, 0 for the normal distribution.\n\
                 NULL: a NULL is skipped. Fewer than 4 values, and values that are all equal, give NULL.\n\
                 Edges: NaN and infinities are no measurements and count as NULL. Moments are updated and merged around the mean, so that \
                 values far from 0 lose no digits. Values so large that their fourth power leaves a Float64 give NULL. DISTINCT is \
                 refused.\n\
                 Source: D. N. Joanes and C. A. Gill, The Statistician 47 (1998) 183-189; P. Pebay, Sandia Report SAND2008-6212 (2008).",
            )
            .with_argument("x", X_TEXT)
            .with_sql_example(
                "```sql
select round(kurtosis(wait_s), 4) as kurtosis, round(kurtosis(talk_s), 4) as even
from (values (5, 1), (10, 2), (20, 3), (30, 4), (160, 5)) as contacts(wait_s, talk_s);
+----------+------+
| kurtosis | even |
+----------+------+
| 4.5628   | -1.2 |
+----------+------+
```",
            )
            .with_related_udf("skewness")
            .with_related_udf("describe")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skewness_and_kurtosis_by_hand() {
        // Deviations of 0 0 0 4 from 1: -1 -1 -1 3. m2 = 3, m3 = 6, m4 = 21.
        // sqrt(12) / 2 x 6 / 3^1.5 = 2; 3 / (2 x 1) (5 x 21 / 9 - 9) = 4
        let moments = FourMoments::of(&[0.0, 0.0, 0.0, 4.0]);
        assert!((moments.skewness().unwrap() - 2.0).abs() < 1e-15);
        assert!((moments.kurtosis().unwrap() - 4.0).abs() < 1e-14);
        assert_eq!((moments.mean(), moments.stddev()), (Some(1.0), Some(2.0)));
    }

    #[test]
    fn parts_merged_equal_the_whole_also_far_from_zero() {
        let values: Vec<f64> =
            (0..500_u32).map(|i| 1e9 + f64::from(i * i % 337) + 200.0 * f64::from(i % 7 / 6)).collect();
        let near: Vec<f64> = values.iter().map(|value| value - 1e9).collect();
        let whole = FourMoments::of(&near);
        for cut in [0, 1, 3, 250, 499, 500] {
            let (front, back) = values.split_at(cut);
            let mut merged = FourMoments::of(front);
            merged.merge(FourMoments::of(back));
            assert!((merged.skewness().unwrap() - whole.skewness().unwrap()).abs() < 1e-7, "{cut}");
            assert!((merged.kurtosis().unwrap() - whole.kurtosis().unwrap()).abs() < 1e-7, "{cut}");
        }
    }

    #[test]
    fn what_is_not_defined_is_none() {
        for values in [&[][..], &[1.0], &[1.0, 2.0], &[0.1, 0.1, 0.1, 0.1, 0.1], &[1e300, -1e300, 0.0, 3.0]] {
            let moments = FourMoments::of(values);
            assert_eq!((moments.skewness(), moments.kurtosis()), (None, None), "{values:?}");
        }
        let three = FourMoments::of(&[1.0, 2.0, 4.0]);
        assert!(three.skewness().is_some() && three.kurtosis().is_none());
    }
}
