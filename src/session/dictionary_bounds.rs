//! [`DictionaryBounds`]: Parquet files whose dictionary columns have no smallest and largest value.
//!
//! DataFusion 55.2 reads the bounds of a dictionary column (categories of pandas) as strings. Where one bound is missing, as
//! with a file of NULLs alone, filters over filters end in the internal error "Endpoints of an Interval should have the
//! same type". Operators ask for statistics when they are made, so that no optimizer rule is early enough
//! (docs/decisions/engine.md#bounds-of-dictionary-columns).

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

/// A format without bounds of another type than that of their column.
#[derive(Debug)]
pub(super) struct DictionaryBounds(pub(super) Arc<dyn FileFormat>);

#[async_trait]
impl FileFormat for DictionaryBounds {
    fn get_ext(&self) -> String {
        self.0.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.0.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.0.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        self.0.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Statistics> {
        let mut statistics = self.0.infer_stats(state, store, Arc::clone(&table_schema), object).await?;
        drop_bounds(&mut statistics, &table_schema);
        Ok(statistics)
    }

    async fn infer_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Option<LexOrdering>> {
        self.0.infer_ordering(state, store, table_schema, object).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        config: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.create_physical_plan(state, config).await
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        self.0.file_source(table_schema)
    }
}

fn drop_bounds(statistics: &mut Statistics, schema: &Schema) {
    for (known, field) in statistics.column_statistics.iter_mut().zip(schema.fields()) {
        let bounds = [known.min_value.get_value(), known.max_value.get_value()];
        if bounds.into_iter().flatten().any(|bound| &bound.data_type() != field.data_type()) {
            *known = ColumnStatistics {
                null_count: known.null_count,
                distinct_count: known.distinct_count,
                byte_size: known.byte_size,
                ..ColumnStatistics::new_unknown()
            };
        }
    }
}
