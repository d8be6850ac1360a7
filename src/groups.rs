//! GROUP BY over keys that have few different values, as queues, agents, channels, months or hours have.
//!
//! The engine hashes the keys of every row. Where they are few, each value of a key has a small number, the numbers of all
//! keys of a row together are a place in a table, and that holds the group.

mod codes;
mod scans;
mod table;
mod texts;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, exec_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::stream::{self, BoxStream, StreamExt};
use futures::{TryStreamExt, future};
use parking_lot::Mutex;

pub use self::scans::ReadNumbers;
use self::table::Table;
pub(crate) use self::texts::key_hashes;
use crate::plans::{only_input, replaced};

/// Puts [`CodedAggregateExec`] in place of the engine's first aggregate of rows.
#[derive(Debug)]
pub struct CodeGroups;

impl PhysicalOptimizerRule for CodeGroups {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, |plan| match plan.downcast_ref::<AggregateExec>() {
            Some(aggregate) if is_codable(aggregate) => {
                let input = Arc::clone(aggregate.input());
                Ok(Some(Arc::new(CodedAggregateExec::new(aggregate.clone(), input))))
            }
            _ => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "code_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the keys can have numbers, and the functions need no order.
fn is_codable(aggregate: &AggregateExec) -> bool {
    let schema = aggregate.input().schema();
    let keys = aggregate.group_expr();
    let types: Result<Vec<_>> = keys.expr().iter().map(|(key, _)| key.data_type(&schema)).collect();
    let are_keys_known = types.is_ok_and(|types| Table::new(&types).is_some());
    let are_calls_known = aggregate.aggr_expr().iter().all(|call| call.order_bys().is_empty());
    *aggregate.mode() == AggregateMode::Partial
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && keys.is_single()
        && !keys.expr().is_empty()
        && aggregate.limit_options().is_none()
        && are_keys_known
        && are_calls_known
}

/// The first of two aggregates, for few groups: it gives the groups of its rows with the state of each function.
///
/// When there turn out to be many groups, it gives those so far, and the rest of the rows goes through the engine's own
/// [`AggregateExec`].
#[derive(Debug)]
pub struct CodedAggregateExec {
    /// What is computed, over rows with texts.
    aggregate: Arc<AggregateExec>,
    /// The rows; those texts by which they are grouped may be numbers with a dictionary.
    input: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl CodedAggregateExec {
    fn new(aggregate: AggregateExec, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { aggregate: Arc::new(aggregate), input, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The columns of texts that are keys and nothing else.
    fn text_keys(&self) -> Vec<usize> {
        let schema = self.input.schema();
        let keys = self.aggregate.group_expr().expr().iter().map(|(key, _)| key);
        let args = self.aggregate.aggr_expr().iter().flat_map(|call| call.expressions());
        let others = args.chain(self.aggregate.filter_expr().iter().flatten().cloned());
        let others = others.chain(keys.clone().filter(|key| !key.is::<Column>()).cloned());
        let used: HashSet<usize> =
            others.flat_map(|expr| collect_columns(&expr)).map(|column| column.index()).collect();
        let columns = keys.filter_map(|key| key.downcast_ref::<Column>()).map(Column::index);
        let is_text = |&column: &usize| schema.field(column).data_type() == &DataType::Utf8View;
        columns.filter(is_text).filter(|column| !used.contains(column)).collect()
    }
}

/// Writes which columns come as numbers with a dictionary where a plan gives texts.
fn fmt_numbered(plain: &SchemaRef, given: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fields = plain.fields().iter().zip(given.fields());
    let numbered = fields.filter(|(plain, given)| plain.data_type() != given.data_type());
    let names: Vec<&str> = numbered.map(|(plain, _)| plain.name().as_str()).collect();
    if names.is_empty() { Ok(()) } else { write!(f, ", numbered=[{}]", names.join(", ")) }
}

/// A plan with the columns of `schema`.
///
/// # Errors
/// None for texts as numbers with a dictionary.
fn with_types(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let given = plan.schema();
    if given.fields().iter().zip(schema.fields()).all(|(given, wanted)| given.data_type() == wanted.data_type()) {
        return Ok(plan);
    }
    let columns = given.fields().iter().zip(schema.fields()).enumerate().map(|(place, (given, wanted))| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(given.name(), place));
        let column = match given.data_type() == wanted.data_type() {
            true => column,
            false => Arc::new(CastExpr::new(column, wanted.data_type().clone(), None)),
        };
        ProjectionExpr::new(column, wanted.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
}

/// Columns with the types of `schema`.
fn with_types_of(schema: &SchemaRef, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let typed =
        columns.iter().zip(schema.fields()).map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => Ok(cast(column, field.data_type())?),
        });
    typed.collect()
}

/// The first and the last of the two aggregates by which the engine groups rows, without grouping sets or a limit.
pub(crate) fn two_aggregates(plan: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, &AggregateExec)> {
    let last = plan.downcast_ref::<AggregateExec>()?;
    let first = last.input().downcast_ref::<AggregateExec>()?;
    let are_both = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && *first.mode() == AggregateMode::Partial
        && first.group_expr().is_single()
        && [last, first].iter().all(|aggregate| aggregate.limit_options().is_none());
    are_both.then_some((first, last))
}

/// The keys of an aggregate, as plans show them.
fn shown_keys(aggregate: &AggregateExec) -> String {
    let keys = aggregate.group_expr().expr().iter().map(|(expr, name)| match expr.to_string() {
        text if text == *name => text,
        text => format!("{text} as {name}"),
    });
    keys.collect::<Vec<_>>().join(", ")
}

/// All that an aggregate asks for, over another input with the same columns.
pub(crate) fn over(
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

impl DisplayAs for CodedAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: Vec<&str> = self.aggregate.aggr_expr().iter().map(|call| call.name()).collect();
        let (keys, calls) = (shown_keys(&self.aggregate), calls.join(", "));
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "CodedAggregateExec: mode=Partial, gby=[{keys}], aggr=[{calls}]")?;
                fmt_numbered(&self.aggregate.input().schema(), &self.input.schema(), f)
            }
            DisplayFormatType::TreeRender => writeln!(f, "group_by={keys}\naggr={calls}"),
        }
    }
}

