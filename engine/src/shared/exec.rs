//! [`SharedExec`]: a use of a shared subplan, and the buffers that all its uses read.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, replace_children_if_necessary};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SpillManager,
};
use futures::StreamExt;
use parking_lot::Mutex;

use super::buffer::{BufferMemory, BufferReader, PartitionBuffer, ReaderColumns};
use crate::exec_util::single_child;

/// The plan of a shared subplan, and the execution that its uses read.
pub(super) struct SharedInput {
    number: usize,
    name: String,
    plan: Arc<dyn ExecutionPlan>,
    /// The columns of the plan, as the logical plan has them.
    schema: SchemaRef,
    /// The columns of each use.
    uses: Vec<Vec<usize>>,
    /// How often each use may read an execution.
    reads: usize,
    run: Mutex<SharedRun>,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Default)]
struct SharedRun {
    /// The execution that is not yet taken by all uses.
    current: Option<Arc<SharedExecution>>,
    has_run: bool,
}

/// One execution of the plan for its uses. Partitions differ from one execution to the next, so that a use reads all from one.
struct SharedExecution {
    plan: Arc<dyn ExecutionPlan>,
    readers: Arc<Vec<ReaderColumns>>,
    /// Readers that no use has taken.
    free: Mutex<Vec<usize>>,
    partitions: Mutex<Partitions>,
}

/// The buffers of the partitions, with the memory of all.
struct Partitions {
    memory: Option<Arc<BufferMemory>>,
    buffers: Vec<Option<Arc<PartitionBuffer>>>,
}

impl SharedInput {
    /// The plan of a subplan whose columns are `schema`, for uses of these columns. Each may read an execution `reads` times.
    pub(super) fn new(
        number: usize,
        name: &str,
        schema: SchemaRef,
        plan: Arc<dyn ExecutionPlan>,
        uses: Vec<Vec<usize>>,
        reads: usize,
    ) -> Arc<Self> {
        let (run, metrics) = (Mutex::default(), ExecutionPlanMetricsSet::new());
        Arc::new(Self { number, name: name.to_string(), plan, schema, uses, reads, run, metrics })
    }

    /// The execution and the reader for a use of these columns.
    fn take(&self, columns: &[usize]) -> Result<(Arc<SharedExecution>, usize)> {
        let mut run = self.run.lock();
        if let Some(execution) = &run.current
            && let Some(reader) = execution.take(columns)
        {
            let execution = Arc::clone(execution);
            if execution.free.lock().is_empty() {
                // from here on only its readers hold it
                run.current = None;
            }
            return Ok((execution, reader));
        }
        let plan = match std::mem::replace(&mut run.has_run, true) {
            true => reset_plan(Arc::clone(&self.plan))?,
            false => Arc::clone(&self.plan),
        };
        let is_expected = run.current.is_none() && self.uses.iter().any(|shared_use| shared_use == columns);
        let uses = match is_expected {
            true => self.uses.iter().flat_map(|columns| vec![columns.clone(); self.reads]).collect(),
            false => vec![columns.to_vec()],
        };
        let execution = Arc::new(SharedExecution::new(plan, &self.schema, uses)?);
        let Some(reader) = execution.take(columns) else { return internal_err!("a shared subplan without this use") };
        if !execution.free.lock().is_empty() {
            run.current = Some(Arc::clone(&execution));
        }
        Ok((execution, reader))
    }
}

impl SharedExecution {
    fn new(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef, uses: Vec<Vec<usize>>) -> Result<Self> {
        let count = plan.output_partitioning().partition_count();
        let free = Mutex::new((0..uses.len()).collect());
        let readers = uses.into_iter().map(|indices| {
            let schema = Arc::new(schema.project(&indices)?);
            Ok(ReaderColumns { indices, schema })
        });
        let readers = Arc::new(readers.collect::<Result<_>>()?);
        Ok(Self {
            plan,
            readers,
            free,
            partitions: Mutex::new(Partitions { memory: None, buffers: vec![None; count] }),
        })
    }

