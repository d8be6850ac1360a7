//! [`PerfectHashAggregateExec`]: partial aggregation by low-cardinality keys through a directly indexed table.
//!
//! It replaces the partial [`AggregateExec`] of a two-phase aggregation. DataFusion's own hashes the keys of every row and
//! compares them again in its hash table; this one maps each key to a small code and packs the codes of a row into an index.
//!
//! ```text
//!  input batch      key codes        slot         group indices     accumulators
//!  +---------+      +--------+      +--------+     +-----------+     +-------------+
//!  | queue   | ---> | 2 bits | -+-> | 6 bits | --> | table[..] | --> | count(*)    | --> states, at the end of the input
//!  | month   | ---> | 4 bits | /    +--------+     +-----------+     | sum(wait_s) |     or when memory is short
//!  | wait_s  |      +--------+                                       +-------------+
//!  +---------+          |
//!                       | the codes need more than `perfect_hash_bits` bits, or a key has too many values
//!                       +--> states so far, then AggregateExec for the rest of the input
//! ```
//!
//! `select queue, count(*), sum(wait_s) ... group by queue`, partial:
//!
//! ```text
//!  queue    wait_s             queue    count(*)[count]    sum(wait_s)[sum]
//!  sales    10                 sales    3                  60
//!  billing  5           ->     billing  1                  5
//!  sales    20
//!  sales    30
//! ```
//!
//! # When it is chosen
//!
//! The rule `PerfectHashAggregation` takes every partial aggregate with at least one key whose keys are all strings, Booleans,
//! dates, timestamps or integers other than `UInt64`, without grouping sets, limit, ORDER BY in a call or a used input order.
//! Cardinality is not estimated: statistics know nothing of an expression such as `date_trunc('month', started_at)`. It shows
//! at run time, and the cost of a wrong choice is the batches before the fallback. One key alone has at most 16,384 integers
//! (`MAX_INTEGERS`), or 4,096 strings and beyond that one per 8 rows. The fallback is per input partition; the
//! final aggregate above cannot tell the states of the two apart.
//!
//! Columns that are group keys and nothing else may arrive as dictionary arrays (`dictionary=[...]` in the plan, rule
//! `DictionaryScan`): then only the values of the dictionary are looked up, not those of each row. The same holds for a key that is
//! an expression evaluated on distinct strings (`dictionary_eval(...)`, rule `DictionaryEvaluation`).
//!
//! A filter directly below that tests only that keys are not NULL goes away, since it would copy all columns of the rows that
//! remain: NULL is a group that is dropped in the end (`not_null=[...]`), if no expression can fail on its rows.
//!
//! # Memory
//!
//! Accumulators, the codes and the table, per input partition: 4 bytes per slot, at most 1 MiB with 18 bits and 64 MiB with
//! 24. When the reservation fails, the
//! states so far are emitted and the groups removed; the final aggregate merges equal groups. Nothing is spilled.
//!
//! Switch: `cxql.engine.perfect_hash_aggregation`. Threshold: `cxql.engine.perfect_hash_bits` (18).
//!
//! The technique is DuckDB's *perfect hash aggregate* (`PhysicalPerfectHashAggregate`), which takes the bits from the minimum
//! and maximum of integer statistics; here they grow with the values seen.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::stream::{self, StreamExt};
use futures::{TryStreamExt, future};

use super::group_table::GroupTable;
use super::{AggregateCall, Batches, OnceStream, slice_into_batches, streaming_exec, with_mode};
use crate::exec_util::{columns_of, projected_index, single_child};
use crate::expressions::{DictionaryEvalExpr, is_only_evaluated, only_evaluated};

