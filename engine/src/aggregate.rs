//! Aggregation operators and what they share.
//!
//! - [`PerfectHashAggregateExec`]: partial aggregation by low-cardinality keys through a directly indexed table.
//! - [`ClusteredAggregateExec`]: complete aggregation of clustered rows, one chunk of whole partitions at a time.
//!
//! Both evaluate DataFusion's own accumulators (`AggregateCall`) and fall back to DataFusion's [`AggregateExec`] where their
//! assumption about the data does not hold; only the assignment of rows to groups is theirs.

mod adjacent_groups;
mod clustered;
mod group_table;
mod key_codes;
mod perfect_hash;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;

pub use self::clustered::ClusteredAggregateExec;
pub use self::perfect_hash::PerfectHashAggregateExec;

/// A stream of batches without its schema.
pub(crate) type Batches = BoxStream<'static, Result<RecordBatch>>;

/// The partial and the final aggregate of DataFusion's two-phase aggregation; `None` for other plans, grouping sets and limits.
pub(crate) fn partial_and_final(plan: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, &AggregateExec)> {
    let final_ = plan.downcast_ref::<AggregateExec>()?;
    let partial = final_.input().downcast_ref::<AggregateExec>()?;
    let is_two_phase = matches!(final_.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && *partial.mode() == AggregateMode::Partial
        && partial.group_expr().is_single()
        && [final_, partial].iter().all(|aggregate| aggregate.limit_options().is_none());
    is_two_phase.then_some((partial, final_))
}

/// The same aggregate in another mode and over another input, which has the same columns.
pub(crate) fn with_mode(
    aggregate: &AggregateExec,
    mode: AggregateMode,
    input: Arc<dyn ExecutionPlan>,
) -> Result<AggregateExec> {
    AggregateExec::try_new(
        mode,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        input,
        aggregate.input_schema(),
    )
}

/// A leaf operator with one output partition per stream.
pub(crate) fn streaming_exec(schema: SchemaRef, parts: Vec<Arc<dyn PartitionStream>>) -> Result<StreamingTableExec> {
    StreamingTableExec::try_new(schema, parts, None, [], false, None)
}

/// A stream that can be executed once, so that rows that were already read can be the input of a DataFusion operator.
pub(crate) struct OnceStream {
    schema: SchemaRef,
    batches: Mutex<Option<Batches>>,
}

impl OnceStream {
    pub(crate) fn stream(schema: SchemaRef, batches: Batches) -> Arc<dyn PartitionStream> {
        Arc::new(Self { schema, batches: Mutex::new(Some(batches)) })
    }
}

impl fmt::Debug for OnceStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceStream").finish_non_exhaustive()
    }
}

impl PartitionStream for OnceStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.lock().take().unwrap_or_else(|| stream::empty().boxed());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// One aggregate call: its arguments, its FILTER, and its accumulator with the state of every group.
pub(crate) struct AggregateCall {
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) state: Box<dyn GroupsAccumulator>,
}

impl AggregateCall {
    /// The calls of an aggregate, with accumulators that have no groups yet.
    ///
    /// # Errors
    /// A function that has no accumulator for its arguments.
    pub(crate) fn all(aggregate: &AggregateExec) -> Result<Vec<Self>> {
        let calls = aggregate.aggr_expr().iter().zip(aggregate.filter_expr()).map(|(call, filter)| {
            // functions without a grouped accumulator get a row accumulator per group
            let state = match call.groups_accumulator_supported() {
                true => call.create_groups_accumulator()?,
                false => {
                    let call = Arc::clone(call);
                    Box::new(GroupsAccumulatorAdapter::new(move || call.create_accumulator()))
                }
            };
            Ok(Self { args: call.expressions(), filter: filter.clone(), state })
        });
        calls.collect()
    }

    /// Accumulates the rows of a batch. `groups` has the group index of each row, `count` is the number of groups so far.
    ///
    /// # Errors
    /// Evaluation of the arguments or of the filter, or the accumulator.
    pub(crate) fn update(&mut self, batch: &RecordBatch, groups: &[usize], count: usize) -> Result<()> {
        let args = evaluate_expressions_to_arrays(&self.args, batch)?;
        let filter = match &self.filter {
            None => None,
            Some(filter) => Some(filter_mask(&filter.evaluate(batch)?.into_array(batch.num_rows())?)?),
        };
        self.state.update_batch(&args, groups, filter.as_ref(), count)
    }
}

/// Slices columns of `rows` rows into batches of at most `size` rows.
pub(crate) fn slice_into_batches(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
    size: usize,
) -> Result<Vec<RecordBatch>> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let all = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    let size = size.max(1);
    Ok((0..rows).step_by(size).map(|start| all.slice(start, size.min(rows - start))).collect())
}

/// The array of an evaluated FILTER as a mask.
fn filter_mask(condition: &ArrayRef) -> Result<BooleanArray> {
    match condition.data_type() {
        DataType::Boolean => Ok(condition.as_boolean().clone()),
        other => Err(exec_datafusion_err!("FILTER must be Boolean, got {other}")),
    }
}
