//! `mad(x)`: the median absolute deviation, a spread that outliers do not widen.
//!
//! Formula: median of |x - median(x)|, times 1.4826 where is_scaled.
//! Units:   those of x.
//! NULL:    a NULL is skipped; no value left gives NULL.
//! Edges:   0 where more than half of the values are equal; NaN and infinities count as NULL.
//! Source:  F. R. Hampel, Journal of the American Statistical Association 69 (1974) 383-393.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::Values;
use super::each_number;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::outlier::median;

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Mad)]
}

/// The inverse of the upper quartile of the standard normal distribution.
const NORMAL: f64 = 1.482_602_218_505_602;

/// The median absolute deviation of values, which are reordered.
fn median_deviation(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let median = median(values);
    let mut deviations: Vec<f64> = values.iter().map(|x| (x - median).abs()).collect();
    Some(self::median(&mut deviations))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Mad;

impl Statistic for Mad {
    const CALL: Call = Call {
        function: "mad",
        syntax: "mad(x [, is_scaled])",
        parameters: &[Parameter::column("x", Kind::Number), Parameter::constant("is_scaled", Kind::Flag)],
        arities: &[1, 2],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("mad", FieldType::Number)];
    const IS_STRUCT: bool = false;

    type Cell = Values;
    /// What the deviation is multiplied with.
    type Options = f64;

    fn bind(constants: &Constants) -> Result<f64> {
        Ok(if constants.flag("is_scaled").unwrap_or(false) { NORMAL } else { 1.0 })
    }

    fn each_row(_: &f64, columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish(factor: &f64, entries: &mut [Entry<Values>], _: Option<&[u8]>) -> Record {
        let deviation = entries.first_mut().and_then(|entry| median_deviation(entry.cell.as_mut_slice()));
        vec![Figure::Number(deviation.map(|deviation| deviation * factor))]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                crate::outlier::SECTION,
                "Median absolute deviation: how far values usually are from their median. Up to half of the values can be outliers \
                 without moving it.\n\
                 Formula: the median of |x - median(x)|; with is_scaled times 1.4826022185, which makes it an estimate of the standard \
                 deviation of normal values.\n\
                 Units: those of x.\n\
                 NULL: a NULL is skipped; no value left gives NULL.\n\
                 Edges: the median of an even number of values is the mean of the two in the middle. One value gives 0, and so do values \
                 of which more than half are equal. NaN and infinities are no measurements and count as NULL. Values are held in memory, \
                 8 bytes each. DISTINCT is refused.\n\
                 Source: F. R. Hampel, Journal of the American Statistical Association 69 (1974) 383-393; as \
                 scipy.stats.median_abs_deviation, with is_scaled as R's mad.",
                Mad::CALL.syntax,
            )
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("is_scaled", "Constant Boolean: whether to estimate a standard deviation. Default false.")
            .with_sql_example(
                "```sql
select mad(handle_s) as mad_s, round(mad(handle_s, is_scaled => true), 4) as deviation_s
from (values (280), (290), (300), (310), (2000)) as contacts(handle_s);
+-------+-------------+
| mad_s | deviation_s |
+-------+-------------+
| 10.0  | 14.826      |
+-------+-------------+
```",
            )
            .with_related_udf("modified_zscore")
            .with_related_udf("tukey_outlier")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_by_hand() {
        // median 3; deviations 2 1 0 1 97, sorted 0 1 1 2 97
        assert_eq!(median_deviation(&mut [1.0, 2.0, 3.0, 4.0, 100.0]), Some(1.0));
        // median 3; deviations 2 1 1 7, sorted 1 1 2 7
        assert_eq!(median_deviation(&mut [1.0, 2.0, 4.0, 10.0]), Some(1.5));
        assert_eq!(median_deviation(&mut []), None);
        assert_eq!(median_deviation(&mut [5.0]), Some(0.0));
        assert_eq!(median_deviation(&mut [-f64::MAX, 0.0, f64::MAX]), Some(f64::MAX));
        assert_eq!(median_deviation(&mut [f64::MAX, f64::MAX]), Some(0.0));
    }
}
