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

use super::coding::Dictionary;
use super::collect::{BUCKETS, Collected, Part, collect, joined, merged};
use super::forms::Kept;
use super::functions::Call;
use super::runs::{self, Runs};
use super::shared::{Pending, Run, all, failed};
use super::solve::{BatchSize, Solved, Spec};
use crate::plans::only_input;

/// Computes window functions with a PARTITION BY without sorting its input.
///
/// Rows are divided into buckets by the hash of their keys. A bucket is computed and given at once: its rows are numbered
/// by partition, and only those of one partition that did not arrive in its order are sorted. The rows of a partition come
/// out together and in the order of the first window, the partitions in no order.
#[derive(Debug)]
pub struct GroupedWindowExec {
    input: Arc<dyn ExecutionPlan>,
    /// PARTITION BY.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    windows: Vec<Arc<dyn WindowExpr>>,
    /// The columns that are given, of those of the input and the functions; all if `None`.
    projection: Option<Vec<usize>>,
    /// Whether the partitions stand together in the input already.
    is_together: bool,
    /// Whether what takes the rows wants whole partitions in a batch.
    gives_partitions: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: Pending<Gathered>,
}

/// How a column of several inputs becomes one.
enum Joint {
    /// As numbers of these texts; all inputs have it coded.
    Dictionary(Dictionary),
    /// As all inputs have it.
    Same,
    /// As it came.
    Restored,
}

impl Joint {
    fn new(inputs: &[Collected], column: usize) -> Self {
        let texts = inputs.iter().map(|input| match &input.kept[column] {
            Kept::Coded(texts) => Some(texts),
            _ => None,
        });
        if let Some(texts) = texts.collect::<Option<Vec<_>>>() {
            return Self::Dictionary(Dictionary::new(&texts));
        }
        let mut with_rows = inputs.iter().filter(|input| input.rows(&(0..BUCKETS)) > 0);
        match with_rows.all(|input| matches!(input.kept[column], Kept::Packed)) {
            true => Self::Same,
            false => Self::Restored,
        }
    }
}

/// All rows, from which the partitions take bucket by bucket.
struct Gathered {
    inputs: Vec<Collected>,
    /// How the carried columns of all inputs are joined.
    joints: Vec<Joint>,
    /// The buckets that have rows, as many together as must be. The largest come first, so that none of them begins when
    /// all else is done.
    buckets: Vec<Range<usize>>,
    next: AtomicUsize,
    spec: Arc<Spec>,
    spill: Arc<SpillManager>,
}

impl Gathered {
    fn new(inputs: Vec<Collected>, spec: Arc<Spec>, spill: Arc<SpillManager>) -> Self {
        let joints = (0..spec.columns.len()).map(|column| Joint::new(&inputs, column)).collect();
        let step = inputs.iter().map(Collected::buckets_at_once).max().unwrap_or(1);
        let mut buckets: Vec<Range<usize>> = (0..BUCKETS).step_by(step).map(|start| start..start + step).collect();
        let mut gathered = Self { inputs, joints, buckets: vec![], next: AtomicUsize::new(0), spec, spill };
        buckets.retain(|buckets| gathered.rows(buckets) > 0);
        buckets.sort_by_cached_key(|buckets| std::cmp::Reverse(gathered.rows(buckets)));
        gathered.buckets = buckets;
        gathered
    }

    fn rows(&self, buckets: &Range<usize>) -> usize {
        self.inputs.iter().map(|input| input.rows(buckets)).sum()
    }

    async fn solve(self: Arc<Self>, buckets: Range<usize>) -> Result<Solved> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            inputs.push(input.rows_of(&buckets, &self.spill).await?);
        }
        let mut parts = vec![];
        for (number, Part { mut columns, .. }) in merged(inputs, self.spec.first_order()) {
            for ((column, kept), joint) in columns.iter_mut().zip(&self.inputs[number].kept).zip(&self.joints) {
                if let Joint::Restored = joint {
                    *column = kept.restored(column)?;
                }
            }
            parts.push((number, columns));
        }
        let columns = (0..self.spec.computed_count).map(|place| match &self.joints[place] {
            Joint::Dictionary(dictionary) => {
                dictionary.joined(parts.iter().map(|(input, columns)| (*input, &columns[place])))
            }
            _ => joined(parts.iter().map(|(_, columns)| columns), place),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let others = parts.into_iter().map(|(_, mut columns)| columns.split_off(self.spec.computed_count));
        Arc::clone(&self.spec).solve(columns, others.collect())
    }
}

