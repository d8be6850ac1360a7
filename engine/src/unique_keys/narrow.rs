//! Plans with some of their columns: filters and projections get the columns that they need, and scans read no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::leaf::SplitRowsExec;
use crate::exec_util::{columns_of, projected_index};

/// These columns of filters and projections over a scan or a [`SplitRowsExec`].
///
/// # Errors
/// An operator that cannot be rebuilt.
pub(crate) fn narrowed(plan: &Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let exprs: Vec<&ProjectionExpr> = columns.iter().filter_map(|&column| projection.expr().get(column)).collect();
        let needed: BTreeSet<usize> = exprs.iter().flat_map(|expr| column_indices(&expr.expr)).collect();
        let needed: Vec<usize> = needed.into_iter().collect();
        let input = narrowed(projection.input(), &needed)?;
        let exprs = exprs
            .into_iter()
            .map(|expr| Ok(ProjectionExpr { expr: renumbered(&expr.expr, &needed)?, alias: expr.alias.clone() }));
        return Ok(Arc::new(ProjectionExec::try_new(exprs.collect::<Result<Vec<_>>>()?, input)?));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let output: Vec<usize> =
            columns.iter().map(|&column| projected_index(filter.projection().as_deref(), column)).collect();
        let needed: BTreeSet<usize> = output.iter().copied().chain(column_indices(filter.predicate())).collect();
        let needed: Vec<usize> = needed.into_iter().collect();
        let predicate = renumbered(filter.predicate(), &needed)?;
        let positions = output.iter().filter_map(|column| needed.binary_search(column).ok()).collect();
        let builder = FilterExecBuilder::new(predicate, narrowed(filter.input(), &needed)?);
        return Ok(Arc::new(builder.apply_projection(Some(positions))?.build()?));
    }
    if let Some(leaf) = plan.downcast_ref::<SplitRowsExec>() {
        return Ok(Arc::new(leaf.narrowed(columns)?));
    }
    let projection = ProjectionExec::try_new(columns_of(plan, columns.iter().copied()), Arc::clone(plan))?;
    pushed_into_scan(projection)
}

/// The projection, as part of the scan below it where that takes it.
pub(super) fn pushed_into_scan(projection: ProjectionExec) -> Result<Arc<dyn ExecutionPlan>> {
    let pushed = match projection.input().downcast_ref::<DataSourceExec>() {
        Some(scan) => scan.try_swapping_with_projection(&projection)?,
        None => None,
    };
    Ok(pushed.unwrap_or_else(|| Arc::new(projection)))
}

pub(super) fn column_indices(expr: &Arc<dyn PhysicalExpr>) -> Vec<usize> {
    collect_columns(expr).iter().map(Column::index).collect()
}

/// An expression over some columns of its input, given by their indices.
fn renumbered(expr: &Arc<dyn PhysicalExpr>, columns: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    let expr = Arc::clone(expr).transform_up(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        match columns.binary_search(&column.index()) {
            Ok(index) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as _)),
            Err(_) => internal_err!("{column} is not among the columns {columns:?}"),
        }
    })?;
    Ok(expr.data)
}
