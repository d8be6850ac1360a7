//! SELECT DISTINCT over a key with many values and one with few, as customers and months.
//!
//! The engine has a group for each pair, and its table of all pairs lies far from the processor. Here a group is a value of
//! the many, and the few it occurs with are bits: an order of magnitude fewer groups.

mod members;
mod reading;
mod shards;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType};
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, SpillMetrics,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning, PlanProperties,
    SpillManager,
};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use self::members::{Sets, all_given};
use self::reading::{Reading, Shared, settled};
use self::shards::Shards;
use super::table::Table;
use super::{Batches, CodeGroups, Rest, first_of, over, shown_keys, streamed, two_aggregates};
use crate::plans::{only_input, replaced};
use crate::windows::{
    GroupedWindowExec, Pending, Run, all, brought_together, counted_once, counted_schema, with_counted_rows,
};

/// Puts [`DistinctSetsExec`] in place of the engine's two aggregates of a SELECT DISTINCT over several columns. Those over windows
/// have an operator already by then.
#[derive(Debug)]
pub struct CollectSets;

impl PhysicalOptimizerRule for CollectSets {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut has_sets = false;
        let collected = replaced(plan, |plan| {
            let Some((first, last)) = pairs(plan) else { return Ok(None) };
            has_sets = true;
            let sets = DistinctSetsExec::new(Arc::new(first.clone()), Arc::new(last.clone()), None, None);
            Ok(Some(Arc::new(sets)))
        })?;
        match has_sets {
            true => with_counted_rows(brought_together(collected)?),
            false => Ok(collected),
        }
    }

    fn name(&self) -> &str {
        "collect_sets"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first and the last aggregate of a plan that tells which rows there are.
fn pairs(plan: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, &AggregateExec)> {
    let (first, last) = two_aggregates(plan)?;
    let schema = first.input().schema();
    let keys = first.group_expr();
    let may_be_few =
        |key: &Arc<dyn PhysicalExpr>| key.data_type(&schema).is_ok_and(|kind| Table::new(&[kind]).is_some());
    let is_known = [last, first].iter().all(|aggregate| aggregate.aggr_expr().is_empty())
        && *first.input_order_mode() == InputOrderMode::Linear
        && keys.expr().len() > 1
        && keys.expr().iter().any(|(key, _)| may_be_few(key))
        && !first.input().boundedness().is_unbounded();
    is_known.then_some((first, last))
}

/// The different rows of several columns.
///
/// Where some columns have few values, those of the others are the groups, and each has the set of the few that it occurs
/// with. Where none or all have few, or they become many, the engine's own operators do the work.
#[derive(Debug)]
pub struct DistinctSetsExec {
    first: Arc<AggregateExec>,
    last: Arc<AggregateExec>,
    /// The columns whose equal rows must be given together.
    together: Option<BTreeSet<usize>>,
    /// Whether rows are counted: the columns that are needed, of the others it is enough whether they are NULL.
    needed: Option<BTreeSet<usize>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: Pending<Outcome>,
}

impl DistinctSetsExec {
    fn new(
        first: Arc<AggregateExec>,
        last: Arc<AggregateExec>,
        together: Option<BTreeSet<usize>>,
        needed: Option<BTreeSet<usize>>,
    ) -> Self {
        let input = first.input();
        let schema = match &needed {
            Some(_) => counted_schema(&last.schema()),
            None => last.schema(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            input.boundedness(),
        );
        Self {
            properties: Arc::new(properties),
            first,
            last,
            together,
            needed,
            metrics: ExecutionPlanMetricsSet::new(),
            run: Pending::default(),
        }
    }

    /// The same with counted rows: the column after all others says how many rows one stands for, and of columns that are
    /// not needed it is only known whether they are NULL. `None` if all are needed.
    pub(crate) fn counted(&self, needed: &BTreeSet<usize>) -> Option<Self> {
        let is_of_use = self.together.is_none()
            && self.needed.is_none()
            && (0..self.first.group_expr().expr().len()).any(|column| !needed.contains(&column));
        let (first, last) = (Arc::clone(&self.first), Arc::clone(&self.last));
        is_of_use.then(|| Self::new(first, last, None, Some(needed.clone())))
    }

    /// The same, with the rows together in which these columns are equal; `None` if that is promised of others already, or
    /// they are not likely to be those with many values.
    pub(crate) fn with_together(&self, columns: &BTreeSet<usize>) -> Option<Self> {
        let keys = self.first.group_expr().expr();
        let may_be_many = |&column: &usize| keys.get(column).is_some_and(|(key, _)| key.is::<Column>());
        let is_free = self.together.as_ref().is_none_or(|known| known == columns);
        let is_likely = columns.len() < keys.len() && columns.iter().all(may_be_many);
        (is_free && is_likely)
            .then(|| Self::new(Arc::clone(&self.first), Arc::clone(&self.last), Some(columns.clone()), None))
    }

    /// The columns whose equal rows are given one after the other, all in one output.
    pub(crate) fn together(&self) -> Option<&BTreeSet<usize>> {
        self.together.as_ref()
    }

    fn run(&self, context: &Arc<TaskContext>) -> Result<Run<Outcome>> {
        let input = self.first.input();
        let count = input.output_partitioning().partition_count();
        self.run.run(count, || {
            let keys: Vec<_> = self.first.group_expr().expr().iter().map(|(key, _)| Arc::clone(key)).collect();
            let consumer = MemoryConsumer::new("DistinctSetsExec").with_can_spill(true);
            let reservation = consumer.register(context.memory_pool());
            let shared = Arc::new(Shared {
                keys,
                shards: OnceLock::new(),
                input_count: count,
                reservation: reservation.new_empty(),
                is_stopped: AtomicBool::new(false),
                lacks_memory: AtomicBool::new(false),
                schema: self.last.schema(),
                together: self.together.clone(),
            });
            let inputs = (0..count).map(|partition| input.execute(partition, Arc::clone(context)));
            let readings = inputs.collect::<Result<Vec<_>>>()?.into_iter().enumerate().map(|(number, input)| Reading {
                number,
                shared: Arc::clone(&shared),
                input: Some(input),
                few: None,
                pending: vec![],
                reservation: reservation.new_empty(),
            });
            let plain = Plain {
                first: Arc::clone(&self.first),
                last: Arc::clone(&self.last),
                together: self.together.clone(),
                context: Arc::clone(context),
                metrics: SpillMetrics::new(&self.metrics, 0),
            };
            Ok(gather(readings.collect(), shared, plain).boxed())
        })
    }
}

impl DisplayAs for DistinctSetsExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = shown_keys(&self.first);
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "DistinctSetsExec: gby=[{keys}]")?;
                if self.needed.is_some() {
                    write!(f, ", rows=counted")?;
                }
                if let Some(together) = &self.together {
                    let schema = self.schema();
                    let names = together.iter().map(|&column| schema.field(column).name().as_str());
                    write!(f, ", together=[{}]", names.collect::<Vec<_>>().join(", "))?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => writeln!(f, "group_by={keys}"),
        }
    }
}

