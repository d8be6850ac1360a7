//! [`ClusteredAggregateExec`]: complete aggregation of clustered rows, one chunk of whole partitions at a time.
//!
//! It replaces both aggregates of DataFusion and the exchange between them where the clustering columns of the input (see
//! [`crate::clustering`]) are among the group keys: every group then lies within one partition of the window below.
//!
//! ```text
//!  clustered input         chunk: >= 65,536 rows,                 groups, complete
//!  +-----------------+     ends with a partition                  +-------+
//!  | c1 c1 c1 c2 | c2| --> [ c1 c1 c1 c2 c2 ] --> AdjacentGroups  | c1 c2 |
//!  | c3 c4 c4        | --> [ c3 c4 c4 ... ]   \> AggregateExec   | c3 c4 |   mode=Single, if groups are not adjacent
//!  +-----------------+                                            +-------+
//! ```
//!
//! `group by customer_id, session` over a window that is partitioned by `customer_id`:
//!
//! ```text
//!  customer_id  session  wait_s          customer_id  session  sum(wait_s)
//!  c1           1        10              c1           1        15
//!  c1           1        5        ->     c1           2        7
//!  c1           2        7               c2           1        1
//!  c2           1        1
//! ```
//!
//! Chosen by the rule `ClusteredAggregation`; not if the aggregate needs an input order. When a later rule has put an operator
//! in between that breaks the clustering, all rows of all partitions are one chunk: slower, with the same result.
//!
//! Memory: the rows of a chunk while adjacent groups are looked for, at most three chunks, and the states of its groups. Of a larger
//! partition only the states, if these are small and the groups are the partitions; else it streams through `AggregateExec`, which
//! accounts for its own memory and spills.
//!
//! Switch: `cxql.engine.clustered_aggregation`.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, Time};
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use tokio::sync::Mutex;

use super::adjacent_groups::AdjacentGroups;
use super::{Batches, OnceStream, streaming_exec, with_mode};
use crate::clustering::{CHUNK_ROWS, clustered_columns, is_unsplit, position_of};
use crate::exec_util::single_child;
use crate::kernels::partition_keys::PartitionKeys;

/// Most rows that are buffered to detect adjacent groups. A chunk has fewer rows unless one partition is large.
const MAX_BUFFERED_ROWS: usize = 3 * CHUNK_ROWS;
/// Most bytes of the states of a larger chunk's groups after so many rows: counts and sums, but no lists of values.
const MAX_STATE_BYTES: usize = 1 << 20;

/// Aggregation over clustered rows, see the page of this module.
#[derive(Debug)]
pub struct ClusteredAggregateExec {
    /// The aggregate over all rows, mode `Single`.
    aggregate: Arc<AggregateExec>,
    /// The clustering columns of the input; `None` if another rule has put an operator in between that breaks the clustering.
    keys: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The same aggregate in one phase over another input, which has the same columns.
fn single_over(aggregate: &AggregateExec, input: Arc<dyn ExecutionPlan>) -> Result<AggregateExec> {
    with_mode(aggregate, AggregateMode::Single, input)
}

/// The index among the group keys of an input column.
fn group_index(aggregate: &AggregateExec, column: usize) -> Option<usize> {
    position_of(column, aggregate.group_expr().expr().iter().map(|(expr, _)| expr))
}

impl ClusteredAggregateExec {
    /// The operator in place of a partial aggregate and the final one above it; `None` if the input is not clustered, not all
    /// clustering columns are group keys, or the aggregate needs an input order.
    ///
    /// # Errors
    /// Those of building the aggregate.
    pub(crate) fn try_over(partial: &AggregateExec) -> Result<Option<Self>> {
        if !partial.required_input_ordering().iter().all(Option::is_none) {
            return Ok(None);
        }
        let Some(keys) = clustered_columns(partial.input()) else { return Ok(None) };
        if !keys.iter().all(|&key| group_index(partial, key).is_some()) {
            return Ok(None);
        }
        Ok(Some(Self::new(single_over(partial, Arc::clone(partial.input()))?)))
    }

