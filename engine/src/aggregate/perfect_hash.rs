//! GROUP BY over low-cardinality keys.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::stream::{self, StreamExt};
use futures::{TryStreamExt, future};

use super::group_table::GroupTable;
use super::{AggregateCall, Batches, OnceStream, slice_into_batches, streaming_exec, with_mode};
use crate::exec_util::single_child;

/// The first of two aggregates, for few groups: it gives the groups of its rows with the state of each function.
///
/// When there turn out to be many groups, it gives those so far, and the rest of the rows goes through the engine's own
/// [`AggregateExec`].
#[derive(Debug)]
pub struct PerfectHashAggregateExec {
    /// What is computed, over rows with texts.
    aggregate: Arc<AggregateExec>,
    /// The rows; those texts by which they are grouped may be numbers with a dictionary.
    input: Arc<dyn ExecutionPlan>,
    /// Bits of the codes of all keys of a group.
    bits: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl PerfectHashAggregateExec {
    fn new(aggregate: AggregateExec, input: Arc<dyn ExecutionPlan>, bits: usize) -> Self {
        Self { aggregate: Arc::new(aggregate), input, bits, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The operator in place of a partial aggregate; `None` if the types of its keys have no codes, or it needs an order or
    /// has a limit or grouping sets. The table of groups has at most 2^`bits` slots.
    pub(crate) fn try_over(aggregate: &AggregateExec, bits: usize) -> Option<Self> {
        let schema = aggregate.input().schema();
        let keys = aggregate.group_expr();
        let types: Result<Vec<_>> = keys.expr().iter().map(|(key, _)| key.data_type(&schema)).collect();
        let has_codes = types.is_ok_and(|types| GroupTable::new(&types, bits).is_some());
        let is_unordered = aggregate.aggr_expr().iter().all(|call| call.order_bys().is_empty());
        let is_supported = *aggregate.mode() == AggregateMode::Partial
            && *aggregate.input_order_mode() == InputOrderMode::Linear
            && keys.is_single()
            && !keys.expr().is_empty()
            && aggregate.limit_options().is_none()
            && has_codes
            && is_unordered;
        is_supported.then(|| Self::new(aggregate.clone(), Arc::clone(aggregate.input()), bits))
    }

    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The columns of texts that are keys and nothing else.
    pub(crate) fn dictionary_keys(&self) -> Vec<usize> {
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
fn fmt_dictionary_columns(plain: &SchemaRef, given: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fields = plain.fields().iter().zip(given.fields());
    let numbered = fields.filter(|(plain, given)| plain.data_type() != given.data_type());
    let names: Vec<&str> = numbered.map(|(plain, _)| plain.name().as_str()).collect();
    if names.is_empty() { Ok(()) } else { write!(f, ", dictionary=[{}]", names.join(", ")) }
}

/// Columns with the types of `schema`.
fn cast_columns_to(schema: &SchemaRef, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let typed =
        columns.iter().zip(schema.fields()).map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => Ok(cast(column, field.data_type())?),
        });
    typed.collect()
}

/// The keys of an aggregate, as plans show them.
fn display_keys(aggregate: &AggregateExec) -> String {
    let keys = aggregate.group_expr().expr().iter().map(|(expr, name)| match expr.to_string() {
        text if text == *name => text,
        text => format!("{text} as {name}"),
    });
    keys.collect::<Vec<_>>().join(", ")
}

impl DisplayAs for PerfectHashAggregateExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: Vec<&str> = self.aggregate.aggr_expr().iter().map(|call| call.name()).collect();
        let (keys, calls) = (display_keys(&self.aggregate), calls.join(", "));
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "PerfectHashAggregateExec: mode=Partial, gby=[{keys}], aggr=[{calls}]")?;
                fmt_dictionary_columns(&self.aggregate.input().schema(), &self.input.schema(), f)
            }
            DisplayFormatType::TreeRender => writeln!(f, "group_by={keys}\naggr={calls}"),
        }
    }
}

impl ExecutionPlan for PerfectHashAggregateExec {
    fn name(&self) -> &'static str {
        "PerfectHashAggregateExec"
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
        let input = single_child(self.as_ref(), children)?;
        let plain = cast_plan_to(Arc::clone(&input), &self.aggregate.input().schema())?;
        Ok(Arc::new(Self::new(with_mode(&self.aggregate, AggregateMode::Partial, plain)?, input, self.bits)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let running = PartialAggregation {
            groups: Some(GroupStates::new(&self.aggregate, &self.input.schema(), self.bits)?),
            input: self.input.execute(partition, Arc::clone(&context))?,
            aggregate: Arc::clone(&self.aggregate),
            reservation: MemoryConsumer::new(format!("PerfectHashAggregateExec[{partition}]"))
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
        Ok(Arc::new(Self::new(self.aggregate.as_ref().clone(), Arc::clone(&self.input), self.bits)))
    }
}

/// A run over one input.
struct PartialAggregation {
    groups: Option<GroupStates>,
    input: SendableRecordBatchStream,
    aggregate: Arc<AggregateExec>,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
    context: Arc<TaskContext>,
}

impl PartialAggregation {
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
        Ok(partial_over(&self.aggregate, schema, rows)?.execute(0, self.context)?.boxed())
    }
}

/// The engine's first aggregate of rows that are there once.
fn partial_over(aggregate: &AggregateExec, schema: SchemaRef, rows: Batches) -> Result<AggregateExec> {
    let rows = streaming_exec(Arc::clone(&schema), vec![OnceStream::stream(schema, rows)])?;
    with_mode(aggregate, AggregateMode::Partial, cast_plan_to(Arc::new(rows), &aggregate.input().schema())?)
}

/// The groups seen so far, with the state of each function.
struct GroupStates {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    table: GroupTable,
    calls: Vec<AggregateCall>,
    schema: SchemaRef,
    /// The group of each row of a batch.
    rows: Vec<usize>,
}

impl GroupStates {
    /// No groups yet of rows with the columns of `schema`.
    fn new(aggregate: &AggregateExec, schema: &SchemaRef, bits: usize) -> Result<Self> {
        let keys: Vec<_> = aggregate.group_expr().expr().iter().map(|(key, _)| Arc::clone(key)).collect();
        let types = keys.iter().map(|key| key.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let Some(table) = GroupTable::new(&types, bits) else {
            return internal_err!("keys that have no numbers: {types:?}");
        };
        Ok(Self { keys, table, calls: AggregateCall::all(aggregate)?, schema: aggregate.schema(), rows: vec![] })
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
        let mut columns = cast_columns_to(&self.schema, &self.table.keys()?)?;
        self.table.clear();
        for call in &mut self.calls {
            columns.extend(call.state.state(EmitTo::All)?);
        }
        slice_into_batches(&self.schema, columns, groups, batch_size)
    }
}

/// A plan with the columns of `schema`.
///
/// # Errors
/// None for texts as numbers with a dictionary.
fn cast_plan_to(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
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