impl ExecutionPlan for DistinctSetsExec {
    fn name(&self) -> &'static str {
        "DistinctSetsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.first.input()]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.first.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = only_input(self.as_ref(), children)?;
        let first = over(&self.first, AggregateMode::Partial, input)?;
        Ok(Arc::new(Self::new(Arc::new(first), Arc::clone(&self.last), self.together.clone(), self.needed.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = self.run(&context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batch_size = context.session_config().batch_size();
        let schema = self.schema();
        let (needed, plain_schema) = (self.needed.clone(), self.last.schema());
        let groups = MetricBuilder::new(&self.metrics).counter("groups", partition);
        let output = async move {
            let outcome = run.await.map_err(DataFusionError::Shared)?;
            let rows = match outcome.as_ref() {
                Outcome::Sets { outputs, .. } => {
                    let shards = outputs.get(partition).map(|shards| std::mem::take(&mut *shards.lock()));
                    let shards = shards.unwrap_or_default();
                    groups.add(shards.iter().map(Sets::len).sum());
                    match &needed {
                        Some(needed) if shards.iter().all(|sets| sets.can_count(needed)) => {
                            let schema = Arc::clone(&schema);
                            stream::iter(shards.into_iter().map(move |sets| sets.counted(&schema))).boxed()
                        }
                        Some(_) => {
                            let counted = Arc::clone(&schema);
                            let rows = all_given(shards, &plain_schema, batch_size);
                            rows.map(move |batch| counted_once(&batch?, &counted)).boxed()
                        }
                        None => all_given(shards, &schema, batch_size),
                    }
                }
                Outcome::Plain(plan) if needed.is_some() => {
                    let counted = Arc::clone(&schema);
                    plan.execute(partition, context)?.map(move |batch| counted_once(&batch?, &counted)).boxed()
                }
                Outcome::Plain(plan) => plan.execute(partition, context)?.boxed(),
            };
            let rows = rows.inspect_ok(move |batch| {
                metrics.record_output(batch.num_rows());
                // what is held counts until the last row is given
                let _ = &outcome;
            });
            Ok::<_, DataFusionError>(Box::pin(RecordBatchStreamAdapter::new(schema, rows)) as SendableRecordBatchStream)
        };
        let batches = stream::once(output).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// An output has rows of all inputs.
    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        if args.partition().is_some() || self.needed.is_some() {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema())));
        }
        self.first.statistics_from_inputs(inputs, args)
    }

