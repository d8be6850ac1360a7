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
use datafusion::physical_plan::projection::ProjectionExec;

use crate::clustering::column_source;
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
            let conditions = split_conjunction(filter.predicate());
            let limits = conditions.into_iter().filter_map(limit_of);
            for (column, limit) in limits.filter(|(_, limit)| *limit <= MAX_ROWS) {
                let limit = usize::try_from(limit.max(0)).unwrap_or_default();
                if let Some(input) = limited(filter.input(), column, limit)? {
                    return replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some);
                }
            }
            Ok(None)
        })
    }

    fn name(&self) -> &str {
        "window_fetch"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with a limit for the window whose row numbers are an output column; `None` if that is something else. Projections may
/// be in between.
fn limited(plan: &Arc<dyn ExecutionPlan>, column: usize, limit: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if plan.is::<ProjectionExec>() {
        let Some(source) = column_source(plan, column) else { return Ok(None) };
        let Some(input) = plan.children().first().copied() else { return Ok(None) };
        return match limited(input, source.column, limit)? {
            Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
            None => Ok(None),
        };
    }
    let Some(window) = plan.downcast_ref::<HashWindowAggExec>() else { return Ok(None) };
    let schema = window.input().schema();
    let is_row_number = match window.windows() {
        [function] => WindowCall::new(function, &schema).is_ok_and(|call| call.is_row_number()),
        _ => false,
    };
    if window.has_projection() || !is_row_number || column != schema.fields().len() {
        return Ok(None);
    }
    Ok(Some(Arc::new(window.with_row_limit(limit)?)))
}

/// A column that a condition compares with an integer, and the largest value that passes.
fn limit_of(condition: &Arc<dyn PhysicalExpr>) -> Option<(usize, i64)> {
    let condition = condition.downcast_ref::<BinaryExpr>()?;
    let column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
    let integer = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) => *value,
        // ranks of DataFusion's own functions
        ScalarValue::UInt64(value) => value.and_then(|value| i64::try_from(value).ok()),
        _ => None,
    };
    let (op, column, value) = match column(condition.left()) {
        Some(column) => (*condition.op(), column, integer(condition.right())?),
        None => (condition.op().swap()?, column(condition.right())?, integer(condition.left())?),
    };
    match op {
        Operator::Eq | Operator::LtEq => Some((column, value)),
        Operator::Lt => Some((column, value.checked_sub(1)?)),
        _ => None,
    }
}
