//! What every operator and rule repeats: tree rewrites, the boilerplate of one input, asynchronous work that all partitions
//! share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::concat;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics, internal_err};
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExpr;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use futures::future::{BoxFuture, FutureExt, Shared};
use tokio::task::JoinError;

/// Rewrites a plan bottom-up; where `f` returns `None`, the operator stays.
///
/// # Errors
/// Those of `f`.
pub(crate) fn rewrite_plan(
    plan: Arc<dyn ExecutionPlan>,
    mut f: impl FnMut(&Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|plan| {
        Ok(match f(&plan)? {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(plan),
        })
    })?;
    Ok(plan.data)
}

/// The only child of an operator with one input, for `with_new_children`.
///
/// # Errors
/// An internal error when there are more or none.
pub(crate) fn single_child(
    operator: &dyn ExecutionPlan,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([input]) => Ok(input),
        Err(children) => internal_err!("{} has one input, got {}", operator.name(), children.len()),
    }
}

/// A Parquet source of the same files with another schema, and the same options and predicate; all columns are projected.
pub(crate) fn parquet_source(source: &ParquetSource, table: TableSchema) -> ParquetSource {
    let options = source.table_parquet_options();
    let mut new = ParquetSource::new(table).with_table_parquet_options(options.clone());
    if let Some(hint) = options.global.metadata_size_hint {
        new = new.with_metadata_size_hint(hint);
    }
    if let Some(factory) = source.parquet_file_reader_factory() {
        new = new.with_parquet_file_reader_factory(Arc::clone(factory));
    }
    if let Some(predicate) = source.filter() {
        new = new.with_predicate(predicate);
    }
    new
}

/// The statistics of a plan over all partitions.
///
/// # Errors
/// Those of an operator.
pub(crate) fn statistics_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<Statistics>> {
    StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new())
}

/// The index that an output column has before an embedded projection.
pub(crate) fn projected_index(projection: Option<&[usize]>, column: usize) -> usize {
    projection.and_then(|columns| columns.get(column).copied()).unwrap_or(column)
}

/// Projection expressions for some columns of a plan.
pub(crate) fn columns_of(
    plan: &Arc<dyn ExecutionPlan>,
    columns: impl IntoIterator<Item = usize>,
) -> Vec<ProjectionExpr> {
    let schema = plan.schema();
    let column = |index: usize| {
        let name = schema.field(index).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, index)), alias: name.clone() }
    };
    columns.into_iter().map(column).collect()
}

/// What is known about a column without its bounds, which are strings where the column is a dictionary.
pub(crate) fn without_bounds(known: &ColumnStatistics) -> ColumnStatistics {
    ColumnStatistics { null_count: known.null_count, ..ColumnStatistics::new_unknown() }
}

/// One column of all parts, concatenated.
///
/// # Errors
/// The parts differ in type, or are too large for one array.
pub(crate) fn concat_column<'a>(parts: impl IntoIterator<Item = &'a Vec<ArrayRef>>, column: usize) -> Result<ArrayRef> {
    let parts: Vec<&dyn Array> = parts.into_iter().filter_map(|part| part.get(column)).map(AsRef::as_ref).collect();
    Ok(concat(&parts)?)
}

/// Work of an operator that all its partitions share, as `OnceFut` of DataFusion's joins. Dropping all of them cancels it.
pub(crate) type OnceFut<T> = Shared<BoxFuture<'static, std::result::Result<Arc<T>, Arc<DataFusionError>>>>;

/// The shared work until all partitions of the operator have asked for it.
pub(crate) struct OnceAsync<T>(Mutex<(Option<OnceFut<T>>, usize)>);

impl<T> Default for OnceAsync<T> {
    fn default() -> Self {
        Self(Mutex::new((None, 0)))
    }
}

impl<T> fmt::Debug for OnceAsync<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceAsync").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> OnceAsync<T> {
    /// The shared work. The first of `partition_count` partitions starts it; each partition calls this once.
    ///
    /// # Errors
    /// Those of `begin`.
    pub(crate) fn run(
        &self,
        partition_count: usize,
        begin: impl FnOnce() -> Result<BoxFuture<'static, Result<T>>>,
    ) -> Result<OnceFut<T>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, asked_count) = &mut *state;
        let run = match known {
            Some(run) => run.clone(),
            None => begin()?.map(|result| result.map(Arc::new).map_err(Arc::new)).boxed().shared(),
        };
        *asked_count += 1;
        if *asked_count < partition_count {
            *known = Some(run.clone());
        } else {
            // from here on only the partitions hold it, so that dropping them cancels it
            *state = (None, 0);
        }
        Ok(run)
    }
}

/// The results of all tasks; the first error cancels the others.
///
/// # Errors
/// That error, or a task that panicked or was cancelled.
pub(crate) async fn join_all<T: 'static>(tasks: &mut JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = vec![];
    while let Some(result) = tasks.join_next().await {
        results.push(result.map_err(join_error)??);
    }
    Ok(results)
}

/// A task that panicked or was cancelled, as an error of the query.
pub(crate) fn join_error(error: JoinError) -> DataFusionError {
    DataFusionError::Context("part of a query".into(), Box::new(DataFusionError::External(Box::new(error))))
}
