//! [`ArrowFileFormat`]: tables over Arrow files, in the file and in the stream format of IPC.
//!
//! DataFusion's own format hands a file to readers that believe the sizes in it and panic where they contradict each other.
//! This one reads the same files message by message through [`IpcDecoder`]: sizes are checked against the file and the
//! memory limit before anything is read or decoded.

mod reader;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{GetExt, Statistics};
use datafusion::datasource::file_format::arrow::{ArrowFormat, ArrowFormatFactory};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSinkConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{LexRequirement, PhysicalExpr};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStore};

use self::reader::{ArrowFile, Bounds};
use super::duplicates;
use super::pinned::PinnedStore;

/// The format of Arrow tables.
#[derive(Debug)]
pub(super) struct ArrowFileFormat {
    bounds: Bounds,
}

impl ArrowFileFormat {
    /// Reads files of a store; batches take at most the limit of the memory pool.
    pub(super) fn new(store_address: &str, pool: &Arc<dyn MemoryPool>) -> Self {
        let memory = match pool.memory_limit() {
            MemoryLimit::Finite(memory) => memory,
            _ => usize::MAX,
        };
        Self { bounds: Bounds { store_address: store_address.into(), memory, pool: Arc::clone(pool) } }
    }
}

#[async_trait]
impl FileFormat for ArrowFileFormat {
    fn get_ext(&self) -> String {
        ArrowFormat.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        ArrowFormat.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        let mut schemas = Vec::with_capacity(objects.len());
        for object in objects {
            let file = ArrowFile::open(store, object, &self.bounds).await?;
            let address = format!("{}{}", self.bounds.store_address, object.location);
            duplicates::check_fields(file.schema().fields(), &address)?;
            schemas.push(Schema::clone(file.schema()));
        }
        Ok(Arc::new(Schema::try_merge(schemas)?))
    }

    async fn infer_stats(
        &self,
        _state: &dyn Session,
        _store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        _object: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&table_schema))
    }

    async fn create_physical_plan(
        &self,
        _state: &dyn Session,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(DataSourceExec::from_data_source(config))
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        ArrowFormat.create_writer_physical_plan(input, state, config, order).await
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(ArrowFileSource::new(self.bounds.clone(), table_schema))
    }
}

/// Makes [`ArrowFileFormat`] for `create external table ... stored as arrow` and `copy ... stored as arrow`.
#[derive(Debug)]
pub(super) struct ArrowFileFormatFactory;

impl FileFormatFactory for ArrowFileFormatFactory {
    fn create(&self, state: &dyn Session, _options: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        Ok(Arc::new(ArrowFileFormat::new("", &state.runtime_env().memory_pool)))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(ArrowFormat)
    }
}

impl GetExt for ArrowFileFormatFactory {
    fn get_ext(&self) -> String {
        ArrowFormatFactory::new().get_ext()
    }
}

/// The scan of an Arrow table.
#[derive(Debug, Clone)]
struct ArrowFileSource {
    bounds: Bounds,
    projection: SplitProjection,
    table_schema: TableSchema,
    metrics: ExecutionPlanMetricsSet,
}

impl ArrowFileSource {
    fn new(bounds: Bounds, table_schema: TableSchema) -> Self {
        let projection = SplitProjection::unprojected(&table_schema);
        Self { bounds, projection, table_schema, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl FileSource for ArrowFileSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        _config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let opener = ArrowFileOpener {
            bounds: self.bounds.clone(),
            store,
            schema: Arc::new(self.table_schema.file_schema().project(&self.projection.file_indices)?),
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), self.table_schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, _batch_size: usize) -> Arc<dyn FileSource> {
        // batches are those of the file
        Arc::new(self.clone())
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &'static str {
        "arrow"
    }

    fn fmt_extra(&self, _: DisplayFormatType, _: &mut fmt::Formatter) -> fmt::Result {
        Ok(())
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

/// Opens files.
struct ArrowFileOpener {
    bounds: Bounds,
    store: Arc<dyn ObjectStore>,
    /// The columns that are read.
    schema: SchemaRef,
}

impl FileOpener for ArrowFileOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (bounds, store, schema) = (self.bounds.clone(), Arc::clone(&self.store), Arc::clone(&self.schema));
        Ok(Box::pin(async move {
            let pinned = PinnedStore::of_file(&store, &bounds.store_address, &file.object_meta);
            let store: Arc<dyn ObjectStore> = pinned;
            let opened = ArrowFile::open(&store, &file.object_meta, &bounds).await?;
            let range = file.range.map(|range| range.start.unsigned_abs()..range.end.unsigned_abs());
            Ok(opened.batches(schema, range).await?.boxed())
        }))
    }
}
