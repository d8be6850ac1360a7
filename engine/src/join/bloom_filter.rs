//! [`BloomFilterJoinExec`]: a [`HashJoinExec`] whose probe side passes a Bloom filter of the build side's keys.
//!
//! DataFusion looks every probe row up in the hash table of the build side, which is a cache miss for a large one. The filter
//! takes `bloom_filter_bits` (8) to twice as many bits per key, so that it stays in the cache, and drops most rows without a match before that lookup.
//!
//! ```text
//!   build side (left)                        probe side (right)
//!   +--------------+                         +--------------+
//!   | input        |                         | input        |
//!   +--------------+                         +--------------+
//!          | batches                                | batches
//!   +--------------+   filter, at the end    +--------------+
//!   | BloomSideExec| ----------------------> | BloomSideExec| --> metric bloom_filtered_rows
//!   | hashes keys  |   of the build side     | drops rows   |
//!   +--------------+                         +--------------+
//!          | all rows                               | rows whose key may match, coalesced
//!          +-----------> HashJoinExec <-------------+
//!                        (CollectLeft)
//! ```
//!
//! Survey answers (build) joined to contacts (probe) by `contact_id`:
//!
//! ```text
//!  build: contact_id    probe: contact_id   passes the filter      output
//!  a7                   a1                  no                     b2
//!  b2                   b2                  yes
//!                       c3                  yes, false positive    (c3 is dropped by the join)
//!                       NULL                as any other value     (NULL is dropped by the join)
//! ```
//!
//! # When it is chosen
//!
//! The rule `JoinBloomFilter` takes hash joins with at least one string key whose build side is collected once for all threads
//! (`CollectLeft`): inner, left, left semi, right semi and left anti joins, which all drop probe rows without a match. Not:
//! right, full and right anti joins, which emit such rows; `NOT IN` (null-aware), where one NULL of the probe side decides; keys
//! in which NULL equals NULL; joins without a string key.
//!
//! A probe partition that has seen `bloom_filter_sample_rows` rows gives the filter up as soon as more than half have passed.
//!
//! # Memory
//!
//! While the build side is read, four bytes per row for the hashes; then the filter until the join ends: its size is a power
//! of two, 512 KiB for half a million keys with 8 bits, 8 MiB at most. If the reservation fails, the join runs without a filter. Nothing is spilled.
//!
//! Switch: `cxql.engine.join_bloom_filter`. Thresholds: `cxql.engine.bloom_filter_bits` (8 per key) and
//! `cxql.engine.bloom_filter_sample_rows` (32,768).
//!
//! # Sources
//!
//! Bloom, *Space/time trade-offs in hash coding with allowable errors*, CACM 13(7), 1970. The two bits of a key lie in one
//! 64-bit word, one memory access per lookup: Putze, Sanders and Singler, *Cache-, hash- and space-efficient Bloom filters*,
//! WEA 2007 (register-blocked).

use std::fmt;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::exec_util::single_child;
use crate::kernels::hash::key_hashes;

/// A hash join with a Bloom filter before its probe side, see the page of this module.
///
/// It owns the join and both filtering sides: they share the filter, and have to be reset together when a plan is executed
/// again. Plans and optimizer rules see the unfiltered inputs.
#[derive(Debug)]
pub struct BloomFilterJoinExec {
    /// The join over the unfiltered inputs: properties, statistics and display.
    join: Arc<HashJoinExec>,
    /// The join that is executed, over the two [`BloomSideExec`].
    filtered: HashJoinExec,
    /// Bits of the filter per key of the build side.
    bits_per_key: usize,
    /// Rows of a probe partition after which a filter that drops less than half is given up.
    sample_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl BloomFilterJoinExec {
    pub(crate) fn new(join: HashJoinExec, bits_per_key: usize, sample_rows: usize) -> Result<Self> {
        let metrics = ExecutionPlanMetricsSet::new();
        let filter = Arc::new(OnceLock::new());
        let (left_keys, right_keys) = join.on().iter().cloned().unzip();
        let side = |input: &Arc<dyn ExecutionPlan>, keys, is_probe| -> Arc<dyn ExecutionPlan> {
            let (input, filter, metrics) = (Arc::clone(input), Arc::clone(&filter), metrics.clone());
            Arc::new(BloomSideExec { input, keys, filter, is_probe, bits_per_key, sample_rows, metrics })
        };
        let sides = vec![side(join.left(), left_keys, false), side(join.right(), right_keys, true)];
        let filtered = join.builder().with_new_children(sides)?.build()?;
        Ok(Self { join: Arc::new(join), filtered, bits_per_key, sample_rows, metrics })
    }
}

impl DisplayAs for BloomFilterJoinExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.fmt_as(kind, f)?;
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, ", bloom_filter"),
            DisplayFormatType::TreeRender => Ok(()),
        }
    }
}

