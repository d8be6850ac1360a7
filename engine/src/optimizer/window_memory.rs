//! [`WindowMemory`]: accounts for the rows that DataFusion's `WindowAggExec` keeps.
//!
//! ```text
//!  WindowAggExec: sum(v)       AccountedWindowExec
//!    input                ->     WindowAggExec: sum(v)
//!                                  input
//! ```
//! Switch: `cxql.engine.window_memory`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::WindowAggExec;

use crate::exec_util::rewrite_plan;
use crate::window::AccountedWindowExec;

/// Wraps every `WindowAggExec` into [`AccountedWindowExec`].
#[derive(Debug)]
pub(crate) struct WindowMemory;

impl PhysicalOptimizerRule for WindowMemory {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| {
            let is_window = plan.downcast_ref::<WindowAggExec>().is_some();
            Ok(is_window.then(|| Arc::new(AccountedWindowExec::new(Arc::clone(plan))) as _))
        })
    }

    fn name(&self) -> &str {
        "window_memory"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
