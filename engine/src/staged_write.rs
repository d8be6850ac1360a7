//! [`StagedWriteExec`]: files of COPY and INSERT appear when all of them are written, or not at all.
//!
//! ```text
//!  StagedWriteExec      runs the sink with a staging object store, then completes all uploads and puts, or aborts them
//!    DataSinkExec       count of rows
//!      input            fails at any batch
//! ```
//! | | DataFusion's sink | with this operator |
//! |---|---|---|
//! | the input fails after 0 rows | an empty file, in place of the one that was there | error, the file that was there |
//! | the input fails after some rows | a file with some of the rows | error, the file that was there |
//! | a batch cannot be encoded | a file with the batches before it | error, the file that was there |
//! | all is well | the file | the file |
//!
//! DataFusion 55.2 completes the files of a sink whenever their rows end, also when they end with an error. An upload that is
//! complete for the sink is held by the [`StagingStore`] until the sink has succeeded. With several files, all are complete
//! before the first one appears; only a store that fails between two of them leaves some.
//! Memory: files below the size of the sink's buffer (`objectstore_writer_buffer_size`) are held in memory, accounted for;
//! larger ones are parts of an upload in the store. Nothing spills.
//! Switch: `cxql.engine.staged_writes`.

mod store;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, TryStreamExt};

use self::store::{StagedFiles, StagingStores};
use crate::exec_util::single_child;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct StagedWriteExec {
    sink: Arc<dyn ExecutionPlan>,
}

impl StagedWriteExec {
    pub(crate) fn new(sink: Arc<dyn ExecutionPlan>) -> Self {
        Self { sink }
    }
}

impl DisplayAs for StagedWriteExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StagedWriteExec")
    }
}

impl ExecutionPlan for StagedWriteExec {
    fn name(&self) -> &'static str {
        "StagedWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.sink.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.sink]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(single_child(self.as_ref(), children)?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new(format!("StagedWriteExec[{partition}]")).register(context.memory_pool());
        // dropped with the stream, when the query is canceled: then nothing is completed either
        let files = Arc::new(StagedFiles::new(reservation));
        let counts = self.sink.execute(partition, Arc::new(with_staging(&context, &files)?))?;
        let written = async move {
            match counts.try_collect::<Vec<RecordBatch>>().await {
                Ok(counts) => {
                    files.complete().await?;
                    Ok(stream::iter(counts.into_iter().map(Ok)))
                }
                Err(error) => {
                    files.abort().await;
                    // the sink reports that a writer failed, and not why
                    Err(files.cause().unwrap_or(error))
                }
            }
        };
        let written = stream::once(written).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), written)))
    }
}

/// The context with object stores that stage what is written.
fn with_staging(context: &TaskContext, files: &Arc<StagedFiles>) -> Result<TaskContext> {
    let runtime = context.runtime_env();
    let stores = StagingStores::new(Arc::clone(&runtime.object_store_registry), Arc::clone(files));
    let runtime = RuntimeEnv { object_store_registry: Arc::new(stores), ..RuntimeEnv::clone(&runtime) };
    let mut higher_order = HashMap::new();
    for name in context.higher_order_function_names() {
        let function = context.higher_order_function(&name)?;
        higher_order.insert(name, function);
    }
    Ok(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone(),
        context.scalar_functions().clone(),
        higher_order,
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        Arc::new(runtime),
    ))
}
