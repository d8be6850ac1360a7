//! Family `queue`.
use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![]
}
