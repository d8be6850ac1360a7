//! Tables whose rows are those of the moment in which a query asks.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Where the rows of a [`MomentTable`] come from: few enough for one batch.
#[async_trait]
pub trait Moment: fmt::Debug + Send + Sync {
    /// The rows of now, with the columns of `schema`.
    ///
    /// # Errors
    /// What the source gives.
    async fn rows(&self, schema: &SchemaRef) -> Result<RecordBatch>;
}

/// A table that is read anew by each query.
#[derive(Debug)]
pub struct MomentTable<M> {
    schema: SchemaRef,
    rows: M,
}

impl<M: Moment + 'static> MomentTable<M> {
    /// A table with these columns.
    pub fn new(schema: SchemaRef, rows: M) -> Arc<Self> {
        Arc::new(Self { schema, rows })
    }
}

#[async_trait]
impl<M: Moment + 'static> TableProvider for MomentTable<M> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = self.rows.rows(&self.schema).await?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), projection.cloned())?)
    }
}
