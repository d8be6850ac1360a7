//! [`HashWindowAggExec`]: the execution plan, and the queue of buckets from which its output partitions take.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::runtime::{JoinSet, SpawnedTask};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    ColumnStatistics, DataFusionError, Result, Statistics, internal_datafusion_err, internal_err,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::{EquivalenceProperties, ProjectionMapping};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType, apply_expression_roots};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics, Time};
use datafusion::physical_plan::projection::{EmbeddedProjection, ProjectionExec, try_embed_projection};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties, SpillManager,
};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::bucket::{BatchSize, EvaluatedBucket, WindowPlan};
use super::buffer::{BUCKETS, BucketSlice, BucketedInput, buffer_input, merge_slices};
use super::clustered_input::ClusteredInput;
use super::encoding::ColumnEncoding;
use super::functions::WindowCall;
use crate::clustering;
use crate::exec_util::{OnceAsync, OnceFut, concat_column, join_all, join_error, single_child};
use crate::kernels::string_interner::MergedDictionary;

/// Window functions over hash partitions, without sorting the input; see the [module documentation](super).
///
/// The rows of a partition are emitted one after the other in the order of the first window function, the partitions in no
/// order. No output ordering is claimed.
#[derive(Debug)]
pub struct HashWindowAggExec {
    input: Arc<dyn ExecutionPlan>,
    /// The PARTITION BY keys.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    windows: Vec<Arc<dyn WindowExpr>>,
    /// The output columns, as indices into the input columns followed by the functions; all if `None`.
    projection: Option<Vec<usize>>,
    /// The rows of each partition that are wanted; all if `None`. Others may be there, numbered beyond it.
    fetch: Option<usize>,
    /// Whether the input is clustered by the keys already.
    is_clustered: bool,
    /// Whether batches must end at partition boundaries.
    is_unsplit: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Buffering the inputs, shared by all output partitions.
    run: OnceAsync<BucketQueue>,
}

/// How the slices of one column are concatenated when inputs have different encodings.
enum ColumnMerge {
    /// All inputs have it interned: as codes of one merged dictionary.
    Dictionary(MergedDictionary),
    /// All inputs with rows have it packed, and it stays so.
    Packed,
    /// Encodings differ, or the column is plain: decoded, which is free for plain columns.
    Decoded,
}

impl ColumnMerge {
    fn new(inputs: &[BucketedInput], column: usize) -> Self {
        let strings = inputs.iter().map(|input| match &input.encodings[column] {
            ColumnEncoding::Interned(strings) => Some(strings),
            _ => None,
        });
        // an input without rows counts as interned, with an empty dictionary
        if let Some(strings) = strings.collect::<Option<Vec<_>>>() {
            return Self::Dictionary(MergedDictionary::new(&strings));
        }
        let mut with_rows = inputs.iter().filter(|input| input.rows(&(0..BUCKETS)) > 0);
        match with_rows.all(|input| matches!(input.encodings[column], ColumnEncoding::Inline)) {
            true => Self::Packed,
            false => Self::Decoded,
        }
    }
}

/// All buffered rows, from which the output partitions take bucket by bucket.
struct BucketQueue {
    inputs: Vec<BucketedInput>,
    /// How to concatenate each buffered column.
    merges: Vec<ColumnMerge>,
    /// Ranges of buckets that are evaluated together and have rows. The largest come first, so that no output partition starts
    /// a large one when the others are done.
    buckets: Vec<Range<usize>>,
    /// Index of the next range in `buckets`.
    next: AtomicUsize,
    plan: Arc<WindowPlan>,
    spill: Arc<SpillManager>,
}

impl BucketQueue {
    fn new(inputs: Vec<BucketedInput>, plan: Arc<WindowPlan>, spill: Arc<SpillManager>) -> Self {
        let merges = (0..plan.columns.len()).map(|column| ColumnMerge::new(&inputs, column)).collect();
        // if one input spilled, the buckets of a file are evaluated together for all inputs
        let step = inputs.iter().map(BucketedInput::buckets_at_once).max().unwrap_or(1);
        let mut buckets: Vec<Range<usize>> = (0..BUCKETS).step_by(step).map(|start| start..start + step).collect();
        let mut queue = Self { inputs, merges, buckets: vec![], next: AtomicUsize::new(0), plan, spill };
        buckets.retain(|buckets| queue.rows(buckets) > 0);
        buckets.sort_by_cached_key(|buckets| std::cmp::Reverse(queue.rows(buckets)));
        queue.buckets = buckets;
        queue
    }

    fn rows(&self, buckets: &Range<usize>) -> usize {
        self.inputs.iter().map(|input| input.rows(buckets)).sum()
    }

