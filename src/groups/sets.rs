//! SELECT DISTINCT over a key with many values and one with few, as customers and months.
//!
//! The engine has a group for each pair, and its table of all pairs lies far from the processor. Here a group is a value of
//! the many, and the few it occurs with are bits: an order of magnitude fewer groups.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, SpillMetrics, Time,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning, PlanProperties,
    SpillManager,
};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::table::Table;
use super::texts::Texts;
use super::{Batches, CodeGroups, Rest, over};
use crate::windows::{GroupedWindowExec, Pending, Run, SEED, all};

/// The most values of a key that are few when its first rows are looked at.
const FEW: usize = 64;
/// The most different values of all keys with few of them.
const MOST: usize = 256;
/// Rows by which the keys with few values are told.
const FIRST_ROWS: usize = 4096;
/// After so many rows of an input groups are looked at: with one for each of them, bits are of no use.
const LOOK_ROWS: usize = 1 << 22;
/// Groups that are merged together.
const MERGED: usize = 8192;

/// Puts [`DistinctSetsExec`] in place of the engine's two aggregates of a SELECT DISTINCT over several columns.
#[derive(Debug)]
pub struct CollectSets;

impl PhysicalOptimizerRule for CollectSets {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let collected = plan.transform_up(|plan| {
            let sets = pairs(&plan).map(|(first, last)| DistinctSetsExec::new(first.clone(), last.clone(), None));
            Ok(match sets {
                Some(sets) => Transformed::yes(Arc::new(sets) as _),
                None => Transformed::no(plan),
            })
        })?;
        Ok(collected.data)
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
    let last = plan.downcast_ref::<AggregateExec>()?;
    let first = last.input().downcast_ref::<AggregateExec>()?;
    let schema = first.input().schema();
    let keys = first.group_expr();
    let may_be_few =
        |key: &Arc<dyn PhysicalExpr>| key.data_type(&schema).is_ok_and(|kind| Table::new(&[kind]).is_some());
    let is_known = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && *first.mode() == AggregateMode::Partial
        && [last, first]
            .iter()
            .all(|aggregate| aggregate.limit_options().is_none() && aggregate.aggr_expr().is_empty())
        && *first.input_order_mode() == InputOrderMode::Linear
        && keys.is_single()
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
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    run: Pending<Outcome>,
}

impl DistinctSetsExec {
    fn new(first: AggregateExec, last: AggregateExec, together: Option<BTreeSet<usize>>) -> Self {
        let input = first.input();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(last.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            input.boundedness(),
        );
        Self {
            properties: Arc::new(properties),
            first: Arc::new(first),
            last: Arc::new(last),
            together,
            metrics: ExecutionPlanMetricsSet::new(),
            run: Pending::default(),
        }
    }

    /// The same, with the rows together in which these columns are equal; `None` if that is promised of others already.
    pub(crate) fn with_together(&self, columns: &BTreeSet<usize>) -> Option<Self> {
        let is_free = self.together.as_ref().is_none_or(|known| known == columns);
        is_free.then(|| Self::new(self.first.as_ref().clone(), self.last.as_ref().clone(), Some(columns.clone())))
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
            let shared = Arc::new(Shared {
                keys,
                split: OnceLock::new(),
                is_stopped: AtomicBool::new(false),
                lacks_memory: AtomicBool::new(false),
                schema: self.last.schema(),
                together: self.together.clone(),
            });
            let inputs = (0..count).map(|partition| input.execute(partition, Arc::clone(context)));
            let readings = inputs.collect::<Result<Vec<_>>>()?.into_iter().enumerate().map(|(number, input)| {
                let consumer = MemoryConsumer::new(format!("DistinctSetsExec[{number}]")).with_can_spill(true);
                Reading {
                    shared: Arc::clone(&shared),
                    input: Some(input),
                    sets: None,
                    pending: vec![],
                    reservation: consumer.register(context.memory_pool()),
                }
            });
            let plain = Plain {
                first: Arc::clone(&self.first),
                last: Arc::clone(&self.last),
                together: self.together.clone(),
                context: Arc::clone(context),
            };
            Ok(gather(readings.collect(), shared, plain).boxed())
        })
    }
}

