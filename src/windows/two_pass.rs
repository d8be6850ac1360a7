//! Scores by reading twice: what they need to know of each partition, then row by row.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use cxql_udfs::grouped::{Scale, Scales};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, exec_err, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType, reset_plan_states};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowUDFExpr;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::counted::{Counted, counted_once, counted_schema};
use super::exec::GroupedWindowExec;
use super::shared::{Pending, Run, all};
use crate::groups::{Table, fmt_numbered, with_types};
use crate::plans::{only_input, picked};

/// Computes z-scores of whole numbers without holding the rows.
///
/// Where a local file is read and the partitions are few, reading it twice takes less than holding and moving its rows: the
/// first time for the mean and the deviation of each partition, or its medians, the second time for the scores. When there
/// turn out to be many partitions, or the numbers lie too far apart to count them, [`GroupedWindowExec`] does the work.
///
/// The medians come from counts of each number. An operator above that asks only how many rows there are of each kind takes
/// *counted rows*: those that differ, once, and one column more that says how many there are. They come from the first pass
/// alone.
#[derive(Debug)]
pub struct TwoPassWindowExec {
    /// What does the work where partitions are many; it has the windows and the input.
    many: Arc<GroupedWindowExec>,
    /// The rows; where they are counted, those texts by which they are partitioned may be numbers with a dictionary.
    input: Arc<dyn ExecutionPlan>,
    /// Each function with the whole numbers that it scores.
    calls: Vec<Scored>,
    is_counted: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: Pending<Option<Known>>,
}

type Scored = (Scales, Arc<dyn PhysicalExpr>);

/// What the first pass has found.
pub(super) struct Known {
    pub(super) table: Table,
    /// By call and partition.
    pub(super) scales: Vec<Vec<Option<Scale>>>,
    /// Where rows are counted, how many have each value, with the memory that it takes.
    pub(super) counts: Option<(Scales, Vec<MemoryReservation>)>,
}

/// The operator in place of one that holds its rows, if reading twice is cheap and all functions are scores.
///
/// # Errors
/// None for plans of the engine.
pub(super) fn two_pass(grouped: &GroupedWindowExec) -> Result<Option<TwoPassWindowExec>> {
    let input = grouped.input();
    let schema = input.schema();
    let keys = keys(grouped.windows());
    let types = keys.iter().map(|key| key.data_type(&schema)).collect::<Result<Vec<_>>>()?;
    let Some(calls) = calls(grouped.windows(), input) else { return Ok(None) };
    let is_known = Table::new(&types).is_some() && keys.iter().all(is_simple);
    if grouped.has_projection() || !is_known || !is_cheap(input) {
        return Ok(None);
    }
    TwoPassWindowExec::new(grouped.windows().to_vec(), Arc::clone(input), Arc::clone(input), calls, false).map(Some)
}

fn keys(windows: &[Arc<dyn WindowExpr>]) -> &[Arc<dyn PhysicalExpr>] {
    windows.first().map_or(&[], |window| window.partition_by())
}

/// Each function with the whole numbers that it scores; `None` if one is no such function.
fn calls(windows: &[Arc<dyn WindowExpr>], input: &Arc<dyn ExecutionPlan>) -> Option<Vec<Scored>> {
    let schema = input.schema();
    let call = |window: &Arc<dyn WindowExpr>| {
        let standard = window.as_any().downcast_ref::<StandardWindowExpr>()?;
        let call = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
        let [value] = call.args() else { return None };
        let value = match value.downcast_ref::<Column>() {
            Some(column) => is_whole_column(input, column.index()).then(|| Arc::clone(value)),
            None => whole_number(value, &schema).cloned(),
        }?;
        is_simple(&value).then_some((Scales::new(call.fun())?, value))
    };
    windows.iter().map(call).collect()
}

/// The whole number of which an expression makes a float.
fn whole_number<'a>(expr: &'a Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<&'a Arc<dyn PhysicalExpr>> {
    let value = expr.downcast_ref::<CastExpr>()?.expr();
    let data_type = value.data_type(schema).ok()?;
    (data_type.is_integer() && data_type != DataType::UInt64).then_some(value)
}

