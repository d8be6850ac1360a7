//! The operator.

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
use super::buffer::{BUCKETS, BucketSlice, BucketedInput, buffer_input, merged};
use super::clustered_input::ClusteredInput;
use super::encoding::ColumnEncoding;
use super::functions::WindowCall;
use crate::clustering;
use crate::exec_util::{OnceAsync, OnceFut, concat_column, join_all, join_error, single_child};
use crate::kernels::string_interner::MergedDictionary;

/// Computes window functions with a PARTITION BY without sorting its input.
///
/// Rows are divided into buckets by the hash of their keys. A bucket is computed and given at once: its rows are numbered
/// by partition, and only those of one partition that did not arrive in its order are sorted. The rows of a partition come
/// out clustered_columns and in the order of the first window, the partitions in no order.
#[derive(Debug)]
pub struct HashWindowAggExec {
    input: Arc<dyn ExecutionPlan>,
    /// PARTITION BY.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    windows: Vec<Arc<dyn WindowExpr>>,
    /// The columns that are given, of those of the input and the functions; all if `None`.
    projection: Option<Vec<usize>>,
    /// Whether the partitions stand clustered_columns in the input already.
    is_clustered: bool,
    /// Whether what takes the rows wants whole partitions in a batch.
    is_unsplit: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: OnceAsync<BucketQueue>,
}

/// How a column of several inputs becomes one.
enum ColumnMerge {
    /// As numbers of these texts; all inputs have it coded.
    Dictionary(MergedDictionary),
    /// As all inputs have it.
    Same,
    /// As it came.
    Decoded,
}

impl ColumnMerge {
    fn new(inputs: &[BucketedInput], column: usize) -> Self {
        let texts = inputs.iter().map(|input| match &input.encode[column] {
            ColumnEncoding::Interned(texts) => Some(texts),
            _ => None,
        });
        if let Some(texts) = texts.collect::<Option<Vec<_>>>() {
            return Self::Dictionary(MergedDictionary::new(&texts));
        }
        let mut with_rows = inputs.iter().filter(|input| input.rows(&(0..BUCKETS)) > 0);
        match with_rows.all(|input| matches!(input.encode[column], ColumnEncoding::Inline)) {
            true => Self::Same,
            false => Self::Decoded,
        }
    }
}

/// All rows, from which the partitions take bucket by bucket.
struct BucketQueue {
    inputs: Vec<BucketedInput>,
    /// How the buffered columns of all inputs are concat_column.
    joints: Vec<ColumnMerge>,
    /// The buckets that have rows, as many clustered_columns as must be. The largest come first, so that none of them begins when
    /// all else is done.
    buckets: Vec<Range<usize>>,
    next: AtomicUsize,
    plan: Arc<WindowPlan>,
    spill: Arc<SpillManager>,
}

impl BucketQueue {
    fn new(inputs: Vec<BucketedInput>, plan: Arc<WindowPlan>, spill: Arc<SpillManager>) -> Self {
        let joints = (0..plan.columns.len()).map(|column| ColumnMerge::new(&inputs, column)).collect();
        let step = inputs.iter().map(BucketedInput::buckets_at_once).max().unwrap_or(1);
        let mut buckets: Vec<Range<usize>> = (0..BUCKETS).step_by(step).map(|start| start..start + step).collect();
        let mut gathered = Self { inputs, joints, buckets: vec![], next: AtomicUsize::new(0), plan, spill };
        buckets.retain(|buckets| gathered.rows(buckets) > 0);
        buckets.sort_by_cached_key(|buckets| std::cmp::Reverse(gathered.rows(buckets)));
        gathered.buckets = buckets;
        gathered
    }

    fn rows(&self, buckets: &Range<usize>) -> usize {
        self.inputs.iter().map(|input| input.rows(buckets)).sum()
    }

    async fn evaluate(self: Arc<Self>, buckets: Range<usize>) -> Result<EvaluatedBucket> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(input.rows_of(&buckets, &self.spill).await?);
        }
        let mut parts = vec![];
        for (number, BucketSlice { mut columns, .. }) in merged(inputs, self.plan.leading_order()) {
            for ((column, encode), joint) in columns.iter_mut().zip(&self.inputs[number].encode).zip(&self.joints) {
                if let ColumnMerge::Decoded = joint {
                    *column = encode.decode(column)?;
                }
            }
            parts.push((number, columns));
        }
        let columns = (0..self.plan.computed_count).map(|place| match &self.joints[place] {
            ColumnMerge::Dictionary(dictionary) => {
                dictionary.merge(parts.iter().map(|(input, columns)| (*input, &columns[place])))
            }
            _ => concat_column(parts.iter().map(|(_, columns)| columns), place),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let others = parts.into_iter().map(|(_, mut columns)| columns.split_off(self.plan.computed_count));
        Arc::clone(&self.plan).evaluate(columns, others.collect())
    }
}