    fn take(&self, columns: &[usize]) -> Option<usize> {
        let mut free = self.free.lock();
        let place = free.iter().position(|&reader| self.readers[reader].indices == columns)?;
        Some(free.remove(place))
    }

    /// The buffer of a partition.
    fn buffer(
        &self,
        partition: usize,
        input: &SharedInput,
        context: &Arc<TaskContext>,
    ) -> Result<Arc<PartitionBuffer>> {
        let mut partitions = self.partitions.lock();
        let Partitions { memory, buffers } = &mut *partitions;
        let Some(buffer) = buffers.get_mut(partition) else { return internal_err!("no partition {partition}") };
        if let Some(buffer) = buffer {
            return Ok(Arc::clone(buffer));
        }
        let memory = memory.get_or_insert_with(|| {
            Arc::new(BufferMemory::new(context.memory_pool(), format!("SharedExec[{}]", input.name)))
        });
        let nullable = input.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let spill = SpillManager::new(context.runtime_env(), SpillMetrics::new(&input.metrics, partition), schema)
            .with_compression_type(context.session_config().spill_compression());
        let stream = self.plan.execute(partition, Arc::clone(context))?;
        let new = PartitionBuffer::new(stream, Arc::clone(&self.readers), Arc::clone(memory), Arc::new(spill));
        Ok(Arc::clone(buffer.insert(Arc::new(new))))
    }
}

/// What one use reads.
struct Taken {
    execution: Arc<SharedExecution>,
    /// Its reader there.
    reader: usize,
    /// The partitions that were executed.
    partitions: HashSet<usize>,
}

/// A use of a shared subplan; see the [module documentation](super).
pub struct SharedExec {
    input: Arc<SharedInput>,
    /// The output columns, as indices into those of the input.
    columns: Vec<usize>,
    /// Whether the plan of the input is shown below this use.
    is_shown: bool,
    properties: Arc<PlanProperties>,
    taken: Mutex<Option<Taken>>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for SharedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedExec").field("input", &self.input.number).field("columns", &self.columns).finish()
    }
}

