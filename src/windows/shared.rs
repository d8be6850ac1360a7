//! Work that all partitions of an operator share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::runtime::JoinSet;
use datafusion::common::{DataFusionError, Result};
use futures::future::{BoxFuture, FutureExt, Shared};
use tokio::task::JoinError;

/// The work, done once. It stops when no partition wants it any more.
pub(crate) type Run<T> = Shared<BoxFuture<'static, std::result::Result<Arc<T>, Arc<DataFusionError>>>>;

/// A run that some partitions of the operator have not asked for yet.
pub(crate) struct Pending<T>(Mutex<(Option<Run<T>>, usize)>);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(Mutex::new((None, 0)))
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Pending<T> {
    /// The work, which the first of `partition_count` partitions begins; each asks once.
    ///
    /// # Errors
    /// What `begin` gives.
    pub(crate) fn run(
        &self,
        partition_count: usize,
        begin: impl FnOnce() -> Result<BoxFuture<'static, Result<T>>>,
    ) -> Result<Run<T>> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, asked_count) = &mut *pending;
        let run = match known {
            Some(run) => run.clone(),
            None => begin()?.map(|result| result.map(Arc::new).map_err(Arc::new)).boxed().shared(),
        };
        *asked_count += 1;
        if *asked_count < partition_count {
            *known = Some(run.clone());
        } else {
            // only the partitions hold it from here on: dropping them stops it
            *pending = (None, 0);
        }
        Ok(run)
    }
}

/// The results of all tasks; the first error stops the others.
///
/// # Errors
/// That error, or a task that did not end.
pub(crate) async fn all<T: 'static>(tasks: &mut JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = vec![];
    while let Some(result) = tasks.join_next().await {
        results.push(result.map_err(failed)??);
    }
    Ok(results)
}

/// A task that did not end.
pub(super) fn failed(error: JoinError) -> DataFusionError {
    DataFusionError::Context("part of a query".into(), Box::new(DataFusionError::External(Box::new(error))))
}