impl GroupedWindowExec {
    /// The windows of a plan over `input`, which have the same PARTITION BY.
    ///
    /// # Errors
    /// A window that the operator does not know, or one without PARTITION BY.
    pub fn try_new(windows: Vec<Arc<dyn WindowExpr>>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let keys = windows.first().map_or(vec![], |window| window.partition_by().to_vec());
        let exec = Self::build(keys, windows, input, None)?;
        exec.spec()?;
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
        let is_together = runs::are_together(&keys, &input);
        let emission = if is_together { EmissionType::Incremental } else { EmissionType::Final };
        let properties = PlanProperties::new(equivalence, partitioning, emission, input.boundedness());
        Ok(Self {
            is_together,
            gives_partitions: false,
            input,
            keys,
            windows,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            run: Pending::default(),
        })
    }

    /// The same, with no partition in more than one batch and as many of them in each as stay near the processor.
    ///
    /// # Errors
    /// None for the operator's own parts.
    pub(super) fn giving_partitions(&self) -> Result<Self> {
        let exec = self.rebuilt(Arc::clone(&self.input), self.projection.clone())?;
        Ok(Self { gives_partitions: true, ..exec })
    }

    fn rebuilt(&self, input: Arc<dyn ExecutionPlan>, projection: Option<Vec<usize>>) -> Result<Self> {
        let exec = Self::build(self.keys.clone(), self.windows.clone(), input, projection)?;
        Ok(Self { gives_partitions: self.gives_partitions, ..exec })
    }

    pub(super) fn gives_partitions(&self) -> bool {
        self.gives_partitions
    }

    pub(super) fn is_together(&self) -> bool {
        self.is_together
    }

    /// The windows.
    pub fn windows(&self) -> &[Arc<dyn WindowExpr>] {
        &self.windows
    }

    /// The input.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub(super) fn has_projection(&self) -> bool {
        self.projection.is_some()
    }

    /// Where the columns of PARTITION BY stand in what is given; `None` if one is no column or not given.
    pub(super) fn given_keys(&self) -> Option<Vec<usize>> {
        let place = |key: &Arc<dyn PhysicalExpr>| {
            let column = key.downcast_ref::<Column>()?.index();
            match &self.projection {
                Some(projection) => projection.iter().position(|&place| place == column),
                None => Some(column),
            }
        };
        self.keys.iter().map(place).collect()
    }

    fn spec(&self) -> Result<Spec> {
        let input = self.input.schema();
        let calls = self.windows.iter().map(|window| {
            Call::new(window, &input)
                .map_err(|reason| internal_datafusion_err!("a window was put here though {reason}"))
        });
        if self.keys.is_empty() {
            return internal_err!("a grouped window without PARTITION BY");
        }
        let places = match &self.projection {
            Some(projection) => projection.clone(),
            None => (0..input.fields().len() + self.windows.len()).collect(),
        };
        Ok(Spec::new(&self.keys, calls.collect::<Result<_>>()?, &input, &places, self.schema()))
    }

    /// The shared work, begun by the first partition that asks.
    fn run(&self, context: &Arc<TaskContext>) -> Result<Run<Gathered>> {
        let count = self.input.output_partitioning().partition_count();
        self.run.run(count, || {
            let inputs = (0..count).map(|partition| self.input.execute(partition, Arc::clone(context)));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let inputs = inputs.into_iter().enumerate().map(|(number, input)| {
                let consumer = MemoryConsumer::new(format!("GroupedWindowExec[{number}]")).with_can_spill(true);
                (input, consumer.register(context.memory_pool()))
            });
            let spec = Arc::new(self.spec()?);
            let schema = spec.carried_schema(&self.input.schema())?;
            let spill = SpillManager::new(context.runtime_env(), SpillMetrics::new(&self.metrics, 0), schema)
                .with_compression_type(context.session_config().spill_compression());
            Ok(gather(spec, inputs.collect(), Arc::new(spill)).boxed())
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
    spec: Arc<Spec>,
    inputs: Vec<(SendableRecordBatchStream, MemoryReservation)>,
    spill: Arc<SpillManager>,
) -> Result<Gathered> {
    let mut tasks = JoinSet::new();
    for (number, (input, reservation)) in inputs.into_iter().enumerate() {
        let (spec, spill) = (Arc::clone(&spec), Arc::clone(&spill));
        tasks.spawn(async move { Ok((number, collect(spec, input, reservation, spill).await?)) });
    }
    let mut inputs = all(&mut tasks).await?;
    inputs.sort_unstable_by_key(|(number, _)| *number);
    let inputs = inputs.into_iter().map(|(_, input)| input).collect();
    Ok(Gathered::new(inputs, spec, spill))
}

/// Where an output has its partitions from.
enum Source {
    Buckets(Arc<Gathered>),
    Runs(Runs),
}

impl Source {
    /// The next partitions with their results, whose memory is grown in `reservation`; none after the last.
    async fn next(&mut self, reservation: &MemoryReservation, elapsed: &Time) -> Result<Option<Solved>> {
        let gathered = match self {
            Self::Buckets(gathered) => gathered,
            Self::Runs(runs) => return runs.next(reservation, elapsed).await,
        };
        let _timer = elapsed.timer();
        let next = gathered.next.fetch_add(1, Ordering::Relaxed);
        let Some(buckets) = gathered.buckets.get(next).cloned() else { return Ok(None) };
        // beyond the limit if need be: without it nothing goes on
        reservation.grow(gathered.rows(&buckets) * gathered.spec.row_bytes());
        // a task of its own: whoever stops need not wait for it
        SpawnedTask::spawn(Arc::clone(gathered).solve(buckets)).await.map_err(failed)?.map(Some)
    }
}

/// What one partition of the plan gives.
struct Output {
    source: Source,
    solved: Option<Solved>,
    /// The memory of the bucket.
    reservation: MemoryReservation,
    batch_size: BatchSize,
    metrics: BaselineMetrics,
}

impl Output {
    /// The next batch; none when all buckets are given.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(solved) = &mut self.solved {
                let timer = self.metrics.elapsed_compute().timer();
                let batch = solved.next(self.batch_size)?;
                timer.done();
                if let Some(batch) = batch {
                    self.metrics.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                self.solved = None;
                self.reservation.free();
            }
            self.solved = self.source.next(&self.reservation, self.metrics.elapsed_compute()).await?;
            if self.solved.is_none() {
                return Ok(None);
            }
        }
    }
}

