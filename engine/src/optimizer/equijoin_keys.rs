//! [`EquijoinKeys`]: an equality does not become a key of a join in which NULL equals NULL.
//!
//! ```text
//!  select * from a join b on a.x is not distinct from b.x where a.y = b.y
//!
//!  Inner Join: a.x = b.x, a.y = b.y         Inner Join: a.x = b.x Filter: a.y = b.y
//!    (NULL equals NULL)                ->     (NULL equals NULL)
//! ```
//! DataFusion's rule `extract_equijoin_predicate` makes keys of `IS NOT DISTINCT FROM`, which is then said for all keys of
//! the join at once. The equality becomes a key too, by `eliminate_cross_join` from WHERE, or by the first rule in its next
//! pass: rows with NULL in both `y` are in the answer. No issue of DataFusion was found. Both rules are wrapped; below a
//! condition such keys become conditions again. Switch: `cxql.engine.equijoin_keys`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, JoinType, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::EngineOptions;

/// DataFusion's rules that are wrapped.
pub(crate) const WRAPPED: [&str; 2] = ["extract_equijoin_predicate", "eliminate_cross_join"];

/// A rule of DataFusion, except for joins in which NULL equals NULL.
#[derive(Debug)]
pub(crate) struct EquijoinKeys(pub(crate) Arc<dyn OptimizerRule + Send + Sync>);

fn has_null_keys(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty()
}

/// The inner joins directly below a condition without keys in which NULL equals NULL.
fn without_null_keys(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner => {
            let mut is_changed = false;
            for side in [&mut join.left, &mut join.right] {
                let below = without_null_keys(side.as_ref().clone())?;
                if below.transformed {
                    (*side, is_changed) = (Arc::new(below.data), true);
                }
            }
            if has_null_keys(&join) {
                let keys = std::mem::take(&mut join.on).into_iter().map(|(left, right)| {
                    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::IsNotDistinctFrom, Box::new(right)))
                });
                join.filter = conjunction(keys.chain(join.filter.take()));
                join.null_equality = NullEquality::NullEqualsNothing;
                is_changed = true;
            }
            Ok(Transformed::new_transformed(LogicalPlan::Join(join), is_changed))
        }
        plan => Ok(Transformed::no(plan)),
    }
}

impl OptimizerRule for EquijoinKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !EngineOptions::of(&config.options()).equijoin_keys {
            return self.0.rewrite(plan, config);
        }
        // this one is asked for each operator, the other one for the plan
        if self.0.name() == WRAPPED[0] {
            let is_left = matches!(&plan, LogicalPlan::Join(join) if has_null_keys(join));
            return if is_left { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) };
        }
        let plan = plan.transform_down(|plan| match plan {
            LogicalPlan::Filter(mut filter) => {
                let input = without_null_keys(filter.input.as_ref().clone())?;
                Ok(input.update_data(|input| {
                    filter.input = Arc::new(input);
                    LogicalPlan::Filter(filter)
                }))
            }
            plan => Ok(Transformed::no(plan)),
        })?;
        let is_changed = plan.transformed;
        let plan = self.0.rewrite(plan.data, config)?;
        Ok(Transformed::new_transformed(plan.data, is_changed || plan.transformed))
    }
}
