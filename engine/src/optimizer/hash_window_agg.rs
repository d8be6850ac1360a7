//! [`HashWindowAgg`]: window functions over hash partitions, without sorting the input.
//!
//! ```text
//!  BoundedWindowAggExec: lag(x), partition by k order by t  ->  HashWindowAggExec: [lag(x)] partition by k order by t
//!    contacts                                                     contacts
//! ```
//! A sort between the windows and the input is not there yet: DataFusion's `EnsureRequirements` runs later. `--explain` shows
//! with [`sorted_window_reasons`] why a window stays. Switch: `cxql.engine.hash_window_agg`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::exec_util::rewrite_plan;
use crate::window::{HashWindowAggExec, WindowCall};

/// Replaces `WindowAggExec` and `BoundedWindowAggExec` by [`HashWindowAggExec`] where that supports all functions and frames.
#[derive(Debug)]
pub(crate) struct HashWindowAgg;

impl PhysicalOptimizerRule for HashWindowAgg {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| match windows_of(plan) {
            Some((windows, input)) if unsupported_reason(windows, input).is_none() => {
                Ok(Some(Arc::new(HashWindowAggExec::try_new(windows.to_vec(), Arc::clone(input))?)))
            }
            _ => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "hash_window_agg"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Why each window operator of DataFusion in a plan was not replaced: its functions, and the reason.
pub fn sorted_window_reasons(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut lines = vec![];
    let mut plans = vec![plan];
    while let Some(plan) = plans.pop() {
        if let Some((windows, input)) = windows_of(plan) {
            let names: Vec<&str> = windows.iter().map(|window| window.name()).collect();
            let reason =
                unsupported_reason(windows, input).unwrap_or_else(|| "cxql.engine.hash_window_agg is off".to_string());
            lines.push(format!("{}: {reason}", names.join(", ")));
        }
        plans.extend(plan.children());
    }
    lines
}

/// Window expressions and their input.
type Windows<'a> = (&'a [Arc<dyn WindowExpr>], &'a Arc<dyn ExecutionPlan>);

pub(crate) fn windows_of(plan: &Arc<dyn ExecutionPlan>) -> Option<Windows<'_>> {
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return Some((window.window_expr(), window.input()));
    }
    plan.downcast_ref::<BoundedWindowAggExec>().map(|window| (window.window_expr(), window.input()))
}

/// Why [`HashWindowAggExec`] does not evaluate these windows; `None` if it does.
fn unsupported_reason(windows: &[Arc<dyn WindowExpr>], input: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let first = windows.first()?;
    if first.partition_by().is_empty() {
        return Some("there is no PARTITION BY".to_string());
    }
    if windows.iter().any(|window| window.partition_by() != first.partition_by()) {
        return Some("they differ in PARTITION BY".to_string());
    }
    if input.boundedness().is_unbounded() {
        return Some("the input is unbounded".to_string());
    }
    let schema = input.schema();
    windows.iter().find_map(|window| WindowCall::new(window, &schema).err())
}