impl SharedExec {
    pub(super) fn try_new(input: Arc<SharedInput>, columns: Vec<usize>) -> Result<Self> {
        let plan_schema = input.plan.schema();
        let types =
            |schema: &SchemaRef| -> Vec<_> { schema.fields().iter().map(|field| field.data_type().clone()).collect() };
        if types(&plan_schema) != types(&input.schema) {
            return internal_err!("the plan of {} has other types: {plan_schema}", input.name);
        }
        let schema = Arc::new(input.schema.project(&columns)?);
        let mapping = ProjectionMapping::from_indices(&columns, &plan_schema)?;
        let equivalence = input.plan.equivalence_properties();
        let properties = PlanProperties::new(
            equivalence.project(&mapping, schema),
            input.plan.output_partitioning().project(&mapping, equivalence),
            input.plan.pipeline_behavior(),
            input.plan.boundedness(),
        );
        Ok(Self {
            input,
            columns,
            is_shown: false,
            properties: Arc::new(properties),
            taken: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The number of places in the run that read the subplan.
    pub fn use_count(&self) -> usize {
        self.input.uses.len()
    }

    /// The plan of the subplan.
    pub(crate) fn shared_plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input.plan
    }

    /// The output columns, as indices into those of the subplan.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// A use that was not executed.
    fn renewed(&self, is_shown: bool) -> Self {
        Self {
            input: Arc::clone(&self.input),
            columns: self.columns.clone(),
            is_shown,
            properties: Arc::clone(&self.properties),
            taken: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

/// Shows the plan of each shared subplan below its first use in `plan`. Before, a use has no input, so that rules rewrite the
/// subplan once only.
///
/// # Errors
/// An operator that cannot be rebuilt.
pub(crate) fn show_subplans(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut seen = HashSet::new();
    let shown = plan.transform_down(|plan| {
        let Some(shared) = plan.downcast_ref::<SharedExec>() else { return Ok(Transformed::no(plan)) };
        if !seen.insert(Arc::as_ptr(&shared.input).addr()) {
            return Ok(Transformed::new(plan, false, TreeNodeRecursion::Jump));
        }
        shared.input.plan.apply(|below| {
            if let Some(below) = below.downcast_ref::<SharedExec>() {
                seen.insert(Arc::as_ptr(&below.input).addr());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Transformed::new(Arc::new(shared.renewed(true)) as _, true, TreeNodeRecursion::Jump))
    })?;
    Ok(shown.data)
}

/// A plan to execute once more, as `reset_plan_states`, which would give each use of a shared subplan a copy of it.
///
/// # Errors
/// An operator that cannot be rebuilt.
pub fn reset_plan(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    reset_below(plan, &mut HashMap::new())
}

/// `inputs` holds the new input for the address of each old one.
fn reset_below(
    plan: Arc<dyn ExecutionPlan>,
    inputs: &mut HashMap<usize, Arc<SharedInput>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(shared) = plan.downcast_ref::<SharedExec>() {
        let old = &shared.input;
        let address = Arc::as_ptr(old).addr();
        let input = match inputs.get(&address) {
            Some(input) => Arc::clone(input),
            None => {
                let plan = reset_below(Arc::clone(&old.plan), inputs)?;
                let (schema, uses) = (Arc::clone(&old.schema), old.uses.clone());
                let input = SharedInput::new(old.number, &old.name, schema, plan, uses, old.reads);
                inputs.insert(address, Arc::clone(&input));
                input
            }
        };
        return Ok(Arc::new(SharedExec { input, ..shared.renewed(shared.is_shown) }));
    }
    let children: Vec<_> = plan.children().into_iter().cloned().collect();
    let children = children.into_iter().map(|child| reset_below(child, inputs)).collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)?.reset_state()
}

impl DisplayAs for SharedExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, name) = (self.input.number, &self.input.name);
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let schema = self.schema();
                let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let columns = columns.join(", ");
                write!(f, "SharedExec: shared_{number} ({name}), uses={}, columns=[{columns}]", self.use_count())
            }
            DisplayFormatType::TreeRender => writeln!(f, "{name}\nuses={}", self.use_count()),
        }
    }
}

impl ExecutionPlan for SharedExec {
    fn name(&self) -> &'static str {
        "SharedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.is_shown { vec![&self.input.plan] } else { vec![] }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true; self.children().len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.is_shown && children.is_empty() {
            return Ok(self);
        }
        let plan = single_child(self.as_ref(), children)?;
        if Arc::ptr_eq(&plan, &self.input.plan) {
            return Ok(self);
        }
        // a plan that only this use has is shared with no other
        let uses = vec![self.columns.clone()];
        let (number, schema) = (self.input.number, Arc::clone(&self.input.schema));
        let input = SharedInput::new(number, &self.input.name, schema, plan, uses, 1);
        Ok(Arc::new(Self { is_shown: true, ..Self::try_new(input, self.columns.clone())? }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut taken = self.taken.lock();
        let known = match &mut *taken {
            Some(known) if !known.partitions.contains(&partition) => known,
            // executed for the first time, or once more
            other => {
                let (execution, reader) = self.input.take(&self.columns)?;
                other.insert(Taken { execution, reader, partitions: HashSet::new() })
            }
        };
        known.partitions.insert(partition);
        let buffer = known.execution.buffer(partition, &self.input, &context)?;
        let reader = BufferReader::new(buffer, known.reader);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = reader.inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        if self.is_shown {
            self.input.metrics.clone_inner().iter().for_each(|metric| metrics.push(Arc::clone(metric)));
        }
        Some(metrics)
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let all = StatisticsContext::new().compute(self.input.plan.as_ref(), args)?;
        Ok(Arc::new(Arc::unwrap_or_clone(all).project(Some(&self.columns))))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.renewed(self.is_shown)))
    }
}
