//! GROUP BY over rows that come partition by partition.

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

/// The most rows that are held to tell their groups apart by neighbours; beyond them the engine aggregates as they come.
/// A chunk has fewer unless one partition is large.
const HELD_ROWS: usize = 3 * CHUNK_ROWS;

/// Aggregates rows that windows give partition by partition, so many at a time.
///
/// The groups of a chunk are complete, since each lies in one partition. Nothing is aggregated twice or exchanged, and only
/// the groups of one chunk are encode. Where neighbours tell its groups apart, nothing is hashed;
/// else a chunk goes through the engine's own [`AggregateExec`].
#[derive(Debug)]
pub struct ClusteredAggregateExec {
    /// The aggregate of all rows.
    aggregate: Arc<AggregateExec>,
    /// The columns of the input whose equal rows come clustered_columns; none if another rule has put something in between.
    keys: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// All that an aggregate asks for, over another input with the same columns, at once.
fn single_over(aggregate: &AggregateExec, input: Arc<dyn ExecutionPlan>) -> Result<AggregateExec> {
    with_mode(aggregate, AggregateMode::Single, input)
}

/// The place of a column of the input among the groups.
fn group_of(aggregate: &AggregateExec, column: usize) -> Option<usize> {
    position_of(column, aggregate.group_expr().expr().iter().map(|(expr, _)| expr))
}

impl ClusteredAggregateExec {
    /// The operator in place of a partial aggregate and the final one above it; `None` if the clustering columns of its input
    /// are unknown or not all among the groups, or it needs an order.
    ///
    /// # Errors
    /// Those of building the aggregate.
    pub(crate) fn try_over(partial: &AggregateExec) -> Result<Option<Self>> {
        if !partial.required_input_ordering().iter().all(Option::is_none) {
            return Ok(None);
        }
        let Some(keys) = clustered_columns(partial.input()) else { return Ok(None) };
        if !keys.iter().all(|&key| group_of(partial, key).is_some()) {
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

    /// Where the columns that come clustered_columns stand in what is given; `None` where a partition has several groups. The engine gives
    /// groups whose keys have equal hashes, as (true, NULL) and (NULL, true) have, after others.
    pub(crate) fn clustered_output(&self) -> Option<Vec<usize>> {
        let keys = self.keys.as_ref()?;
        let has_partitions = self.aggregate.group_expr().expr().len() == keys.len();
        if has_partitions { keys.iter().map(|&key| group_of(&self.aggregate, key)).collect() } else { None }
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

    /// More outputs of the input would tear its partitions apart.
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
            // what was put in between has torn the partitions apart: all rows are one chunk
            if partition > 0 {
                return Ok(Box::pin(EmptyRecordBatchStream::new(self.schema())));
            }
            let all = Arc::new(CoalescePartitionsExec::new(Arc::clone(input)));
            return single_over(&aggregate, all)?.execute(0, context);
        };
        let neighbours = AdjacentGroups::new(&aggregate, &keys)?;
        let feed = ClusteredBatches {
            keys,
            is_unsplit: is_unsplit(input),
            input: input.execute(partition, Arc::clone(&context))?,
            rest: None,
            last: None,
        };
        let chunks = ChunkedGroups {
            schema: input.schema(),
            feed: Arc::new(Mutex::new(Some(feed))),
            neighbours,
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

/// The rows of one input, chunk by chunk.
struct ChunkedGroups {
    aggregate: Arc<AggregateExec>,
    schema: SchemaRef,
    /// Where the rows come from; `None` after the last row of all.
    feed: Arc<Mutex<Option<ClusteredBatches>>>,
    /// How to tell groups apart by neighbours; `None` where that cannot be, or did not work.
    neighbours: Option<AdjacentGroups>,
    /// For the rows that are held.
    reservation: MemoryReservation,
    context: Arc<TaskContext>,
}

impl ChunkedGroups {
    /// The groups of the next chunk.
    async fn next(&mut self, elapsed: &Time) -> Result<Option<Batches>> {
        if self.feed.lock().await.is_none() {
            return Ok(None);
        }
        let mut rows = chunk(Arc::clone(&self.feed));
        let mut held = vec![];
        if let Some(neighbours) = &self.neighbours {
            let mut count = 0;
            let is_whole = loop {
                let Some(batch) = rows.try_next().await? else { break true };
                count += batch.num_rows();
                held.push(batch);
                // a value of sixteen bytes at most, but for long texts, which the windows hold
                let size = count * self.schema.fields().len() * size_of::<u128>();
                if count > HELD_ROWS || self.reservation.try_resize(size).is_err() {
                    break false;
                }
            };
            if is_whole {
                let timer = elapsed.timer();
                let groups = neighbours.groups(&held, self.context.session_config().batch_size())?;
                timer.done();
                if let Some(groups) = groups {
                    self.reservation.free();
                    return Ok(Some(stream::iter(groups.into_iter().map(Ok)).boxed()));
                }
                self.neighbours = None;
            }
            self.reservation.free();
        }
        let rows = stream::iter(held.into_iter().map(Ok)).chain(rows).boxed();
        let rows = streaming_exec(Arc::clone(&self.schema), vec![OnceStream::stream(Arc::clone(&self.schema), rows)])?;
        let groups = single_over(&self.aggregate, Arc::new(rows))?.execute(0, Arc::clone(&self.context))?;
        Ok(Some(groups.boxed()))
    }
}

/// The rows of one input from here on.
struct ClusteredBatches {
    keys: Vec<usize>,
    /// Whether no partition is in more than one batch.
    is_unsplit: bool,
    input: SendableRecordBatchStream,
    /// The rows with which the next chunk begins.
    rest: Option<RecordBatch>,
    /// The keys of the row before.
    last: Option<Vec<ArrayRef>>,
}

impl ClusteredBatches {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self.rest.take() {
            Some(rest) => Ok(Some(rest)),
            None => self.input.try_next().await,
        }
    }

    fn keys_of(&self, batch: &RecordBatch, start: usize, rows: usize) -> Vec<ArrayRef> {
        self.keys.iter().map(|&key| batch.column(key).slice(start, rows)).collect()
    }

    /// The first row that is of another partition than the row before it.
    fn start(&self, batch: &RecordBatch) -> Result<Option<usize>> {
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

/// Whole partitions, as they come: those that follow until there are rows enough.
fn chunk(feed: Arc<Mutex<Option<ClusteredBatches>>>) -> Batches {
    // the rows given so far; none after the last
    let rows = stream::try_unfold((feed, Some(0)), async |(feed, given)| {
        let Some(given) = given else { return Ok(None) };
        let mut shared = feed.lock().await;
        let Some(known) = shared.as_mut() else { return Ok(None) };
        let Some(mut batch) = known.next().await? else {
            *shared = None;
            return Ok(None);
        };
        if batch.num_rows() == 0 {
            drop(shared);
            return Ok(Some((batch, (feed, Some(given)))));
        }
        if known.is_unsplit {
            let given = given + batch.num_rows();
            drop(shared);
            return Ok(Some((batch, (feed, (given < CHUNK_ROWS).then_some(given)))));
        }
        let end = if given < CHUNK_ROWS { None } else { known.start(&batch)? };
        if let Some(end) = end {
            known.rest = Some(batch.slice(end, batch.num_rows() - end));
            batch = batch.slice(0, end);
        }
        if let Some(last) = batch.num_rows().checked_sub(1) {
            known.last = Some(known.keys_of(&batch, last, 1));
        }
        drop(shared);
        let given = given + batch.num_rows();
        Ok(Some((batch, (feed, end.is_none().then_some(given)))))
    });
    rows.boxed()
}