impl ExecutionPlan for CodedAggregateExec {
    fn name(&self) -> &'static str {
        "CodedAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = only_input(self.as_ref(), children)?;
        let plain = with_types(Arc::clone(&input), &self.aggregate.input().schema())?;
        Ok(Arc::new(Self::new(over(&self.aggregate, AggregateMode::Partial, plain)?, input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let running = Running {
            groups: Some(Groups::new(&self.aggregate, &self.input.schema())?),
            input: self.input.execute(partition, Arc::clone(&context))?,
            aggregate: Arc::clone(&self.aggregate),
            reservation: MemoryConsumer::new(format!("CodedAggregateExec[{partition}]"))
                .with_can_spill(true)
                .register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            context,
        };
        let metrics = running.metrics.clone();
        let parts = stream::try_unfold(Some(running), async |running| match running {
            Some(running) => running.next().await.map(Some),
            None => Ok(None),
        });
        let batches = parts.try_flatten().inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.aggregate.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.aggregate.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.aggregate.as_ref().clone(), Arc::clone(&self.input))))
    }
}

/// A run over one input.
struct Running {
    groups: Option<Groups>,
    input: SendableRecordBatchStream,
    aggregate: Arc<AggregateExec>,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
    context: Arc<TaskContext>,
}

pub(crate) type Batches = BoxStream<'static, Result<RecordBatch>>;

impl Running {
    /// The next rows to give, and what runs on after them; the last when that is `None`.
    async fn next(mut self) -> Result<(Batches, Option<Self>)> {
        let Some(mut groups) = self.groups.take() else { return internal_err!("a run without its groups") };
        let batch_size = self.context.session_config().batch_size();
        let elapsed = self.metrics.elapsed_compute().clone();
        while let Some(batch) = self.input.try_next().await? {
            let _timer = elapsed.timer();
            if !groups.add(&batch)? {
                let known = groups.take(batch_size)?;
                self.reservation.free();
                let rest = self.rest(batch)?;
                return Ok((stream::iter(known.into_iter().map(Ok)).chain(rest).boxed(), None));
            }
            if self.reservation.try_resize(groups.size()).is_err() {
                // whoever comes next brings equal groups together
                let known = groups.take(batch_size)?;
                self.reservation.resize(groups.size());
                self.groups = Some(groups);
                return Ok((stream::iter(known.into_iter().map(Ok)).boxed(), Some(self)));
            }
        }
        let known = groups.take(batch_size)?;
        Ok((stream::iter(known.into_iter().map(Ok)).boxed(), None))
    }

