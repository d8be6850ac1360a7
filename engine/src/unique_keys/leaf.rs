//! [`SplitRowsExec`]: the leaf below the inputs of `UniqueKeysExec`, which stands for a part of its rows.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

use super::run::{SplitRun, with_schema};
use crate::exec_util::{projected_index, statistics_of, without_bounds};

/// Which rows a leaf emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SplitRows {
    /// Those whose key occurs once.
    Unique,
    /// None: those whose key occurs once are read and dropped.
    Discarded,
    /// Those that the windows evaluate: of repeated keys, or all.
    Windows,
}

/// Rows of the input `rows` of a `UniqueKeysExec`. It gets them from the execution of that operator, which is an extension of the
/// context.
#[derive(Debug)]
pub(crate) struct SplitRowsExec {
    part: SplitRows,
    /// Its columns, as indices of those of `rows`; `None` for all.
    columns: Option<Vec<usize>>,
    /// Those of all rows.
    statistics: Arc<Statistics>,
    properties: Arc<PlanProperties>,
}

impl SplitRowsExec {
    /// The leaf over `rows`.
    pub(crate) fn new(part: SplitRows, rows: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let statistics = Arc::new(Statistics::clone(statistics_of(rows)?.as_ref()).to_inexact());
        Ok(Self::build(part, None, rows.schema(), rows.output_partitioning().partition_count(), statistics))
    }

    /// The leaf with these of its columns.
    pub(super) fn narrowed(&self, columns: &[usize]) -> Result<Self> {
        let schema = Arc::new(self.schema().project(columns)?);
        let statistics = Arc::new(Statistics::clone(&self.statistics).project(Some(&columns)));
        let columns = columns.iter().map(|&column| projected_index(self.columns.as_deref(), column)).collect();
        let partitions = self.properties.output_partitioning().partition_count();
        Ok(Self::build(self.part, Some(columns), schema, partitions, statistics))
    }

    /// The leaf with dictionary arrays of type `data_type` as one of its columns, and the column of `rows` that this is. `None` if
    /// windows read it.
    pub(crate) fn with_dictionary(&self, column: usize, data_type: DataType) -> Option<(Self, usize)> {
        if self.part == SplitRows::Windows {
            return None;
        }
        let schema = self.schema();
        let fields = schema.fields().iter().enumerate().map(|(index, field)| match index == column {
            true => Arc::new(Field::clone(field).with_data_type(data_type.clone())),
            false => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()));
        let mut statistics = Statistics::clone(&self.statistics);
        if let Some(known) = statistics.column_statistics.get_mut(column) {
            *known = without_bounds(known);
        }
        let partitions = self.properties.output_partitioning().partition_count();
        let leaf = Self::build(self.part, self.columns.clone(), schema, partitions, Arc::new(statistics));
        Some((leaf, projected_index(self.columns.as_deref(), column)))
    }

    fn build(
        part: SplitRows,
        columns: Option<Vec<usize>>,
        schema: SchemaRef,
        partitions: usize,
        statistics: Arc<Statistics>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // the rows come from a scan that yields, or from memory and few
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        Self { part, columns, statistics, properties }
    }
}

/// A plan over leaves of this many partitions.
///
/// # Errors
/// Those of rebuilding an operator.
pub(super) fn with_partitions(plan: Arc<dyn ExecutionPlan>, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|plan| match plan.downcast_ref::<SplitRowsExec>() {
        Some(leaf) if leaf.properties.output_partitioning().partition_count() != partitions => {
            let (columns, statistics) = (leaf.columns.clone(), Arc::clone(&leaf.statistics));
            let leaf = SplitRowsExec::build(leaf.part, columns, leaf.schema(), partitions, statistics);
            Ok(Transformed::yes(Arc::new(leaf) as _))
        }
        _ => Ok(Transformed::no(plan)),
    })?;
    Ok(plan.data)
}

impl DisplayAs for SplitRowsExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            SplitRows::Unique => "unique",
            SplitRows::Discarded => "discarded",
            SplitRows::Windows => "repeated",
        };
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "SplitRowsExec: rows={part}")?;
                if self.columns.is_none() {
                    return Ok(());
                }
                let schema = self.schema();
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                write!(f, ", columns=[{}]", names.join(", "))
            }
            DisplayFormatType::TreeRender => writeln!(f, "rows={part}"),
        }
    }
}

impl ExecutionPlan for SplitRowsExec {
    fn name(&self) -> &'static str {
        "SplitRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("SplitRowsExec has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = context.session_config().get_extension::<SplitRun>();
        let run = run.ok_or_else(|| internal_datafusion_err!("SplitRowsExec outside of UniqueKeysExec"))?;
        let leaves = self.properties.output_partitioning().partition_count();
        match self.part {
            SplitRows::Windows => run.window_rows(partition, leaves),
            part => {
                let columns = self.columns.as_deref();
                let rows = run.unique_rows(partition, leaves, columns, part == SplitRows::Discarded)?;
                let (schema, declared) = (self.schema(), self.schema());
                let rows = rows.map(move |batch| with_schema(batch?, &declared));
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
            }
        }
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&self.statistics))
    }
}
