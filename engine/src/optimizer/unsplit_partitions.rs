//! [`UnsplitPartitions`]: operators over clustered rows get batches in which no partition is split.
//!
//! ```text
//!  ClusteredAggregateExec                     ClusteredAggregateExec
//!    ProjectionExec                     ->      ProjectionExec
//!      HashWindowAggExec                          HashWindowAggExec: batches=unsplit
//! ```
//! Only projections may be in between: other operators form batches of their own. Switch: `cxql.engine.unsplit_partitions`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;

use crate::aggregate::ClusteredAggregateExec;
use crate::clustering::with_unsplit_partitions;
use crate::exec_util::rewrite_plan;
use crate::window::HashWindowAggExec;

/// Lets a [`HashWindowAggExec`] emit whole partitions, those of a bucket per batch, where the operator above takes clustered
/// rows. In batches of 8,192 rows that operator would concatenate them again and compare keys at every boundary.
#[derive(Debug)]
pub(crate) struct UnsplitPartitions;

impl PhysicalOptimizerRule for UnsplitPartitions {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| {
            let takes_clustered_rows = match plan.downcast_ref::<HashWindowAggExec>() {
                Some(window) => window.is_clustered(),
                None => plan.is::<ClusteredAggregateExec>(),
            };
            let input = match plan.children().as_slice() {
                [input] if takes_clustered_rows => with_unsplit_partitions(input)?,
                _ => None,
            };
            input.map(|input| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
        })
    }

    fn name(&self) -> &str {
        "unsplit_partitions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