impl DisplayAs for DistinctSetsExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.first.group_expr().expr().iter().map(|(expr, name)| match expr.to_string() {
            text if text == *name => text,
            text => format!("{text} as {name}"),
        });
        let keys = keys.collect::<Vec<_>>().join(", ");
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "DistinctSetsExec: gby=[{keys}]")?;
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

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("an aggregate has one input");
        };
        let first = over(&self.first, AggregateMode::Partial, input)?;
        Ok(Arc::new(Self::new(first, self.last.as_ref().clone(), self.together.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = self.run(&context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batch_size = context.session_config().batch_size();
        let schema = self.schema();
        let groups = MetricBuilder::new(&self.metrics).counter("groups", partition);
        let output = async move {
            let outcome = run.await.map_err(DataFusionError::Shared)?;
            let rows = match outcome.as_ref() {
                Outcome::Sets(shards) => {
                    let parts = shards.get(partition).map(|parts| std::mem::take(&mut *parts.lock()));
                    match merged(parts.unwrap_or_default(), metrics.elapsed_compute()).await? {
                        Some(sets) => {
                            groups.add(sets.len());
                            given(sets, Arc::clone(&schema), batch_size)
                        }
                        None => stream::empty().boxed(),
                    }
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

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.first.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.first.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.first.as_ref().clone(), self.last.as_ref().clone(), self.together.clone())))
    }
}

/// What has come of reading all inputs.
enum Outcome {
    /// By output, the sets of each input whose rows it gives.
    Sets(Vec<Mutex<Vec<(Sets, Arc<MemoryReservation>)>>>),
    /// The engine's own operators, which go on from what was read.
    Plain(Arc<dyn ExecutionPlan>),
}

/// Which keys have few values.
#[derive(Debug)]
struct Split {
    many: Vec<usize>,
    few: Vec<usize>,
    /// The columns of `many`.
    schema: SchemaRef,
    /// No groups of `few` yet.
    table: Table,
}

/// What all inputs know.
struct Shared {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Said by the input that has read enough first; `None` if the engine's operators are better.
    split: OnceLock<Option<Arc<Split>>>,
    /// Whether an input has found that the engine's operators are better.
    is_stopped: AtomicBool,
    /// Whether that was for want of memory.
    lacks_memory: AtomicBool,
    schema: SchemaRef,
    together: Option<BTreeSet<usize>>,
}

impl Shared {
    fn split(&self, keys: &[ArrayRef]) -> Result<Option<Arc<Split>>> {
        let (mut many, mut few) = (vec![], vec![]);
        for (place, key) in keys.iter().enumerate() {
            let mut groups = vec![];
            let mut table = Table::new(&[key.data_type().clone()]);
            let is_few = match &mut table {
                Some(table) => table.groups(std::slice::from_ref(key), &mut groups)? && table.len() <= FEW,
                None => false,
            };
            if is_few { few.push(place) } else { many.push(place) }
        }
        if many.is_empty() || few.is_empty() {
            return Ok(None);
        }
        if self.together.as_ref().is_some_and(|together| !together.iter().eq(&many)) {
            return Ok(None);
        }
        let types: Vec<_> = few.iter().map(|&place| keys[place].data_type().clone()).collect();
        let Some(table) = Table::new(&types) else { return Ok(None) };
        let schema = Arc::new(self.schema.project(&many)?);
        Ok(Some(Arc::new(Split { many, few, schema, table })))
    }
}

fn columns_at(columns: &[ArrayRef], places: &[usize]) -> Vec<ArrayRef> {
    places.iter().map(|&place| Arc::clone(&columns[place])).collect()
}

/// Reads one input.
struct Reading {
    shared: Arc<Shared>,
    /// What is not read yet; `None` after the last row.
    input: Option<SendableRecordBatchStream>,
    sets: Option<Growing>,
    /// Keys that are in no set.
    pending: Vec<Vec<ArrayRef>>,
    reservation: MemoryReservation,
}

impl Reading {
    /// Reads on until the end, or until the engine's operators are better.
    async fn read(mut self) -> Result<Self> {
        let mut pending_rows = 0;
        while let Some(input) = &mut self.input {
            let batch = input.try_next().await?;
            let is_last = batch.is_none();
            if is_last {
                self.input = None;
            }
            if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
                let rows = batch.num_rows();
                let keys = self.shared.keys.iter().map(|key| key.evaluate(&batch)?.into_array(rows));
                self.pending.push(keys.collect::<Result<_>>()?);
                pending_rows += rows;
            }
            if self.sets.is_none() && pending_rows > 0 && (is_last || pending_rows >= FIRST_ROWS) {
                let split = match self.shared.split.get() {
                    Some(split) => split.clone(),
                    None => {
                        let split = self.shared.split(&joined(&self.pending)?)?;
                        self.shared.split.get_or_init(|| split).clone()
                    }
                };
                match split {
                    Some(split) => self.sets = Some(Growing::new(split)?),
                    None => self.shared.is_stopped.store(true, Ordering::Relaxed),
                }
            }
            if self.shared.is_stopped.load(Ordering::Relaxed) {
                break;
            }
            if let Some(sets) = &mut self.sets {
                while let Some(keys) = self.pending.pop() {
                    if !sets.add(&keys)? {
                        self.pending.push(keys);
                        break;
                    }
                }
                pending_rows = 0;
                let has_room = self.reservation.try_resize(sets.size()).is_ok();
                self.shared.lacks_memory.fetch_or(!has_room, Ordering::Relaxed);
                if !(self.pending.is_empty() && has_room && sets.are_of_use()) {
                    self.shared.is_stopped.store(true, Ordering::Relaxed);
                    break;
                }
            }
            // as long as it reads, others have their turns
            tokio::task::yield_now().await;
        }
        Ok(self)
    }
}

fn joined(parts: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let width = parts.first().map_or(0, Vec::len);
    let column = |place: usize| {
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part[place].as_ref()).collect();
        Ok(concat(&parts)?)
    };
    (0..width).map(column).collect()
}