    /// Conditions on the keys hold before as after.
    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        self.first.gather_filters_for_pushdown(phase, parent_filters, config)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(
            Arc::clone(&self.first),
            Arc::clone(&self.last),
            self.together.clone(),
            self.needed.clone(),
        )))
    }
}

/// What has come of reading all inputs.
enum Outcome {
    Sets {
        /// By output, the sets whose rows it gives.
        outputs: Vec<Mutex<Vec<Sets>>>,
        /// The memory of all of them.
        _held: Vec<MemoryReservation>,
    },
    /// The engine's own operators, which go on from what was read.
    Plain(Arc<dyn ExecutionPlan>),
}

/// Reads all inputs.
async fn gather(readings: Vec<Reading>, shared: Arc<Shared>, plain: Plain) -> Result<Outcome> {
    let count = readings.len();
    let mut tasks = JoinSet::new();
    for reading in readings {
        tasks.spawn(reading.read());
    }
    let mut readings = all(&mut tasks).await?;
    readings.sort_unstable_by_key(|reading| reading.number);
    let is_settled = settled(&shared, &mut readings)?.is_some();
    let rests = readings.into_iter().map(|reading| (reading.pending, reading.input, reading.reservation)).collect();
    let lacks_memory = shared.lacks_memory.load(Ordering::Relaxed);
    let Some(shared) = Arc::into_inner(shared) else { return internal_err!("an input that has not ended") };
    let shards = match shared.shards.into_inner().flatten().map(Arc::try_unwrap) {
        Some(Ok(shards)) => Some(shards),
        Some(Err(_)) => return internal_err!("sets that are still added to"),
        None => None,
    };
    let is_together = shards.as_ref().is_some_and(|shards| shards.split.is_together);
    let mut outputs: Vec<(Vec<Sets>, Vec<MemoryReservation>)> = (0..count).map(|_| (vec![], vec![])).collect();
    for (number, (sets, reservation)) in shards.map(Shards::finish).transpose()?.into_iter().flatten().enumerate() {
        let (all, held) = &mut outputs[number % count];
        all.push(sets);
        held.push(reservation);
    }
    if !is_settled {
        return plain.over(outputs, rests, lacks_memory).await;
    }
    let (outputs, held): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
    let held = held.into_iter().flatten().collect();
    if is_together {
        return Ok(Outcome::Sets { outputs: outputs.into_iter().map(Mutex::new).collect(), _held: held });
    }
    plain.brought_together(outputs, held)
}

/// What an input has left: keys that are in no set, what is not read yet, and the memory of the keys.
type Left = (Vec<Vec<ArrayRef>>, Option<SendableRecordBatchStream>, MemoryReservation);

/// The engine's own operators.
struct Plain {
    first: Arc<AggregateExec>,
    last: Arc<AggregateExec>,
    together: Option<BTreeSet<usize>>,
    context: Arc<TaskContext>,
    metrics: SpillMetrics,
}

