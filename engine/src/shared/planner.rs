//! Plans of shared subplans: within one statement by a rule and a query planner, for the statements of a run together by
//! [`plan_together`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::execution::SessionState;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use super::choose::share_subplans;
use super::subplan::{inlined, prune_subplans, reads_shared};
use crate::EngineOptions;

/// Optimizes the statements of a run, with the subplans that occur several times in them shared. Each is executed by
/// [`SessionState::query_planner`] with the same `state`, whose time is `now()` in all of them. `None` for a statement that
/// cannot be optimized, or is not a query: planned alone, it shows its error.
pub fn plan_together(state: &SessionState, plans: &[&LogicalPlan]) -> Vec<Option<LogicalPlan>> {
    let unshared = || plans.iter().map(|_| None).collect();
    if plans.len() < 2 || !EngineOptions::of(state.config_options()).shared_subplans {
        return unshared();
    }
    let analyzed: Vec<Option<LogicalPlan>> = plans
        .iter()
        .map(|plan| {
            let analyzer = state.analyzer();
            is_query(plan)
                .then(|| analyzer.execute_and_check((*plan).clone(), state.config_options(), |_, _| {}).ok())
                .flatten()
        })
        .collect();
    let places: Vec<bool> = analyzed.iter().map(Option::is_some).collect();
    let Ok(shared) = share_subplans(analyzed.into_iter().flatten().collect()) else { return unshared() };
    let mut shared = shared.into_iter();
    let optimized: Vec<Option<LogicalPlan>> = places
        .into_iter()
        .map(|is_there| if is_there { shared.next() } else { None })
        .map(|plan| plan.and_then(|plan| state.optimizer().optimize(plan, state, |_, _| {}).ok()))
        .collect();
    match prune_subplans(&optimized.iter().flatten().collect::<Vec<_>>(), state) {
        Ok(()) => optimized,
        Err(_) => unshared(),
    }
}

fn is_query(plan: &LogicalPlan) -> bool {
    !matches!(
        plan,
        LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Copy(_)
    )
}

/// Shares subplans within a statement.
#[derive(Debug)]
pub(crate) struct ShareSubplans;

impl OptimizerRule for ShareSubplans {
    fn name(&self) -> &str {
        "shared_subplans"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // those of a run are chosen already, and a second pass has nothing to add
        if !EngineOptions::of(&config.options()).shared_subplans || reads_shared(&plan) {
            return Ok(Transformed::no(plan));
        }
        let mut plans = share_subplans(vec![plan])?;
        let plan = plans.pop().unwrap_or_default();
        let is_shared = reads_shared(&plan);
        Ok(Transformed::new_transformed(plan, is_shared))
    }
}

/// Plans shared subplans before the plans that read them, and puts those into their places that each use computes again.
#[derive(Debug)]
pub(crate) struct SharedSubplanPlanner {
    /// The planner of the session; `None` for DataFusion's own.
    pub(crate) inner: Option<Arc<dyn QueryPlanner + Send + Sync>>,
}

#[async_trait]
impl QueryPlanner for SharedSubplanPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(state) = session.as_any().downcast_ref::<SessionState>() {
            prune_subplans(&[logical_plan], state)?;
        }
        let inlined = inlined(logical_plan, session).await?;
        let logical_plan = inlined.as_ref().unwrap_or(logical_plan);
        match &self.inner {
            Some(inner) => inner.create_physical_plan(logical_plan, session).await,
            None => DefaultPhysicalPlanner::default().create_physical_plan(logical_plan, session).await,
        }
    }
}