/// The groups of keys with many values, numbered as they come.
enum Many {
    Texts(Texts),
    Any(Box<dyn GroupValues>),
}

impl Many {
    fn new(schema: &SchemaRef) -> Result<Self> {
        Ok(match schema.fields().as_ref() {
            [key] if key.data_type() == &DataType::Utf8View => Self::Texts(Texts::default()),
            _ => Self::Any(new_group_values(Arc::clone(schema), &GroupOrdering::None)?),
        })
    }

    /// Puts the number of each row into `numbers`.
    fn numbers(&mut self, keys: &[ArrayRef], numbers: &mut Vec<usize>) -> Result<()> {
        match (self, keys) {
            (Self::Texts(texts), [key]) => texts.numbers(key.as_string_view(), numbers),
            (Self::Texts(_), _) => internal_err!("{} keys in place of one", keys.len()),
            (Self::Any(values), _) => values.intern(keys, numbers),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Any(values) => values.len(),
        }
    }

    /// About the memory that is held.
    fn size(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.size(),
            Self::Any(values) => values.size(),
        }
    }

    /// The keys of all groups.
    fn finish(self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Texts(texts) => Ok(vec![Arc::new(texts.finish()?)]),
            Self::Any(mut values) => values.emit(EmitTo::All),
        }
    }
}

