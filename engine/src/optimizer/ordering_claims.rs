//! [`OrderingClaims`]: joins and grouping sets do not claim an order that their rows do not have.
//!
//! ```text
//!  SortExec: [h ASC]                          SortExec: [h ASC, queue ASC]
//!    HashJoinExec: type=Inner           ->      HashJoinExec: type=Inner
//!      claims (h ASC, queue ASC)                  claims (h ASC)
//!      build: claims (queue ASC)                  UnorderedExec
//!      probe: claims (h ASC)                        build
//!                                                 probe
//! ```
//!
//! Faults of DataFusion 55.2, which remove sort keys, so that ORDER BY, LIMIT and windows are wrong:
//!
//! 1. A hash or merge join appends the order of the other side to that of the side whose order it keeps. Where a key
//!    of the kept side repeats, the rows of the other side repeat too
//!    (<https://github.com/apache/datafusion/issues/25052>).
//! 2. An outer join keeps what is known of columns with one value (`where y = 5` below the join) for the side that it
//!    fills with NULLs, where they have two.
//! 3. An aggregate over grouping sets claims the order and the constants of its keys, although it replaces keys by
//!    NULL; the aggregate above then emits a group whenever the key changes
//!    (<https://github.com/apache/datafusion/issues/16965>, <https://github.com/apache/datafusion/issues/24421>).
//!
//! Properties of an operator are derived from those of its inputs, so the rule hides what is known of an input
//! ([`Policy::Unordered`]), and where that does not suffice what the operator claims. It runs twice: before sorts are
//! added, and at the end for aggregates over grouping sets, below which a sort was added for an ordered aggregate such
//! as `array_agg(x order by id)`. Switch: `cxql.engine.ordering_claims`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{JoinType, Result};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};

use crate::exec_util::rewrite_plan;
use crate::pass_through::{PassThroughExec, Policy};

/// Which of its two runs the rule makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderingClaims {
    /// Before sorts are added.
    BeforeSorts,
    /// At the end.
    AfterSorts,
}

impl PhysicalOptimizerRule for OrderingClaims {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| match plan.downcast_ref::<AggregateExec>() {
            Some(aggregate) if aggregate.group_expr().has_grouping_set() => self.grouping_sets(plan, aggregate),
            _ if *self == Self::BeforeSorts => join(plan),
            _ => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "ordering_claims"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl OrderingClaims {
    fn grouping_sets(
        self,
        plan: &Arc<dyn ExecutionPlan>,
        aggregate: &AggregateExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let has_ordered_function = aggregate.aggr_expr().iter().any(|function| !function.order_bys().is_empty());
        let is_first_run = self == Self::BeforeSorts;
        let hides_input = if is_first_run {
            has_order(aggregate.input()) || has_constants(aggregate.input())
        } else {
            *aggregate.input_order_mode() != InputOrderMode::Linear
        };
        let hidden = match hides_input {
            true => {
                let input = unordered(Arc::clone(aggregate.input()), true);
                replace_children_if_necessary(Arc::clone(plan), vec![input])?
            }
            false => Arc::clone(plan),
        };
        // a sort that is added below for the ordered function brings the claims back
        if is_first_run && (has_ordered_function || has_order(&hidden) || has_constants(&hidden)) {
            return Ok(Some(unordered(hidden, true)));
        }
        Ok(hides_input.then_some(hidden))
    }
}

/// A join without the claims that are wrong; `None` where there are none.
fn join(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (join_type, appends_build_order, is_merge_join) = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        (*join.join_type(), matches!(join.join_type(), JoinType::Inner | JoinType::Right), false)
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        (*join.join_type(), false, false)
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        (join.join_type(), false, true)
    } else {
        return Ok(None);
    };
    let is_filled = match join_type {
        JoinType::Left => [false, true],
        JoinType::Right => [true, false],
        JoinType::Full => [true, true],
        _ => [false, false],
    };
    let mut is_changed = false;
    let sides = plan.children().into_iter().zip(is_filled).enumerate();
    let sides = sides.map(|(side, (input, is_filled))| -> Arc<dyn ExecutionPlan> {
        let hides_constants = is_filled && has_constants(input);
        if hides_constants || (side == 0 && appends_build_order && has_order(input)) {
            is_changed = true;
            return unordered(Arc::clone(input), hides_constants);
        }
        Arc::clone(input)
    });
    let sides = sides.collect();
    let plan = if is_changed { replace_children_if_necessary(Arc::clone(plan), sides)? } else { Arc::clone(plan) };
    if is_merge_join {
        // its inputs must stay sorted, so that the order is hidden above
        return Ok(Some(unordered(plan, false)));
    }
    Ok(is_changed.then_some(plan))
}

/// The plan without claims about the order of rows, see [`Policy::Unordered`].
fn unordered(plan: Arc<dyn ExecutionPlan>, hides_constants: bool) -> Arc<dyn ExecutionPlan> {
    Arc::new(PassThroughExec::new(plan, Policy::Unordered { hides_constants }))
}

fn has_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    !plan.equivalence_properties().oeq_class().is_empty()
}

fn has_constants(plan: &Arc<dyn ExecutionPlan>) -> bool {
    !plan.equivalence_properties().constants().is_empty()
}