    /// Reads, concatenates and evaluates a range of buckets.
    async fn evaluate(self: Arc<Self>, buckets: Range<usize>) -> Result<EvaluatedBucket> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(input.rows_of(&buckets, &self.spill).await?);
        }
        let mut slices = vec![];
        for (index, BucketSlice { mut columns, .. }) in merge_slices(inputs, self.plan.leading_order()) {
            for ((column, encoding), merge) in columns.iter_mut().zip(&self.inputs[index].encodings).zip(&self.merges) {
                if let ColumnMerge::Decoded = merge {
                    *column = encoding.decode(column)?;
                }
            }
            slices.push((index, columns));
        }
        let columns = (0..self.plan.computed_count).map(|index| match &self.merges[index] {
            ColumnMerge::Dictionary(dictionary) => {
                dictionary.merge(slices.iter().map(|(input, columns)| (*input, &columns[index])))
            }
            _ => concat_column(slices.iter().map(|(_, columns)| columns), index),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let output_only = slices.into_iter().map(|(_, mut columns)| columns.split_off(self.plan.computed_count));
        Arc::clone(&self.plan).evaluate(columns, output_only.collect())
    }
}

impl HashWindowAggExec {
    /// Creates the operator. All `windows` must have the same PARTITION BY.
    ///
    /// # Errors
    /// A window function or frame is not supported, or there is no PARTITION BY.
    pub fn try_new(windows: Vec<Arc<dyn WindowExpr>>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let keys = windows.first().map_or(vec![], |window| window.partition_by().to_vec());
        let exec = Self::build(keys, windows, input, None)?;
        // fails here rather than on execution if a function is not supported
        exec.plan()?;
        Ok(exec)
    }

    fn build(
        keys: Vec<Arc<dyn PhysicalExpr>>,
        windows: Vec<Arc<dyn WindowExpr>>,
        input: Arc<dyn ExecutionPlan>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let schema = full_schema(&windows, &input)?;
        let mut equivalence =
            EquivalenceProperties::new(Arc::clone(&schema)).extend(input.equivalence_properties().clone())?;
        // rows are emitted bucket by bucket, so that no ordering of the input holds; constants and equal columns do
        equivalence.clear_orderings();
        if let Some(projection) = &projection {
            let mapping = ProjectionMapping::from_indices(projection, &schema)?;
            equivalence = equivalence.project(&mapping, Arc::new(schema.project(projection)?));
        }
        let partitioning = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
        let is_clustered = clustering::is_clustered_by(&keys, &input);
        // the first row is emitted after the last one was read, unless the input is clustered
        let emission = if is_clustered { EmissionType::Incremental } else { EmissionType::Final };
        let properties = PlanProperties::new(equivalence, partitioning, emission, input.boundedness());
        Ok(Self {
            is_clustered,
            is_unsplit: false,
            fetch: None,
            input,
            keys,
            windows,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            run: OnceAsync::default(),
        })
    }

    /// The same operator with batches that end at partition boundaries, see [`BatchSize::Partitions`].
    pub(crate) fn with_unsplit_batches(&self) -> Result<Self> {
        let exec = self.rebuild(Arc::clone(&self.input), self.projection.clone())?;
        Ok(Self { is_unsplit: true, ..exec })
    }

    /// The same operator over another input; `is_clustered` is read off the new input, and nothing was executed.
    fn rebuild(&self, input: Arc<dyn ExecutionPlan>, projection: Option<Vec<usize>>) -> Result<Self> {
        let exec = Self::build(self.keys.clone(), self.windows.clone(), input, projection)?;
        Ok(Self { is_unsplit: self.is_unsplit, fetch: self.fetch, ..exec })
    }

    /// The same operator for the first rows of each partition. Its only function must be `row_number`, and a filter above drops
    /// the rows with a larger number.
    pub(crate) fn with_row_limit(&self, fetch: usize) -> Result<Self> {
        let exec = self.rebuild(Arc::clone(&self.input), self.projection.clone())?;
        Ok(Self { fetch: Some(fetch), ..exec })
    }

    /// Returns true if no partition is split across output batches.
    pub(crate) fn is_unsplit(&self) -> bool {
        self.is_unsplit
    }

    /// Returns true if the input is clustered by the PARTITION BY keys.
    pub(crate) fn is_clustered(&self) -> bool {
        self.is_clustered
    }

    /// The window functions.
    pub fn windows(&self) -> &[Arc<dyn WindowExpr>] {
        &self.windows
    }

