//! [`UnpartitionedWindow`]: window functions without PARTITION BY, whose rows need not be sorted.
//!
//! ```text
//!  WindowAggExec: ntile(5), order by amount               UnpartitionedWindowExec: windows=[rank(), ntile(5)]
//!    BoundedWindowAggExec: rank(), order by orders   ->      customers
//!      customers
//! ```
//! DataFusion's operators stay where the order of one window is of use: it is that of the input, or a sort or a limit stands
//! above. Switch: `cxql.engine.unpartitioned_window`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use crate::window::UnpartitionedWindowExec;

/// Replaces chains of windows without PARTITION BY by [`UnpartitionedWindowExec`], which supports the functions and frames of
/// [`crate::window::HashWindowAggExec`].
#[derive(Debug)]
pub(crate) struct UnpartitionedWindow;

impl PhysicalOptimizerRule for UnpartitionedWindow {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(plan, false)
    }

    fn name(&self) -> &str {
        "unpartitioned_window"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `is_order_useful`: whether an operator above may profit from rows in the order of a window.
fn rewrite(plan: Arc<dyn ExecutionPlan>, is_order_useful: bool) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(exec) = UnpartitionedWindowExec::try_over(&plan)?
        && !exec.is_better_sorted(is_order_useful)
    {
        let input = rewrite(Arc::clone(exec.input()), false)?;
        return Arc::new(exec)
            .replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute));
    }
    let keeps_order = plan.downcast_ref::<ProjectionExec>().is_some() || plan.downcast_ref::<FilterExec>().is_some();
    let is_limit = plan.downcast_ref::<GlobalLimitExec>().is_some() || plan.downcast_ref::<LocalLimitExec>().is_some();
    let is_sort = plan.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_none());
    let is_order_useful = is_limit || is_sort || (keeps_order && is_order_useful);
    let children = plan.children().into_iter().map(|child| rewrite(Arc::clone(child), is_order_useful));
    let children = children.collect::<Result<Vec<_>>>()?;
    if children.iter().zip(plan.children()).all(|(new, old)| Arc::ptr_eq(new, old)) {
        return Ok(plan);
    }
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
