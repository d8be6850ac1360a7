//! [`AccountedWindowExec`]: DataFusion's `WindowAggExec` with its rows in the memory pool.
//!
//! ```text
//!  AccountedWindowExec       slices the one batch that the window returns; ends with an error at the memory limit
//!    WindowAggExec           keeps all rows of its input, twice while it concatenates them, and accounts for none
//!      input                 each batch reserves twice its bytes, and those of its results
//! ```
//! Chosen for every `WindowAggExec`: windows without PARTITION BY whose frame reaches to the end, and the few functions that
//! [`super::HashWindowAggExec`] does not have. `BoundedWindowAggExec` drops the rows that its frames have left.
//! Memory: nothing spills; a query beyond its limit ends with the error of the pool.
//! Switch: `cxql.engine.window_memory`.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::exec_util::single_child;

/// Bytes of one result of a window function, while its partitions are concatenated.
const RESULT_BYTES: usize = 16;

/// See the page of this module.
#[derive(Debug)]
pub struct AccountedWindowExec {
    window: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl AccountedWindowExec {
    pub(crate) fn new(window: Arc<dyn ExecutionPlan>) -> Self {
        Self { window, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for AccountedWindowExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountedWindowExec")
    }
}

impl ExecutionPlan for AccountedWindowExec {
    fn name(&self) -> &'static str {
        "AccountedWindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.window]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(single_child(self.as_ref(), children)?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let consumer = MemoryConsumer::new(format!("WindowAggExec[{partition}]"));
        let reservation = Arc::new(consumer.register(context.memory_pool()));
        let functions = self.window.downcast_ref::<WindowAggExec>().map_or(1, |window| window.window_expr().len());
        let inputs = self.window.children().into_iter().map(|input| -> Arc<dyn ExecutionPlan> {
            let (input, reservation) = (Arc::clone(input), Arc::clone(&reservation));
            Arc::new(ReservingExec { input, reservation, result_bytes: functions * RESULT_BYTES })
        });
        let window = Arc::clone(&self.window)
            .replace_children(inputs.collect(), ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?;
        let batch_size = context.session_config().batch_size().max(1);
        let batches = window.execute(partition, context)?.map_ok(move |batch| {
            let rows = batch.num_rows();
            let slices = (0..rows).step_by(batch_size).map(move |at| Ok(batch.slice(at, batch_size.min(rows - at))));
            stream::iter(slices)
        });
        // the rows are reserved until the last slice was taken
        let batches = batches.try_flatten().inspect_ok(move |batch| {
            metrics.record_output(batch.num_rows());
            let _ = reservation.size();
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Reserves memory for the batches that pass.
#[derive(Debug)]
struct ReservingExec {
    input: Arc<dyn ExecutionPlan>,
    reservation: Arc<MemoryReservation>,
    /// Bytes of the results for one row.
    result_bytes: usize,
}

impl DisplayAs for ReservingExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReservingExec")
    }
}

impl ExecutionPlan for ReservingExec {
    fn name(&self) -> &'static str {
        "ReservingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = single_child(self.as_ref(), children)?;
        Ok(Arc::new(Self { input, reservation: Arc::clone(&self.reservation), result_bytes: self.result_bytes }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (reservation, result_bytes) = (Arc::clone(&self.reservation), self.result_bytes);
        let batches = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            reservation.try_grow(2 * batch_bytes(&batch) + batch.num_rows() * result_bytes)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// The bytes of the rows of a batch; a slice counts as if it were copied.
fn batch_bytes(batch: &RecordBatch) -> usize {
    let views = |values: &ArrayRef| -> usize {
        let Some(strings) = values.as_string_view_opt() else { return 0 };
        strings.lengths().filter(|length| *length > 12).map(|length| length as usize).sum()
    };
    let bytes = |values: &ArrayRef| values.to_data().get_slice_memory_size().unwrap_or_default() + views(values);
    batch.columns().iter().map(bytes).sum()
}
