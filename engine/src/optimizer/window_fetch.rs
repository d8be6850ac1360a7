//! [`WindowFetch`]: a window of which the filter above wants the first rows buffers no others.
//!
//! ```text
//!  FilterExec: row_number <= 2                           FilterExec: row_number <= 2
//!    HashWindowAggExec: windows=[row_number()]     ->      HashWindowAggExec: windows=[row_number()], fetch=2
//! ```
//! The filter stays: rows beyond the limit may be emitted with a larger number. Switch: `cxql.engine.window_fetch`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;

use crate::exec_util::rewrite_plan;
use crate::window::{HashWindowAggExec, WindowCall};

/// Most rows of a partition that are worth a limit.
const MAX_ROWS: i64 = 1000;

/// Limits the rows per partition of a [`HashWindowAggExec`] whose only function is `row_number`.
#[derive(Debug)]
pub(crate) struct WindowFetch;

impl PhysicalOptimizerRule for WindowFetch {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| {
            let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(None) };
            let Some(window) = filter.input().downcast_ref::<HashWindowAggExec>() else { return Ok(None) };
            let Some(limit) = row_limit(filter, window) else { return Ok(None) };
            let window = Arc::new(window.with_row_limit(limit)?);
            replace_children_if_necessary(Arc::clone(plan), vec![window]).map(Some)
        })
    }

    fn name(&self) -> &str {
        "window_fetch"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The rows of each partition that pass the filter at most.
fn row_limit(filter: &FilterExec, window: &HashWindowAggExec) -> Option<usize> {
    let [function] = window.windows() else { return None };
    let schema = window.input().schema();
    if window.has_projection() || !WindowCall::new(function, &schema).ok()?.is_row_number() {
        return None;
    }
    let number = schema.fields().len();
    let limits = split_conjunction(filter.predicate()).into_iter().filter_map(|part| limit_of(part, number));
    limits.min().filter(|limit| *limit <= MAX_ROWS).and_then(|limit| usize::try_from(limit.max(0)).ok())
}

/// The largest value of a column that passes a condition.
fn limit_of(condition: &Arc<dyn PhysicalExpr>, column: usize) -> Option<i64> {
    let condition = condition.downcast_ref::<BinaryExpr>()?;
    let is_column =
        |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some_and(|known| known.index() == column);
    let integer = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) => *value,
        // ranks of DataFusion's own functions
        ScalarValue::UInt64(value) => value.and_then(|value| i64::try_from(value).ok()),
        _ => None,
    };
    let (op, value) = if is_column(condition.left()) {
        (*condition.op(), integer(condition.right())?)
    } else if is_column(condition.right()) {
        (condition.op().swap()?, integer(condition.left())?)
    } else {
        return None;
    };
    match op {
        Operator::Eq | Operator::LtEq => Some(value),
        Operator::Lt => value.checked_sub(1),
        _ => None,
    }
}