    /// The input.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub(crate) fn has_projection(&self) -> bool {
        self.projection.is_some()
    }

    /// Returns true if the output is that of the windows: all columns, all rows, in batches of any size.
    pub(crate) fn is_as_planned(&self) -> bool {
        !self.has_projection() && self.fetch.is_none() && !self.is_unsplit
    }

    /// The output columns by which the output is clustered; `None` if a key is not a plain column or not in the output.
    pub(crate) fn clustered_output(&self) -> Option<Vec<usize>> {
        let index = |key: &Arc<dyn PhysicalExpr>| {
            let column = key.downcast_ref::<Column>()?.index();
            match &self.projection {
                Some(projection) => projection.iter().position(|&index| index == column),
                None => Some(column),
            }
        };
        self.keys.iter().map(index).collect()
    }

    /// The plan of the evaluation.
    ///
    /// # Errors
    /// An internal error if a function is not supported: the rule checks that before.
    fn plan(&self) -> Result<WindowPlan> {
        let input = self.input.schema();
        let calls = self.windows.iter().map(|window| {
            WindowCall::new(window, &input)
                .map_err(|reason| internal_datafusion_err!("unsupported window function: {reason}"))
        });
        if self.keys.is_empty() {
            return internal_err!("HashWindowAggExec without PARTITION BY");
        }
        let indices = match &self.projection {
            Some(projection) => projection.clone(),
            None => (0..input.fields().len() + self.windows.len()).collect(),
        };
        let mut plan = WindowPlan::new(&self.keys, calls.collect::<Result<_>>()?, &input, &indices, self.schema());
        plan.fetch = self.fetch;
        Ok(plan)
    }

    /// Buffering the inputs; started by the first output partition that is polled, shared by all.
    fn run(&self, context: &Arc<TaskContext>) -> Result<OnceFut<BucketQueue>> {
        let count = self.input.output_partitioning().partition_count();
        self.run.run(count, || {
            let inputs = (0..count).map(|partition| self.input.execute(partition, Arc::clone(context)));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let inputs = inputs.into_iter().enumerate().map(|(index, input)| {
                let consumer = MemoryConsumer::new(format!("HashWindowAggExec[{index}]")).with_can_spill(true);
                (input, consumer.register(context.memory_pool()))
            });
            let plan = Arc::new(self.plan()?);
            let schema = plan.buffered_schema(&self.input.schema())?;
            let spill = SpillManager::new(context.runtime_env(), SpillMetrics::new(&self.metrics, 0), schema)
                .with_compression_type(context.session_config().spill_compression());
            Ok(buffer_inputs(plan, inputs.collect(), Arc::new(spill)).boxed())
        })
    }
}

/// The input columns followed by the functions.
fn full_schema(windows: &[Arc<dyn WindowExpr>], input: &Arc<dyn ExecutionPlan>) -> Result<SchemaRef> {
    let schema = input.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    for window in windows {
        fields.push(window.field()?);
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// Buffers all inputs concurrently.
async fn buffer_inputs(
    plan: Arc<WindowPlan>,
    inputs: Vec<(SendableRecordBatchStream, MemoryReservation)>,
    spill: Arc<SpillManager>,
) -> Result<BucketQueue> {
    let mut tasks = JoinSet::new();
    for (index, (input, reservation)) in inputs.into_iter().enumerate() {
        let (plan, spill) = (Arc::clone(&plan), Arc::clone(&spill));
        tasks.spawn(async move { Ok((index, buffer_input(plan, input, reservation, spill).await?)) });
    }
    let mut inputs = join_all(&mut tasks).await?;
    inputs.sort_unstable_by_key(|(index, _)| *index);
    let inputs = inputs.into_iter().map(|(_, input)| input).collect();
    Ok(BucketQueue::new(inputs, plan, spill))
}

/// Where an output partition gets evaluated rows from.
enum BucketSource {
    Buckets(Arc<BucketQueue>),
    ClusteredInput(ClusteredInput),
}

impl BucketSource {
    /// The next rows with their results, whose memory is added to `reservation`; `None` after the last.
    async fn next(&mut self, reservation: &MemoryReservation, elapsed: &Time) -> Result<Option<EvaluatedBucket>> {
        let queue = match self {
            Self::Buckets(queue) => queue,
            Self::ClusteredInput(clustered) => return clustered.next(reservation, elapsed).await,
        };
        let _timer = elapsed.timer();
        let next = queue.next.fetch_add(1, Ordering::Relaxed);
        let Some(buckets) = queue.buckets.get(next).cloned() else { return Ok(None) };
        // infallible: rows can be released only by evaluating their bucket
        reservation.grow(queue.rows(&buckets) * queue.plan.row_bytes());
        // evaluate on a separate task, so that cancelling the query does not wait for it
        SpawnedTask::spawn(Arc::clone(queue).evaluate(buckets)).await.map_err(join_error)?.map(Some)
    }
}

/// The state of one output partition.
struct BucketStream {
    source: BucketSource,
    evaluated: Option<EvaluatedBucket>,
    /// The memory of `evaluated`.
    reservation: MemoryReservation,
    batch_size: BatchSize,
    metrics: BaselineMetrics,
}

impl BucketStream {
    /// The next batch; `None` when there are no more buckets.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(evaluated) = &mut self.evaluated {
                let timer = self.metrics.elapsed_compute().timer();
                let batch = evaluated.next(self.batch_size)?;
                timer.done();
                if let Some(batch) = batch {
                    self.metrics.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                self.evaluated = None;
                self.reservation.free();
            }
            self.evaluated = self.source.next(&self.reservation, self.metrics.elapsed_compute()).await?;
            if self.evaluated.is_none() {
                return Ok(None);
            }
        }
    }
}