impl ExecutionPlan for BloomFilterJoinExec {
    fn name(&self) -> &'static str {
        "BloomFilterJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.join.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        ExecutionPlan::maintains_input_order(self.join.as_ref())
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.join.left(), self.join.right()]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.join.apply_expressions(f)
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.join.dynamic_expressions_produced()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let join = self.join.builder().recompute_properties().with_new_children(children)?.build()?;
        Ok(Arc::new(Self::new(join, self.bits_per_key, self.sample_rows)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.filtered.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        self.filtered.metrics().iter().flat_map(MetricsSet::iter).for_each(|metric| metrics.push(Arc::clone(metric)));
        Some(metrics)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.join.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.join.statistics_from_inputs(inputs, args)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let join = self.join.builder().reset_state().build()?;
        Ok(Arc::new(Self::new(join, self.bits_per_key, self.sample_rows)?))
    }
}

/// The Bloom filter of the build side, once that is read; `None` if memory did not suffice.
type SharedFilter = Arc<OnceLock<Option<BloomFilter>>>;

/// One input of the join: the build side fills the filter, the probe side is filtered by it.
#[derive(Debug)]
struct BloomSideExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    filter: SharedFilter,
    is_probe: bool,
    bits_per_key: usize,
    sample_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for BloomSideExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BloomSideExec: is_probe={}", self.is_probe)
    }
}

