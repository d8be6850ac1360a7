//! [`PerfectHashAggregation`]: chooses the aggregate for low-cardinality keys.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use crate::EngineOptions;
use crate::aggregate::PerfectHashAggregateExec;
use crate::exec_util::rewrite_plan;

/// Replaces partial aggregates by [`PerfectHashAggregateExec`] where the types of all keys can be coded. Whether the keys have
/// few values shows when it runs.
#[derive(Debug)]
pub(crate) struct PerfectHashAggregation;

impl PhysicalOptimizerRule for PerfectHashAggregation {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let bits = EngineOptions::of(config).perfect_hash_bits;
        rewrite_plan(plan, |plan| match plan.downcast_ref::<AggregateExec>() {
            Some(aggregate) => {
                Ok(PerfectHashAggregateExec::try_over(aggregate, bits).map(|aggregate| Arc::new(aggregate) as _))
            }
            None => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "perfect_hash_aggregation"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
