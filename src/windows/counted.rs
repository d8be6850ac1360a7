//! Rows of which equal ones are counted, and GROUP BY over them.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, Literal, case, lit};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use super::TwoPassWindowExec;
use super::two_pass::Known;
use crate::groups::{Batches, DistinctSetsExec};
use crate::plans::{picked, replaced};

/// The plan, in which aggregates take counted rows wherever what is below can give them.
///
/// # Errors
/// None for plans of the engine.
pub(crate) fn with_counted_rows(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    replaced(plan, |plan| Ok(counted(plan)?.map(|aggregate| Arc::new(aggregate) as _)))
}

/// The first aggregate of a plan over counted rows, if its functions can do with them; `None` otherwise.
///
/// What the functions would have kept of one row follows from the row and from how many there are of its kind: that is
/// projected, and the aggregate brings it together.
///
/// # Errors
/// None for plans of the engine.
fn counted(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<AggregateExec>> {
    let Some(first) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let is_plain = *first.mode() == AggregateMode::Partial
        && *first.input_order_mode() == InputOrderMode::Linear
        && first.group_expr().is_single()
        && first.limit_options().is_none();
    if !is_plain {
        return Ok(None);
    }
    let keys = first.group_expr().expr().iter().map(|(expr, _)| Arc::clone(expr));
    let calls = first.aggr_expr().iter().zip(first.filter_expr());
    let states: Option<Vec<Kept>> = calls.map(|(call, filter)| Kept::new(call, filter.as_ref())).collect();
    let Some(states) = states else { return Ok(None) };
    let needed = keys.clone().chain(states.iter().flat_map(Kept::needed)).flat_map(|expr| columns_of(&expr)).collect();
    let Some((input, row_count)) = counted_rows(first.input(), &needed)? else { return Ok(None) };
    let states = states.into_iter().map(|kept| kept.of_one_row(&row_count)).collect::<Result<Vec<_>>>()?;
    let exprs: Vec<Arc<dyn PhysicalExpr>> = keys.chain(states).collect();
    let (schema, given) = (first.schema(), input.schema());
    let mut columns = Vec::with_capacity(exprs.len());
    for (expr, field) in exprs.into_iter().zip(schema.fields()) {
        if is_volatile(&expr) || &expr.data_type(&given)? != field.data_type() {
            return Ok(None);
        }
        columns.push(ProjectionExpr::new(expr, field.name().clone()));
    }
    if columns.len() != schema.fields().len() {
        return Ok(None);
    }
    let input = Arc::new(ProjectionExec::try_new(columns, input)?);
    AggregateExec::try_new(
        AggregateMode::PartialReduce,
        first.group_expr().as_final(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        input,
        first.input_schema(),
    )
    .map(Some)
}

/// The rows of a plan, each kind once, and the column that says how many there are. Of columns that are not needed it is only
/// known whether they are NULL.
fn counted_rows(
    plan: &Arc<dyn ExecutionPlan>,
    needed: &BTreeSet<usize>,
) -> Result<Option<(Arc<dyn ExecutionPlan>, Column)>> {
    if let Some(sets) = plan.downcast_ref::<DistinctSetsExec>() {
        let Some(sets) = sets.counted(needed) else { return Ok(None) };
        let row_count = last_column(&sets);
        return Ok(Some((Arc::new(sets), row_count)));
    }
    if let Some(windows) = plan.downcast_ref::<TwoPassWindowExec>() {
        let Some(windows) = windows.counted()? else { return Ok(None) };
        let row_count = last_column(&windows);
        return Ok(Some((Arc::new(windows), row_count)));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        if projection.expr().iter().any(|column| is_volatile(&column.expr)) {
            return Ok(None);
        }
        let exprs = projection.expr().iter().enumerate();
        let exprs = exprs.filter(|(place, column)| needed.contains(place) || !column.expr.is::<Column>());
        let needed = exprs.flat_map(|(_, column)| columns_of(&column.expr)).collect();
        let Some((input, row_count)) = counted_rows(projection.input(), &needed)? else { return Ok(None) };
        let name = row_count.name().to_string();
        let columns = projection.expr().iter().cloned().chain([ProjectionExpr::new(Arc::new(row_count), name)]);
        let projection = ProjectionExec::try_new(columns.collect::<Vec<_>>(), input)?;
        let row_count = last_column(&projection);
        return Ok(Some((Arc::new(projection), row_count)));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        if is_volatile(filter.predicate()) || filter.fetch().is_some() {
            return Ok(None);
        }
        let place = |&place: &usize| picked(filter.projection().as_deref(), place);
        let needed = needed.iter().map(place).chain(columns_of(filter.predicate())).collect();
        let Some((input, row_count)) = counted_rows(filter.input(), &needed)? else { return Ok(None) };
        let columns = filter.projection().as_ref().map(|columns| columns.iter().copied().chain([row_count.index()]));
        let filter = FilterExecBuilder::new(Arc::clone(filter.predicate()), input)
            .apply_projection(columns.map(Iterator::collect))?
            .with_default_selectivity(filter.default_selectivity())
            .with_batch_size(filter.batch_size())
            .build()?;
        let row_count = last_column(&filter);
        return Ok(Some((Arc::new(filter), row_count)));
    }
    Ok(None)
}

fn columns_of(expr: &Arc<dyn PhysicalExpr>) -> impl Iterator<Item = usize> + use<> {
    collect_columns(expr).into_iter().map(|column| column.index())
}

fn last_column(plan: &impl ExecutionPlan) -> Column {
    let schema = plan.schema();
    let place = schema.fields().len().saturating_sub(1);
    Column::new(schema.fields().last().map_or("", |field| field.name()), place)
}

/// What a function keeps of a row.
enum Kept {
    /// How many rows there are where a condition holds and these are not NULL.
    Count(Option<Arc<dyn PhysicalExpr>>, Vec<Arc<dyn PhysicalExpr>>),
    /// The value itself, where this holds.
    Value(Arc<dyn PhysicalExpr>, Option<Arc<dyn PhysicalExpr>>),
}

impl Kept {
    /// `None` if the function keeps something else, or minds how often it sees a value.
    fn new(call: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>) -> Option<Self> {
        if call.is_distinct() || !call.order_bys().is_empty() {
            return None;
        }
        let inner = call.fun().inner();
        let filter = filter.cloned();
        if inner.is::<Count>() {
            let args = call.expressions().into_iter().filter(|arg| !is_known(arg));
            return Some(Self::Count(filter, args.collect()));
        }
        match call.expressions().as_slice() {
            [value] if inner.is::<Min>() || inner.is::<Max>() => Some(Self::Value(Arc::clone(value), filter)),
            _ => None,
        }
    }

    /// The expressions whose values it needs; of columns that are only counted it is enough whether they are NULL.
    fn needed(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        match self {
            Self::Count(condition, args) => {
                condition.iter().chain(args.iter().filter(|arg| !arg.is::<Column>())).cloned().collect()
            }
            Self::Value(value, condition) => condition.iter().chain([value]).cloned().collect(),
        }
    }

    /// What it keeps of a row that stands for `row_count` equal ones.
    fn of_one_row(self, row_count: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        match self {
            Self::Count(condition, args) => {
                let known = args.into_iter().map(|arg| Arc::new(IsNotNullExpr::new(arg)) as Arc<dyn PhysicalExpr>);
                let and = |left, right| Arc::new(BinaryExpr::new(left, Operator::And, right)) as Arc<dyn PhysicalExpr>;
                let condition = condition.into_iter().chain(known).reduce(and);
                where_it_holds(condition, Arc::new(row_count.clone()), Some(lit(0_i64)))
            }
            Self::Value(value, condition) => where_it_holds(condition, value, None),
        }
    }
}

/// Whether an expression is a value other than NULL.
fn is_known(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null())
}

fn where_it_holds(
    condition: Option<Arc<dyn PhysicalExpr>>,
    value: Arc<dyn PhysicalExpr>,
    other: Option<Arc<dyn PhysicalExpr>>,
) -> Result<Arc<dyn PhysicalExpr>> {
    match condition {
        Some(condition) => case(None, vec![(condition, value)], other),
        None => Ok(value),
    }
}

/// The columns of counted rows.
pub(crate) fn counted_schema(schema: &SchemaRef) -> SchemaRef {
    let count = Arc::new(Field::new("row_count", DataType::Int64, false));
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([count]).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Rows of which each stands for itself alone.
pub(crate) fn counted_once(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let ones: ArrayRef = Arc::new(Int64Array::from_value(1, batch.num_rows()));
    Ok(RecordBatch::try_new(Arc::clone(schema), batch.columns().iter().cloned().chain([ones]).collect())?)
}

/// Counted rows of one output, which shares the partitions of the windows with the others in turn.
pub(super) struct Counted {
    pub(super) known: Arc<Option<Known>>,
    pub(super) partition: usize,
    pub(super) partition_count: usize,
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) schema: SchemaRef,
    pub(super) metrics: BaselineMetrics,
}

impl Counted {
    /// # Errors
    /// There is no first pass that counted.
    pub(super) fn batches(self, batch_size: usize) -> Result<Batches> {
        let Some(Known { table, .. }) = self.known.as_ref() else { return internal_err!("rows without a first pass") };
        // one row for each partition
        let mut keys = vec![];
        for (expr, key) in self.keys.iter().zip(table.keys()?) {
            let Some(column) = expr.downcast_ref::<Column>() else { return internal_err!("{expr} is no column") };
            let key = cast(&key, self.schema.field(column.index()).data_type())?;
            keys.push((column.index(), key));
        }
        let groups = (self.partition..table.len()).step_by(self.partition_count.max(1));
        let batches = stream::iter(groups).then(move |group| {
            let rows = self.rows(group, &keys);
            async move {
                // however many partitions there are, others have their turns
                tokio::task::yield_now().await;
                let rows = rows?;
                let starts = (0..rows.num_rows()).step_by(batch_size.max(1));
                let slices = starts.map(move |start| Ok(rows.slice(start, batch_size.min(rows.num_rows() - start))));
                Ok::<_, DataFusionError>(stream::iter(slices))
            }
        });
        Ok(batches.try_flatten().boxed())
    }

    /// The rows of one partition of the windows that differ. `keys` has those of all partitions, each with its column.
    fn rows(&self, group: usize, keys: &[(usize, ArrayRef)]) -> Result<RecordBatch> {
        let Some(Known { scales, counts: Some((counts, _)), .. }) = self.known.as_ref() else {
            return internal_err!("rows that are not counted");
        };
        let _timer = self.metrics.elapsed_compute().timer();
        let (values, row_counts): (Vec<Option<i64>>, Vec<i64>) =
            counts.counts(group).map(|(value, count)| (value, count as i64)).unzip();
        self.metrics.record_output(values.len());
        let of_group = UInt32Array::from_value(group as u32, values.len());
        let scores = scales.iter().map(|scales| -> ArrayRef {
            let scale = scales.get(group).copied().flatten();
            let score = |value: &Option<i64>| value.zip(scale).map(|(value, scale)| scale.score(value as f64));
            Arc::new(values.iter().map(score).collect::<Float64Array>())
        });
        let last: Vec<ArrayRef> = scores.chain([Arc::new(Int64Array::from(row_counts)) as ArrayRef]).collect();
        let values: ArrayRef = Arc::new(Int64Array::from(values));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (place, field) in self.schema.fields().iter().take(self.schema.fields().len() - last.len()).enumerate() {
            // what is no key is the column of values
            columns.push(match keys.iter().find(|(known, _)| *known == place) {
                Some((_, key)) => take(key, &of_group, None)?,
                None => cast(&values, field.data_type())?,
            });
        }
        columns.extend(last);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
