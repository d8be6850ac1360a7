//! [`SharedSubplans`]: shows the plan of each shared subplan below its first use. Subplans are chosen in the logical plan, by
//! `ShareSubplans` of [`crate::shared`].
//!
//! Switch: `cxql.engine.shared_subplans`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::shared::show_subplans;

/// Gives the first use of a shared subplan its plan as input.
#[derive(Debug)]
pub(crate) struct SharedSubplans;

impl PhysicalOptimizerRule for SharedSubplans {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        show_subplans(plan)
    }

    fn name(&self) -> &str {
        "shared_subplans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
