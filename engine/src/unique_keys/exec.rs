//! [`UniqueKeysExec`]: the execution plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{EmissionType, reset_plan_states};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::cache::{KeyScanCache, cache_key};
use super::key_scan::scan_keys;
use super::leaf::with_partitions;
use super::positions::PositionScan;
use super::run::{Separation, SplitMetrics, SplitRun, batches_of, with_schema};
use super::store::KeyScanStore;
use crate::EngineOptions;
use crate::exec_util::{OnceAsync, OnceFut, statistics_of, without_bounds};

/// Windows over the rows of repeated keys only, see the page of this module.
#[derive(Debug)]
pub struct UniqueKeysExec {
    /// The key columns of `rows`.
    keys: Arc<dyn ExecutionPlan>,
    rows: Arc<dyn ExecutionPlan>,
    /// What becomes of rows whose key occurs once, over a leaf.
    unique: Arc<dyn ExecutionPlan>,
    /// The windows, over a leaf.
    windows: Arc<dyn ExecutionPlan>,
    /// The key columns, as indices of the columns of `rows`.
    columns: Vec<usize>,
    /// The scans by places of rows, where `rows` allows them. No rule sees these, so that partitions stay parts of files.
    positions: Option<Arc<PositionScan>>,
    cache: Arc<KeyScanCache>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// The scan of the keys, shared by all output partitions.
    run: OnceAsync<SplitRun>,
}

/// The inputs of a [`UniqueKeysExec`].
pub(crate) struct Inputs {
    pub(crate) keys: Arc<dyn ExecutionPlan>,
    pub(crate) rows: Arc<dyn ExecutionPlan>,
    pub(crate) unique: Arc<dyn ExecutionPlan>,
    pub(crate) windows: Arc<dyn ExecutionPlan>,
}

impl UniqueKeysExec {
    /// Creates the operator; `columns` are the indices in `rows` of the columns of `keys`.
    pub(crate) fn new(
        inputs: Inputs,
        columns: Vec<usize>,
        positions: Option<Arc<PositionScan>>,
        cache: Arc<KeyScanCache>,
    ) -> Self {
        let Inputs { keys, rows, unique, windows } = inputs;
        // a column of the unique rows may be dictionary arrays where the windows read strings
        let (window_schema, unique_schema) = (windows.schema(), unique.schema());
        let fields = window_schema.fields().iter().zip(unique_schema.fields()).map(|(field, unique)| {
            match field.data_type() == unique.data_type() {
                true => Arc::clone(field),
                false => Arc::new(Field::clone(field).with_data_type(unique.data_type().clone())),
            }
        });
        let metadata = window_schema.metadata().clone();
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(windows.output_partitioning().partition_count()),
            EmissionType::Both,
            rows.boundedness(),
        );
        Self {
            keys,
            rows,
            unique,
            windows,
            columns,
            positions,
            cache,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            run: OnceAsync::default(),
        }
    }

    /// Whether the keys are read once for all executions.
    pub(crate) fn is_cached(&self) -> bool {
        cache_key(self.scanned_keys()).is_some()
    }

    /// The scan of the keys that an execution starts with.
    fn scanned_keys(&self) -> &Arc<dyn ExecutionPlan> {
        self.positions.as_ref().map_or(&self.keys, |positions| positions.keys())
    }

    /// The plan of the windows, by whose clustering that of all rows follows: a row that is alone with its key is a run of its own.
    pub(crate) fn windows(&self) -> &Arc<dyn ExecutionPlan> {
        &self.windows
    }

    /// The same operator with another plan of the windows.
    pub(crate) fn with_windows(&self, windows: Arc<dyn ExecutionPlan>) -> Self {
        let inputs = Inputs {
            keys: Arc::clone(&self.keys),
            rows: Arc::clone(&self.rows),
            unique: Arc::clone(&self.unique),
            windows,
        };
        self.with_inputs(inputs)
    }

    /// The plan of the rows whose keys occur once, and how these are read where their places are known.
    pub(crate) fn unique_rows(&self) -> Option<[&Arc<dyn ExecutionPlan>; 2]> {
        Some([&self.unique, self.positions.as_ref()?.unique_rows()])
    }

    /// The same operator with other plans for the rows whose keys occur once, see [`unique_rows`](Self::unique_rows).
    pub(crate) fn with_unique_rows(&self, unique: Arc<dyn ExecutionPlan>, scanned: Arc<dyn ExecutionPlan>) -> Self {
        let (keys, rows, windows) = (Arc::clone(&self.keys), Arc::clone(&self.rows), Arc::clone(&self.windows));
        let positions = self.positions.as_ref().map(|positions| Arc::new(positions.with_unique_rows(scanned)));
        let inputs = Inputs { keys, rows, unique, windows };
        Self::new(inputs, self.columns.clone(), positions, Arc::clone(&self.cache))
    }

    fn with_inputs(&self, inputs: Inputs) -> Self {
        Self::new(inputs, self.columns.clone(), self.positions.clone(), Arc::clone(&self.cache))
    }

    /// The scan of the keys; started by the first output partition that is polled.
    fn run(&self, context: &Arc<TaskContext>) -> Result<OnceFut<SplitRun>> {
        let partitions = self.windows.output_partitioning().partition_count();
        self.run.run(partitions, || {
            let count = |name| MetricBuilder::new(&self.metrics).global_counter(name);
            let metrics = SplitMetrics {
                unique_rows: count("unique_rows"),
                repeated_rows: count("repeated_rows"),
                key_scans: count("key_scans"),
                by_position: count("by_position"),
                unsplit: count("unsplit"),
                second_scans: count("second_scans"),
            };
            let options = EngineOptions::of(context.session_config().options());
            let max_bytes = options.unique_keys_buffer_bytes;
            let keys = Arc::clone(&self.keys);
            // a scan hands its files to its partitions once
            let rows = [Arc::clone(&self.rows), reset_plan_states(Arc::clone(&self.rows))?];
            let total_rows = statistics_of(&self.rows)?.num_rows.get_value().copied();
            let (columns, cache) = (self.columns.clone(), Arc::clone(&self.cache));
            let positions = self.positions.clone();
            let config = context.session_config();
            let store = config.get_extension::<KeyScanStore>().filter(|_| options.key_cache);
            // functions of days and hours take the zone from the session
            let zone = config.options().execution.time_zone.as_deref().unwrap_or("UTC");
            let cache_key = cache_key(self.scanned_keys()).map(|key| format!("{zone} {key}"));
            let consumer = MemoryConsumer::new("UniqueKeysExec").with_can_spill(true);
            let hashes = Arc::new(consumer.register(context.memory_pool()));
            let context = Arc::clone(context);
            let run = async move {
                let known = match &cache_key {
                    Some(key) => cache.get(key, store.as_ref()).await?,
                    None => None,
                };
                let scan = match known {
                    Some(scan) => scan,
                    None => {
                        metrics.key_scans.add(1);
                        let (context, hashes) = (Arc::clone(&context), Arc::clone(&hashes));
                        let scan = scan_keys(keys, positions.clone(), context, total_rows, hashes).await?;
                        if let Some(key) = cache_key {
                            cache.put(key, &scan, store.as_ref()).await?;
                        }
                        scan
                    }
                };
                let run =
                    SplitRun::new(rows, columns, context, scan, positions, partitions, max_bytes, hashes, metrics);
                match run.separation() {
                    Separation::Hashes => {}
                    Separation::Positions => run.metrics.by_position.add(1),
                    Separation::None => run.metrics.unsplit.add(1),
                }
                Ok(run)
            };
            Ok(run.boxed())
        })
    }
}

