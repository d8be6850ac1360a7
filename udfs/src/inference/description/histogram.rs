//! `histogram(x [, bins])`: how many values are in each of equal bins from the smallest to the largest.
//!
//! Formula: bins of one width; their number from the Freedman-Diaconis rule, of few values from that of Sturges.
//! Units:   any number in; bounds in the units of x.
//! NULL:    a NULL is skipped; no rows left gives NULL.
//! Edges:   the last bin has its upper bound, the others do not; equal values are one bin without width; NaN and infinities
//!          count as NULL.
//! Source:  D. Freedman and P. Diaconis 1981; H. A. Sturges 1926; numpy's choice between them.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{X, X_TEXT, between, page, quantile};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::cells::Values;
use crate::inference::each_number;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Histogram)]
}

/// The most bins that can be asked for.
const MOST_BINS: f64 = 10_000.0;
/// The most bins that the rule gives.
const MOST_AUTOMATIC_BINS: f64 = 1_000.0;

/// The fields of a bin.
const BIN: &[(&str, FieldType)] =
    &[("low", FieldType::Number), ("high", FieldType::Number), ("count", FieldType::Count)];

/// A bin and the number of values in it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bin {
    low: f64,
    high: f64,
    count: usize,
}

/// The number of bins for sorted values that are not all equal, as numpy's `auto`.
fn bin_count(sorted: &[f64], low: f64, high: f64) -> usize {
    let n = sorted.len() as f64;
    let (Some(lower), Some(upper)) = (quantile(sorted, 0.25), quantile(sorted, 0.75)) else { return 1 };
    // All as shares of the range, halved so that it does not overflow.
    let range = high / 2.0 - low / 2.0;
    let freedman_diaconis = 2.0 * ((upper / 2.0 - lower / 2.0) / range) / n.cbrt();
    let half_root = 0.5 / n.sqrt();
    let sturges = 1.0 / (n.log2() + 1.0);
    (1.0 / freedman_diaconis.max(half_root).min(sturges)).ceil().clamp(1.0, MOST_AUTOMATIC_BINS) as usize
}