/// Whether a column of floats was made of whole numbers below, as the engine does when several functions take them. Those of
/// 64 bits may be none that a float has.
fn is_whole_column(plan: &Arc<dyn ExecutionPlan>, place: usize) -> bool {
    let made_of = |expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, input: Option<&Arc<dyn ExecutionPlan>>| {
        if let (Some(column), Some(input)) = (expr.downcast_ref::<Column>(), input) {
            return is_whole_column(input, column.index());
        }
        let is_float = expr.data_type(schema).is_ok_and(|made| made == DataType::Float64);
        let whole = whole_number(expr, schema).and_then(|whole| whole.data_type(schema).ok());
        is_float && whole.is_some_and(|whole| whole != DataType::Int64)
    };
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let input = projection.input();
        return projection.expr().get(place).is_some_and(|column| made_of(&column.expr, &input.schema(), Some(input)));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return is_whole_column(filter.input(), picked(filter.projection().as_deref(), place));
    }
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else { return false };
    let Some(file) = scan.data_source().downcast_ref::<FileScanConfig>() else { return false };
    let table = Arc::clone(file.file_source().table_schema().table_schema());
    let columns = file.file_source().projection();
    columns.and_then(|columns| columns.iter().nth(place)).is_some_and(|column| made_of(&column.expr, &table, None))
}

/// Whether a plan reads local files and does little else.
fn is_cheap(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.fetch().is_some() {
        return false;
    }
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let file = scan.data_source().downcast_ref::<FileScanConfig>();
        return file.is_some_and(|file| file.object_store_url == ObjectStoreUrl::local_filesystem());
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return is_simple(filter.predicate()) && is_cheap(filter.input());
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return projection.expr().iter().all(|expr| is_simple(&expr.expr)) && is_cheap(projection.input());
    }
    false
}

/// Whether an expression gives the same each time, without work.
fn is_simple(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let is_known = expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<CastExpr>()
        || expr.is::<BinaryExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<NotExpr>();
    is_known && expr.children().into_iter().all(is_simple)
}

impl TwoPassWindowExec {
    /// `plain` are the rows of `input` with the texts themselves.
    fn new(
        windows: Vec<Arc<dyn WindowExpr>>,
        plain: Arc<dyn ExecutionPlan>,
        input: Arc<dyn ExecutionPlan>,
        calls: Vec<Scored>,
        is_counted: bool,
    ) -> Result<Self> {
        let many = Arc::new(GroupedWindowExec::try_new(windows, plain)?);
        let properties = match is_counted {
            false => Arc::clone(many.properties()),
            true => Arc::new(PlanProperties::new(
                EquivalenceProperties::new(counted_schema(&many.schema())),
                Partitioning::UnknownPartitioning(many.properties().partitioning.partition_count()),
                EmissionType::Final,
                many.properties().boundedness,
            )),
        };
        Ok(Self {
            many,
            input,
            calls,
            is_counted,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
            run: Pending::default(),
        })
    }

    /// The same with counted rows: the column after all others says how many rows one stands for. `None` where the first
    /// pass does not know all columns and how often their values occur.
    ///
    /// # Errors
    /// None for plans of the engine.
    pub(super) fn counted(&self) -> Result<Option<Self>> {
        let Some((_, value)) = self.calls.first() else { return Ok(None) };
        // for sums alone, counts of many partitions would lie far from the processor: by agent 1.6 times as long
        let has_counts = self.calls.iter().any(|(scales, _)| scales.has_counts());
        let is_one = value.is::<Column>() && self.calls.iter().all(|(_, other)| other == value);
        let keys = keys(self.windows());
        let known: Vec<&Arc<dyn PhysicalExpr>> = keys.iter().chain([value]).collect();
        let columns: HashSet<usize> =
            known.iter().filter_map(|expr| expr.downcast_ref::<Column>()).map(Column::index).collect();
        let has_all = columns.len() == known.len() && columns.len() == self.input().schema().fields().len();
        if self.is_counted || !has_counts || !is_one || !has_all {
            return Ok(None);
        }
        let (plain, input) = (Arc::clone(self.input()), Arc::clone(self.input()));
        Self::new(self.windows().to_vec(), plain, input, self.calls.clone(), true).map(Some)
    }

    /// Whether the rows that are given stand for many.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// The columns of texts by which rows are partitioned, where nothing else needs them.
    pub(crate) fn text_keys(&self) -> Vec<usize> {
        let schema = self.many.input().schema();
        let columns = keys(self.windows()).iter().filter_map(|key| key.downcast_ref::<Column>()).map(Column::index);
        columns.filter(|&column| schema.field(column).data_type() == &DataType::Utf8View).collect()
    }

    pub(crate) fn windows(&self) -> &[Arc<dyn WindowExpr>] {
        self.many.windows()
    }

    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The keys and numbers alone, for the first pass.
    fn first(&self, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = keys(self.windows()).iter().chain(self.calls.iter().map(|(_, value)| value)).enumerate();
        let columns = columns.map(|(place, expr)| ProjectionExpr::new(Arc::clone(expr), format!("column{place}")));
        let columns: Vec<ProjectionExpr> = columns.collect();
        let first = ProjectionExec::try_new(columns, reset_plan_states(Arc::clone(self.input()))?)?;
        // so that nothing else is read
        ProjectionPushdown::new().optimize(Arc::new(first), context.session_config().options())
    }