impl HashWindowAggExec {
    /// The windows of a plan over `input`, which have the same PARTITION BY.
    ///
    /// # Errors
    /// A window that the operator does not know, or one without PARTITION BY.
    pub fn try_new(windows: Vec<Arc<dyn WindowExpr>>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let keys = windows.first().map_or(vec![], |window| window.partition_by().to_vec());
        let exec = Self::build(keys, windows, input, None)?;
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
        equivalence.clear_orderings();
        if let Some(projection) = &projection {
            let mapping = ProjectionMapping::from_indices(projection, &schema)?;
            equivalence = equivalence.project(&mapping, Arc::new(schema.project(projection)?));
        }
        let partitioning = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
        let is_clustered = clustering::is_clustered_by(&keys, &input);
        let emission = if is_clustered { EmissionType::Incremental } else { EmissionType::Final };
        let properties = PlanProperties::new(equivalence, partitioning, emission, input.boundedness());
        Ok(Self {
            is_clustered,
            is_unsplit: false,
            input,
            keys,
            windows,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            run: OnceAsync::default(),
        })
    }

    /// The same, with no partition in more than one batch and as many of them in each as stay near the processor.
    ///
    /// # Errors
    /// None for the operator's own parts.
    pub(crate) fn with_unsplit_batches(&self) -> Result<Self> {
        let exec = self.rebuild(Arc::clone(&self.input), self.projection.clone())?;
        Ok(Self { is_unsplit: true, ..exec })
    }

    fn rebuild(&self, input: Arc<dyn ExecutionPlan>, projection: Option<Vec<usize>>) -> Result<Self> {
        let exec = Self::build(self.keys.clone(), self.windows.clone(), input, projection)?;
        Ok(Self { is_unsplit: self.is_unsplit, ..exec })
    }

    pub(crate) fn is_unsplit(&self) -> bool {
        self.is_unsplit
    }

    pub(crate) fn is_clustered(&self) -> bool {
        self.is_clustered
    }

    /// The windows.
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

    /// Where the columns of PARTITION BY stand in what is given; `None` if one is no column or not given.
    pub(crate) fn clustered_output(&self) -> Option<Vec<usize>> {
        let place = |key: &Arc<dyn PhysicalExpr>| {
            let column = key.downcast_ref::<Column>()?.index();
            match &self.projection {
                Some(projection) => projection.iter().position(|&place| place == column),
                None => Some(column),
            }
        };
        self.keys.iter().map(place).collect()
    }

    fn plan(&self) -> Result<WindowPlan> {
        let input = self.input.schema();
        let calls = self.windows.iter().map(|window| {
            WindowCall::new(window, &input)
                .map_err(|reason| internal_datafusion_err!("a window was put here though {reason}"))
        });
        if self.keys.is_empty() {
            return internal_err!("a grouped window without PARTITION BY");
        }
        let places = match &self.projection {
            Some(projection) => projection.clone(),
            None => (0..input.fields().len() + self.windows.len()).collect(),
        };
        Ok(WindowPlan::new(&self.keys, calls.collect::<Result<_>>()?, &input, &places, self.schema()))
    }

    /// The shared work, begun by the first partition that asks.
    fn run(&self, context: &Arc<TaskContext>) -> Result<OnceFut<BucketQueue>> {
        let count = self.input.output_partitioning().partition_count();
        self.run.run(count, || {
            let inputs = (0..count).map(|partition| self.input.execute(partition, Arc::clone(context)));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let inputs = inputs.into_iter().enumerate().map(|(number, input)| {
                let consumer = MemoryConsumer::new(format!("HashWindowAggExec[{number}]")).with_can_spill(true);
                (input, consumer.register(context.memory_pool()))
            });
            let plan = Arc::new(self.plan()?);
            let schema = plan.buffered_schema(&self.input.schema())?;
            let spill = SpillManager::new(context.runtime_env(), SpillMetrics::new(&self.metrics, 0), schema)
                .with_compression_type(context.session_config().spill_compression());
            Ok(gather(plan, inputs.collect(), Arc::new(spill)).boxed())
        })
    }
}