/// The bins of sorted values, `count` of them or as many as the rule gives; none of no value.
fn bins(sorted: &[f64], count: Option<usize>) -> Vec<Bin> {
    let (Some(low), Some(high)) = (sorted.first().copied(), sorted.last().copied()) else { return vec![] };
    if low == high {
        return vec![Bin { low, high, count: sorted.len() }];
    }
    let count = count.unwrap_or_else(|| bin_count(sorted, low, high));
    let step = (high - low) / count as f64;
    let edge = |index: usize| match index {
        0 => low,
        index if index == count => high,
        index if step.is_finite() => low + index as f64 * step,
        index => between(low, high, index as f64 / count as f64),
    };
    let mut start = 0;
    let bins = (0..count).map(|index| {
        let (low, high) = (edge(index), edge(index + 1));
        let end = if index + 1 == count { sorted.len() } else { sorted.partition_point(|value| *value < high) };
        let bin = Bin { low, high, count: end.saturating_sub(start) };
        start = end.max(start);
        bin
    });
    bins.collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Histogram;

impl Statistic for Histogram {
    const CALL: Call = Call {
        function: "histogram",
        syntax: "histogram(x [, bins])",
        parameters: &[X, Parameter::constant("bins", Kind::Number)],
        arities: &[1, 2],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("histogram", FieldType::List(BIN))];
    const IS_STRUCT: bool = false;

    type Cell = Values;
    /// The number of bins that the call names.
    type Options = Option<usize>;

    fn bind(constants: &Constants) -> Result<Option<usize>> {
        match constants.number("bins")? {
            None => Ok(None),
            Some(bins) if bins.fract() == 0.0 && (1.0..=MOST_BINS).contains(&bins) => Ok(Some(bins as usize)),
            Some(bins) => plan_err!("histogram: bins must be an integer from 1 to {MOST_BINS}, got {bins}"),
        }
    }

    fn each_row(_: &Option<usize>, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(count: &Option<usize>, entries: &mut [Entry<Values>], _: Option<&[u8]>) -> Record {
        let rows = entries.first_mut().map(|entry| bins(entry.cell.sorted(), *count));
        let rows = rows.map(|bins| {
            let bin = |bin: &Bin| {
                vec![
                    Figure::Number(Some(bin.low)),
                    Figure::Number(Some(bin.high)),
                    Figure::Count(Some(bin.count as i64)),
                ]
            };
            bins.iter().map(bin).collect()
        });
        vec![Figure::List(rows)]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Histogram::CALL,
                "How many values are in each of equal bins, as a LIST of (low, high, count): unnest makes it rows, which a chart of the \
                 kind histogram with y draws.\n\
                 Formula: bins of one width from the smallest to the largest value. Without bins their number is that of numpy's auto: \
                 range / width rounded up, width the smaller one of Sturges' range / (log2(n) + 1) and of Freedman and Diaconis' \
                 2 IQR / n^(1/3), the latter at least range / (2 sqrt(n)); at most 1,000 bins.\n\
                 Units: any number in; low and high in the units of x.\n\
                 NULL: a NULL is skipped; no rows left gives NULL.\n\
                 Edges: a value on a bound is in the upper bin, the largest value in the last one; bins without values are there with \
                 count 0. Values that are all equal are one bin with low = high, whatever bins says. NaN and infinities are no \
                 measurements and count as NULL: count them with a filter. Values are held in memory, 8 bytes each. DISTINCT is refused.\n\
                 Source: D. Freedman and P. Diaconis, Zeitschrift fuer Wahrscheinlichkeitstheorie 57 (1981) 453-476; H. A. Sturges, \
                 Journal of the American Statistical Association 21 (1926) 65-66; numpy.histogram_bin_edges.",
            )
            .with_argument("x", X_TEXT)
            .with_argument("bins", "Constant integer from 1 to 10,000: the number of bins. Default: by the rule.")
            .with_sql_example(
                "```sql
select bin['low'] as low, bin['high'] as high, bin['count'] as count
from (
    select unnest(histogram(wait_s, bins => 4)) as bin
    from (values (0), (5), (10), (12), (25), (40)) as contacts(wait_s)
)
order by low;
+------+------+-------+
| low  | high | count |
+------+------+-------+
| 0.0  | 10.0 | 2     |
| 10.0 | 20.0 | 2     |
| 20.0 | 30.0 | 1     |
| 30.0 | 40.0 | 1     |
+------+------+-------+
```",
            )
            .with_related_udf("describe")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(bins: &[Bin]) -> Vec<usize> {
        bins.iter().map(|bin| bin.count).collect()
    }

    #[test]
    fn bounds_belong_to_the_upper_bin_and_the_largest_value_to_the_last() {
        let bins = bins(&[0.0, 1.0, 1.0, 2.0, 3.0, 4.0], Some(4));
        assert_eq!(counts(&bins), [1, 2, 1, 2]);
        assert_eq!((bins[1].low, bins[1].high), (1.0, 2.0));
    }

    #[test]
    fn every_value_is_in_one_bin() {
        let one_more = f64::from_bits(1.0_f64.to_bits() + 1);
        for (values, count) in [
            (vec![1.0, one_more], Some(1000)),
            (vec![-f64::MAX, 0.0, f64::MAX], Some(7)),
            (vec![-f64::MAX, 0.0, f64::MAX], None),
            (vec![0.0, 5e-324], None),
            ((0..10_000).map(|i| f64::from(i) / 3.0).collect(), None),
        ] {
            let bins = bins(&values, count);
            assert_eq!(counts(&bins).iter().sum::<usize>(), values.len(), "{count:?}");
            assert!(bins.iter().all(|bin| bin.low <= bin.high && bin.low.is_finite()), "{count:?}");
            assert_eq!((bins[0].low, bins[bins.len() - 1].high), (values[0], values[values.len() - 1]));
        }
    }

    #[test]
    fn equal_values_are_one_bin_and_no_value_none() {
        assert_eq!(bins(&[7.0, 7.0], Some(5)), [Bin { low: 7.0, high: 7.0, count: 2 }]);
        assert!(bins(&[], None).is_empty());
    }

    #[test]
    fn a_far_value_does_not_make_more_bins_than_the_limit() {
        let mut values: Vec<f64> = (0..5_000_000_u32).map(|i| f64::from(i % 100) / 1e6).collect();
        values.push(1e9);
        values.sort_unstable_by(f64::total_cmp);
        assert_eq!(bins(&values, None).len(), 1000);
    }
}