/// The groups of one input so far.
struct Growing {
    split: Arc<Split>,
    many: Many,
    few: Table,
    /// Those of `few` that are in use.
    few_count: usize,
    /// For each of `many` its set: a bit for each of `few`.
    bits: Vec<u64>,
    /// How many numbers a set takes, a power of two.
    words: usize,
    row_count: usize,
    many_rows: Vec<usize>,
    few_rows: Vec<usize>,
}

impl Growing {
    fn new(split: Arc<Split>) -> Result<Self> {
        Ok(Self {
            many: Many::new(&split.schema)?,
            few: split.table.clone(),
            few_count: 0,
            bits: vec![],
            words: 1,
            row_count: 0,
            many_rows: vec![],
            few_rows: vec![],
            split,
        })
    }

    /// Adds rows, or none of them if the few have become many.
    fn add(&mut self, keys: &[ArrayRef]) -> Result<bool> {
        let has_numbers = self.few.groups(&columns_at(keys, &self.split.few), &mut self.few_rows)?;
        if !has_numbers || self.few.len() > MOST {
            return Ok(false);
        }
        self.few_count = self.few.len();
        let words = words_for(self.few_count);
        if words > self.words {
            self.bits = widened(&self.bits, self.words, words);
            self.words = words;
        }
        self.many.numbers(&columns_at(keys, &self.split.many), &mut self.many_rows)?;
        self.bits.resize(self.many.len() * words, 0);
        put(&mut self.bits, words, self.many_rows.iter().zip(&self.few_rows).map(|(&many, &few)| (many, few)));
        self.row_count += self.many_rows.len();
        Ok(true)
    }

    /// Whether there are fewer groups than rows, or it is too early to tell.
    fn are_of_use(&self) -> bool {
        let is_first_look = (LOOK_ROWS..2 * LOOK_ROWS).contains(&self.row_count);
        !(is_first_look && self.many.len() > self.row_count / 5 * 4) && self.many.len() < u32::MAX as usize
    }

    /// About the memory that is held.
    fn size(&self) -> usize {
        self.many.size() + self.few.size() + self.bits.capacity() * size_of::<u64>()
    }

    fn finish(self) -> Result<Sets> {
        // what is beyond was seen in rows that were not added
        let few = self.few.keys()?.iter().map(|values| values.slice(0, self.few_count)).collect();
        let many = self.many.finish()?;
        Ok(Sets { split: self.split, many, few, bits: self.bits, words: self.words })
    }
}

fn words_for(few: usize) -> usize {
    few.div_ceil(u64::BITS as usize).next_power_of_two()
}

fn widened(bits: &[u64], from: usize, to: usize) -> Vec<u64> {
    let mut wide = vec![0; bits.len() / from * to];
    for (wide, bits) in wide.chunks_exact_mut(to).zip(bits.chunks_exact(from)) {
        wide[..from].copy_from_slice(bits);
    }
    wide
}

fn put(bits: &mut [u64], words: usize, pairs: impl Iterator<Item = (usize, usize)>) {
    for (many, few) in pairs {
        bits[many * words + few / u64::BITS as usize] |= 1 << (few % u64::BITS as usize);
    }
}

/// Groups with their sets.
struct Sets {
    split: Arc<Split>,
    /// The columns of the many, a row for each group.
    many: Vec<ArrayRef>,
    /// The columns of the few, a row for each bit.
    few: Vec<ArrayRef>,
    bits: Vec<u64>,
    words: usize,
}

impl Sets {
    fn len(&self) -> usize {
        self.bits.len() / self.words
    }

    /// The same with other numbers for the few.
    fn renumbered(mut self, few: &[ArrayRef], numbers: &[usize]) -> Self {
        let words = words_for(few.first().map_or(0, |values| values.len()));
        if numbers.iter().enumerate().all(|(from, to)| from == *to) {
            if words != self.words {
                self.bits = widened(&self.bits, self.words, words);
            }
        } else {
            let mut bits = vec![0; self.len() * words];
            let pairs = Pairs { bits: &self.bits, words: self.words, word: 0, rest: 0 };
            put(&mut bits, words, pairs.map(|(many, few)| (many, numbers[few])));
            self.bits = bits;
        }
        Self { few: few.to_vec(), words, ..self }
    }

