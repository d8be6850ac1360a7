//! [`StagedWrites`]: files that COPY and INSERT write appear together, when all rows are written.
//!
//! ```text
//!  DataSinkExec: ParquetSink       ->     StagedWriteExec
//!    input                                  DataSinkExec: ParquetSink
//!                                             input
//! ```
//! Switch: `cxql.engine.staged_writes`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::exec_util::rewrite_plan;
use crate::staged_write::StagedWriteExec;

/// Wraps every sink into a [`StagedWriteExec`].
#[derive(Debug)]
pub(crate) struct StagedWrites;

impl PhysicalOptimizerRule for StagedWrites {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| {
            let is_sink = plan.downcast_ref::<DataSinkExec>().is_some();
            Ok(is_sink.then(|| Arc::new(StagedWriteExec::new(Arc::clone(plan))) as _))
        })
    }

    fn name(&self) -> &str {
        "staged_writes"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
