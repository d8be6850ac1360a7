//! [`NameGuardExec`]: passes rows on, and no filter over columns whose name is there twice.
//!
//! ```text
//!  FilterExec: b.k IS NULL                            FilterExec: b.k IS NULL
//!    ProjectionExec: [a.k as k, b.k as k]      ->       NameGuardExec
//!      HashJoinExec: Left, a.k = b.k                      ProjectionExec: [a.k as k, b.k as k]
//! ```
//! DataFusion 55.2 finds columns of a filter that it pushes through a projection by name, and physical names are without
//! tables: `b.k is null` becomes a condition on `a.k` below the join, and rows vanish. No issue of DataFusion was found.
//! The rule [`DuplicateNames`](crate::optimizer::duplicate_names::DuplicateNames) puts this operator above such projections.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use crate::exec_util::single_child;

/// Its input behind a guard, see the page of this module.
#[derive(Debug, Clone)]
pub(crate) struct NameGuardExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl NameGuardExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::clone(input.properties());
        Self { input, properties }
    }
}

/// Returns true if two columns have one name.
pub(crate) fn has_duplicate_names(plan: &Arc<dyn ExecutionPlan>) -> bool {
    unique_names(plan).len() < plan.schema().fields().len()
}

/// The columns whose name no other has.
fn unique_names(plan: &Arc<dyn ExecutionPlan>) -> HashSet<usize> {
    let schema = plan.schema();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let is_unique = |index: &usize| names.iter().filter(|name| **name == names[*index]).count() == 1;
    (0..names.len()).filter(is_unique).collect()
}

impl DisplayAs for NameGuardExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "NameGuardExec"),
            DisplayFormatType::TreeRender => Ok(()),
        }
    }
}

impl ExecutionPlan for NameGuardExec {
    fn name(&self) -> &'static str {
        "NameGuardExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    // the operator does nothing that more partitions would speed up
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(single_child(self.as_ref(), children)?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let unique = unique_names(&self.input);
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, unique, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
