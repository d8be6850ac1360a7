//! [`UnpartitionedWindowExec`]: window functions without PARTITION BY, without moving the rows.
//!
//! DataFusion sorts all rows once per ORDER BY clause and evaluates the functions in one thread. This operator buffers the
//! batches as they are, sorts row numbers by the order keys in parallel (`total_order.rs`), evaluates each function, and appends
//! the results to the batches. The clauses of a chain of windows are sorted side by side.
//!
//! ```text
//!  input partitions     buffered              row numbers         results
//!  +---------+         +---------+   sort    +-----------+       +---------+      output partitions
//!  | batches | ------> | batches | --------> | by amount | ----> | ntile   | --+    +---------+
//!  +---------+         |         |           +-----------+       +---------+   +--> | batches |  input columns and results
//!  +---------+         |         |           +-----------+       +---------+   |    +---------+
//!  | batches | ------> |         | --------> | by orders | ----> | rank    | --+
//!  +---------+         +---------+           +-----------+       +---------+
//! ```
//!
//! `rank() over (order by amount desc)`:
//!
//! ```text
//!  customer  amount          customer  amount  rank
//!  a         20              a         20      2
//!  b         30         ->   b         30      1       rows stay where they are; no order is claimed
//!  c         20              c         20      2
//! ```
//!
//! # When it is chosen
//!
//! The rule `unpartitioned_window` takes a chain of windows, with projections of plain columns between them, if `WindowCall`
//! supports every function, and no order of the chain is of use above or there below
//! ([`UnpartitionedWindowExec::is_better_sorted`]). Functions that need the result of another window stay above in an operator of
//! their own.
//!
//! # Memory
//!
//! Batches are reserved as they arrive, with what sorting and the results of their rows will take. Nothing is spilled here: when
//! memory is short, what is buffered and the rest of the input go to DataFusion's windows, over sorts that spill, as planned
//! without this operator (`stock` is that plan).
//!
//! Switch: `cxql.engine.unpartitioned_window`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, UInt32Array, new_empty_array,
};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::runtime::{JoinSet, SpawnedTask};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, Time};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::accounted::AccountedWindowExec;
use super::bucket::buffered_type;
use super::buffer::bytes;
use super::functions::{Partitions, WindowCall};
use super::sort::Peers;
use super::total_order::{SortColumn, total_order};
use crate::aggregate::{Batches, OnceStream, streaming_exec};
use crate::exec_util::{OnceAsync, OnceFut, join_all, join_error, single_child};
use crate::optimizer::hash_window_agg::windows_of;

/// Bytes per row while one clause is sorted and evaluated: entries twice, row numbers, starts and ranges of peers.
const SORT_BYTES: usize = 2 * size_of::<u128>() + 2 * size_of::<u32>() + 1 + size_of::<(u32, u32)>();
/// Bytes of a value of an order key or an argument, with its sort key.
const COLUMN_BYTES: usize = size_of::<u128>() + size_of::<u64>();
/// Bytes of a result, in sorted order and in that of the rows.
const RESULT_BYTES: usize = 2 * size_of::<u64>();

/// Where an output column comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    /// A column of the input.
    Input(usize),
    /// The result of a function.
    Result(usize),
}

/// The functions of a chain of windows, over the input of the lowest.
#[derive(Debug)]
struct WindowChain {
    calls: Vec<WindowCall>,
    names: Vec<String>,
    output: Vec<Source>,
    schema: SchemaRef,
}

/// A chain that is being resolved, from its input upwards.
struct ResolvedChain {
    input: Arc<dyn ExecutionPlan>,
    /// The number of operators.
    depth: usize,
    calls: Vec<WindowCall>,
    names: Vec<String>,
    output: Vec<Source>,
}

/// See the page of this module.
#[derive(Debug)]
pub struct UnpartitionedWindowExec {
    input: Arc<dyn ExecutionPlan>,
    chain: Arc<WindowChain>,
    /// The operators that this one replaces, of which the lowest has another input.
    stock: Arc<dyn ExecutionPlan>,
    /// The number of these operators.
    depth: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: OnceAsync<Evaluated>,
}