    fn run(&self, context: &Arc<TaskContext>) -> Result<Run<Option<Known>>> {
        self.run.run(self.input().output_partitioning().partition_count(), || {
            let scales: Vec<Scales> = self.calls.iter().map(|(scales, _)| scales.clone()).collect();
            let schema = self.input().schema();
            let types = keys(self.windows()).iter().map(|key| key.data_type(&schema)).collect::<Result<Vec<_>>>()?;
            let Some(table) = Table::new(&types) else { return internal_err!("keys that have no numbers: {types:?}") };
            let reservation = MemoryConsumer::new("TwoPassWindowExec").register(context.memory_pool());
            let none = Partitions { table, scales };
            let is_counted = self.is_counted;
            let first = self.first(context)?;
            let inputs = (0..first.output_partitioning().partition_count())
                .map(|partition| first.execute(partition, Arc::clone(context)));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            Ok(learn(none, inputs, is_counted, reservation).boxed())
        })
    }
}

/// Reads all inputs; `None` when the partitions are too many, or their numbers lie too far apart.
async fn learn(
    none: Partitions,
    inputs: Vec<SendableRecordBatchStream>,
    is_counted: bool,
    reservation: MemoryReservation,
) -> Result<Option<Known>> {
    let mut tasks = JoinSet::new();
    for (number, input) in inputs.into_iter().enumerate() {
        let (partitions, reservation) = (none.clone(), reservation.new_empty());
        tasks.spawn(async move { Ok((number, partitions.read(input, reservation).await?)) });
    }
    let mut parts = all(&mut tasks).await?;
    parts.sort_unstable_by_key(|(number, _)| *number);
    let mut known: Option<Partitions> = None;
    let mut reservations = vec![];
    for (_, part) in parts {
        let Some((part, reservation)) = part else { return Ok(None) };
        reservations.push(reservation);
        match &mut known {
            None => known = Some(part),
            Some(known) => {
                if !known.merge(&part)? {
                    return Ok(None);
                }
            }
        }
    }
    let known = known.unwrap_or(none);
    let count = known.table.len();
    let scales = known.scales.iter().map(|scales| {
        let mut scales = scales.finish();
        scales.resize(count, None);
        scales
    });
    let scales = scales.collect();
    let counted = known.scales.into_iter().find(|scales| is_counted && scales.has_counts());
    Ok(Some(Known { table: known.table, scales, counts: counted.map(|counts| (counts, reservations)) }))
}

/// The partitions of the windows seen so far.
#[derive(Clone)]
struct Partitions {
    table: Table,
    scales: Vec<Scales>,
}

impl Partitions {
    async fn read(
        mut self,
        mut input: SendableRecordBatchStream,
        reservation: MemoryReservation,
    ) -> Result<Option<(Self, MemoryReservation)>> {
        let mut groups = vec![];
        while let Some(batch) = input.try_next().await? {
            let (keys, values) = batch.columns().split_at(batch.num_columns() - self.scales.len());
            if !self.table.groups(keys, &mut groups)? {
                return Ok(None);
            }
            for (scales, values) in self.scales.iter_mut().zip(values) {
                if !scales.add(&whole(values)?, &groups, self.table.len()) {
                    return Ok(None);
                }
            }
            let scales: usize = self.scales.iter().map(Scales::size).sum();
            if reservation.try_resize(self.table.size() + scales).is_err() {
                return Ok(None);
            }
            // as long as it reads, others have their turns
            tokio::task::yield_now().await;
        }
        Ok(Some((self, reservation)))
    }

    fn merge(&mut self, other: &Self) -> Result<bool> {
        let mut groups = vec![];
        if !self.table.groups(&other.table.keys()?, &mut groups)? {
            return Ok(false);
        }
        let count = self.table.len();
        Ok(self.scales.iter_mut().zip(&other.scales).all(|(scales, other)| scales.merge(other, &groups, count)))
    }
}

