//! The operator.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::runtime::JoinSet;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    ColumnStatistics, DataFusionError, Result, Statistics, internal_datafusion_err, internal_err,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::{EquivalenceProperties, ProjectionMapping};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType, apply_expression_roots};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, SpillMetrics, Time,
};
use datafusion::physical_plan::projection::{EmbeddedProjection, ProjectionExec, try_embed_projection};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SpillManager,
};
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::collect::{BUCKETS, Collected, Morsel, Spills, collect};
use super::functions::Call;
use super::solve::Spec;

/// Computes window functions with a PARTITION BY without sorting its input.
///
/// Rows are divided into buckets by the hash of their keys and numbered by partition inside a bucket; only rows of one
/// partition that did not arrive in its order are sorted. The rows come out as they came in, in the same partitions of
/// the plan and in the same order, with the columns of the functions behind them.
#[derive(Debug)]
pub struct GroupedWindowExec {
    input: Arc<dyn ExecutionPlan>,
    windows: Vec<Arc<dyn WindowExpr>>,
    /// The columns that are given, of those of the input and the functions; all if `None`.
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: Mutex<Pending>,
}

/// A run of the operator that some of its partitions have not asked for yet.
#[derive(Default)]
struct Pending {
    run: Option<Run>,
    asked_count: usize,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("asked_count", &self.asked_count).finish_non_exhaustive()
    }
}

/// The work that all partitions share. It stops when no partition wants it any more.
type Run = Shared<BoxFuture<'static, std::result::Result<Arc<Solved>, Arc<DataFusionError>>>>;

/// What all partitions wait for.
struct Solved {
    /// The rows of each input; taken by the partition that gives them.
    inputs: Vec<Mutex<Option<Collected>>>,
    /// By bucket: the results, those of the first input before those of the second.
    results: Vec<Results>,
    /// By input and bucket: the rows of the inputs before it.
    rows_before: Vec<Vec<usize>>,
    spills: Arc<Spills>,
    /// The memory of the results.
    _reservation: Arc<MemoryReservation>,
}

/// The results of a bucket.
enum Results {
    Memory(Vec<ArrayRef>),
    /// For each input a file with one batch for each of its morsels that has rows of the bucket.
    Disk(Vec<Option<Arc<dyn SpillFile>>>),
}

impl GroupedWindowExec {
    /// The windows of a plan over `input`, which have the same PARTITION BY.
    ///
    /// # Errors
    /// A window that the operator does not know, or one without PARTITION BY.
    pub fn try_new(windows: Vec<Arc<dyn WindowExpr>>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let exec = Self::build(windows, input, None)?;
        exec.spec()?;
        Ok(exec)
    }

    fn build(
        windows: Vec<Arc<dyn WindowExpr>>,
        input: Arc<dyn ExecutionPlan>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let schema = full_schema(&windows, &input)?;
        let mut equivalence =
            EquivalenceProperties::new(Arc::clone(&schema)).extend(input.equivalence_properties().clone())?;
        let mut partitioning = input.output_partitioning().clone();
        if let Some(projection) = &projection {
            let mapping = ProjectionMapping::from_indices(projection, &schema)?;
            partitioning = partitioning.project(&mapping, &equivalence);
            equivalence = equivalence.project(&mapping, Arc::new(schema.project(projection)?));
        }
        let properties = PlanProperties::new(equivalence, partitioning, EmissionType::Final, input.boundedness());
        Ok(Self {
            input,
            windows,
            projection,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            run: Mutex::default(),
        })
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

    fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        self.windows.first().map_or(&[], |window| window.partition_by())
    }

    fn spec(&self) -> Result<Spec> {
        let schema = self.input.schema();
        let calls = self.windows.iter().map(|window| {
            Call::new(window, &schema)
                .map_err(|reason| internal_datafusion_err!("a window was put here though {reason}"))
        });
        if self.keys().is_empty() {
            return internal_err!("a grouped window without PARTITION BY");
        }
        Ok(Spec::new(self.keys(), calls.collect::<Result<_>>()?))
    }

    /// The columns of the input; those of the functions stand behind them.
    fn width(&self) -> usize {
        self.input.schema().fields().len()
    }

    /// The places of the columns that are given.
    fn given(&self) -> Vec<usize> {
        match &self.projection {
            Some(projection) => projection.clone(),
            None => (0..self.width() + self.windows.len()).collect(),
        }
    }

