//! [`CaughtFormat`]: files whose corrupt headers and footers are errors, also where the library that reads them panics.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileMeta};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use super::diagnose;
use crate::panics;

/// A format whose panics are errors.
#[derive(Debug)]
pub(super) struct CaughtFormat {
    format: Arc<dyn FileFormat>,
    /// The address of the store, before the path of a file.
    store_address: String,
}

impl CaughtFormat {
    pub(super) fn new(format: Arc<dyn FileFormat>, store_address: &str) -> Self {
        Self { format, store_address: store_address.to_owned() }
    }

    /// Reads of one file, whose name is in the error of a panic.
    async fn caught<T>(&self, object: &ObjectMeta, work: impl Future<Output = Result<T>>) -> Result<T> {
        match panics::catch_future(work).await {
            Ok(done) => done,
            Err(panic) => {
                let address = format!("{}{}", self.store_address, object.location);
                Err(diagnose::file_error(panic.into(), &address).into())
            }
        }
    }
}

#[async_trait]
impl FileFormat for CaughtFormat {
    fn get_ext(&self) -> String {
        self.format.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.format.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.format.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        // of many files the one that is broken is found one by one
        panics::catch_future(self.format.infer_schema(state, store, objects)).await?
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Statistics> {
        self.caught(object, self.format.infer_stats(state, store, table_schema, object)).await
    }

    async fn infer_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Option<LexOrdering>> {
        self.caught(object, self.format.infer_ordering(state, store, table_schema, object)).await
    }

    async fn infer_stats_and_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<FileMeta> {
        self.caught(object, self.format.infer_stats_and_ordering(state, store, table_schema, object)).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.format.create_physical_plan(state, config).await
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        self.format.file_source(table_schema)
    }
}