fn whole(values: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// The second pass over one input.
struct Scoring {
    input: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    values: Vec<Arc<dyn PhysicalExpr>>,
    table: Table,
    known: Arc<Option<Known>>,
    schema: SchemaRef,
    metrics: BaselineMetrics,
}

impl Scoring {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.input.try_next().await? else { return Ok(None) };
        let Some(known) = self.known.as_ref() else { return internal_err!("scores without a first pass") };
        let _timer = self.metrics.elapsed_compute().timer();
        let rows = batch.num_rows();
        let keys = evaluate_expressions_to_arrays(&self.keys, &batch)?;
        let mut groups = vec![];
        if !self.table.groups(&keys, &mut groups)? || self.table.len() > known.table.len() {
            return exec_err!("the data changed while it was read for zscore or modified_zscore; run the query again");
        }
        let mut columns = batch.columns().to_vec();
        for (values, scales) in self.values.iter().zip(&known.scales) {
            let values = whole(&values.evaluate(&batch)?.into_array(rows)?)?;
            let score = |(&group, &value): (&usize, &i64)| scales[group].map_or(0.0, |scale| scale.score(value as f64));
            let scores: Vec<f64> = groups.iter().zip(values.values()).map(score).collect();
            let nulls = if scales.iter().all(Option::is_some) {
                values.nulls().cloned()
            } else {
                let has_scale = groups.iter().map(|&group| scales[group].is_some()).collect();
                NullBuffer::union(values.nulls(), Some(&has_scale))
            };
            columns.push(Arc::new(Float64Array::try_new(scores.into(), nulls)?));
        }
        self.metrics.record_output(rows);
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}

impl DisplayAs for TwoPassWindowExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.windows().iter().map(|window| window.name()).collect::<Vec<_>>().join(", ");
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let rows = if self.is_counted { ", rows=counted" } else { "" };
                write!(f, "TwoPassWindowExec: windows=[{names}]{rows}")?;
                fmt_numbered(&self.many.input().schema(), &self.input.schema(), f)
            }
            DisplayFormatType::TreeRender => writeln!(f, "select_list={names}"),
        }
    }
}

impl ExecutionPlan for TwoPassWindowExec {
    fn name(&self) -> &'static str {
        "TwoPassWindowExec"
    }

    /// Those of what may do the work: it promises no more.
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.input()]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.many.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = only_input(self.as_ref(), children)?;
        let plain = match self.is_counted {
            true => with_types(Arc::clone(&input), &self.many.input().schema())?,
            false => Arc::clone(&input),
        };
        Ok(Arc::new(Self::new(self.windows().to_vec(), plain, input, self.calls.clone(), self.is_counted)?))
    }

    /// Both passes have the outputs of the scan.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = self.run(&context)?;
        let (many, schema) = (Arc::clone(&self.many), self.schema());
        let keys = keys(self.windows()).to_vec();
        let values = self.calls.iter().map(|(_, value)| Arc::clone(value)).collect();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let partition_count = self.properties.partitioning.partition_count();
        let is_counted = self.is_counted;
        let output = async move {
            let known = run.await.map_err(DataFusionError::Shared)?;
            let batches = match known.as_ref() {
                None if is_counted => {
                    let counted = Arc::clone(&schema);
                    many.execute(partition, context)?.map(move |batch| counted_once(&batch?, &counted)).boxed()
                }
                None => many.execute(partition, context)?.boxed(),
                Some(_) if is_counted => {
                    let schema = Arc::clone(&schema);
                    let batch_size = context.session_config().batch_size();
                    Counted { known, partition, partition_count, keys, schema, metrics }.batches(batch_size)?
                }
                Some(Known { table, .. }) => {
                    let (table, schema) = (table.clone(), Arc::clone(&schema));
                    let input = many.input().execute(partition, context)?;
                    let scoring = Scoring { input, keys, values, table, known, schema, metrics };
                    let batches = stream::try_unfold(scoring, async |mut scoring| {
                        Ok(scoring.next().await?.map(|batch| (batch, scoring)))
                    });
                    batches.boxed()
                }
            };
            Ok::<_, DataFusionError>(
                Box::pin(RecordBatchStreamAdapter::new(schema, batches)) as SendableRecordBatchStream
            )
        };
        let batches = stream::once(output).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        self.many.metrics().iter().flat_map(MetricsSet::iter).for_each(|metric| metrics.push(Arc::clone(metric)));
        Some(metrics)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        match self.is_counted {
            true => vec![ChildStats::Skip],
            false => self.many.child_stats_requests(partition),
        }
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match self.is_counted {
            true => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
            false => self.many.statistics_from_inputs(inputs, args),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        if self.is_counted { CardinalityEffect::LowerEqual } else { CardinalityEffect::Equal }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let (plain, input) = (Arc::clone(self.many.input()), Arc::clone(self.input()));
        Ok(Arc::new(Self::new(self.windows().to_vec(), plain, input, self.calls.clone(), self.is_counted)?))
    }
}