/// The context in which the leaves find the execution.
fn context_of(run: &Arc<SplitRun>) -> Arc<TaskContext> {
    let context = &run.context;
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone().with_extension(Arc::clone(run)),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

impl DisplayAs for UniqueKeysExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.rows.schema();
        let names: Vec<&str> = self.columns.iter().map(|&column| schema.field(column).name().as_str()).collect();
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let positions = if self.positions.is_some() { ", positions=true" } else { "" };
                write!(f, "UniqueKeysExec: keys=[{}]{positions}", names.join(", "))
            }
            DisplayFormatType::TreeRender => writeln!(f, "keys={}", names.join(", ")),
        }
    }
}

impl ExecutionPlan for UniqueKeysExec {
    fn name(&self) -> &'static str {
        "UniqueKeysExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.keys, &self.rows, &self.unique, &self.windows]
    }

    // the rule has divided the scan among the threads
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; 4]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [keys, rows, unique, windows] = match <[_; 4]>::try_from(children) {
            Ok(children) => children,
            Err(children) => return internal_err!("UniqueKeysExec has four inputs, got {}", children.len()),
        };
        let partitions = rows.output_partitioning().partition_count();
        let unique = with_partitions(unique, partitions)?;
        let windows = with_partitions(windows, partitions)?;
        let inputs = Inputs { keys, rows, unique, windows };
        Ok(Arc::new(self.with_inputs(inputs)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let run = self.run(&context)?;
        let (unique, windows, schema) = (Arc::clone(&self.unique), Arc::clone(&self.windows), self.schema());
        let output = async move {
            let run = run.await.map_err(DataFusionError::Shared)?;
            let context = context_of(&run);
            let separation = run.separation();
            if separation == Separation::None {
                return windows.execute(partition, context);
            }
            let outputs = windows.output_partitioning().partition_count();
            let inputs = unique.output_partitioning().partition_count();
            let rows = batches_of(&unique, (partition..inputs).step_by(outputs), &context)?;
            let rest = async move {
                let partitions = match separation {
                    // they read their rows themselves
                    Separation::Positions => partition..partition + 1,
                    // they start when all rows of repeated keys are known: in the partition that is the last to get here
                    _ if run.is_last() => 0..outputs,
                    _ => 0..0,
                };
                batches_of(&windows, partitions, &context)
            };
            let schema = rows.schema();
            let batches = rows.chain(stream::once(rest).try_flatten());
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())) as SendableRecordBatchStream)
        };
        let declared: SchemaRef = Arc::clone(&schema);
        let batches = stream::once(output).try_flatten();
        let batches =
            batches.map(move |batch| with_schema(batch?, &declared).map(|batch| batch.record_output(&metrics)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::Skip, ChildStats::Skip, ChildStats::At(None), ChildStats::At(None)]
    }

    /// The rows are estimated as those of unique keys, which are most; their columns as those of the windows, since the constants
    /// in place of window functions hold for unique keys only.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let [.., unique, windows] = inputs else { return internal_err!("UniqueKeysExec has four inputs") };
        let mut all = Statistics { num_rows: unique.num_rows, ..Statistics::clone(windows) };
        let (schema, windows) = (self.schema(), self.windows.schema());
        let fields = schema.fields().iter().zip(windows.fields());
        for (known, (field, window)) in all.column_statistics.iter_mut().zip(fields) {
            if field.data_type() != window.data_type() {
                *known = without_bounds(known);
            }
        }
        Ok(Arc::new(all.to_inexact()))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_windows(Arc::clone(&self.windows))))
    }
}
