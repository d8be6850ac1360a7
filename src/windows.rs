//! Window functions over very many small partitions, which the engine's own operator is slow at: it sorts all rows by
//! partition and asks every function partition by partition.
//!
//! [`GroupWindows`] puts [`GroupedWindowExec`] in its place wherever that knows the functions and frames; results are the
//! same. The rule runs before the engine's rules add sorts and exchanges, so that what needs an order above gets it.

mod chunked;
pub(crate) mod coding;
mod collect;
mod exec;
pub(crate) mod forms;
mod functions;
mod keys;
mod neighbours;
mod order;
mod plain_text;
mod runs;
mod shared;
mod solve;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::{ConfigExtension, ConfigOptions};
use datafusion::common::extensions_options;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

pub use self::chunked::ChunkedAggregateExec;
pub(crate) use self::collect::SEED;
pub use self::exec::GroupedWindowExec;
pub use self::plain_text::PlainTextWindows;
use crate::plans::replaced;

extensions_options! {
    /// Settings of cxql's own operators.
    pub struct WindowOptions {
        /// Whether window functions are computed without sorting where that is possible.
        pub grouped_windows: bool, default = true
    }
}

impl ConfigExtension for WindowOptions {
    const PREFIX: &'static str = "cxql";
}

/// Replaces the engine's window operators by [`GroupedWindowExec`], and aggregates over what it gives by [`ChunkedAggregateExec`] where that is possible.
#[derive(Debug)]
pub struct GroupWindows;

impl PhysicalOptimizerRule for GroupWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if config.extensions.get::<WindowOptions>().is_some_and(|options| !options.grouped_windows) {
            return Ok(plan);
        }
        let grouped = replaced(plan, |plan| match windows_of(plan) {
            Some((windows, input)) if obstacle(windows, input).is_none() => {
                let (windows, input) = merged(windows, input);
                Ok(Some(Arc::new(GroupedWindowExec::try_new(windows, input)?)))
            }
            _ => Ok(None),
        })?;
        let chunked = replaced(grouped, |plan| Ok(chunked::chunked(plan)?.map(|aggregate| Arc::new(aggregate) as _)))?;
        in_whole_partitions(chunked)
    }

    fn name(&self) -> &str {
        "group_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan, in which operators that take partitions as they come get whole ones in a batch where that can be.
fn in_whole_partitions(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    replaced(plan, |plan| {
        let takes_partitions = match plan.downcast_ref::<GroupedWindowExec>() {
            Some(grouped) => grouped.is_together(),
            None => plan.is::<ChunkedAggregateExec>(),
        };
        let input = match plan.children().as_slice() {
            [input] if takes_partitions => runs::made_whole(input)?,
            _ => None,
        };
        input.map(|input| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
    })
}

/// Why each of the engine's window operators in a plan was kept: its functions, and the reason.
pub fn kept(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut lines = vec![];
    let mut plans = vec![plan];
    while let Some(plan) = plans.pop() {
        if let Some((windows, input)) = windows_of(plan) {
            let names: Vec<&str> = windows.iter().map(|window| window.name()).collect();
            let reason = obstacle(windows, input).unwrap_or_else(|| "cxql.grouped_windows is off".to_string());
            lines.push(format!("{}: {reason}", names.join(", ")));
        }
        plans.extend(plan.children());
    }
    lines
}

type Windows<'a> = (&'a [Arc<dyn WindowExpr>], &'a Arc<dyn ExecutionPlan>);

fn windows_of(plan: &Arc<dyn ExecutionPlan>) -> Option<Windows<'_>> {
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return Some((window.window_expr(), window.input()));
    }
    plan.downcast_ref::<BoundedWindowAggExec>().map(|window| (window.window_expr(), window.input()))
}

/// Why the grouped operator cannot or should not compute these windows.
fn obstacle(windows: &[Arc<dyn WindowExpr>], input: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let first = windows.first()?;
    if first.partition_by().is_empty() {
        return Some("there is no PARTITION BY".to_string());
    }
    if windows.iter().any(|window| window.partition_by() != first.partition_by()) {
        return Some("they differ in PARTITION BY".to_string());
    }
    if input.boundedness().is_unbounded() {
        return Some("the input has no end".to_string());
    }
    let schema = input.schema();
    windows.iter().find_map(|window| functions::Call::new(window, &schema).err())
}

/// The windows together with those of the operator below, if that has the same partitions and they need nothing of it.
fn merged(
    windows: &[Arc<dyn WindowExpr>],
    input: &Arc<dyn ExecutionPlan>,
) -> (Vec<Arc<dyn WindowExpr>>, Arc<dyn ExecutionPlan>) {
    let apart = || (windows.to_vec(), Arc::clone(input));
    let Some(below) = input.downcast_ref::<GroupedWindowExec>() else { return apart() };
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
    if below.has_projection() || !is_independent || !has_same_keys {
        return apart();
    }
    ([below.windows(), windows].concat(), Arc::clone(below.input()))
}
