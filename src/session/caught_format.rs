//! [`CaughtFormat`]: files whose corrupt headers and footers are errors, also where the library that reads them panics, and
//! that are read as the versions that were listed.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileMeta};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, JsonSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use super::diagnose;
use super::pinned::{PinnedSource, PinnedStore, pin_footers};
use crate::panics;

/// A format whose panics are errors, and whose files are pinned to their versions.
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

    fn pinned(&self, store: &Arc<dyn ObjectStore>, object: &ObjectMeta) -> Arc<dyn ObjectStore> {
        PinnedStore::new(store, &self.store_address, [object])
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
        let store = &self.pinned(store, object);
        self.caught(object, self.format.infer_stats(state, store, table_schema, object)).await
    }

    async fn infer_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Option<LexOrdering>> {
        let store = &self.pinned(store, object);
        self.caught(object, self.format.infer_ordering(state, store, table_schema, object)).await
    }

    async fn infer_stats_and_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<FileMeta> {
        let store = &self.pinned(store, object);
        self.caught(object, self.format.infer_stats_and_ordering(state, store, table_schema, object)).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let runtime = state.runtime_env();
        let store = runtime.object_store(&config.object_store_url)?;
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let plan = self.format.create_physical_plan(state, config).await?;
        Ok(pin_footers(plan, store, &self.store_address, footers))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        let source = self.format.file_source(table_schema);
        // those of Parquet and Arrow pin their files themselves
        if !source.is::<JsonSource>() {
            return source;
        }
        Arc::new(PinnedSource { inner: source, address: self.store_address.as_str().into() })
    }
}