/// The chain of windows at the top of a plan; `None` if there is none.
fn resolve(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<ResolvedChain>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns = projection.expr().iter().map(|column| Some(column.expr.downcast_ref::<Column>()?.index()));
        let (Some(columns), Some(mut chain)) = (columns.collect::<Option<Vec<_>>>(), resolve(projection.input())?)
        else {
            return Ok(None);
        };
        chain.output = columns.into_iter().filter_map(|column| chain.output.get(column).copied()).collect();
        chain.depth += 1;
        return Ok(Some(chain));
    }
    let Some((windows, input)) = windows_of(plan) else { return Ok(None) };
    let schema = input.schema();
    let calls: std::result::Result<Vec<_>, _> = windows.iter().map(|window| WindowCall::new(window, &schema)).collect();
    let is_supported = windows.iter().all(|window| window.partition_by().is_empty());
    let (Ok(calls), true, false) = (calls, is_supported, input.boundedness().is_unbounded()) else { return Ok(None) };
    let names: Vec<String> = windows.iter().map(|window| window.name().to_string()).collect();
    let width = schema.fields().len();
    let chain = resolve(input)?.filter(|chain| calls.iter().all(|call| needs_no_result(call, &chain.output)));
    let mut chain = chain.unwrap_or_else(|| ResolvedChain {
        input: Arc::clone(input),
        depth: 0,
        calls: vec![],
        names: vec![],
        output: (0..width).map(Source::Input).collect(),
    });
    for call in calls {
        let call = call.over(|expr| over_input(expr, &chain.output))?;
        chain.output.push(Source::Result(chain.calls.len()));
        chain.calls.push(call);
    }
    chain.names.extend(names);
    chain.depth += 1;
    Ok(Some(chain))
}

/// Returns true if a function reads no result of the windows below.
fn needs_no_result(call: &WindowCall, columns: &[Source]) -> bool {
    let mut exprs = call.args.iter().chain(call.order_by.iter().map(|sort| &sort.expr));
    exprs.all(|expr| over_input(expr, columns).is_ok())
}

/// An expression over the output of some windows as one over their input.
fn over_input(expr: &Arc<dyn PhysicalExpr>, columns: &[Source]) -> Result<Arc<dyn PhysicalExpr>> {
    let expr = Arc::clone(expr).transform(|expr| match expr.downcast_ref::<Column>() {
        Some(column) => match columns.get(column.index()) {
            Some(Source::Input(index)) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), *index)) as _)),
            _ => internal_err!("{column} is the result of a window"),
        },
        None => Ok(Transformed::no(expr)),
    })?;
    Ok(expr.data)
}

impl UnpartitionedWindowExec {
    /// The operator in place of the chain of windows at the top of a plan; `None` if there is none that is supported.
    pub(crate) fn try_over(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        if windows_of(plan).is_none() {
            return Ok(None);
        }
        Ok(resolve(plan)?.map(|resolved| {
            let ResolvedChain { input, depth, calls, names, output } = resolved;
            let chain = WindowChain { calls, names, output, schema: plan.schema() };
            Self::new(input, Arc::new(chain), Arc::clone(plan), depth)
        }))
    }

    fn new(
        input: Arc<dyn ExecutionPlan>,
        chain: Arc<WindowChain>,
        stock: Arc<dyn ExecutionPlan>,
        depth: usize,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&chain.schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            input.boundedness(),
        );
        Self {
            input,
            chain,
            stock,
            depth,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            run: OnceAsync::default(),
        }
    }

    /// The input.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Returns true if DataFusion's plan is better: there is one ORDER BY, and the input has that order or an operator above may
    /// profit from it.
    pub(crate) fn is_better_sorted(&self, is_order_useful: bool) -> bool {
        let orders = self.chain.orders();
        let mut orders = orders.iter().filter(|order| !order.is_empty());
        match (orders.next(), orders.next()) {
            (Some(order), None) => {
                let is_sorted = self.input.equivalence_properties().ordering_satisfy(order.to_vec());
                is_order_useful || is_sorted.unwrap_or(false)
            }
            _ => false,
        }
    }

    /// Buffering and evaluating all rows; started by the first output partition that is polled, shared by all.
    fn run(&self, context: &Arc<TaskContext>, elapsed: &Time) -> Result<OnceFut<Evaluated>> {
        let count = self.input.output_partitioning().partition_count();
        self.run.run(count, || {
            let inputs = (0..count).map(|partition| self.input.execute(partition, Arc::clone(context)));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let consumer = MemoryConsumer::new("UnpartitionedWindowExec").with_can_spill(true);
            let reservation = Arc::new(consumer.register(context.memory_pool()));
            let (chain, stock) = (Arc::clone(&self.chain), Arc::clone(&self.stock));
            let (depth, schema, elapsed) = (self.depth, self.input.schema(), elapsed.clone());
            let batch_size = context.session_config().batch_size().max(1);
            let concurrency = context.session_config().target_partitions().max(1);
            let run = async move {
                let row_bytes = chain.row_bytes(concurrency);
                let inputs = buffer_inputs(inputs, row_bytes, &reservation).await?;
                if inputs.iter().all(|input| input.rest.is_none()) {
                    let _timer = elapsed.timer();
                    let rows = evaluate(chain, inputs, reservation, batch_size, concurrency).await?;
                    return Ok(Evaluated::Rows(Arc::new(rows)));
                }
                let batches = released(inputs, reservation);
                let leaf = streaming_exec(Arc::clone(&schema), vec![OnceStream::stream(schema, batches)])?;
                Ok(Evaluated::Stock(stock_over(&stock, depth, Arc::new(leaf))?))
            };
            Ok(run.boxed())
        })
    }
}

