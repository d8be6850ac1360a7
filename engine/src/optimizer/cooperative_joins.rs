//! [`CooperativeJoins`]: wraps joins in `CooperativeExec`, so that they yield to the Tokio scheduler.
//!
//! ```text
//!  AggregateExec                    AggregateExec
//!    HashJoinExec            ->       CooperativeExec
//!      CooperativeExec                  HashJoinExec
//!        DataSourceExec                   CooperativeExec
//!                                           DataSourceExec
//! ```
//! Switch: `cxql.engine.cooperative_joins`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::unnest::UnnestExec;

use crate::exec_util::rewrite_plan;

/// Wraps joins and `UnnestExec`, as DataFusion's `EnsureCooperative` does with scans.
///
/// A many-to-many join makes billions of rows of one scanned batch without polling its input. It keeps its worker thread for
/// minutes: it cannot be cancelled, and on a server no other query runs.
#[derive(Debug)]
pub(crate) struct CooperativeJoins;

impl PhysicalOptimizerRule for CooperativeJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| Ok(multiplies(plan).then(|| Arc::new(CooperativeExec::new(Arc::clone(plan))) as _)))
    }

    fn name(&self) -> &str {
        "cooperative_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns true if an operator may emit many rows for one input row.
fn multiplies(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<HashJoinExec>().is_some()
        || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<CrossJoinExec>().is_some()
        || plan.downcast_ref::<SortMergeJoinExec>().is_some()
        || plan.downcast_ref::<UnnestExec>().is_some()
}
