//! Aggregates: by low-cardinality keys through a table without hashing ([`PerfectHashAggregateExec`]), and over clustered rows
//! chunk by chunk ([`ClusteredAggregateExec`]).

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

/// The first and the last of the two aggregates by which the engine groups rows, without grouping sets or a limit.
pub(crate) fn partial_and_final(plan: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, &AggregateExec)> {
    let last = plan.downcast_ref::<AggregateExec>()?;
    let first = last.input().downcast_ref::<AggregateExec>()?;
    let are_both = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && *first.mode() == AggregateMode::Partial
        && first.group_expr().is_single()
        && [last, first].iter().all(|aggregate| aggregate.limit_options().is_none());
    are_both.then_some((first, last))
}

/// All that an aggregate asks for, over another input with the same columns.
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

/// Streams as a plan.
pub(crate) fn streaming_exec(schema: SchemaRef, parts: Vec<Arc<dyn PartitionStream>>) -> Result<StreamingTableExec> {
    StreamingTableExec::try_new(schema, parts, None, [], false, None)
}

/// Rows that are there once.
pub(crate) struct OnceStream {
    schema: SchemaRef,
    rows: Mutex<Option<Batches>>,
}

impl OnceStream {
    pub(crate) fn stream(schema: SchemaRef, rows: Batches) -> Arc<dyn PartitionStream> {
        Arc::new(Self { schema, rows: Mutex::new(Some(rows)) })
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
        let rows = self.rows.lock().take().unwrap_or_else(|| stream::empty().boxed());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// A function with its state of each group.
pub(crate) struct AggregateCall {
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) state: Box<dyn GroupsAccumulator>,
}

impl AggregateCall {
    /// The functions of an aggregate, without a group yet.
    ///
    /// # Errors
    /// Those of the functions.
    pub(crate) fn all(aggregate: &AggregateExec) -> Result<Vec<Self>> {
        let calls = aggregate.aggr_expr().iter().zip(aggregate.filter_expr()).map(|(call, filter)| {
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

    /// Adds rows, each to its group of so many.
    ///
    /// # Errors
    /// Those of the arguments and of the function.
    pub(crate) fn update(&mut self, batch: &RecordBatch, groups: &[usize], count: usize) -> Result<()> {
        let args = evaluate_expressions_to_arrays(&self.args, batch)?;
        let filter = match &self.filter {
            None => None,
            Some(filter) => Some(filter_mask(&filter.evaluate(batch)?.into_array(batch.num_rows())?)?),
        };
        self.state.update_batch(&args, groups, filter.as_ref(), count)
    }
}

/// So many rows in batches of a size.
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

/// A condition's answers.
fn filter_mask(condition: &ArrayRef) -> Result<BooleanArray> {
    match condition.data_type() {
        DataType::Boolean => Ok(condition.as_boolean().clone()),
        other => Err(exec_datafusion_err!("a FILTER that is no condition but {other}")),
    }
}