impl WindowChain {
    /// The distinct ORDER BY clauses; functions that do not depend on the order have the empty one.
    fn orders(&self) -> Vec<&[PhysicalSortExpr]> {
        let mut orders: Vec<&[PhysicalSortExpr]> = vec![];
        for order in self.calls.iter().map(order_of) {
            if !orders.contains(&order) {
                orders.push(order);
            }
        }
        orders
    }

    /// The memory of evaluating one row, when so many clauses are evaluated side by side.
    fn row_bytes(&self, concurrency: usize) -> usize {
        let exprs: usize = self.calls.iter().map(|call| call.args.len() + call.order_by.len()).sum();
        let orders = self.orders().len().min(concurrency);
        orders * SORT_BYTES + exprs * COLUMN_BYTES + self.calls.len() * RESULT_BYTES
    }
}

/// The ORDER BY clause of a function.
fn order_of(call: &WindowCall) -> &[PhysicalSortExpr] {
    if call.is_order_free() { &[] } else { &call.order_by }
}

/// The buffered batches of an input partition, with the memory that is reserved for each.
struct BufferedInput {
    batches: Vec<(RecordBatch, usize)>,
    /// What was not read, since memory was short.
    rest: Option<SendableRecordBatchStream>,
}

/// Reads all inputs concurrently, until memory is short.
async fn buffer_inputs(
    inputs: Vec<SendableRecordBatchStream>,
    row_bytes: usize,
    reservation: &Arc<MemoryReservation>,
) -> Result<Vec<BufferedInput>> {
    let (is_short, row_count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for (index, mut input) in inputs.into_iter().enumerate() {
        let (is_short, row_count) = (Arc::clone(&is_short), Arc::clone(&row_count));
        let reservation = Arc::clone(reservation);
        tasks.spawn(async move {
            let mut seen = HashSet::new();
            let mut batches = vec![];
            while let Some(batch) = input.try_next().await? {
                let columns: usize = batch.columns().iter().map(|column| bytes(column, &mut seen)).sum();
                let rows = row_count.fetch_add(batch.num_rows(), Ordering::Relaxed) + batch.num_rows();
                // row numbers have 32 bits
                let is_over =
                    rows >= u32::MAX as usize || reservation.try_grow(columns + batch.num_rows() * row_bytes).is_err();
                batches.push((batch, if is_over { 0 } else { columns }));
                if is_over {
                    is_short.store(true, Ordering::Relaxed);
                }
                if is_short.load(Ordering::Relaxed) {
                    return Ok((index, BufferedInput { batches, rest: Some(input) }));
                }
            }
            Ok((index, BufferedInput { batches, rest: None }))
        });
    }
    let mut inputs = join_all(&mut tasks).await?;
    inputs.sort_unstable_by_key(|(index, _)| *index);
    Ok(inputs.into_iter().map(|(_, input)| input).collect())
}

/// All rows, of which the buffered ones are released as they are read.
fn released(inputs: Vec<BufferedInput>, reservation: Arc<MemoryReservation>) -> Batches {
    let bytes = |input: &BufferedInput| input.batches.iter().map(|(_, bytes)| bytes).sum::<usize>();
    reservation.resize(inputs.iter().map(bytes).sum());
    let streams = inputs.into_iter().map(|input| {
        let reservation = Arc::clone(&reservation);
        let batches = input.batches.into_iter().map(move |(batch, bytes)| {
            reservation.shrink(bytes);
            Ok(batch)
        });
        stream::iter(batches).chain(stream::iter(input.rest).flatten()).boxed()
    });
    stream::select_all(streams.collect::<Vec<_>>()).boxed()
}

/// DataFusion's plan of a chain of so many operators, over one partition.
fn stock_over(
    plan: &Arc<dyn ExecutionPlan>,
    depth: usize,
    leaf: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if depth == 0 {
        return Ok(leaf);
    }
    let Some(input) = plan.children().into_iter().next() else { return internal_err!("{} has no input", plan.name()) };
    let mut input = stock_over(input, depth - 1, leaf)?;
    if let Some(window) = windows_of(plan).and_then(|(windows, _)| windows.first())
        && let Some(order) = LexOrdering::new(window.order_by().to_vec())
    {
        input = Arc::new(SortExec::new(order, input));
    }
    let plan = Arc::clone(plan)
        .replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))?;
    Ok(match plan.downcast_ref::<WindowAggExec>() {
        Some(_) => Arc::new(AccountedWindowExec::new(plan)),
        None => plan,
    })
}

