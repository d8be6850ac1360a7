//! What rules and operators have in common.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;

/// The plan with what `f` makes of its expressions, each from its leaves up, also in subqueries; columns keep their names.
/// `f` also gets the columns that an expression can name.
///
/// # Errors
/// Those of `f`.
pub(crate) fn with_expressions(
    plan: LogicalPlan,
    mut f: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let mut is_changed = false;
    let plan = plan.transform_up_with_subqueries(|plan| {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| f(expr, &schema))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        is_changed |= plan.transformed;
        // the types of columns may be others, also of those above
        if is_changed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
    })?;
    Ok(plan.data)
}

/// The plan with what `f` gives in place of its operators, from the leaves up; `None` keeps one.
///
/// # Errors
/// Those of `f`.
pub(crate) fn replaced(
    plan: Arc<dyn ExecutionPlan>,
    mut f: impl FnMut(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|plan| {
        Ok(match f(&plan)? {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(plan),
        })
    })?;
    Ok(plan.data)
}

/// The new input of an operator that has one.
///
/// # Errors
/// There are more or none.
pub(crate) fn only_input(
    operator: &dyn ExecutionPlan,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([input]) => Ok(input),
        Err(children) => internal_err!("{} has one input, got {}", operator.name(), children.len()),
    }
}

/// The column before a projection that only picks columns.
pub(crate) fn picked(projection: Option<&[usize]>, column: usize) -> usize {
    projection.and_then(|columns| columns.get(column).copied()).unwrap_or(column)
}