    fn new(aggregate: AggregateExec) -> Self {
        let input = aggregate.input();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(aggregate.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self {
            keys: clustered_columns(input),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            aggregate: Arc::new(aggregate),
        }
    }

    /// The output columns by which the groups are clustered; `None` where a partition has several groups. DataFusion's aggregate
    /// emits groups with equal hashes late, such as those of (true, NULL) and (NULL, true), so that partitions may be interleaved.
    pub(crate) fn clustered_output(&self) -> Option<Vec<usize>> {
        let keys = self.keys.as_ref()?;
        let is_group_per_partition = self.aggregate.group_expr().expr().len() == keys.len();
        if is_group_per_partition { keys.iter().map(|&key| group_index(&self.aggregate, key)).collect() } else { None }
    }
}

impl DisplayAs for ClusteredAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<&str> = self.aggregate.group_expr().expr().iter().map(|(_, name)| name.as_str()).collect();
        let calls: Vec<&str> = self.aggregate.aggr_expr().iter().map(|call| call.name()).collect();
        let (groups, calls) = (groups.join(", "), calls.join(", "));
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "ClusteredAggregateExec: gby=[{groups}], aggr=[{calls}], input=clustered")
            }
            DisplayFormatType::TreeRender => writeln!(f, "group_by={groups}\naggr={calls}"),
        }
    }
}

impl ExecutionPlan for ClusteredAggregateExec {
    fn name(&self) -> &'static str {
        "ClusteredAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.aggregate.input()]
    }

    /// Repartitioning the input would break its clustering.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = single_child(self.as_ref(), children)?;
        Ok(Arc::new(Self::new(single_over(&self.aggregate, input)?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.aggregate.input();
        let aggregate = Arc::clone(&self.aggregate);
        let Some(keys) = self.keys.clone() else {
            // the input is not clustered any more: all rows are one chunk
            if partition > 0 {
                return Ok(Box::pin(EmptyRecordBatchStream::new(self.schema())));
            }
            let all = Arc::new(CoalescePartitionsExec::new(Arc::clone(input)));
            return single_over(&aggregate, all)?.execute(0, context);
        };
        let adjacent = AdjacentGroups::new(&aggregate, &keys)?;
        let source = ClusteredBatches {
            keys,
            is_unsplit: is_unsplit(input),
            input: input.execute(partition, Arc::clone(&context))?,
            rest: None,
            last: None,
        };
        let chunks = ChunkedGroups {
            schema: input.schema(),
            source: Arc::new(Mutex::new(Some(source))),
            adjacent,
            reservation: MemoryConsumer::new(format!("ClusteredAggregateExec[{partition}]"))
                .register(context.memory_pool()),
            aggregate,
            context,
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let elapsed = metrics.elapsed_compute().clone();
        let groups = stream::try_unfold(chunks, move |mut chunks| {
            let elapsed = elapsed.clone();
            async move { Ok::<_, DataFusionError>(chunks.next(&elapsed).await?.map(|groups| (groups, chunks))) }
        });
        let groups = groups.try_flatten().inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), groups.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.aggregate.as_ref().clone())))
    }
}

/// Aggregates one input partition chunk by chunk.
struct ChunkedGroups {
    aggregate: Arc<AggregateExec>,
    schema: SchemaRef,
    /// The input, shared with the stream of the current chunk; `None` after the last row.
    source: Arc<Mutex<Option<ClusteredBatches>>>,
    /// Detects adjacent groups; `None` where the keys do not allow it, or a chunk was found in which they are not adjacent.
    adjacent: Option<AdjacentGroups>,
    /// For the buffered rows.
    reservation: MemoryReservation,
    context: Arc<TaskContext>,
}

impl ChunkedGroups {
    /// The groups of the next chunk.
    async fn next(&mut self, elapsed: &Time) -> Result<Option<Batches>> {
        // the stream of the chunk before sets it to `None` when it reads the end of the input
        if self.source.lock().await.is_none() {
            return Ok(None);
        }
        let mut rows = chunk(Arc::clone(&self.source));
        let mut buffered = vec![];
        if let Some(adjacent) = &self.adjacent {
            let mut scan = adjacent.scan()?;
            let (mut count, mut is_adjacent, mut is_buffered) = (0, true, true);
            let is_complete = loop {
                let Some(batch) = rows.try_next().await? else { break true };
                count += batch.num_rows();
                let timer = elapsed.timer();
                is_adjacent = scan.add(&batch)?;
                timer.done();
                if is_buffered {
                    buffered.push(batch);
                    if !is_adjacent {
                        break false;
                    }
                }
                if is_buffered && count > MAX_BUFFERED_ROWS {
                    // partitions are groups whatever follows; large states are for DataFusion's aggregate, which spills them
                    if !adjacent.are_partitions() || scan.bytes() > MAX_STATE_BYTES {
                        break false;
                    }
                    buffered.clear();
                    is_buffered = false;
                }
                // at most sixteen bytes per value; the buffers of longer strings are accounted for by the window below
                let rows = if is_buffered { count } else { 0 };
                let size = scan.bytes() + rows * self.schema.fields().len() * size_of::<u128>();
                match self.reservation.try_resize(size) {
                    Ok(()) => {}
                    Err(_) if is_buffered => break false,
                    Err(error) => return Err(error),
                }
            };
            self.reservation.free();
            if is_complete {
                let groups = scan.finish(self.context.session_config().batch_size())?;
                return Ok(Some(stream::iter(groups.into_iter().map(Ok)).boxed()));
            }
            if !is_adjacent {
                self.adjacent = None;
            }
        }
        // DataFusion's aggregate over what was buffered and the rest of the chunk, which stays a stream
        let rows = stream::iter(buffered.into_iter().map(Ok)).chain(rows).boxed();
        let rows = streaming_exec(Arc::clone(&self.schema), vec![OnceStream::stream(Arc::clone(&self.schema), rows)])?;
        let groups = single_over(&self.aggregate, Arc::new(rows))?.execute(0, Arc::clone(&self.context))?;
        Ok(Some(groups.boxed()))
    }
}