impl ExecutionPlan for BloomSideExec {
    fn name(&self) -> &'static str {
        "BloomSideExec"
    }

    /// Those of the input: rows are dropped, but neither changed nor reordered.
    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.keys.iter().cloned(), f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = single_child(self.as_ref(), children)?;
        Ok(Arc::new(Self {
            input,
            keys: self.keys.clone(),
            filter: Arc::clone(&self.filter),
            metrics: self.metrics.clone(),
            ..*self
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = input.schema();
        let (keys, filter) = (self.keys.clone(), Arc::clone(&self.filter));
        let batches = if self.is_probe {
            let probe = ProbeFilter {
                output: BatchCoalescer::new(Arc::clone(&schema), context.session_config().batch_size()),
                filtered_rows: MetricBuilder::new(&self.metrics).counter("bloom_filtered_rows", partition),
                state: ProbeState::Filtering,
                sample_rows: self.sample_rows,
                seen_rows: 0,
                passed_rows: 0,
                input,
                keys,
                filter,
            };
            stream::try_unfold(probe, async |mut probe| Ok(probe.next().await?.map(|batch| (batch, probe)))).boxed()
        } else {
            let reservation = MemoryConsumer::new("BloomFilterJoinExec").register(context.memory_pool());
            let build =
                BuildHashes { input, keys, filter, hashes: Some(vec![]), bits_per_key: self.bits_per_key, reservation };
            stream::try_unfold(build, async |mut build| Ok(build.next().await?.map(|batch| (batch, build)))).boxed()
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        if self.is_probe { CardinalityEffect::LowerEqual } else { CardinalityEffect::Equal }
    }
}

/// The stream of the build side: passes all rows on and hashes their keys.
struct BuildHashes {
    input: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    filter: SharedFilter,
    /// Key hashes of the batches so far; `None` if memory did not suffice.
    hashes: Option<Vec<Vec<u32>>>,
    bits_per_key: usize,
    reservation: MemoryReservation,
}

impl BuildHashes {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.input.try_next().await? else {
            self.finish();
            return Ok(None);
        };
        if let Some(hashes) = &mut self.hashes {
            hashes.push(hashes_of(&self.keys, &batch)?);
            if self.reservation.try_grow(batch.num_rows() * size_of::<u32>()).is_err() {
                self.hashes = None;
                self.reservation.free();
            }
        }
        Ok(Some(batch))
    }

    /// Builds the filter at the end of the build side. `CollectLeft` reads all of that side before it polls the probe side, so
    /// that the filter is set by then.
    fn finish(&mut self) {
        let hashes = self.hashes.take();
        let bits_per_key = self.bits_per_key;
        let size = |hashes: &Vec<Vec<u32>>| BloomFilter::size_for(hashes.iter().map(Vec::len).sum(), bits_per_key);
        let filter = hashes.filter(|hashes| self.reservation.try_grow(size(hashes)).is_ok());
        let filter = filter.map(|hashes| BloomFilter::new(&hashes, bits_per_key, self.reservation.take()));
        self.reservation.free();
        let _ = self.filter.set(filter);
    }
}

/// The stream of one probe partition: drops rows whose key is not in the filter.
struct ProbeFilter {
    input: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    filter: SharedFilter,
    /// Combines what is left of filtered batches to batches of the configured size.
    output: BatchCoalescer,
    state: ProbeState,
    sample_rows: usize,
    seen_rows: usize,
    passed_rows: usize,
    filtered_rows: Count,
}

#[derive(PartialEq)]
enum ProbeState {
    /// Rows are filtered.
    Filtering,
    /// There is no filter, or it was given up: batches pass unchanged.
    Bypassing,
    Finished,
}

impl ProbeFilter {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.output.next_completed_batch() {
                return Ok(Some(batch));
            }
            if self.state == ProbeState::Finished {
                return Ok(None);
            }
            if self.state == ProbeState::Bypassing && self.output.is_empty() {
                return self.input.try_next().await;
            }
            match self.input.try_next().await? {
                Some(batch) => self.filter_batch(batch)?,
                None => {
                    self.state = ProbeState::Finished;
                    self.output.finish_buffered_batch()?;
                }
            }
        }
    }

    fn filter_batch(&mut self, batch: RecordBatch) -> Result<()> {
        let filter = self.filter.get().and_then(Option::as_ref);
        let Some(filter) = filter.filter(|_| self.state == ProbeState::Filtering) else {
            self.state = ProbeState::Bypassing;
            self.output.push_batch(batch)?;
            return Ok(self.output.finish_buffered_batch()?);
        };
        let hashes = hashes_of(&self.keys, &batch)?;
        let mask =
            BooleanArray::new(BooleanBuffer::collect_bool(hashes.len(), |row| filter.may_contain(hashes[row])), None);
        let (rows, passed_rows) = (batch.num_rows(), mask.true_count());
        self.filtered_rows.add(rows - passed_rows);
        self.seen_rows += rows;
        self.passed_rows += passed_rows;
        if self.seen_rows >= self.sample_rows && 2 * self.passed_rows > self.seen_rows {
            self.state = ProbeState::Bypassing;
        }
        self.output.push_batch_with_filter(batch, &mask)?;
        if self.state == ProbeState::Bypassing {
            self.output.finish_buffered_batch()?;
        }
        Ok(())
    }
}

/// A register-blocked Bloom filter: two bits in one 64-bit word per key.
#[derive(Debug)]
struct BloomFilter {
    /// Their number is a power of two.
    words: Vec<u64>,
    /// The memory of the words, released with the filter.
    reservation: MemoryReservation,
}

impl BloomFilter {
    /// The 32-bit hash has 20 bits for the index of the word, beside 12 for the two bits within it. 8 MiB.
    const MAX_WORDS: usize = 1 << 20;

    fn words_for(keys: usize, bits_per_key: usize) -> usize {
        (keys * bits_per_key).div_ceil(u64::BITS as usize).next_power_of_two().min(Self::MAX_WORDS)
    }

    /// Bytes of a filter for this number of keys.
    fn size_for(keys: usize, bits_per_key: usize) -> usize {
        Self::words_for(keys, bits_per_key) * size_of::<u64>()
    }

