//! [`PerfectHashAggregation`]: partial aggregates by keys that can be encoded.
//!
//! ```text
//!  AggregateExec: mode=FinalPartitioned, gby=[queue]        AggregateExec: mode=FinalPartitioned, gby=[queue]
//!    RepartitionExec: Hash([queue])                   ->      RepartitionExec: Hash([queue])
//!      AggregateExec: mode=Partial, gby=[queue]                 PerfectHashAggregateExec: mode=Partial, gby=[queue]
//!        contacts                                                 contacts
//! ```
//! Switch: `cxql.engine.perfect_hash_aggregation`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use crate::EngineOptions;
use crate::aggregate::PerfectHashAggregateExec;
use crate::exec_util::rewrite_plan;

/// Replaces partial aggregates by [`PerfectHashAggregateExec`] where the types of all keys can be encoded. Whether they
/// have low cardinality shows at run time: the operator falls back to DataFusion's.
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