impl DisplayAs for GroupedWindowExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.windows.iter().map(|window| window.name()).collect();
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "GroupedWindowExec: windows=[{}]", names.join(", "))?;
                if self.is_together {
                    write!(f, ", input=by partition")?;
                }
                if self.gives_partitions {
                    write!(f, ", batches=whole partitions")?;
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

impl ExecutionPlan for GroupedWindowExec {
    fn name(&self) -> &'static str {
        "GroupedWindowExec"
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
        let input = only_input(self.as_ref(), children)?;
        self.rebuilt(input, self.projection.clone()).map(|exec| Arc::new(exec) as _)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let reservation = MemoryConsumer::new(format!("GroupedWindowOutput[{partition}]"));
        let reservation = reservation.register(context.memory_pool());
        let batch_size = match self.gives_partitions {
            true => BatchSize::Partitions,
            false => BatchSize::Rows(context.session_config().batch_size()),
        };
        let source: BoxFuture<'static, Result<Source>> = if self.is_together {
            let input = self.input.execute(partition, context)?;
            let are_whole = runs::are_whole(&self.input);
            let runs = Runs::new(Arc::new(self.spec()?), input, are_whole, reservation.new_empty());
            async move { Ok(Source::Runs(runs)) }.boxed()
        } else {
            let run = self.run(&context)?;
            async move { Ok(Source::Buckets(run.await.map_err(DataFusionError::Shared)?)) }.boxed()
        };
        let output = async move {
            let output = Output { source: source.await?, solved: None, reservation, batch_size, metrics };
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
        self.rebuilt(Arc::clone(&self.input), self.projection.clone()).map(|exec| Arc::new(exec) as _)
    }
}

impl EmbeddedProjection for GroupedWindowExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        // the new places are among the columns that are given now
        let projection = match (projection, &self.projection) {
            (Some(new), Some(now)) => {
                let places = new.iter().map(|&place| now.get(place).copied()).collect::<Option<_>>();
                Some(places.ok_or_else(|| internal_datafusion_err!("a projection beyond the columns"))?)
            }
            (new, _) => new,
        };
        self.rebuilt(Arc::clone(&self.input), projection)
    }
}