    /// Divides the groups among so many outputs, by hash.
    fn divided(self, count: usize) -> Result<Vec<Self>> {
        if count == 1 {
            return Ok(vec![self]);
        }
        let mut hashes = vec![0; self.len()];
        create_hashes(&self.many, &SEED, &mut hashes)?;
        let mut groups = vec![vec![]; count];
        for (group, hash) in (0u32..).zip(hashes) {
            groups[((u128::from(hash) * count as u128) >> u64::BITS) as usize].push(group);
        }
        let part = |groups: Vec<u32>| {
            let bits = groups.iter().flat_map(|&group| &self.bits[group as usize * self.words..][..self.words]);
            let bits = bits.copied().collect();
            let groups = UInt32Array::from(groups);
            let many = self.many.iter().map(|column| take(column, &groups, None));
            let many = many.collect::<std::result::Result<_, _>>()?;
            Ok(Self { split: Arc::clone(&self.split), many, few: self.few.clone(), bits, words: self.words })
        };
        groups.into_iter().map(part).collect()
    }

    /// About the memory that is held.
    fn size(&self) -> usize {
        let many: usize = self.many.iter().map(|column| column.get_array_memory_size()).sum();
        many + self.bits.capacity() * size_of::<u64>()
    }
}

/// The members of sets: a group and a bit each.
struct Pairs<'a> {
    bits: &'a [u64],
    words: usize,
    /// The number that comes next.
    word: usize,
    /// What is left of the one before.
    rest: u64,
}

impl Iterator for Pairs<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        while self.rest == 0 {
            self.rest = *self.bits.get(self.word)?;
            self.word += 1;
        }
        let bit = self.rest.trailing_zeros();
        self.rest &= self.rest - 1;
        let (word, shift) = (self.word - 1, self.words.ilog2());
        Some((word >> shift, (word & (self.words - 1)) * u64::BITS as usize + bit as usize))
    }
}

/// The rows of sets, group by group.
fn given(sets: Sets, schema: SchemaRef, batch_size: usize) -> Batches {
    let batches = stream::try_unfold((sets, 0, 0), move |(sets, word, rest)| {
        let schema = Arc::clone(&schema);
        async move {
            let mut pairs = Pairs { bits: &sets.bits, words: sets.words, word, rest };
            let (mut many, mut few) = (Vec::with_capacity(batch_size), Vec::with_capacity(batch_size));
            for (group, bit) in pairs.by_ref().take(batch_size.max(1)) {
                many.push(group as u32);
                few.push(bit as u32);
            }
            let (word, rest) = (pairs.word, pairs.rest);
            if many.is_empty() {
                return Ok(None);
            }
            let mut columns: Vec<Option<ArrayRef>> = vec![None; sets.many.len() + sets.few.len()];
            let (many, few) = (UInt32Array::from(many), UInt32Array::from(few));
            for (&place, values) in sets.split.many.iter().zip(&sets.many) {
                columns[place] = Some(take(values, &many, None)?);
            }
            for (&place, values) in sets.split.few.iter().zip(&sets.few) {
                columns[place] = Some(take(values, &few, None)?);
            }
            let batch = RecordBatch::try_new(schema, columns.into_iter().flatten().collect())?;
            // who asks for all rows gives others their turns
            tokio::task::yield_now().await;
            Ok(Some((batch, (sets, word, rest))))
        }
    });
    batches.boxed()
}

