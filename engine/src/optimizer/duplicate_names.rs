//! [`DuplicateNames`]: filters are not pushed by name through projections in which a name is there twice.
//!
//! Plan before and after: [`PassThroughExec`]. Switch: `cxql.engine.duplicate_names`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::exec_util::rewrite_plan;
use crate::pass_through::{PassThroughExec, Policy, has_duplicate_names};

/// Puts guards above projections.
#[derive(Debug)]
pub(crate) struct DuplicateNames;

impl PhysicalOptimizerRule for DuplicateNames {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| {
            let is_guarded = plan.is::<ProjectionExec>() && has_duplicate_names(plan);
            Ok(is_guarded.then(|| Arc::new(PassThroughExec::new(Arc::clone(plan), Policy::NameGuard)) as _))
        })
    }

    fn name(&self) -> &str {
        "duplicate_names"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