/// Partial aggregation through a directly indexed table, see the page of this module.
#[derive(Debug)]
pub struct PerfectHashAggregateExec {
    /// The replaced partial aggregate, over the input with plain string columns.
    aggregate: Arc<AggregateExec>,
    /// The input. String columns that are group keys and nothing else may be dictionary arrays.
    input: Arc<dyn ExecutionPlan>,
    /// The group keys, by their index, whose NULL is no group: in place of a filter.
    not_null: Vec<usize>,
    /// Most bits of the codes of all keys of a group.
    bits: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl PerfectHashAggregateExec {
    fn new(aggregate: AggregateExec, input: Arc<dyn ExecutionPlan>, not_null: Vec<usize>, bits: usize) -> Self {
        Self { aggregate: Arc::new(aggregate), input, not_null, bits, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The operator in place of a partial aggregate; `None` if it is not supported. The table has at most 2^`bits` slots.
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
        if !is_supported {
            return None;
        }
        let (input, not_null) = match without_null_filter(aggregate) {
            Some(input) => input,
            None => (Arc::clone(aggregate.input()), vec![]),
        };
        Some(Self::new(aggregate.clone(), input, not_null, bits))
    }

    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The string columns of the input that may be dictionary arrays: group keys, and columns of expressions that are evaluated on
    /// distinct strings, if no other expression reads them.
    pub(crate) fn dictionary_columns(&self) -> Vec<usize> {
        let schema = self.input.schema();
        let keys = self.aggregate.group_expr().expr().iter().map(|(key, _)| Arc::clone(key));
        let (columns, mut others): (Vec<_>, Vec<_>) = keys.partition(|key| key.is::<Column>());
        others.extend(self.aggregate.aggr_expr().iter().flat_map(|call| call.expressions()));
        others.extend(self.aggregate.filter_expr().iter().flatten().cloned());
        let mut columns: Vec<usize> =
            columns.iter().filter_map(|key| key.downcast_ref::<Column>()).map(Column::index).collect();
        columns.extend(only_evaluated(others.iter()));
        columns.sort_unstable();
        columns.dedup();
        columns.retain(|&column| {
            matches!(schema.field(column).data_type(), DataType::Utf8 | DataType::Utf8View)
                && others.iter().all(|expr| is_only_evaluated(expr, column))
        });
        columns
    }
}

/// The input of a filter that tests nothing but whether group keys are NULL, and these keys: a group that is dropped in the end
/// costs nothing, a filter copies all columns. `None` if there is no such filter, or an expression of the aggregate could fail on
/// the rows that it drops.
fn without_null_filter(aggregate: &AggregateExec) -> Option<(Arc<dyn ExecutionPlan>, Vec<usize>)> {
    let filter = aggregate.input().downcast_ref::<FilterExec>().filter(|filter| filter.fetch().is_none())?;
    let keys = aggregate.group_expr();
    let key_of = |condition: &Arc<dyn PhysicalExpr>| {
        let column = condition.downcast_ref::<IsNotNullExpr>()?.arg().downcast_ref::<Column>()?.index();
        keys.expr().iter().position(|(key, _)| {
            let key = key.downcast_ref::<Column>().map(Column::index);
            key.is_some_and(|key| projected_index(filter.projection().as_deref(), key) == column)
        })
    };
    let not_null = split_conjunction(filter.predicate()).into_iter().map(key_of).collect::<Option<Vec<_>>>()?;
    let schema = filter.schema();
    let calls = aggregate.aggr_expr();
    let is_total = |call: &Arc<AggregateFunctionExpr>| match (call.fun().name(), call.expressions().as_slice()) {
        ("count" | "min" | "max", _) => true,
        // sums of integers and decimals may overflow
        ("avg" | "sum", [argument]) => argument.data_type(&schema).is_ok_and(|data_type| data_type.is_floating()),
        _ => false,
    };
    if !calls.iter().all(is_total) {
        return None;
    }
    let arguments = calls.iter().flat_map(|call| call.expressions());
    let conditions = aggregate.filter_expr().iter().flatten().cloned();
    let keys = keys.expr().iter().map(|(key, _)| Arc::clone(key));
    if !arguments.chain(conditions).chain(keys).all(|expr| never_fails(&expr, &schema)) {
        return None;
    }
    let input = Arc::clone(filter.input());
    let Some(columns) = filter.projection() else { return Some((input, not_null)) };
    let projection = ProjectionExec::try_new(columns_of(&input, columns.iter().copied()), input).ok()?;
    Some((Arc::new(projection), not_null))
}

/// Returns true for columns, literals, comparisons and the like, which have a value for each row.
fn never_fails(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_total = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        binary.op().is_logic_operator() || matches!(binary.op(), Eq | NotEq | Lt | LtEq | Gt | GtEq)
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        *cast.cast_type() == DataType::Float64
            && cast.expr().data_type(schema).is_ok_and(|data_type| data_type.is_integer() || data_type.is_floating())
    } else {
        expr.is::<Column>()
            || expr.is::<Literal>()
            || expr.is::<IsNullExpr>()
            || expr.is::<IsNotNullExpr>()
            || expr.is::<NotExpr>()
    };
    is_total && expr.children().into_iter().all(|child| never_fails(child, schema))
}

/// The rows of a batch of states in which none of these columns is NULL.
fn without_nulls(batch: RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
    let nulls = columns.iter().filter_map(|&column| batch.column(column).logical_nulls());
    let Some(nulls) = nulls.reduce(|left, right| NullBuffer::new(left.inner() & right.inner())) else {
        return Ok(batch);
    };
    Ok(filter_record_batch(&batch, &BooleanArray::new(nulls.into_inner(), None))?)
}

/// A group key as it is encoded: results of distinct strings stay a dictionary array.
fn encoded_key(key: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let dictionary = match key.downcast_ref::<DictionaryEvalExpr>() {
        Some(evaluated) => evaluated.with_dictionary_output()?,
        None => None,
    };
    Ok(match dictionary {
        Some(dictionary) => Arc::new(dictionary),
        None => Arc::clone(key),
    })
}

/// Writes which columns arrive as dictionary arrays: those whose type differs from the one that was planned.
fn fmt_dictionary_columns(planned: &SchemaRef, input: &SchemaRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fields = planned.fields().iter().zip(input.fields());
    let dictionaries = fields.filter(|(planned, input)| planned.data_type() != input.data_type());
    let names: Vec<&str> = dictionaries.map(|(planned, _)| planned.name().as_str()).collect();
    if names.is_empty() { Ok(()) } else { write!(f, ", dictionary=[{}]", names.join(", ")) }
}

/// Casts columns to the types of `schema`.
fn cast_columns_to(schema: &SchemaRef, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let cast_columns =
        columns.iter().zip(schema.fields()).map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => Ok(cast(column, field.data_type())?),
        });
    cast_columns.collect()
}

