//! Analyzer rules, one file each; their order is in [`crate::rules`].

pub(crate) mod exact_arithmetic;
mod exact_comparison;
pub(crate) mod float_equality;
pub(crate) mod interval_comparison;
pub(crate) mod like_escape;
pub(crate) mod merge_percentiles;
pub(crate) mod mixed_types;
pub(crate) mod multiset_operations;
pub(crate) mod plain_window_strings;
pub(crate) mod range_frames;
pub(crate) mod session_time_zone;
pub(crate) mod subqueries;
pub(crate) mod temporal_casts;
pub(crate) mod timestamp_comparison;
pub(crate) mod utc_interval_arithmetic;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Rewrites all expressions of a plan bottom-up, also in subqueries; output columns keep their names. `f` receives each
/// expression and the schema of its columns.
///
/// # Errors
/// Those of `f`.
pub(crate) fn rewrite_expressions(
    plan: LogicalPlan,
    mut f: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let mut is_changed = false;
    let plan = plan.transform_up_with_subqueries(|plan| {
        let plan = rewrite_node(plan, &mut f)?;
        is_changed |= plan.transformed;
        // column types may have changed, here and in all plans above
        if is_changed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
    })?;
    Ok(plan.data)
}

/// Rewrites the expressions of one node, as [`rewrite_expressions`] does; its schema stays.
///
/// # Errors
/// Those of `f`.
fn rewrite_node(
    plan: LogicalPlan,
    f: &mut impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&scan.projected_schema);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| f(expr, &schema))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })
}
