//! Readers of Parquet files that read each file as one version.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;

use super::PinnedStore;

/// Makes a reader for each file, pinned to the version that the plan names.
#[derive(Debug)]
struct PinnedReaders {
    store: Arc<dyn ObjectStore>,
    address: Arc<str>,
    footers: Arc<FileMetadataCache>,
}

impl ParquetFileReaderFactory for PinnedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let store = PinnedStore::of_file(&self.store, &self.address, &partitioned_file.object_meta);
        let readers = CachedParquetFileReaderFactory::new(store, Arc::clone(&self.footers));
        readers.create_reader(partition_index, partitioned_file, metadata_size_hint, metrics)
    }
}

/// Pins the files of a scan, if it is one of Parquet files. Its schema and statistics are those of the same versions.
pub(in crate::session) fn pin_footers(
    plan: Arc<dyn ExecutionPlan>,
    store: Arc<dyn ObjectStore>,
    address: &str,
    footers: Arc<FileMetadataCache>,
) -> Arc<dyn ExecutionPlan> {
    let Some(config) =
        plan.downcast_ref::<DataSourceExec>().and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>())
    else {
        return plan;
    };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else { return plan };
    let readers = Arc::new(PinnedReaders { store, address: address.into(), footers });
    let source = source.clone().with_parquet_file_reader_factory(readers);
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    DataSourceExec::from_data_source(config)
}
