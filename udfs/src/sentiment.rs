//! Family `sentiment`.
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![]
}