/// The group keys as a plan shows them.
fn display_keys(aggregate: &AggregateExec) -> String {
    let keys = aggregate.group_expr().expr().iter().map(|(expr, name)| match expr.to_string() {
        expr if expr == *name => expr,
        expr => format!("{expr} as {name}"),
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
                fmt_dictionary_columns(&self.aggregate.input().schema(), &self.input.schema(), f)?;
                let keys = self.aggregate.group_expr().expr();
                let names = self.not_null.iter().filter_map(|&key| Some(keys.get(key)?.1.as_str()));
                match names.collect::<Vec<_>>() {
                    names if names.is_empty() => Ok(()),
                    names => write!(f, ", not_null=[{}]", names.join(", ")),
                }
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
        let planned = cast_plan_to(Arc::clone(&input), &self.aggregate.input().schema())?;
        let aggregate = with_mode(&self.aggregate, AggregateMode::Partial, planned)?;
        Ok(Arc::new(Self::new(aggregate, input, self.not_null.clone(), self.bits)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let aggregation = PartialAggregation {
            groups: Some(GroupStates::new(&self.aggregate, &self.input.schema(), self.bits)?),
            input: self.input.execute(partition, Arc::clone(&context))?,
            aggregate: Arc::clone(&self.aggregate),
            reservation: MemoryConsumer::new(format!("PerfectHashAggregateExec[{partition}]"))
                .with_can_spill(true)
                .register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            context,
        };
        let metrics = aggregation.metrics.clone();
        let parts = stream::try_unfold(Some(aggregation), async |aggregation| match aggregation {
            Some(aggregation) => aggregation.next().await.map(Some),
            None => Ok(None),
        });
        let not_null = self.not_null.clone();
        let batches = parts.try_flatten().map(move |batch| without_nulls(batch?, &not_null));
        let batches = batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
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
        let aggregate = self.aggregate.as_ref().clone();
        Ok(Arc::new(Self::new(aggregate, Arc::clone(&self.input), self.not_null.clone(), self.bits)))
    }
}

/// The aggregation of one input partition.
struct PartialAggregation {
    /// Taken while a batch is processed.
    groups: Option<GroupStates>,
    input: SendableRecordBatchStream,
    aggregate: Arc<AggregateExec>,
    reservation: MemoryReservation,
    metrics: BaselineMetrics,
    context: Arc<TaskContext>,
}

impl PartialAggregation {
    /// The next batches, and the state to continue with; `None` after the last ones.
    async fn next(mut self) -> Result<(Batches, Option<Self>)> {
        let Some(mut groups) = self.groups.take() else { return internal_err!("aggregation was polled after its end") };
        let batch_size = self.context.session_config().batch_size();
        let elapsed = self.metrics.elapsed_compute().clone();
        while let Some(batch) = self.input.try_next().await? {
            let _timer = elapsed.timer();
            if !groups.add(&batch)? {
                // too many groups: the states so far as they are, then DataFusion's partial aggregate for this batch and the rest
                let known = groups.take(batch_size)?;
                self.reservation.free();
                let rest = self.rest(batch)?;
                return Ok((stream::iter(known.into_iter().map(Ok)).chain(rest).boxed(), None));
            }
            if self.reservation.try_resize(groups.size()).is_err() {
                // emit early: the final aggregate merges equal groups
                let known = groups.take(batch_size)?;
                self.reservation.resize(groups.size());
                self.groups = Some(groups);
                return Ok((stream::iter(known.into_iter().map(Ok)).boxed(), Some(self)));
            }
        }
        let known = groups.take(batch_size)?;
        Ok((stream::iter(known.into_iter().map(Ok)).boxed(), None))
    }

    /// DataFusion's partial aggregate over a batch and the rest of the input.
    fn rest(self, batch: RecordBatch) -> Result<Batches> {
        let schema = self.input.schema();
        let batches = stream::once(future::ready(Ok(batch))).chain(self.input).boxed();
        Ok(partial_over(&self.aggregate, schema, batches)?.execute(0, self.context)?.boxed())
    }
}

/// DataFusion's partial aggregate over a stream.
fn partial_over(aggregate: &AggregateExec, schema: SchemaRef, batches: Batches) -> Result<AggregateExec> {
    let input = streaming_exec(Arc::clone(&schema), vec![OnceStream::stream(schema, batches)])?;
    with_mode(aggregate, AggregateMode::Partial, cast_plan_to(Arc::new(input), &aggregate.input().schema())?)
}

/// The groups seen so far, with their accumulators.
struct GroupStates {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    table: GroupTable,
    calls: Vec<AggregateCall>,
    schema: SchemaRef,
    /// The group index of each row of the current batch; kept for its allocation.
    group_indices: Vec<usize>,
}

impl GroupStates {
    /// No groups yet. `schema` is that of the input.
    fn new(aggregate: &AggregateExec, schema: &SchemaRef, bits: usize) -> Result<Self> {
        let keys = aggregate.group_expr().expr().iter().map(|(key, _)| encoded_key(key));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let types = keys.iter().map(|key| key.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let Some(table) = GroupTable::new(&types, bits) else {
            return internal_err!("group keys that cannot be encoded: {types:?}");
        };
        Ok(Self {
            keys,
            table,
            calls: AggregateCall::all(aggregate)?,
            schema: aggregate.schema(),
            group_indices: vec![],
        })
    }

    /// Accumulates a batch. Returns false, without having accumulated any row, if there are too many distinct keys.
    fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        let keys = evaluate_expressions_to_arrays(&self.keys, batch)?;
        if !self.table.intern(&keys, &mut self.group_indices)? {
            return Ok(false);
        }
        for call in &mut self.calls {
            call.update(batch, &self.group_indices, self.table.len())?;
        }
        Ok(true)
    }

    /// Bytes allocated, approximately.
    fn size(&self) -> usize {
        let calls: usize = self.calls.iter().map(|call| call.state.size()).sum();
        calls + self.table.size()
    }

    /// Emits the keys and states of all groups and removes the groups.
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

/// A projection that casts the columns of a plan to the types of `schema`; the plan itself where they are equal. A cast from a
/// dictionary array to strings unpacks it.
fn cast_plan_to(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let input = plan.schema();
    if input.fields().iter().zip(schema.fields()).all(|(input, output)| input.data_type() == output.data_type()) {
        return Ok(plan);
    }
    let columns = input.fields().iter().zip(schema.fields()).enumerate().map(|(index, (input, output))| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(input.name(), index));
        let column = match input.data_type() == output.data_type() {
            true => column,
            false => Arc::new(CastExpr::new(column, output.data_type().clone(), None)),
        };
        ProjectionExpr::new(column, output.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
}