impl DisplayAs for HashWindowAggExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.windows.iter().map(|window| window.name()).collect();
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "HashWindowAggExec: windows=[{}]", names.join(", "))?;
                if self.is_clustered {
                    write!(f, ", input=clustered")?;
                }
                if self.is_unsplit {
                    write!(f, ", batches=unsplit")?;
                }
                if let Some(fetch) = self.fetch {
                    write!(f, ", fetch={fetch}")?;
                }
                if let Some(projection) = &self.projection {
                    let schema = self.schema();
                    let columns = projection
                        .iter()
                        .zip(schema.fields())
                        .map(|(index, field)| format!("{}@{index}", field.name()));
                    write!(f, ", projection=[{}]", columns.collect::<Vec<_>>().join(", "))?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => writeln!(f, "select_list={}", names.join(", ")),
        }
    }
}

impl ExecutionPlan for HashWindowAggExec {
    fn name(&self) -> &'static str {
        "HashWindowAggExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let expressions = self.windows.iter().flat_map(|window| {
            let all = window.all_expressions();
            all.args.into_iter().chain(all.partition_by_exprs).chain(all.order_by_exprs)
        });
        apply_expression_roots(expressions, f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = single_child(self.as_ref(), children)?;
        self.rebuild(input, self.projection.clone()).map(|exec| Arc::new(exec) as _)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let reservation = MemoryConsumer::new(format!("HashWindowAggOutput[{partition}]"));
        let reservation = reservation.register(context.memory_pool());
        let batch_size = match self.is_unsplit {
            true => BatchSize::Partitions,
            false => BatchSize::Rows(context.session_config().batch_size()),
        };
        let source: BoxFuture<'static, Result<BucketSource>> = if self.is_clustered {
            let input = self.input.execute(partition, context)?;
            let is_unsplit = clustering::is_unsplit(&self.input);
            let clustered = ClusteredInput::new(Arc::new(self.plan()?), input, is_unsplit, reservation.new_empty());
            async move { Ok(BucketSource::ClusteredInput(clustered)) }.boxed()
        } else {
            let run = self.run(&context)?;
            async move { Ok(BucketSource::Buckets(run.await.map_err(DataFusionError::Shared)?)) }.boxed()
        };
        let output = async move {
            let output = BucketStream { source: source.await?, evaluated: None, reservation, batch_size, metrics };
            Ok::<_, DataFusionError>(stream::try_unfold(output, async |mut output| {
                Ok(output.next().await?.map(|batch| (batch, output)))
            }))
        };
        let batches = stream::once(output).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let Some(input) = inputs.first() else { return internal_err!("a window operator has one input") };
        let mut columns = input.column_statistics.clone();
        columns.resize(columns.len() + self.windows.len(), ColumnStatistics::new_unknown());
        // with a limit rows are missing, and so may be the least and the greatest value
        let input = if self.fetch.is_some() { Statistics::clone(input).to_inexact() } else { Statistics::clone(input) };
        let all =
            Statistics { num_rows: input.num_rows, total_byte_size: Precision::Absent, column_statistics: columns };
        Ok(Arc::new(all.project(self.projection.as_ref())))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        if self.fetch.is_some() { CardinalityEffect::LowerEqual } else { CardinalityEffect::Equal }
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        try_embed_projection(projection, self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        self.rebuild(Arc::clone(&self.input), self.projection.clone()).map(|exec| Arc::new(exec) as _)
    }
}

impl EmbeddedProjection for HashWindowAggExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        // the new projection indexes the current output columns
        let projection = match (projection, &self.projection) {
            (Some(new), Some(now)) => {
                let indices = new.iter().map(|&index| now.get(index).copied()).collect::<Option<_>>();
                Some(indices.ok_or_else(|| internal_datafusion_err!("a projection beyond the columns"))?)
            }
            (new, _) => new,
        };
        self.rebuild(Arc::clone(&self.input), projection)
    }
}
