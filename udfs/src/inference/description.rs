//! What is in a column: shape, spread, quantiles with weights, bins.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, DocumentationBuilder};

use crate::args::{Call, Kind, Parameter};

mod describe;
mod entropy;
mod gini;
mod histogram;
mod moments;
mod weighted;

pub(super) use entropy::entropy_bits;

/// The aggregates of the family.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [
        moments::aggregate_functions(),
        describe::aggregate_functions(),
        histogram::aggregate_functions(),
        weighted::aggregate_functions(),
        gini::aggregate_functions(),
        entropy::aggregate_functions(),
    ]
    .concat()
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Statistics",
    description: Some(
        "What is in a column. Beside these there are DataFusion's own: `avg(x)` (also `mean`), `median(x)`, `stddev(x)`, `var_samp(x)`, \
         `min(x)`, `max(x)`, `percentile_cont(p) within group (order by x)` (also `quantile_cont`), which interpolates, \
         `percentile_disc(p) within group (order by x)` of cxql, which is one of the values, and `approx_percentile_cont`, \
         `approx_median` and `approx_distinct` for more rows than memory holds.",
    ),
};

/// Begins a page of the manual.
fn page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, description, call.syntax)
}

const X: Parameter = Parameter::column("x", Kind::Number);
const X_TEXT: &str = "The values: integers, floats or decimals.";

/// The quantile of sorted values by linear interpolation, type 7 of R. J. Hyndman and Y. Fan (1996), as R, numpy and
/// percentile_cont have it.
fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = sorted.len().checked_sub(1)? as f64 * p;
    let (low, high) = (sorted.get(rank.floor() as usize)?, sorted.get(rank.ceil() as usize)?);
    Some(between(*low, *high, rank.fract()))
}

/// The value at `share` of the way from `low` to `high`.
fn between(low: f64, high: f64, share: f64) -> f64 {
    let width = high - low;
    // of parts, where the width overflows
    if width.is_finite() { low + width * share } else { low * (1.0 - share) + high * share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_hand() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.25), Some(3.0));
        // rank .25 x 4 = 1; .25 x 3 = .75 between the first and the second
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
        assert_eq!(quantile(&[-f64::MAX, f64::MAX], 0.5), Some(0.0));
    }
}
