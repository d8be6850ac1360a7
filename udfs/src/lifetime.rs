//! What each customer is worth: how often customers order, whether they still do, what they spend.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

mod fit;
mod orders;
mod spend;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![]
}

/// The scalar functions of the family.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![]
}