fn full_schema(windows: &[Arc<dyn WindowExpr>], input: &Arc<dyn ExecutionPlan>) -> Result<SchemaRef> {
    let schema = input.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    for window in windows {
        fields.push(window.field()?);
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// Reads all inputs.
async fn gather(
    plan: Arc<WindowPlan>,
    inputs: Vec<(SendableRecordBatchStream, MemoryReservation)>,
    spill: Arc<SpillManager>,
) -> Result<BucketQueue> {
    let mut tasks = JoinSet::new();
    for (number, (input, reservation)) in inputs.into_iter().enumerate() {
        let (plan, spill) = (Arc::clone(&plan), Arc::clone(&spill));
        tasks.spawn(async move { Ok((number, buffer_input(plan, input, reservation, spill).await?)) });
    }
    let mut inputs = join_all(&mut tasks).await?;
    inputs.sort_unstable_by_key(|(number, _)| *number);
    let inputs = inputs.into_iter().map(|(_, input)| input).collect();
    Ok(BucketQueue::new(inputs, plan, spill))
}

/// Where an output has its partitions from.
enum BucketSource {
    Buckets(Arc<BucketQueue>),
    ClusteredInput(ClusteredInput),
}

impl BucketSource {
    /// The next partitions with their results, whose memory is grown in `reservation`; none after the last.
    async fn next(&mut self, reservation: &MemoryReservation, elapsed: &Time) -> Result<Option<EvaluatedBucket>> {
        let gathered = match self {
            Self::Buckets(gathered) => gathered,
            Self::ClusteredInput(runs) => return runs.next(reservation, elapsed).await,
        };
        let _timer = elapsed.timer();
        let next = gathered.next.fetch_add(1, Ordering::Relaxed);
        let Some(buckets) = gathered.buckets.get(next).cloned() else { return Ok(None) };
        // beyond the limit if need be: without it nothing goes on
        reservation.grow(gathered.rows(&buckets) * gathered.plan.row_bytes());
        // a task of its own: whoever stops need not wait for it
        SpawnedTask::spawn(Arc::clone(gathered).evaluate(buckets)).await.map_err(join_error)?.map(Some)
    }
}

/// What one partition of the plan gives.
struct BucketStream {
    source: BucketSource,
    evaluated: Option<EvaluatedBucket>,
    /// The memory of the bucket.
    reservation: MemoryReservation,
    batch_size: BatchSize,
    metrics: BaselineMetrics,
}

impl BucketStream {
    /// The next batch; none when all buckets are given.
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
                if let Some(projection) = &self.projection {
                    let schema = self.schema();
                    let columns = projection
                        .iter()
                        .zip(schema.fields())
                        .map(|(place, field)| format!("{}@{place}", field.name()));
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
        let reservation = MemoryConsumer::new(format!("GroupedWindowOutput[{partition}]"));
        let reservation = reservation.register(context.memory_pool());
        let batch_size = match self.is_unsplit {
            true => BatchSize::Partitions,
            false => BatchSize::Rows(context.session_config().batch_size()),
        };
        let source: BoxFuture<'static, Result<BucketSource>> = if self.is_clustered {
            let input = self.input.execute(partition, context)?;
            let is_unsplit = clustering::is_unsplit(&self.input);
            let runs = ClusteredInput::new(Arc::new(self.plan()?), input, is_unsplit, reservation.new_empty());
            async move { Ok(BucketSource::ClusteredInput(runs)) }.boxed()
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
        let all =
            Statistics { num_rows: input.num_rows, total_byte_size: Precision::Absent, column_statistics: columns };
        Ok(Arc::new(all.project(self.projection.as_ref())))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
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
        // the new places are among the columns that are given now
        let projection = match (projection, &self.projection) {
            (Some(new), Some(now)) => {
                let places = new.iter().map(|&place| now.get(place).copied()).collect::<Option<_>>();
                Some(places.ok_or_else(|| internal_datafusion_err!("a projection beyond the columns"))?)
            }
            (new, _) => new,
        };
        self.rebuild(Arc::clone(&self.input), projection)
    }
}