/// What the output partitions share.
enum Evaluated {
    Rows(Arc<EvaluatedRows>),
    /// DataFusion's plan over all rows, for the first output partition.
    Stock(Arc<dyn ExecutionPlan>),
}

/// All rows with their results, from which the output partitions take batch by batch.
struct EvaluatedRows {
    chain: Arc<WindowChain>,
    /// Batches with the number of their first row.
    batches: Vec<(RecordBatch, usize)>,
    results: Vec<ArrayRef>,
    /// Index of the next batch.
    next: AtomicUsize,
    /// The memory of the batches and results.
    _reservation: Arc<MemoryReservation>,
}

impl EvaluatedRows {
    /// The next batch with its results; `None` after the last.
    fn next(&self) -> Option<Result<RecordBatch>> {
        let (batch, start) = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        let columns = self.chain.output.iter().map(|source| match source {
            Source::Input(column) => Arc::clone(batch.column(*column)),
            Source::Result(call) => self.results[*call].slice(*start, batch.num_rows()),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.chain.schema), columns.collect(), &options);
        Some(batch.map_err(DataFusionError::from))
    }
}

/// Evaluates all functions over all rows.
async fn evaluate(
    chain: Arc<WindowChain>,
    inputs: Vec<BufferedInput>,
    reservation: Arc<MemoryReservation>,
    batch_size: usize,
    concurrency: usize,
) -> Result<EvaluatedRows> {
    let (mut batches, mut rows, mut kept_bytes) = (vec![], 0, 0);
    for (batch, bytes) in inputs.into_iter().flat_map(|input| input.batches) {
        for start in (0..batch.num_rows()).step_by(batch_size) {
            let slice = batch.slice(start, batch_size.min(batch.num_rows() - start));
            let count = slice.num_rows();
            batches.push((slice, rows));
            rows += count;
        }
        kept_bytes += bytes;
    }
    let batches: Arc<Vec<(RecordBatch, usize)>> = Arc::new(batches);
    let orders = chain.orders().into_iter().map(<[PhysicalSortExpr]>::to_vec).collect::<Vec<_>>();
    let tasks = orders.into_iter().map(|order| {
        let (chain, batches) = (Arc::clone(&chain), Arc::clone(&batches));
        async move { SpawnedTask::spawn(evaluate_order(chain, batches, order, rows)).await.map_err(join_error)? }
    });
    let mut results: Vec<(usize, ArrayRef)> = stream::iter(tasks)
        .buffer_unordered(concurrency)
        .try_collect::<Vec<_>>()
        .await?
        .into_iter()
        .flatten()
        .collect();
    results.sort_unstable_by_key(|(call, _)| *call);
    let results: Vec<ArrayRef> = results.into_iter().map(|(_, result)| result).collect();
    kept_bytes += results.iter().map(|result| result.get_array_memory_size()).sum::<usize>();
    reservation.resize(kept_bytes);
    let batches = Arc::unwrap_or_clone(batches);
    Ok(EvaluatedRows { chain, batches, results, next: AtomicUsize::new(0), _reservation: reservation })
}

/// One column of all batches.
fn column_of(expr: &Arc<dyn PhysicalExpr>, batches: &[(RecordBatch, usize)], schema: &Schema) -> Result<ArrayRef> {
    let buffered = buffered_type(&expr.data_type(schema)?);
    let parts = batches.iter().map(|(batch, _)| {
        let values = expr.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(if values.data_type() == &buffered { values } else { cast(&values, &buffered)? })
    });
    let parts = parts.collect::<Result<Vec<ArrayRef>>>()?;
    if parts.is_empty() {
        return Ok(new_empty_array(&buffered));
    }
    Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
}

