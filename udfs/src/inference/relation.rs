//! Whether two columns go together, and how closely.
//!
//! Coefficients come with an interval and a p-value. None of them says why two columns go together.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, DocumentationBuilder};

use super::{each_flag, each_number};
use crate::args::Call;

mod concordance;
mod correlation;
mod matrix;
mod mutual_information;
mod rank;
mod ratio;

/// The aggregates of the family.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [
        rank::aggregate_functions(),
        matrix::aggregate_functions(),
        mutual_information::aggregate_functions(),
        ratio::aggregate_functions(),
    ]
    .concat()
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Relations",
    description: Some(
        "Whether two columns go together, and how closely: `f(..)['estimate']` with its interval `low` to `high`, the `p_value` of \
         what would be no relation at all, `n` rows that count, and a `reason` where a figure is NULL. A relation is no cause: a \
         third thing (the topic, the season, who calls) may move both, or the second may move the first. DataFusion's own \
         `corr(y, x)` and `regr_slope(y, x)`, `regr_intercept`, `regr_r2`, `regr_count` and the others of SQL's regr_* give a \
         straight line and Pearson's coefficient as bare numbers.",
    ),
};

/// Begins a page of the manual.
fn page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, description, call.syntax)
}

/// Calls `each` once per row of a column of numbers or flags, which are 1 and 0. NULL, NaN and infinities do not count.
fn each_value(columns: &[ArrayRef], index: usize, mut each: impl FnMut(Option<f64>)) -> Result<()> {
    if columns.get(index).is_some_and(|column| *column.data_type() == DataType::Boolean) {
        each_flag(columns, index, |flag| each(flag.map(|flag| if flag { 1.0 } else { 0.0 })))
    } else {
        each_number(columns, index, each)
    }
}