/// The sets of all inputs together; `None` if there are none.
async fn merged(parts: Vec<(Sets, Arc<MemoryReservation>)>, elapsed: &Time) -> Result<Option<Sets>> {
    let mut parts: Vec<Sets> = parts.into_iter().map(|(sets, _)| sets).filter(|sets| sets.len() > 0).collect();
    let Some(first) = parts.pop() else { return Ok(None) };
    if parts.is_empty() {
        return Ok(Some(first));
    }
    let (split, words, few) = (Arc::clone(&first.split), first.words, first.few.clone());
    let mut many = Many::new(&split.schema)?;
    let (mut bits, mut groups) = (vec![], vec![]);
    for part in std::iter::once(first).chain(parts) {
        for start in (0..part.len()).step_by(MERGED) {
            let timer = elapsed.timer();
            let rows = MERGED.min(part.len() - start);
            let columns: Vec<ArrayRef> = part.many.iter().map(|column| column.slice(start, rows)).collect();
            many.numbers(&columns, &mut groups)?;
            bits.resize(many.len() * words, 0);
            for (row, &group) in groups.iter().enumerate() {
                let from = &part.bits[(start + row) * words..][..words];
                bits[group * words..][..words].iter_mut().zip(from).for_each(|(to, from)| *to |= from);
            }
            timer.done();
            tokio::task::yield_now().await;
        }
    }
    Ok(Some(Sets { split, many: many.finish()?, few, bits, words }))
}

/// The few of all inputs, and for each input the number of each there; `None` if they are many.
fn together(split: &Split, readings: &[Reading]) -> Result<Option<(Table, Vec<Vec<usize>>)>> {
    let mut table = split.table.clone();
    let mut numbers = vec![];
    for reading in readings {
        let mut groups = vec![];
        if let Some(sets) = &reading.sets
            && !table.groups(&sets.few.keys()?, &mut groups)?
        {
            return Ok(None);
        }
        numbers.push(groups);
    }
    Ok((table.len() <= MOST).then_some((table, numbers)))
}

/// Reads all inputs.
async fn gather(readings: Vec<Reading>, shared: Arc<Shared>, plain: Plain) -> Result<Outcome> {
    let count = readings.len();
    let mut tasks = JoinSet::new();
    for (number, reading) in readings.into_iter().enumerate() {
        tasks.spawn(async move { Ok((number, reading.read().await?)) });
    }
    let mut readings = all(&mut tasks).await?;
    readings.sort_unstable_by_key(|(number, _)| *number);
    let mut readings: Vec<Reading> = readings.into_iter().map(|(_, reading)| reading).collect();
    if shared.is_stopped.load(Ordering::Relaxed) {
        return plain.over(readings).await;
    }
    let Some(Some(split)) = shared.split.get() else { return Ok(Outcome::Sets(vec![])) };
    let Some((table, numbers)) = together(split, &readings)? else { return plain.over(readings).await };
    // the sets are held until they are merged, in as much again
    let has_room = |reading: &mut Reading| {
        let size = reading.sets.as_ref().map_or(0, Growing::size);
        reading.reservation.try_grow(size).is_ok()
    };
    if !readings.iter_mut().all(has_room) {
        shared.lacks_memory.store(true, Ordering::Relaxed);
        return plain.over(readings).await;
    }
    let few: Arc<[ArrayRef]> = table.keys()?.into();
    let mut tasks = JoinSet::new();
    for (reading, numbers) in readings.into_iter().zip(numbers) {
        let Some(sets) = reading.sets else { continue };
        let (few, reservation) = (Arc::clone(&few), Arc::new(reading.reservation));
        tasks.spawn(async move {
            let parts = sets.finish()?.renumbered(&few, &numbers).divided(count)?;
            reservation.resize(2 * parts.iter().map(Sets::size).sum::<usize>());
            Ok(parts.into_iter().map(move |part| (part, Arc::clone(&reservation))).collect::<Vec<_>>())
        });
    }
    let shards: Vec<Mutex<Vec<_>>> = (0..count).map(|_| Mutex::default()).collect();
    for parts in all(&mut tasks).await? {
        shards.iter().zip(parts).for_each(|(shard, part)| shard.lock().push(part));
    }
    Ok(Outcome::Sets(shards))
}