    /// What the engine makes of a batch and all that follow.
    fn rest(self, batch: RecordBatch) -> Result<Batches> {
        let schema = self.input.schema();
        let rows = stream::once(future::ready(Ok(batch))).chain(self.input).boxed();
        Ok(first_of(&self.aggregate, schema, rows)?.execute(0, self.context)?.boxed())
    }
}

/// The engine's first aggregate of rows that are there once.
fn first_of(aggregate: &AggregateExec, schema: SchemaRef, rows: Batches) -> Result<AggregateExec> {
    let rows = streamed(Arc::clone(&schema), vec![Rest::stream(schema, rows)])?;
    over(aggregate, AggregateMode::Partial, with_types(Arc::new(rows), &aggregate.input().schema())?)
}

/// Streams as a plan.
pub(crate) fn streamed(schema: SchemaRef, parts: Vec<Arc<dyn PartitionStream>>) -> Result<StreamingTableExec> {
    StreamingTableExec::try_new(schema, parts, None, [], false, None)
}

/// Rows that are there once.
pub(crate) struct Rest {
    schema: SchemaRef,
    rows: Mutex<Option<Batches>>,
}

impl Rest {
    pub(crate) fn stream(schema: SchemaRef, rows: Batches) -> Arc<dyn PartitionStream> {
        Arc::new(Self { schema, rows: Mutex::new(Some(rows)) })
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

impl PartitionStream for Rest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().take().unwrap_or_else(|| stream::empty().boxed());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// A function with its state of each group.
pub(crate) struct Call {
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) state: Box<dyn GroupsAccumulator>,
}

impl Call {
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
            Some(filter) => Some(flags(&filter.evaluate(batch)?.into_array(batch.num_rows())?)?),
        };
        self.state.update_batch(&args, groups, filter.as_ref(), count)
    }
}

/// The groups seen so far, with the state of each function.
struct Groups {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    table: Table,
    calls: Vec<Call>,
    schema: SchemaRef,
    /// The group of each row of a batch.
    rows: Vec<usize>,
}

impl Groups {
    /// No groups yet of rows with the columns of `schema`.
    fn new(aggregate: &AggregateExec, schema: &SchemaRef) -> Result<Self> {
        let keys: Vec<_> = aggregate.group_expr().expr().iter().map(|(key, _)| Arc::clone(key)).collect();
        let types = keys.iter().map(|key| key.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let Some(table) = Table::new(&types) else { return internal_err!("keys that have no numbers: {types:?}") };
        Ok(Self { keys, table, calls: Call::all(aggregate)?, schema: aggregate.schema(), rows: vec![] })
    }

    /// Adds rows, or none of them if there are too many different keys.
    fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        let keys = evaluate_expressions_to_arrays(&self.keys, batch)?;
        if !self.table.groups(&keys, &mut self.rows)? {
            return Ok(false);
        }
        for call in &mut self.calls {
            call.update(batch, &self.rows, self.table.len())?;
        }
        Ok(true)
    }

    /// About the memory that is held.
    fn size(&self) -> usize {
        let calls: usize = self.calls.iter().map(|call| call.state.size()).sum();
        calls + self.table.size()
    }

    /// The groups with their states; none are left.
    fn take(&mut self, batch_size: usize) -> Result<Vec<RecordBatch>> {
        let groups = self.table.len();
        if groups == 0 {
            return Ok(vec![]);
        }
        let mut columns = with_types_of(&self.schema, &self.table.keys()?)?;
        self.table.clear();
        for call in &mut self.calls {
            columns.extend(call.state.state(EmitTo::All)?);
        }
        in_batches(&self.schema, columns, groups, batch_size)
    }
}

/// So many rows in batches of a size.
pub(crate) fn in_batches(
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
fn flags(condition: &ArrayRef) -> Result<BooleanArray> {
    match condition.data_type() {
        DataType::Boolean => Ok(condition.as_boolean().clone()),
        other => Err(exec_datafusion_err!("a FILTER that is no condition but {other}")),
    }
}