impl Plain {
    /// They go on from what was read.
    async fn over(
        self,
        known: Vec<(Vec<Sets>, Vec<MemoryReservation>)>,
        rests: Vec<Left>,
        lacks_memory: bool,
    ) -> Result<Outcome> {
        let count = rests.len();
        let schema = self.first.schema();
        let batch_size = self.context.session_config().batch_size();
        let mut parts = vec![];
        for ((sets, held), (pending, input, reservation)) in known.into_iter().zip(rests) {
            let known = all_given(sets, &schema, batch_size);
            let known = match lacks_memory && self.can_write() {
                true => self.written(known, held).await?,
                // counted as held until all are given
                false => known
                    .inspect(move |_| {
                        let _ = &held;
                    })
                    .boxed(),
            };
            let rows_of = Arc::clone(&schema);
            let pending = pending.into_iter().map(move |keys| {
                let _ = &reservation;
                Ok(RecordBatch::try_new(Arc::clone(&rows_of), keys)?)
            });
            let rest = match input {
                Some(input) => {
                    let rest = Arc::new(first_of(&self.first, input.schema(), input.boxed())?);
                    let options = self.context.session_config().options();
                    CodeGroups.optimize(rest, options)?.execute(0, Arc::clone(&self.context))?.boxed()
                }
                None => stream::empty().boxed(),
            };
            let rows = known.chain(stream::iter(pending)).chain(rest).boxed();
            parts.push(Rest::stream(Arc::clone(&schema), rows));
        }
        let rows = streamed(Arc::clone(&schema), parts)?;
        let divided = RepartitionExec::try_new(Arc::new(rows), Partitioning::Hash(self.columns(), count))?;
        let last = over(&self.last, AggregateMode::FinalPartitioned, Arc::new(divided))?;
        self.together(Arc::new(last))
    }

    /// The rows of sets whose groups are not those that are wanted together.
    fn brought_together(self, outputs: Vec<Vec<Sets>>, held: Vec<MemoryReservation>) -> Result<Outcome> {
        let schema = self.last.schema();
        let batch_size = self.context.session_config().batch_size();
        let held = Arc::new(held);
        let parts = outputs.into_iter().map(|sets| {
            let held = Arc::clone(&held);
            // counted as held until all are given
            let rows = all_given(sets, &schema, batch_size).inspect(move |_| {
                let _ = &held;
            });
            Rest::stream(Arc::clone(&schema), rows.boxed())
        });
        let rows = streamed(Arc::clone(&schema), parts.collect())?;
        self.together(Arc::new(rows))
    }

    fn together(self, rows: Arc<dyn ExecutionPlan>) -> Result<Outcome> {
        Ok(Outcome::Plain(match &self.together {
            Some(together) => {
                let columns = self.columns();
                let keys = together.iter().map(|&place| Arc::clone(&columns[place])).collect();
                Arc::new(GroupedWindowExec::partitions(keys, rows)?)
            }
            None => rows,
        }))
    }

    /// The columns of the keys in what is given.
    fn columns(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let column = |(place, (_, name)): (usize, &(_, String))| Arc::new(Column::new(name, place)) as _;
        self.first.group_expr().expr().iter().enumerate().map(column).collect()
    }

    fn can_write(&self) -> bool {
        self.context.runtime_env().disk_manager.tmp_files_enabled()
    }

    /// The same rows, which do not take memory any more.
    async fn written(&self, mut rows: Batches, held: Vec<MemoryReservation>) -> Result<Batches> {
        let spill = SpillManager::new(self.context.runtime_env(), self.metrics.clone(), self.first.schema())
            .with_compression_type(self.context.session_config().spill_compression());
        let mut file = spill.create_in_progress_file("groups with sets")?;
        while let Some(batch) = rows.try_next().await? {
            file.append_batch(&batch)?;
        }
        drop((rows, held));
        Ok(match file.finish()? {
            Some(file) => spill.read_spill_as_stream(file, None)?.boxed(),
            None => stream::empty().boxed(),
        })
    }
}
