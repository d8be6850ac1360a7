//! GROUP BY over rows that come partition by partition.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::concat;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use super::runs::together;
use super::solve::Keys;

/// Rows that are aggregated together, or more where one partition has more. Their groups stay near the processor.
const CHUNK_ROWS: usize = 1 << 16;

/// Aggregates rows that windows give partition by partition, so many at a time.
///
/// The groups of a chunk are complete, since each lies in one partition. Nothing is aggregated twice, exchanged or kept
/// but one chunk. Each chunk goes through the engine's own [`AggregateExec`].
#[derive(Debug)]
pub struct ChunkedAggregateExec {
    /// The aggregate of all rows.
    aggregate: Arc<AggregateExec>,
    /// The columns of the input whose equal rows come together; none if another rule has put something in between.
    keys: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The operator in place of the two aggregates of a plan, if the groups of the lower one's input lie in partitions that
/// come together.
///
/// # Errors
/// None for plans of the engine.
pub(super) fn chunked(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<ChunkedAggregateExec>> {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let is_last = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
    let Some(first) = last.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    let is_first = *first.mode() == AggregateMode::Partial;
    let is_plain = first.group_expr().is_single()
        && [last, first].iter().all(|aggregate| aggregate.limit_options().is_none())
        && first.required_input_ordering().iter().all(Option::is_none);
    if !(is_last && is_first && is_plain) {
        return Ok(None);
    }
    let Some(keys) = together(first.input()) else { return Ok(None) };
    if !keys.iter().all(|&key| place_of(first, key).is_some()) {
        return Ok(None);
    }
    Ok(Some(ChunkedAggregateExec::new(over(first, Arc::clone(first.input()))?)))
}

/// All that an aggregate asks for, over another input with the same columns.
fn over(aggregate: &AggregateExec, input: Arc<dyn ExecutionPlan>) -> Result<AggregateExec> {
    AggregateExec::try_new(
        AggregateMode::Single,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        input,
        aggregate.input_schema(),
    )
}

/// The place of a column of the input among the groups.
fn place_of(aggregate: &AggregateExec, column: usize) -> Option<usize> {
    let is_it =
        |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some_and(|known| known.index() == column);
    aggregate.group_expr().expr().iter().position(|(expr, _)| is_it(expr))
}

impl ChunkedAggregateExec {
    fn new(aggregate: AggregateExec) -> Self {
        let input = aggregate.input();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(aggregate.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self {
            keys: together(input),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            aggregate: Arc::new(aggregate),
        }
    }

    /// Where the columns that come together stand in what is given.
    pub(super) fn given_keys(&self) -> Option<Vec<usize>> {
        self.keys.as_ref()?.iter().map(|&key| place_of(&self.aggregate, key)).collect()
    }
}

impl DisplayAs for ChunkedAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<&str> = self.aggregate.group_expr().expr().iter().map(|(_, name)| name.as_str()).collect();
        let calls: Vec<&str> = self.aggregate.aggr_expr().iter().map(|call| call.name()).collect();
        let (groups, calls) = (groups.join(", "), calls.join(", "));
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "ChunkedAggregateExec: gby=[{groups}], aggr=[{calls}], input=by partition")
            }
            DisplayFormatType::TreeRender => writeln!(f, "group_by={groups}\naggr={calls}"),
        }
    }
}

impl ExecutionPlan for ChunkedAggregateExec {
    fn name(&self) -> &'static str {
        "ChunkedAggregateExec"
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

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("an aggregate has one input");
        };
        Ok(Arc::new(Self::new(over(&self.aggregate, input)?)))
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
            return over(&aggregate, all)?.execute(0, context);
        };
        let reservation = MemoryConsumer::new(format!("ChunkedAggregateExec[{partition}]"));
        let chunks = Chunks {
            keys,
            input: input.execute(partition, Arc::clone(&context))?,
            batches: vec![],
            wanted: CHUNK_ROWS,
            is_ended: false,
            reservation: reservation.register(context.memory_pool()),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let groups = stream::try_unfold(chunks, move |mut chunks| {
            let (aggregate, context) = (Arc::clone(&aggregate), Arc::clone(&context));
            async move {
                let Some(chunk) = chunks.next().await? else { return Ok(None) };
                let rows = MemorySourceConfig::try_new_exec(&[chunk], chunks.input.schema(), None)?;
                let groups = over(&aggregate, rows)?.execute(0, context)?;
                Ok::<_, datafusion::error::DataFusionError>(Some((groups, chunks)))
            }
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

/// The rows of one input, in chunks of whole partitions.
struct Chunks {
    keys: Vec<usize>,
    input: SendableRecordBatchStream,
    batches: Vec<RecordBatch>,
    /// So many rows are waited for.
    wanted: usize,
    is_ended: bool,
    /// The memory of `batches`.
    reservation: MemoryReservation,
}

impl Chunks {
    /// The next rows; none after the last.
    async fn next(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        loop {
            match self.input.try_next().await? {
                Some(batch) if batch.num_rows() == 0 => continue,
                Some(batch) => self.batches.push(batch),
                None => self.is_ended = true,
            }
            // beyond the limit if need be: without it nothing goes on
            self.reservation.resize(self.batches.iter().map(RecordBatch::get_array_memory_size).sum());
            let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
            if self.is_ended {
                return Ok((rows > 0).then(|| std::mem::take(&mut self.batches)));
            }
            if rows < self.wanted {
                continue;
            }
            // the last partition may go on
            let mut chunk = std::mem::take(&mut self.batches);
            if let Some((number, row)) = self.last_start(&chunk)? {
                self.batches = chunk.split_off(number);
                if row > 0 {
                    chunk.push(self.batches[0].slice(0, row));
                    self.batches[0] = self.batches[0].slice(row, self.batches[0].num_rows() - row);
                }
                self.wanted = CHUNK_ROWS;
                return Ok(Some(chunk));
            }
            self.batches = chunk;
            self.wanted = 2 * rows;
        }
    }

    /// The batch and the row with which the last partition begins; `None` if all rows are of one.
    fn last_start(&self, batches: &[RecordBatch]) -> Result<Option<(usize, usize)>> {
        let keys = |batch: &RecordBatch, start: usize, rows: usize| -> Vec<ArrayRef> {
            self.keys.iter().map(|&key| batch.column(key).slice(start, rows)).collect()
        };
        for (number, batch) in batches.iter().enumerate().rev() {
            let columns = keys(batch, 0, batch.num_rows());
            let known = Keys::new(&columns)?;
            if let Some(row) = (1..batch.num_rows()).rev().find(|&row| !known.are_equal(row - 1, row)) {
                return Ok(Some((number, row)));
            }
            let Some(before) = number.checked_sub(1).map(|before| &batches[before]) else { break };
            let pair = keys(before, before.num_rows() - 1, 1).into_iter().zip(keys(batch, 0, 1));
            let pair = pair.map(|(last, first)| Ok(concat(&[last.as_ref(), first.as_ref()])?));
            if !Keys::new(&pair.collect::<Result<Vec<_>>>()?)?.are_equal(0, 1) {
                return Ok(Some((number, 0)));
            }
        }
        Ok(None)
    }
}
