//! Statements whose files were replaced while they were planned or read are planned again, over a new listing.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use cxql_engine::memory::with_query_limit;

use super::{diagnose, parquet_interval, writes};
use crate::error::{Error, Result};
use crate::panics::CatchStream;

/// How often work is tried whose files are replaced meanwhile.
const TRIES: usize = 3;

fn is_replaced(error: &DataFusionError) -> bool {
    matches!(diagnose::changed(error), Some(Error::Changed { can_retry: true, .. }))
}

/// Does work, and again if a file was replaced meanwhile.
pub(super) async fn unless_replaced<T, F: Future<Output = Result<T>>>(work: impl Fn() -> F) -> Result<T> {
    for _ in 1..TRIES {
        match work().await {
            Err(Error::Changed { can_retry: true, .. }) => {}
            done => return done,
        }
    }
    work().await
}

/// The operators of a plan, made by `plan`.
///
/// # Errors
/// Those of `plan`; a column that cannot be read.
pub(super) async fn operators<F: Future<Output = DataFusionResult<Arc<dyn ExecutionPlan>>>>(
    context: &SessionContext,
    plan: impl Fn() -> F,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match plan().await {
            Err(error) if left > 0 && is_replaced(&error) => forget_listings(context),
            Err(error) => return Err(error),
            Ok(operators) => {
                let footers = context.runtime_env().cache_manager.get_file_metadata_cache();
                parquet_interval::check(&operators, footers.as_ref())?;
                return Ok(operators);
            }
        }
    }
}

/// What is planned next lists the files anew.
fn forget_listings(context: &SessionContext) {
    if let Some(listings) = context.runtime_env().cache_manager.get_list_files_cache() {
        listings.clear();
    }
}

/// Starts operators, which must not have run before. As long as they have returned no rows, `plan` is planned again if a file
/// is replaced.
///
/// # Errors
/// As DataFusion's.
pub(super) fn start(
    context: &SessionContext,
    plan: &LogicalPlan,
    operators: Arc<dyn ExecutionPlan>,
    memory: Option<usize>,
) -> DataFusionResult<SendableRecordBatchStream> {
    let first = stream(context, operators, memory)?;
    if writes(plan) {
        return Ok(first);
    }
    let (context, plan) = (context.clone(), plan.clone());
    Ok(restarted(first, move || {
        let (context, plan) = (context.clone(), plan.clone());
        async move {
            forget_listings(&context);
            let planned = operators_of(&context, &plan).await?;
            stream(&context, planned, memory)
        }
        .boxed()
    }))
}

/// The operators of a plan.
///
/// # Errors
/// As [`operators`].
pub(super) async fn operators_of(
    context: &SessionContext,
    plan: &LogicalPlan,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    operators(context, async || context.state().create_physical_plan(plan).await).await
}

/// The rows of operators, with `memory` bytes of the memory of all. Panics are errors: a corrupt page of a file may end in
/// one.
fn stream(
    context: &SessionContext,
    operators: Arc<dyn ExecutionPlan>,
    memory: Option<usize>,
) -> DataFusionResult<SendableRecordBatchStream> {
    let mut task = TaskContext::from(&context.state());
    if let Some(memory) = memory {
        task = task.with_runtime(with_query_limit(&context.runtime_env(), memory));
    }
    let stream = execute_stream(operators, Arc::new(task))?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(stream.schema(), CatchStream::new(stream))))
}

struct Restart<F> {
    stream: SendableRecordBatchStream,
    restart: F,
    left: usize,
}

/// A stream that is started again if its first item is the error of a file that was replaced.
fn restarted<F>(first: SendableRecordBatchStream, restart: F) -> SendableRecordBatchStream
where
    F: Fn() -> BoxFuture<'static, DataFusionResult<SendableRecordBatchStream>> + Send + Sync + 'static,
{
    let schema = first.schema();
    let state = Restart { stream: first, restart, left: TRIES - 1 };
    let rows = futures::stream::unfold(Some(state), async |state| {
        let mut state = state?;
        loop {
            match state.stream.next().await? {
                Ok(batch) => {
                    state.left = 0;
                    return Some((Ok(batch), Some(state)));
                }
                Err(error) if state.left > 0 && is_replaced(&error) => {
                    state.left -= 1;
                    let schema = state.stream.schema();
                    // what the first try holds is given back before the next
                    state.stream = Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema)));
                    match (state.restart)().await {
                        Ok(stream) if stream.schema().fields() == schema.fields() => state.stream = stream,
                        Ok(_) => return Some((Err(error), None)),
                        Err(error) => return Some((Err(error), None)),
                    }
                }
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::arrow::record_batch::RecordBatch;
    use futures::TryStreamExt;

    use super::*;
    use crate::session::pinned::replaced;

    fn rows(items: Vec<Option<i64>>) -> SendableRecordBatchStream {
        let batch = |value: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
            RecordBatch::try_from_iter([("a", column)]).unwrap()
        };
        let schema = batch(0).schema();
        let items: Vec<DataFusionResult<RecordBatch>> =
            items.into_iter().map(|item| item.map(batch).ok_or_else(|| replaced("file:///x.parquet").into())).collect();
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(items)))
    }

    /// The rows, or the error, and how often it was started again.
    async fn read(first: Vec<Option<i64>>, next: Vec<Option<i64>>) -> (Result<usize, String>, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let restart = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let next = next.clone();
            async move { Ok(rows(next)) }.boxed()
        };
        let read: DataFusionResult<Vec<RecordBatch>> = restarted(rows(first), restart).try_collect().await;
        (read.map(|batches| batches.len()).map_err(|error| error.to_string()), count.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_query_is_started_again_only_before_its_first_rows() {
        assert_eq!(read(vec![Some(1), Some(2)], vec![]).await, (Ok(2), 0));
        assert_eq!(read(vec![None], vec![Some(1), Some(2), Some(3)]).await, (Ok(3), 1));
        let (error, count) = read(vec![Some(1), None], vec![Some(1)]).await;
        assert!(error.unwrap_err().contains("the file /x.parquet was replaced while it was read; run it again"));
        assert_eq!(count, 0);
        let (error, count) = read(vec![None], vec![None]).await;
        assert!(error.is_err());
        assert_eq!(count, TRIES - 1);
    }

    #[tokio::test]
    async fn work_is_done_again_a_few_times() {
        let count = AtomicUsize::new(0);
        let until = |success: usize| {
            let count = &count;
            move || async move {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                if number >= success { Ok(number) } else { Err(replaced("x")) }
            }
        };
        assert_eq!(unless_replaced(until(2)).await.unwrap(), 2);
        count.store(0, Ordering::Relaxed);
        assert!(unless_replaced(until(TRIES + 1)).await.is_err());
    }
}
