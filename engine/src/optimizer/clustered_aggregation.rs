//! [`ClusteredAggregation`]: one complete aggregation over clustered rows in place of two and an exchange.
//!
//! ```text
//!  AggregateExec: mode=FinalPartitioned, gby=[customer]     ClusteredAggregateExec: gby=[customer], input=clustered
//!    AggregateExec: mode=Partial, gby=[customer]        ->    HashWindowAggExec: partition by customer
//!      HashWindowAggExec: partition by customer
//! ```
//! DataFusion's `EnsureRequirements` would add the exchange between the two aggregates later. Switch:
//! `cxql.engine.clustered_aggregation`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::aggregate::{ClusteredAggregateExec, partial_and_final};
use crate::exec_util::rewrite_plan;

/// Replaces the partial and the final aggregate by one [`ClusteredAggregateExec`] where the clustering columns of the input
/// are among the grouping columns: each group then lies within one partition.
#[derive(Debug)]
pub(crate) struct ClusteredAggregation;

impl PhysicalOptimizerRule for ClusteredAggregation {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| match partial_and_final(plan) {
            Some((partial, _)) => {
                Ok(ClusteredAggregateExec::try_over(partial)?.map(|aggregate| Arc::new(aggregate) as _))
            }
            None => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "clustered_aggregation"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
