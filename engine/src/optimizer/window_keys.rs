//! [`WindowKeys`]: all functions of a window operator have the same keys.
//!
//! ```text
//!  WindowAggr: sum(v) PARTITION BY [__common_1 AS k % 2]     WindowAggr: sum(v) PARTITION BY [__common_1] AS sum(v) ...
//!              max(v) PARTITION BY [__common_1] AS f    ->               max(v) PARTITION BY [__common_1] AS f
//! ```
//! DataFusion's `common_sub_expression_eliminate` puts a column in place of a key, and the alias that keeps the name of the
//! call sometimes around the key and sometimes around the call. Its debug builds then find that the keys of one operator
//! differ and panic (physical_planner.rs; no issue was found); release builds do not look. The rule is wrapped, and the alias
//! stands around the call. Switch: `cxql.engine.window_keys`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::EngineOptions;

/// DataFusion's rule that is wrapped.
pub(crate) const WRAPPED: &str = "common_sub_expression_eliminate";

/// The rule of DataFusion, with keys of windows that have no alias.
#[derive(Debug)]
pub(crate) struct WindowKeys(pub(crate) Arc<dyn OptimizerRule + Send + Sync>);

/// A call without aliases in its keys.
fn without_aliases(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| {
        let Expr::WindowFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
        let mut is_changed = false;
        let mut bare = |expr: Expr| {
            let expr = expr.unalias_nested();
            is_changed |= expr.transformed;
            expr.data
        };
        let params = &mut call.params;
        params.partition_by = std::mem::take(&mut params.partition_by).into_iter().map(&mut bare).collect();
        for sort in &mut params.order_by {
            sort.expr = bare(sort.expr.clone());
        }
        Ok(Transformed::new_transformed(Expr::WindowFunction(call), is_changed))
    })
}

impl OptimizerRule for WindowKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let plan = self.0.rewrite(plan, config)?;
        if !plan.transformed || !EngineOptions::of(&config.options()).window_keys {
            return Ok(plan);
        }
        plan.transform_data(|plan| {
            plan.transform_down(|plan| {
                let LogicalPlan::Window(mut window) = plan else { return Ok(Transformed::no(plan)) };
                let names = NamePreserver::new_for_projection();
                let mut is_changed = false;
                let exprs = std::mem::take(&mut window.window_expr).into_iter().map(|expr| {
                    let name = names.save(&expr);
                    let expr = without_aliases(expr)?;
                    is_changed |= expr.transformed;
                    Ok(if expr.transformed { name.restore(expr.data) } else { expr.data })
                });
                window.window_expr = exprs.collect::<Result<_>>()?;
                Ok(Transformed::new_transformed(LogicalPlan::Window(window), is_changed))
            })
        })
    }
}
