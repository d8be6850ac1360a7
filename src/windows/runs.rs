//! Windows over rows whose partitions stand together already, because they come from windows with the same PARTITION BY.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::projection::ProjectionExec;
use futures::TryStreamExt;

use super::chunked::ChunkedAggregateExec;
use super::collect::joined;
use super::exec::GroupedWindowExec;
use super::forms::unburdened;
use super::solve::{Solved, Spec};

/// Rows that are computed together, or more where one partition has more.
const RUN_ROWS: usize = 1 << 15;

/// The columns whose equal rows a plan gives one after the other, all in one of its outputs; `None` if there are none.
pub(super) fn together(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<usize>> {
    if let Some(window) = plan.downcast_ref::<GroupedWindowExec>() {
        return window.given_keys();
    }
    if let Some(aggregate) = plan.downcast_ref::<ChunkedAggregateExec>() {
        return aggregate.given_keys();
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let exprs = || projection.expr().iter().map(|expr| &expr.expr);
        return together(projection.input())?.into_iter().map(|key| place_of(key, exprs())).collect();
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let keys = together(filter.input())?;
        return match filter.projection().as_ref() {
            None => Some(keys),
            Some(given) => keys.into_iter().map(|key| given.iter().position(|&place| place == key)).collect(),
        };
    }
    None
}

/// Whether no partition of what a plan gives together is in more than one batch.
pub(super) fn are_whole(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => are_whole(projection.input()),
        None => plan.downcast_ref::<GroupedWindowExec>().is_some_and(GroupedWindowExec::gives_partitions),
    }
}

/// The plan with whole partitions in its batches, if it can give them so; `None` if not, or it does anyway.
///
/// # Errors
/// None for plans of the engine.
pub(super) fn made_whole(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return match made_whole(projection.input())? {
            Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
            None => Ok(None),
        };
    }
    // of texts and lists with offsets of 32 bits a partition may have more than one batch can hold
    let is_bounded = |field: &FieldRef| {
        let data_type = field.data_type();
        matches!(data_type, DataType::Utf8 | DataType::Binary) || data_type.is_nested()
    };
    match plan.downcast_ref::<GroupedWindowExec>() {
        Some(window) if !window.gives_partitions() && !window.schema().fields().iter().any(is_bounded) => {
            Ok(Some(Arc::new(window.giving_partitions()?)))
        }
        _ => Ok(None),
    }
}

/// The place of a column of the input among expressions over it.
pub(super) fn place_of<'a>(column: usize, mut exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Option<usize> {
    exprs.position(|expr| expr.downcast_ref::<Column>().is_some_and(|known| known.index() == column))
}

/// The columns that keys are; `None` if one is computed.
fn columns_of(keys: &[Arc<dyn PhysicalExpr>]) -> Option<BTreeSet<usize>> {
    keys.iter().map(|key| key.downcast_ref::<Column>().map(Column::index)).collect()
}

/// Whether the partitions by `keys` stand together in what a plan gives.
pub(super) fn are_together(keys: &[Arc<dyn PhysicalExpr>], plan: &Arc<dyn ExecutionPlan>) -> bool {
    columns_of(keys).is_some_and(|columns| together(plan).is_some_and(|known| columns == BTreeSet::from_iter(known)))
}

/// The rows of one input, taken partition by partition.
pub(super) struct Runs {
    spec: Arc<Spec>,
    input: SendableRecordBatchStream,
    /// Whether no partition is in more than one batch.
    are_whole: bool,
    /// The carried columns of rows that are not computed yet.
    parts: Vec<Vec<ArrayRef>>,
    rows: usize,
    /// So many rows are waited for.
    wanted: usize,
    is_ended: bool,
    /// The memory of `parts`.
    reservation: MemoryReservation,
}

impl Runs {
    /// `are_whole`: as [`are_whole`] says of the plan that gives `input`.
    pub(super) fn new(
        spec: Arc<Spec>,
        input: SendableRecordBatchStream,
        are_whole: bool,
        reservation: MemoryReservation,
    ) -> Self {
        Self { spec, input, are_whole, parts: vec![], rows: 0, wanted: RUN_ROWS, is_ended: false, reservation }
    }

    /// The next whole partitions with their results, whose memory is grown in `reservation`; none after the last.
    ///
    /// # Errors
    /// What the input, an expression or a function gives.
    pub(super) async fn next(&mut self, reservation: &MemoryReservation, elapsed: &Time) -> Result<Option<Solved>> {
        loop {
            if !self.is_ended {
                match self.input.try_next().await? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    Some(batch) => {
                        self.rows += batch.num_rows();
                        self.parts.push(self.spec.carried(&batch)?.into_iter().map(unburdened).collect());
                        // beyond the limit if need be: without it nothing goes on
                        self.reservation.resize(self.rows * self.spec.row_bytes());
                    }
                    None => self.is_ended = true,
                }
            }
            if self.rows == 0 && self.is_ended {
                return Ok(None);
            }
            // the last partition may go on
            let is_cut = !self.is_ended && !self.are_whole;
            if self.rows < self.wanted && is_cut {
                continue;
            }
            let _timer = elapsed.timer();
            let columns = (0..self.spec.columns.len()).map(|column| joined(&self.parts, column));
            let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
            let mut bounds = self.spec.runs(&columns)?;
            if is_cut {
                bounds.pop();
            }
            let whole = bounds.last().copied().unwrap_or_default();
            let part = |start: usize, rows: usize| columns.iter().map(|column| column.slice(start, rows)).collect();
            self.rows -= whole;
            self.reservation.resize(self.rows * self.spec.row_bytes());
            self.parts = if self.rows > 0 { vec![part(whole, self.rows)] } else { vec![] };
            self.wanted = RUN_ROWS.max(2 * self.rows);
            if whole > 0 {
                reservation.grow(whole * self.spec.row_bytes());
                let mut columns: Vec<ArrayRef> = part(0, whole);
                let others = columns.split_off(self.spec.computed_count);
                return Arc::clone(&self.spec)
                    .answer(columns, vec![others], &bounds, (0..whole as u32).collect())
                    .map(Some);
            }
        }
    }
}