    /// Those of them that are the input's. One that is given twice is kept twice, which costs nothing.
    fn shown(&self) -> Arc<[usize]> {
        self.given().into_iter().filter(|&place| place < self.width()).collect()
    }

    fn spills(&self, spec: &Spec, context: &TaskContext) -> Result<Spills> {
        let schema = self.input.schema();
        let fields = self.windows.iter().map(|window| window.field()).collect::<Result<Vec<_>>>()?;
        let manager = |schema: SchemaRef| {
            let metrics = SpillMetrics::new(&self.metrics, 0);
            let manager = SpillManager::new(context.runtime_env(), metrics, schema);
            manager.with_compression_type(context.session_config().spill_compression())
        };
        Ok(Spills {
            shown: manager(Arc::new(schema.project(&self.shown())?)),
            kept: manager(Arc::new(spec.kept_schema(&schema)?)),
            results: manager(Arc::new(Schema::new(fields))),
        })
    }

    /// The shared work, begun by the first partition that asks.
    fn run(&self, context: &Arc<TaskContext>) -> Result<Run> {
        let mut pending = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let run = match &pending.run {
            Some(run) => run.clone(),
            None => {
                let count = self.input.output_partitioning().partition_count();
                let inputs = (0..count).map(|partition| self.input.execute(partition, Arc::clone(context)));
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                let inputs = inputs.into_iter().enumerate().map(|(number, input)| {
                    let consumer = MemoryConsumer::new(format!("GroupedWindowExec[{number}]")).with_can_spill(true);
                    (input, consumer.register(context.memory_pool()))
                });
                let spec = Arc::new(self.spec()?);
                let work = Work {
                    shown: self.shown(),
                    inputs: inputs.collect(),
                    spills: Arc::new(self.spills(&spec, context)?),
                    spec,
                    reservation: Arc::new(MemoryConsumer::new("GroupedWindowExec").register(context.memory_pool())),
                    threads: context.session_config().target_partitions(),
                    time: MetricBuilder::new(&self.metrics).subset_time("solve_time", 0),
                };
                solve(work).map(|solved| solved.map_err(Arc::new)).boxed().shared()
            }
        };
        pending.asked_count += 1;
        if pending.asked_count < self.input.output_partitioning().partition_count() {
            pending.run = Some(run.clone());
        } else {
            // only the partitions hold it from here on: dropping them stops it
            *pending = Pending::default();
        }
        Ok(run)
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

/// What the shared work needs.
struct Work {
    spec: Arc<Spec>,
    shown: Arc<[usize]>,
    inputs: Vec<(SendableRecordBatchStream, MemoryReservation)>,
    spills: Arc<Spills>,
    /// Memory of buckets that are computed, and of results.
    reservation: Arc<MemoryReservation>,
    threads: usize,
    time: Time,
}

/// Reads all inputs, then computes the functions bucket by bucket.
async fn solve(work: Work) -> Result<Arc<Solved>> {
    let Work { spec, shown, inputs, spills, reservation, threads, time } = work;
    let mut tasks = JoinSet::new();
    for (number, (input, reservation)) in inputs.into_iter().enumerate() {
        let (spec, shown, spills) = (Arc::clone(&spec), Arc::clone(&shown), Arc::clone(&spills));
        tasks.spawn(async move { Ok((number, collect(spec, shown, input, reservation, spills).await?)) });
    }
    let mut inputs = all(&mut tasks).await?;
    inputs.sort_unstable_by_key(|(number, _)| *number);
    let inputs: Arc<Vec<Collected>> = Arc::new(inputs.into_iter().map(|(_, input)| input).collect());

    // the largest first, so that it does not begin when all else is done
    let rows: Vec<usize> = (0..BUCKETS).map(|bucket| inputs.iter().map(|input| input.rows(bucket)).sum()).collect();
    let mut buckets: Vec<usize> = (0..BUCKETS).filter(|&bucket| rows[bucket] > 0).collect();
    buckets.sort_unstable_by_key(|&bucket| std::cmp::Reverse(rows[bucket]));
    let (buckets, rows, next) = (Arc::new(buckets), Arc::new(rows), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..threads.clamp(1, BUCKETS) {
        let (spec, inputs, spills) = (Arc::clone(&spec), Arc::clone(&inputs), Arc::clone(&spills));
        let (buckets, rows, next) = (Arc::clone(&buckets), Arc::clone(&rows), Arc::clone(&next));
        let (reservation, time) = (Arc::clone(&reservation), time.clone());
        tasks.spawn(async move {
            let mut solved = vec![];
            while let Some(&bucket) = buckets.get(next.fetch_add(1, Ordering::Relaxed)) {
                let rows = rows[bucket];
                let working_bytes = rows * spec.row_bytes();
                reservation.grow(working_bytes);
                let mut parts = vec![];
                for input in inputs.iter() {
                    parts.extend(input.bucket(bucket, &spills).await?);
                }
                let timer = time.timer();
                let columns = (0..spec.columns.len()).map(|column| {
                    let parts: Vec<&dyn Array> = parts.iter().map(|columns| columns[column].as_ref()).collect();
                    concat(&parts)
                });
                let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
                drop(parts);
                let results = spec.solve(&columns, rows)?;
                timer.done();
                reservation.shrink(working_bytes);
                let bytes = results.iter().map(|result| result.get_array_memory_size()).sum();
                solved.push((
                    bucket,
                    match reservation.try_grow(bytes) {
                        Ok(()) => Results::Memory(results),
                        Err(_) => Results::Disk(write_results(&results, bucket, &inputs, &spills.results)?),
                    },
                ));
                tokio::task::yield_now().await;
            }
            Ok(solved)
        });
    }
    let mut results: Vec<Results> = (0..BUCKETS).map(|_| Results::Memory(vec![])).collect();
    for (bucket, solved) in all(&mut tasks).await?.into_iter().flatten() {
        results[bucket] = solved;
    }
    let mut rows_before = vec![vec![0; BUCKETS]];
    for input in inputs.iter() {
        let before = rows_before.last().cloned().unwrap_or_default();
        rows_before.push(before.into_iter().enumerate().map(|(bucket, rows)| rows + input.rows(bucket)).collect());
    }
    let inputs =
        Arc::into_inner(inputs).ok_or_else(|| internal_datafusion_err!("the rows of a window are still held"))?;
    let inputs = inputs.into_iter().map(|mut input| {
        input.forget_columns();
        Mutex::new(Some(input))
    });
    Ok(Arc::new(Solved { inputs: inputs.collect(), results, rows_before, spills, _reservation: reservation }))
}

/// The results of a bucket, as the morsels of each input will ask for them.
fn write_results(
    results: &[ArrayRef],
    bucket: usize,
    inputs: &[Collected],
    spill: &SpillManager,
) -> Result<Vec<Option<Arc<dyn SpillFile>>>> {
    let all = RecordBatch::try_new(Arc::clone(spill.schema()), results.to_vec())?;
    let mut start = 0;
    let files = inputs.iter().map(|input| {
        let mut file = spill.create_in_progress_file("results of a window")?;
        for rows in input.morsels.iter().map(|morsel| morsel.rows(bucket)).filter(|rows| *rows > 0) {
            file.append_batch(&all.slice(start, rows))?;
            start += rows;
        }
        file.finish()
    });
    files.collect()
}

/// The results of all tasks; the first error stops the others.
async fn all<T: 'static>(tasks: &mut JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = vec![];
    while let Some(result) = tasks.join_next().await {
        match result {
            Ok(result) => results.push(result?),
            Err(error) => {
                return Err(DataFusionError::Context(
                    "a window function".into(),
                    Box::new(DataFusionError::External(Box::new(error))),
                ));
            }
        }
    }
    Ok(results)
}

/// The rows of one partition with their results, as they arrived.
struct Output {
    solved: Arc<Solved>,
    input: Collected,
    morsels: std::vec::IntoIter<Morsel>,
    /// What the result shows of the input, if it is on disk.
    shown: Option<SendableRecordBatchStream>,
    /// By bucket, the place of the next result, or the file with it.
    next: Vec<(usize, Option<SendableRecordBatchStream>)>,
    schema: SchemaRef,
    /// The places of the given columns, in the input and behind it.
    places: Vec<usize>,
    width: usize,
    metrics: BaselineMetrics,
}

impl Output {
    fn new(
        solved: Arc<Solved>,
        partition: usize,
        (schema, places, width): (SchemaRef, Vec<usize>, usize),
        metrics: BaselineMetrics,
    ) -> Result<Self> {
        let input =
            solved.inputs.get(partition).map(|input| input.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(mut input) = input.flatten() else {
            return internal_err!("partition {partition} of a window operator was asked for twice");
        };
        let stream =
            |manager: &SpillManager, file: Arc<dyn SpillFile>| manager.read_spill_as_stream_unbuffered(file, None);
        let shown = input.files.as_mut().and_then(|files| files.shown.take());
        let shown = shown.map(|file| stream(&solved.spills.shown, file)).transpose()?;
        let next = solved.rows_before[partition].iter().zip(&solved.results).map(|(&rows, results)| match results {
            Results::Memory(_) => Ok((rows, None)),
            Results::Disk(files) => {
                let file = files.get(partition).cloned().flatten();
                Ok((rows, file.map(|file| stream(&solved.spills.results, file)).transpose()?))
            }
        });
        let next = next.collect::<Result<Vec<_>>>()?;
        let morsels = std::mem::take(&mut input.morsels).into_iter();
        Ok(Self { solved, input, morsels, shown, next, schema, places, width, metrics })
    }

    /// The batches of the next morsel; none after the last.
    async fn next(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        let Some(morsel) = self.morsels.next() else { return Ok(None) };
        let mut parts = vec![];
        for (bucket, (next, file)) in self.next.iter_mut().enumerate() {
            let rows = morsel.rows(bucket);
            if rows == 0 {
                continue;
            }
            parts.push(match (&self.solved.results[bucket], file) {
                (Results::Memory(results), _) => {
                    results.iter().map(|result| result.slice(*next, rows)).collect::<Vec<_>>()
                }
                (Results::Disk(_), file) => read(file).await?.columns().to_vec(),
            });
            *next += rows;
        }
        let mut shown = morsel.shown.clone();
        while shown.len() < morsel.shown_count {
            shown.push(read(&mut self.shown).await?);
        }

        let timer = self.metrics.elapsed_compute().timer();
        let places = morsel.places();
        let results = self.places.iter().filter_map(|place| place.checked_sub(self.width)).map(|call| {
            let parts: Option<Vec<&dyn Array>> = parts.iter().map(|part| part.get(call).map(AsRef::as_ref)).collect();
            let parts = parts.ok_or_else(|| internal_datafusion_err!("a window without its result"))?;
            Ok(take(&concat(&parts)?, &places, None)?)
        });
        let results = results.collect::<Result<Vec<_>>>()?;
        let mut start = 0;
        let batches = shown.into_iter().map(|shown| {
            let rows = shown.num_rows();
            let (mut inputs, mut results) = (shown.columns().iter(), results.iter());
            let columns = self.places.iter().map(|&place| {
                if place < self.width {
                    inputs.next().cloned()
                } else {
                    results.next().map(|all| all.slice(start, rows))
                }
            });
            let columns = columns.collect::<Option<Vec<_>>>();
            start += rows;
            let columns = columns.ok_or_else(|| internal_datafusion_err!("a window without its columns"))?;
            self.metrics.record_output(rows);
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
        });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        timer.done();
        self.input.release(&morsel);
        Ok(Some(batches))
    }
}

/// The next batch of a file.
async fn read(file: &mut Option<SendableRecordBatchStream>) -> Result<RecordBatch> {
    let batch = match file {
        Some(file) => file.try_next().await?,
        None => None,
    };
    batch.ok_or_else(|| internal_datafusion_err!("a spilled window has lost rows"))
}

impl DisplayAs for GroupedWindowExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.windows.iter().map(|window| window.name()).collect();
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "GroupedWindowExec: windows=[{}]", names.join(", "))?;
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

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("a window operator has one input");
        };
        Ok(Arc::new(Self::build(self.windows.clone(), input, self.projection.clone())?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = self.run(&context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let (schema, places, width) = (self.schema(), self.given(), self.width());
        let output = async move {
            let solved = run.await.map_err(DataFusionError::Shared)?;
            let output = Output::new(solved, partition, (schema, places, width), metrics)?;
            let batches = stream::try_unfold(output, async |mut output| {
                let batches = output.next().await?;
                Ok::<_, DataFusionError>(batches.map(|batches| (stream::iter(batches.into_iter().map(Ok)), output)))
            });
            Ok::<_, DataFusionError>(batches.try_flatten())
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
        Ok(Arc::new(Self::build(self.windows.clone(), Arc::clone(&self.input), self.projection.clone())?))
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
        Self::build(self.windows.clone(), Arc::clone(&self.input), projection)
    }
}