/// The rest of one input partition.
struct ClusteredBatches {
    keys: Vec<usize>,
    /// Whether every partition lies within one batch.
    is_unsplit: bool,
    input: SendableRecordBatchStream,
    /// The first rows of the next chunk, cut off the last batch.
    rest: Option<RecordBatch>,
    /// The clustering columns of the last row that was returned.
    last: Option<Vec<ArrayRef>>,
}

impl ClusteredBatches {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self.rest.take() {
            Some(rest) => Ok(Some(rest)),
            None => self.input.try_next().await,
        }
    }

    /// The clustering columns of some rows.
    fn keys_of(&self, batch: &RecordBatch, start: usize, rows: usize) -> Vec<ArrayRef> {
        self.keys.iter().map(|&key| batch.column(key).slice(start, rows)).collect()
    }

    /// The first row of the batch that begins a partition.
    fn partition_start(&self, batch: &RecordBatch) -> Result<Option<usize>> {
        if let Some(last) = &self.last {
            let pair = last.iter().zip(self.keys_of(batch, 0, 1));
            let pair: Vec<ArrayRef> =
                pair.map(|(last, first)| Ok(concat(&[last.as_ref(), first.as_ref()])?)).collect::<Result<_>>()?;
            if !PartitionKeys::new(&pair)?.equal_rows(0, 1) {
                return Ok(Some(0));
            }
        }
        let columns = self.keys_of(batch, 0, batch.num_rows());
        let keys = PartitionKeys::new(&columns)?;
        Ok((1..batch.num_rows()).find(|&row| !keys.equal_rows(row - 1, row)))
    }
}

/// The stream of the next chunk: batches up to the first end of a partition after [`CHUNK_ROWS`] rows.
fn chunk(source: Arc<Mutex<Option<ClusteredBatches>>>) -> Batches {
    // the state: the input, and the rows returned so far; `None` after the last batch of the chunk
    let rows = stream::try_unfold((source, Some(0)), async |(source, returned)| {
        let Some(returned) = returned else { return Ok(None) };
        let mut shared = source.lock().await;
        let Some(input) = shared.as_mut() else { return Ok(None) };
        let Some(mut batch) = input.next().await? else {
            *shared = None;
            return Ok(None);
        };
        if batch.num_rows() == 0 {
            drop(shared);
            return Ok(Some((batch, (source, Some(returned)))));
        }
        // a chunk may end with any batch; no keys have to be compared
        if input.is_unsplit {
            let returned = returned + batch.num_rows();
            drop(shared);
            return Ok(Some((batch, (source, (returned < CHUNK_ROWS).then_some(returned)))));
        }
        // the chunk ends where the first partition after `CHUNK_ROWS` rows begins, if that is in this batch
        let end = if returned < CHUNK_ROWS { None } else { input.partition_start(&batch)? };
        if let Some(end) = end {
            input.rest = Some(batch.slice(end, batch.num_rows() - end));
            batch = batch.slice(0, end);
        }
        if let Some(last) = batch.num_rows().checked_sub(1) {
            input.last = Some(input.keys_of(&batch, last, 1));
        }
        drop(shared);
        let returned = returned + batch.num_rows();
        Ok(Some((batch, (source, end.is_none().then_some(returned)))))
    });
    rows.boxed()
}
