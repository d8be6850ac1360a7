//! [`HashWindowAgg`]: window functions over hash partitions, without sorting the input.
//!
//! ```text
//!  BoundedWindowAggExec: lag(x), partition by k order by t        HashWindowAggExec: [row_number(), lag(x)] partition by k
//!    BoundedWindowAggExec: row_number(), partition by k     ->      contacts
//!      contacts
//! ```
//! A sort between the windows and the input is not there yet: DataFusion's `EnsureRequirements` runs later. `--explain` shows
//! with [`sorted_window_reasons`] why a window stays. Switch: `cxql.engine.hash_window_agg`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::exec_util::rewrite_plan;
use crate::window::{HashWindowAggExec, WindowCall};

/// Replaces `WindowAggExec` and `BoundedWindowAggExec` by [`HashWindowAggExec`] where that supports all functions and frames,
/// and merges it with one below that has the same PARTITION BY.
#[derive(Debug)]
pub(crate) struct HashWindowAgg;

impl PhysicalOptimizerRule for HashWindowAgg {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| match windows_of(plan) {
            Some((windows, input)) if unsupported_reason(windows, input).is_none() => {
                let (windows, input) = merged(windows, input);
                Ok(Some(Arc::new(HashWindowAggExec::try_new(windows, input)?)))
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

/// The windows merged with those of the operator below, if that has the same PARTITION BY and they use no result of it.
fn merged(
    windows: &[Arc<dyn WindowExpr>],
    input: &Arc<dyn ExecutionPlan>,
) -> (Vec<Arc<dyn WindowExpr>>, Arc<dyn ExecutionPlan>) {
    let unmerged = || (windows.to_vec(), Arc::clone(input));
    let Some(below) = input.downcast_ref::<HashWindowAggExec>() else { return unmerged() };
    // columns from `width` on are results of the operator below
    let width = below.input().schema().fields().len();
    let needs_results =
        |expr: &Arc<dyn PhysicalExpr>| collect_columns(expr).iter().any(|column| column.index() >= width);
    let is_independent = windows.iter().all(|window| {
        let all = window.all_expressions();
        let mut exprs = all.args.iter().chain(&all.partition_by_exprs).chain(&all.order_by_exprs);
        !exprs.any(needs_results)
    });
    let has_same_keys = match (windows.first(), below.windows().first()) {
        (Some(window), Some(other)) => window.partition_by() == other.partition_by(),
        _ => false,
    };
    // below a projection, column indices are not those of the input
    if below.has_projection() || !is_independent || !has_same_keys {
        return unmerged();
    }
    ([below.windows(), windows].concat(), Arc::clone(below.input()))
}
