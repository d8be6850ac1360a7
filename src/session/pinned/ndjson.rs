//! [`PinnedSource`]: scans of NDJSON files that read each file as one version.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;

use super::PinnedStore;

/// A source whose files are read as the versions that its scan names. For sources that push down projections only, as those
/// of JSON.
#[derive(Clone)]
pub(in crate::session) struct PinnedSource {
    pub(in crate::session) inner: Arc<dyn FileSource>,
    /// The address of the store, before the path of a file.
    pub(in crate::session) address: Arc<str>,
}

impl PinnedSource {
    fn with(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, address: Arc::clone(&self.address) })
    }
}

impl FileSource for PinnedSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let files = base_config.file_groups.iter().flat_map(|group| group.iter()).map(|file| &file.object_meta);
        let store = PinnedStore::new(&object_store, &self.address, files);
        let inner =
            self.inner.create_file_opener(Arc::clone(&store) as Arc<dyn ObjectStore>, base_config, partition)?;
        Ok(Arc::new(PinnedOpener { inner, store }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.with(self.inner.with_batch_size(batch_size))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(kind, f)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.with(inner)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// Opens files, and says after their rows if they were written to meanwhile.
struct PinnedOpener {
    inner: Arc<dyn FileOpener>,
    store: Arc<PinnedStore>,
}

impl FileOpener for PinnedOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (location, store) = (file.object_meta.location.clone(), Arc::clone(&self.store));
        let opened = self.inner.open(file)?;
        Ok(Box::pin(async move { Ok(store.checked(location, opened.await?)) }))
    }
}
