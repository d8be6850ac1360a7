//! Virtual tables: their rows are computed when a query scans them.

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

/// Computes the rows of a [`VirtualTable`], few enough for one batch.
#[async_trait]
pub(crate) trait RowSource: fmt::Debug + Send + Sync {
    /// The current rows, with the columns of `schema`.
    ///
    /// # Errors
    /// The source's error.
    async fn rows(&self, schema: &SchemaRef) -> Result<RecordBatch>;
}

/// A table whose rows are computed anew for each scan.
#[derive(Debug)]
pub(crate) struct VirtualTable<S> {
    schema: SchemaRef,
    source: S,
}

impl<S: RowSource + 'static> VirtualTable<S> {
    /// A table with these columns.
    pub(crate) fn new(schema: SchemaRef, source: S) -> Arc<Self> {
        Arc::new(Self { schema, source })
    }
}

#[async_trait]
impl<S: RowSource + 'static> TableProvider for VirtualTable<S> {
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
        let batch = self.source.rows(&self.schema).await?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), projection.cloned())?)
    }
}