/// The results of all functions with this ORDER BY clause, with the indices of the functions.
async fn evaluate_order(
    chain: Arc<WindowChain>,
    batches: Arc<Vec<(RecordBatch, usize)>>,
    order_by: Vec<PhysicalSortExpr>,
    rows: usize,
) -> Result<Vec<(usize, ArrayRef)>> {
    let schema = match batches.first() {
        Some((batch, _)) => batch.schema(),
        None => Arc::clone(&chain.schema),
    };
    let calls = chain.calls.iter().enumerate().filter(|(_, call)| order_of(call) == order_by);
    let calls: Vec<(usize, &WindowCall)> = calls.collect();
    if batches.is_empty() {
        return Ok(calls.into_iter().map(|(index, call)| (index, new_empty_array(call.field.data_type()))).collect());
    }
    let columns = order_by.iter().map(|sort| SortColumn::new(&column_of(&sort.expr, &batches, &schema)?, sort.options));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let order = total_order(Arc::new(columns), rows as u32).await?;
    let peers = match calls.iter().any(|(_, call)| call.needs_peers()) || order_by.is_empty() {
        true => order.peers(),
        false => Peers::None,
    };
    let order = order.rows;
    let partitions = Partitions { bounds: &[0, rows], peers: &peers };
    let is_identity = order.iter().enumerate().all(|(index, row)| index == *row as usize);
    let order = UInt32Array::from(order);
    let mut results = Vec::with_capacity(calls.len());
    for (index, call) in calls {
        let args = call.args.iter().map(|arg| {
            let values = column_of(arg, &batches, &schema)?;
            Ok(if is_identity { values } else { take(&values, &order, None)? })
        });
        let result = call.evaluate(&args.collect::<Result<Vec<_>>>()?, &partitions)?;
        let expected = call.field.data_type();
        let result = if result.data_type() == expected { result } else { cast(&result, expected)? };
        results.push((index, if is_identity { result } else { in_row_order(&result, order.values())? }));
    }
    Ok(results)
}

/// Results of sorted rows, at the numbers of these rows.
fn in_row_order(sorted: &ArrayRef, order: &[u32]) -> Result<ArrayRef> {
    fn scattered<T: ArrowPrimitiveType>(sorted: &ArrayRef, order: &[u32]) -> ArrayRef {
        let mut values = vec![T::default_value(); order.len()];
        for (value, &row) in sorted.as_primitive::<T>().values().iter().zip(order) {
            values[row as usize] = *value;
        }
        Arc::new(PrimitiveArray::<T>::new(values.into(), None))
    }
    match sorted.data_type() {
        DataType::Int64 if sorted.null_count() == 0 => Ok(scattered::<Int64Type>(sorted, order)),
        DataType::Float64 if sorted.null_count() == 0 => Ok(scattered::<Float64Type>(sorted, order)),
        _ => {
            let mut positions = vec![0; order.len()];
            for (position, &row) in (0..).zip(order) {
                positions[row as usize] = position;
            }
            Ok(take(sorted, &UInt32Array::from(positions), None)?)
        }
    }
}

impl DisplayAs for UnpartitionedWindowExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.chain.names.join(", ");
        let sorts = self.chain.orders().iter().filter(|order| !order.is_empty()).count();
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "UnpartitionedWindowExec: windows=[{names}], sorts={sorts}")
            }
            DisplayFormatType::TreeRender => writeln!(f, "select_list={names}\nsorts={sorts}"),
        }
    }
}

impl ExecutionPlan for UnpartitionedWindowExec {
    fn name(&self) -> &'static str {
        "UnpartitionedWindowExec"
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
        let expressions = self.chain.calls.iter().flat_map(|call| {
            let order_by = call.order_by.iter().map(|sort| Arc::clone(&sort.expr));
            call.args.iter().cloned().chain(order_by)
        });
        apply_expression_roots(expressions, f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = single_child(self.as_ref(), children)?;
        Ok(Arc::new(Self::new(input, Arc::clone(&self.chain), Arc::clone(&self.stock), self.depth)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let run = self.run(&context, metrics.elapsed_compute())?;
        let output = async move {
            let evaluated = run.await.map_err(DataFusionError::Shared)?;
            Ok::<_, DataFusionError>(match evaluated.as_ref() {
                Evaluated::Rows(rows) => {
                    let rows = Arc::clone(rows);
                    stream::iter(std::iter::from_fn(move || rows.next())).boxed()
                }
                Evaluated::Stock(stock) if partition == 0 => stock.execute(0, context)?.boxed(),
                Evaluated::Stock(_) => stream::empty().boxed(),
            })
        };
        let output = stream::once(output).try_flatten();
        let output = output.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), output)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let (input, chain, stock) = (Arc::clone(&self.input), Arc::clone(&self.chain), Arc::clone(&self.stock));
        Ok(Arc::new(Self::new(input, chain, stock, self.depth)))
    }
}
