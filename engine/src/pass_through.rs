//! [`PassThroughExec`]: passes rows on, and hides what DataFusion would derive wrongly from the properties of its input.
//!
//! | policy | shown as | what it hides | rule |
//! |---|---|---|---|
//! | [`Policy::NameGuard`] | `NameGuardExec` | columns whose name is there twice, from filters that are pushed down | [`DuplicateNames`] |
//! | [`Policy::Unordered`] | `UnorderedExec` | the order of rows, and constants | [`OrderingClaims`] |
//!
//! ```text
//!  FilterExec: b.k IS NULL                            FilterExec: b.k IS NULL
//!    ProjectionExec: [a.k as k, b.k as k]      ->       NameGuardExec
//!      HashJoinExec: Left, a.k = b.k                      ProjectionExec: [a.k as k, b.k as k]
//! ```
//! DataFusion 55.2 finds columns of a filter that it pushes through a projection by name, and physical names are without
//! tables: `b.k is null` becomes a condition on `a.k` below the join, and rows vanish
//! (<https://github.com/apache/datafusion/issues/25296>, mended after 55.2).
//!
//! ```text
//!  input     claims (queue ASC), day is constant
//!    |  the same batches, the same partitions
//!  output    claims no order; equal columns stay equal, with `hides_constants` nothing
//! ```
//! DataFusion's joins and aggregates derive the order of their output from that of their inputs, in some cases wrongly. An
//! operator's properties cannot be corrected from outside, its inputs' can: the rule puts this operator below or above, and
//! `EnsureRequirements` adds the sort that would be missing.
//!
//! [`DuplicateNames`]: crate::optimizer::duplicate_names::DuplicateNames
//! [`OrderingClaims`]: crate::optimizer::ordering_claims::OrderingClaims

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use crate::exec_util::single_child;

/// What a [`PassThroughExec`] hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Columns whose name is there twice, from filters that are pushed down.
    NameGuard,
    /// The order of rows.
    Unordered {
        /// Whether nothing is claimed either about columns that have one value only.
        hides_constants: bool,
    },
}

/// Its input with fewer claims; see the [module documentation](self).
#[derive(Debug, Clone)]
pub(crate) struct PassThroughExec {
    input: Arc<dyn ExecutionPlan>,
    policy: Policy,
    properties: Arc<PlanProperties>,
}

impl PassThroughExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, policy: Policy) -> Self {
        let properties = match policy {
            Policy::NameGuard => Arc::clone(input.properties()),
            Policy::Unordered { hides_constants } => {
                let mut known = input.equivalence_properties().clone();
                if hides_constants {
                    known = EquivalenceProperties::new(input.schema());
                } else {
                    known.clear_orderings();
                }
                Arc::new(PlanProperties::clone(input.properties()).with_eq_properties(known))
            }
        };
        Self { input, policy, properties }
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

impl DisplayAs for PassThroughExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kind {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "{}", self.name()),
            DisplayFormatType::TreeRender => Ok(()),
        }
    }
}

impl ExecutionPlan for PassThroughExec {
    fn name(&self) -> &'static str {
        match self.policy {
            Policy::NameGuard => "NameGuardExec",
            Policy::Unordered { .. } => "UnorderedExec",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.policy == Policy::NameGuard]
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
        Ok(Arc::new(Self::new(single_child(self.as_ref(), children)?, self.policy)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let Some(input) = inputs.first() else { return internal_err!("{} has one input", self.name()) };
        Ok(Arc::clone(input))
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
        match self.policy {
            Policy::NameGuard => {
                let unique = unique_names(&self.input);
                let child =
                    ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, unique, &self.input)?;
                Ok(FilterDescription::new().with_child(child))
            }
            Policy::Unordered { .. } => FilterDescription::from_children(parent_filters, &self.children()),
        }
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
