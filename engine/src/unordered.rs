//! [`UnorderedExec`]: passes rows on and claims nothing about their order.
//!
//! ```text
//!  input     claims (queue ASC), day is constant
//!    |  the same batches, the same partitions
//!  output    claims no order; equal columns stay equal, with `hides_constants` nothing
//! ```
//!
//! DataFusion's joins and aggregates derive the order of their output from that of their inputs, in some cases wrongly. An
//! operator's properties cannot be corrected from outside, its inputs' can: [`OrderingClaims`] puts this operator below or
//! above, and `EnsureRequirements` adds the sort that would be missing.
//!
//! [`OrderingClaims`]: crate::optimizer::ordering_claims::OrderingClaims

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use crate::exec_util::single_child;

/// Its input without claims about the order of rows, see the page of this module.
#[derive(Debug, Clone)]
pub(crate) struct UnorderedExec {
    input: Arc<dyn ExecutionPlan>,
    hides_constants: bool,
    properties: Arc<PlanProperties>,
}

impl UnorderedExec {
    /// With `hides_constants` nothing is claimed either about columns that have one value only.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, hides_constants: bool) -> Self {
        let mut known = input.equivalence_properties().clone();
        if hides_constants {
            known = EquivalenceProperties::new(input.schema());
        } else {
            known.clear_orderings();
        }
        let properties = Arc::new(PlanProperties::clone(input.properties()).with_eq_properties(known));
        Self { input, hides_constants, properties }
    }
}

impl DisplayAs for UnorderedExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "UnorderedExec"),
            DisplayFormatType::TreeRender => Ok(()),
        }
    }
}

impl ExecutionPlan for UnorderedExec {
    fn name(&self) -> &'static str {
        "UnorderedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        Ok(Arc::new(Self::new(single_child(self.as_ref(), children)?, self.hides_constants)))
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
        FilterDescription::from_children(parent_filters, &self.children())
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
