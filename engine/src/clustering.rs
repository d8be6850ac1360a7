//! Clustered rows: which operators emit them, and where a column of a plan comes from.
//!
//! A stream is *clustered* by some columns when rows with equal values in them follow one another and lie in one output
//! partition; nothing is said of their order. It is *unsplit* when no such run of rows crosses a batch. Unlike an ordering,
//! which DataFusion tracks in `EquivalenceProperties`, this has no property of its own in 55.2, so that it is read off the
//! operators here, and nowhere else, each time an operator is built: a rule that puts an exchange in between loses the speed
//! and not the result.
//!
//! This module imports the operators that emit clustered rows, and they import it to read their inputs. That
//! circular import is the only one between the modules of this crate: the alternative is a trait on operators of other crates.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{JoinType, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;

use crate::aggregate::ClusteredAggregateExec;
use crate::exec_util::projected_index;
use crate::shared::SharedExec;
use crate::unique_keys::UniqueKeysExec;
use crate::window::HashWindowAggExec;

/// Rows after which a chunk of clustered rows ends. So few that the tables of a chunk stay in the cache.
pub(crate) const CHUNK_ROWS: usize = 1 << 16;

/// The input column that an operator passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnSource {
    /// Index among the children.
    pub(crate) child: usize,
    /// Index among the columns of that child.
    pub(crate) column: usize,
}

/// Traces an output column one operator down: which column of which child it is, unchanged and row by row. `None` if it is
/// computed, or the operator is not one that is known to pass columns through. Of a join only the probe (right) side is
/// traced: the rows of the build side are gathered from all its batches.
pub(crate) fn column_source(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<ColumnSource> {
    let of_child = |child, column| Some(ColumnSource { child, column });
    if plan.is::<CooperativeExec>() || plan.is::<RepartitionExec>() {
        return of_child(0, column);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return of_child(0, projected_index(filter.projection().as_deref(), column));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return of_child(0, projection.expr().get(column)?.expr.downcast_ref::<Column>()?.index());
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let has_both = matches!(join.join_type(), JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full);
        let column = projected_index(join.projection.as_deref(), column);
        let column = column.checked_sub(join.left().schema().fields().len())?;
        return if has_both { of_child(1, column) } else { None };
    }
    None
}

/// The columns by which the output of a plan is clustered; `None` if it is not.
pub(crate) fn clustered_columns(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<usize>> {
    if let Some(window) = plan.downcast_ref::<HashWindowAggExec>() {
        return window.clustered_output();
    }
    if let Some(aggregate) = plan.downcast_ref::<ClusteredAggregateExec>() {
        return aggregate.clustered_output();
    }
    if let Some(unique) = plan.downcast_ref::<UniqueKeysExec>() {
        return clustered_columns(unique.windows());
    }
    if let Some(shared) = plan.downcast_ref::<SharedExec>() {
        let keys = clustered_columns(shared.shared_plan())?;
        return keys.into_iter().map(|key| shared.columns().iter().position(|&column| column == key)).collect();
    }
    // these keep the order of rows and their partitions
    if !plan.is::<ProjectionExec>() && !plan.is::<FilterExec>() {
        return None;
    }
    let keys = clustered_columns(plan.children().first()?)?;
    let width = plan.schema().fields().len();
    let output =
        |key| (0..width).find(|&column| column_source(plan, column).is_some_and(|source| source.column == key));
    keys.into_iter().map(output).collect()
}

/// Returns true if the output of a plan is clustered by exactly these keys.
pub(crate) fn is_clustered_by(keys: &[Arc<dyn PhysicalExpr>], plan: &Arc<dyn ExecutionPlan>) -> bool {
    let columns: Option<BTreeSet<usize>> =
        keys.iter().map(|key| key.downcast_ref::<Column>().map(Column::index)).collect();
    columns.is_some_and(|columns| {
        clustered_columns(plan).is_some_and(|clustered| columns == BTreeSet::from_iter(clustered))
    })
}

/// Returns true if no run of clustered rows crosses a batch. A filter is not unsplit: it coalesces batches.
pub(crate) fn is_unsplit(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(unique) = plan.downcast_ref::<UniqueKeysExec>() {
        return is_unsplit(unique.windows());
    }
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => is_unsplit(projection.input()),
        None => plan.downcast_ref::<HashWindowAggExec>().is_some_and(HashWindowAggExec::is_unsplit),
    }
}

/// Rewrites the plan so that no run of clustered rows crosses a batch. `None` if it already guarantees that or cannot.
///
/// # Errors
/// Those of rebuilding an operator.
pub(crate) fn with_unsplit_partitions(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return match with_unsplit_partitions(projection.input())? {
            Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
            None => Ok(None),
        };
    }
    if let Some(unique) = plan.downcast_ref::<UniqueKeysExec>() {
        let windows = with_unsplit_partitions(unique.windows())?;
        return Ok(windows.map(|windows| Arc::new(unique.with_windows(windows)) as _));
    }
    // one partition may have more bytes of a type with 32-bit offsets than an array can hold
    let has_small_offsets = |field: &FieldRef| {
        let data_type = field.data_type();
        matches!(data_type, DataType::Utf8 | DataType::Binary) || data_type.is_nested()
    };
    match plan.downcast_ref::<HashWindowAggExec>() {
        Some(window) if !window.is_unsplit() && !window.schema().fields().iter().any(has_small_offsets) => {
            Ok(Some(Arc::new(window.with_unsplit_batches()?)))
        }
        _ => Ok(None),
    }
}

/// The index of an input column among expressions over the input.
pub(crate) fn position_of<'a>(
    column: usize,
    mut exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
) -> Option<usize> {
    exprs.position(|expr| expr.downcast_ref::<Column>().is_some_and(|known| known.index() == column))
}
