//! What rules and operators of physical plans have in common.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::physical_plan::ExecutionPlan;

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
