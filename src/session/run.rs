//! [`SharedPlan`]: statements of one run, whose common subplans are computed once.

use std::fmt;
use std::sync::Arc;

use cxql_engine::shared::plan_together;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::{Execution, Session, retry};
use crate::error::Result;
use crate::source::Source;

/// A statement optimized with the others of its run. `now()` is the same in all of them.
#[derive(Clone)]
pub(crate) struct SharedPlan {
    plan: LogicalPlan,
    state: Arc<SessionState>,
}

impl fmt::Debug for SharedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPlan").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl SharedPlan {
    /// The optimized plan.
    pub(crate) fn logical(&self) -> &LogicalPlan {
        &self.plan
    }
}

impl Session {
    /// Optimizes the statements of a run together. `None` for one that is planned alone when it is executed.
    pub(crate) fn share(&self, plans: &[&LogicalPlan]) -> Vec<Option<SharedPlan>> {
        let state = Arc::new(self.state());
        let shared = plan_together(&state, plans).into_iter();
        shared.map(|plan| plan.map(|plan| SharedPlan { plan, state: Arc::clone(&state) })).collect()
    }

    /// The operators of a statement of a run.
    ///
    /// # Errors
    /// As [`Session::physical_plan`].
    pub(crate) async fn physical_plan_of_run(
        &self,
        plan: &LogicalPlan,
        shared: Option<&SharedPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let Some(SharedPlan { plan, state }) = shared else { return self.physical_plan(plan).await };
        retry::operators(self.context(), async || {
            state.query_planner().create_physical_plan(plan, state.as_ref()).await
        })
        .await
    }

    /// Starts a statement of a run.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub(crate) async fn execute_of_run(
        &self,
        source: &Arc<Source>,
        plan: &LogicalPlan,
        shared: Option<&SharedPlan>,
    ) -> Result<Execution> {
        let started = match self.physical_plan_of_run(plan, shared).await {
            Ok(physical) => self.start(plan, physical, None),
            Err(error) => Err(error),
        };
        match started {
            Ok(execution) => Ok(execution),
            Err(error) => Err(self.error(error, source).await),
        }
    }
}