    fn new(hashes: &[Vec<u32>], bits_per_key: usize, reservation: MemoryReservation) -> Self {
        let count = hashes.iter().map(Vec::len).sum();
        let mut filter = Self { words: vec![0; Self::words_for(count, bits_per_key)], reservation };
        for &hash in hashes.iter().flatten() {
            let index = filter.word_index(hash);
            filter.words[index] |= bit_mask(hash);
        }
        filter.reservation.resize(size_of_val(filter.words.as_slice()));
        filter
    }

    /// By bits of the hash that [`bit_mask`] does not use.
    fn word_index(&self, hash: u32) -> usize {
        (hash >> 12) as usize & (self.words.len() - 1)
    }

    fn may_contain(&self, hash: u32) -> bool {
        self.words[self.word_index(hash)] & bit_mask(hash) == bit_mask(hash)
    }
}

/// The two bits of a key: bits 0 to 5 and 6 to 11 of its hash.
fn bit_mask(hash: u32) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63)
}

/// A 32-bit hash of the keys of each row.
fn hashes_of(keys: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<u32>> {
    key_hashes(&evaluate_expressions_to_arrays(keys, batch)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, StringViewArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
    use datafusion::physical_plan::execution_plan::reset_plan_states;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;
    use crate::EngineOptions;
    use crate::optimizer::join_bloom_filter::JoinBloomFilter;

    /// `few` has 300 keys, some twice and some NULL; `t` 60,000 rows in batches of 500, of which about `percent` have a match.
    fn context(has_rule: bool, batch_size: usize, percent: usize) -> SessionContext {
        let mut rules = PhysicalOptimizer::new().rules;
        if has_rule {
            rules.push(Arc::new(JoinBloomFilter));
        }
        let config = SessionConfig::new().with_target_partitions(3).with_batch_size(batch_size);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_physical_optimizer_rules(rules)
            .build();
        let context = SessionContext::new_with_state(state);
        let key = |number: usize| match number % 7 {
            0 if number.is_multiple_of(5) => None,
            1 => Some(format!("a key of more than twelve bytes, {number}")),
            _ => Some(format!("k{number}")),
        };
        let table = |numbers: Vec<usize>, batch_rows: usize| {
            let batches: Vec<RecordBatch> = numbers
                .chunks(batch_rows)
                .map(|numbers| {
                    let keys: Vec<Option<String>> = numbers.iter().map(|&number| key(number)).collect();
                    let columns: Vec<(&str, ArrayRef)> = vec![
                        ("k", Arc::new(StringViewArray::from_iter(keys.iter().cloned()))),
                        ("plain", Arc::new(StringArray::from_iter(keys))),
                        ("n", Arc::new(Int64Array::from_iter_values(numbers.iter().map(|&number| number as i64 % 3)))),
                    ];
                    RecordBatch::try_from_iter_with_nullable(
                        columns.into_iter().map(|(name, column)| (name, column, true)),
                    )
                    .unwrap()
                })
                .collect();
            let parts = batches.chunks(40).map(<[RecordBatch]>::to_vec).collect();
            Arc::new(MemTable::try_new(batches[0].schema(), parts).unwrap())
        };
        let few = (0..300).map(|row| row * 9 % 280).collect();
        let many = (0..60_000).map(|row| if row % 100 < percent { row % 280 } else { 1000 + row }).collect();
        context.register_table("few", table(few, 100)).unwrap();
        context.register_table("t", table(many, 500)).unwrap();
        context
    }

    async fn run(context: &SessionContext, sql: &str) -> (String, Arc<dyn ExecutionPlan>) {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        (pretty_format_batches(&batches).unwrap().to_string(), plan)
    }

    fn filtered_rows(plan: &Arc<dyn ExecutionPlan>) -> usize {
        let own = plan.metrics().and_then(|metrics| metrics.sum_by_name("bloom_filtered_rows"));
        own.map_or(0, |count| count.as_usize()) + plan.children().into_iter().map(filtered_rows).sum::<usize>()
    }

    #[tokio::test]
    async fn filtered_joins_return_the_rows_of_plain_joins() {
        let on = ["few.k = t.k", "few.plain = t.plain", "few.k = t.k and few.n = t.n", "few.k = t.k and few.n < t.n"];
        let joins = [
            "select few.k, t.k, t.n, count(*) from few inner join t on {on} group by 1, 2, 3 order by 1, 2, 3",
            "select few.k, t.n, count(*), count(t.k) from few left join t on {on} group by 1, 2 order by 1, 2",
            "select k, count(*) from few where exists (select 1 from t where {on}) group by 1 order by 1",
            "select k, count(*) from few where not exists (select 1 from t where {on}) group by 1 order by 1",
            "select k, count(*) from t where exists (select 1 from few where {on}) group by 1 order by 1",
        ];
        for (batch_size, percent) in [(8192, 0), (8192, 4), (7, 30), (8192, 100)] {
            let (ours, theirs) = (context(true, batch_size, percent), context(false, batch_size, percent));
            for join in joins {
                for on in on {
                    let sql = join.replace("{on}", on);
                    let (expected, _) = run(&theirs, &sql).await;
                    let (found, plan) = run(&ours, &sql).await;
                    let shown = displayable(plan.as_ref()).indent(false).to_string();
                    assert!(shown.contains(", bloom_filter"), "{sql}\n{shown}");
                    assert_eq!(found, expected, "{sql}\n{shown}");
                    // of the rows without a match a few percent pass, or all of them after the sample
                    let without = 60_000 / 100 * (100 - percent);
                    let out = filtered_rows(&plan);
                    let is_expected = if percent < 50 {
                        out > without / 10 * 9
                    } else {
                        out < EngineOptions::default().bloom_filter_sample_rows
                    };
                    assert!(is_expected && out <= 60_000, "{sql}: {out}");
                    let again = collect(reset_plan_states(plan).unwrap(), ours.task_ctx()).await.unwrap();
                    assert_eq!(pretty_format_batches(&again).unwrap().to_string(), expected, "{sql}, again");
                }
            }
            // an empty build side
            let sql = "select count(*) from (select * from few where n > 5) as few inner join t on few.k = t.k";
            assert_eq!(run(&ours, sql).await.0, run(&theirs, sql).await.0);
        }
    }

    #[tokio::test]
    async fn only_joins_that_drop_rows_by_strings_are_filtered() {
        let ours = context(true, 8192, 4);
        for (sql, is_filtered) in [
            ("select * from few inner join t on few.k = t.k", true),
            ("select * from few inner join t on few.n = t.n and few.n > 5", false),
            ("select * from t left join few on few.k = t.k", false),
            ("select * from t full join few on few.k = t.k", false),
            ("select * from few where k not in (select k from t)", false),
            ("select * from few inner join t on few.k is not distinct from t.k", false),
        ] {
            let plan = ours.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            let shown = displayable(plan.as_ref()).indent(false).to_string();
            assert!(shown.contains("HashJoinExec"), "{sql}\n{shown}");
            assert_eq!(shown.contains(", bloom_filter"), is_filtered, "{sql}\n{shown}");
            collect(plan, ours.task_ctx()).await.unwrap();
        }
    }

    /// No key is lost, and at most six in a hundred others pass: a key tests two of 64 bits, of which about fifteen are set.
    #[test]
    fn a_filter_contains_its_keys_and_few_others() {
        let pool: Arc<dyn datafusion::execution::memory_pool::MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let hash = |number: u32| {
            let mixed = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
        };
        assert_eq!(BloomFilter::words_for(2_000_000, 64), 1 << 20);
        for count in [0, 1, 1000, 500_000] {
            let hashes: Vec<u32> = (0..count).map(hash).collect();
            let filter = BloomFilter::new(&[vec![], hashes.clone()], 8, MemoryConsumer::new("test").register(&pool));
            assert!(hashes.iter().all(|&hash| filter.may_contain(hash)));
            let passing = (count..count + 100_000).filter(|&number| filter.may_contain(hash(number))).count();
            assert!(passing < 7000, "{count}: {passing}");
            assert_eq!(pool.reserved(), BloomFilter::size_for(count as usize, 8));
        }
        assert_eq!(pool.reserved(), 0);
    }
}