/// The engine's own operators.
struct Plain {
    first: Arc<AggregateExec>,
    last: Arc<AggregateExec>,
    together: Option<BTreeSet<usize>>,
    context: Arc<TaskContext>,
}

impl Plain {
    /// They go on from what was read.
    async fn over(self, readings: Vec<Reading>) -> Result<Outcome> {
        let count = readings.len();
        let schema = self.first.schema();
        let batch_size = self.context.session_config().batch_size();
        let mut parts = vec![];
        for reading in readings {
            let Reading { shared, input, sets, pending, reservation } = reading;
            let known = match sets.map(Growing::finish).transpose()? {
                Some(sets) if shared.lacks_memory.load(Ordering::Relaxed) && self.can_write() => {
                    self.from_disk(given(sets, Arc::clone(&schema), batch_size), reservation).await?
                }
                // counted as held until all are given
                Some(sets) => given(sets, Arc::clone(&schema), batch_size)
                    .inspect(move |_| {
                        let _ = &reservation;
                    })
                    .boxed(),
                None => stream::empty().boxed(),
            };
            let rows_of = Arc::clone(&schema);
            let pending = pending.into_iter().map(move |keys| Ok(RecordBatch::try_new(Arc::clone(&rows_of), keys)?));
            let rest = match input {
                Some(input) => {
                    let rest = streamed(input.schema(), vec![Rest::new(input.schema(), input.boxed())])?;
                    let rest: Arc<dyn ExecutionPlan> =
                        Arc::new(over(&self.first, AggregateMode::Partial, Arc::new(rest))?);
                    let options = self.context.session_config().options();
                    CodeGroups.optimize(rest, options)?.execute(0, Arc::clone(&self.context))?.boxed()
                }
                None => stream::empty().boxed(),
            };
            let rows = known.chain(stream::iter(pending)).chain(rest).boxed();
            parts.push(Rest::new(Arc::clone(&schema), rows));
        }
        let rows = streamed(Arc::clone(&schema), parts)?;
        let column = |(place, (_, name)): (usize, &(_, String))| Arc::new(Column::new(name, place)) as _;
        let keys: Vec<Arc<dyn PhysicalExpr>> = self.first.group_expr().expr().iter().enumerate().map(column).collect();
        let divided = RepartitionExec::try_new(Arc::new(rows), Partitioning::Hash(keys.clone(), count))?;
        let last = over(&self.last, AggregateMode::FinalPartitioned, Arc::new(divided))?;
        Ok(Outcome::Plain(match self.together {
            Some(together) => {
                let keys = together.iter().map(|&place| Arc::clone(&keys[place])).collect();
                Arc::new(GroupedWindowExec::partitions(keys, Arc::new(last))?)
            }
            None => Arc::new(last),
        }))
    }
}

impl Plain {
    fn can_write(&self) -> bool {
        self.context.runtime_env().disk_manager.tmp_files_enabled()
    }

    /// The same rows, which do not take memory any more.
    async fn from_disk(&self, mut rows: Batches, reservation: MemoryReservation) -> Result<Batches> {
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let spill = SpillManager::new(self.context.runtime_env(), metrics, self.first.schema())
            .with_compression_type(self.context.session_config().spill_compression());
        let mut file = spill.create_in_progress_file("groups with sets")?;
        while let Some(batch) = rows.try_next().await? {
            file.append_batch(&batch)?;
        }
        drop((rows, reservation));
        Ok(match file.finish()? {
            Some(file) => spill.read_spill_as_stream(file, None)?.boxed(),
            None => stream::empty().boxed(),
        })
    }
}

fn streamed(schema: SchemaRef, parts: Vec<Arc<dyn PartitionStream>>) -> Result<StreamingTableExec> {
    StreamingTableExec::try_new(schema, parts, None, [], false, None)
}
