//! [`CaughtFormat`]: files whose corrupt headers and footers are errors, also where the library that reads them panics, and
//! whose lines have a limit.

use std::collections::HashMap;
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
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::Mutex;

use super::tables::display_address;
use super::{diagnose, ndjson};
use crate::panics;

/// A format whose panics are errors.
#[derive(Debug)]
pub(super) struct CaughtFormat {
    format: Arc<dyn FileFormat>,
    /// The address of the store, before the path of a file.
    store_address: String,
    /// The check of the lines of NDJSON files.
    lines: Option<LineCheck>,
}

/// A check of the length of lines, once for each version of a file.
#[derive(Debug)]
struct LineCheck {
    compression: FileCompressionType,
    checked: Mutex<HashMap<Path, ObjectMeta>>,
}

impl CaughtFormat {
    pub(super) fn new(format: Arc<dyn FileFormat>, store_address: &str) -> Self {
        Self { format, store_address: store_address.to_owned(), lines: None }
    }

    /// NDJSON files. Also those that take the place of others later have lines of a limited length.
    pub(super) fn of_lines(format: Arc<dyn FileFormat>, store_address: &str, compression: FileCompressionType) -> Self {
        let lines = LineCheck { compression, checked: Mutex::default() };
        Self { lines: Some(lines), ..Self::new(format, store_address) }
    }

    /// Checks the lines of a file, unless this version of it is known.
    ///
    /// # Errors
    /// A line that is too long, a file that cannot be read; each with the file.
    pub(super) async fn check_lines(&self, store: &Arc<dyn ObjectStore>, object: &ObjectMeta) -> Result<()> {
        let Some(LineCheck { compression, checked }) = &self.lines else { return Ok(()) };
        if object.size == 0 || checked.lock().get(&object.location) == Some(object) {
            return Ok(());
        }
        let address = format!("{}{}", self.store_address, object.location);
        let found = ndjson::check_lines(store, object, *compression, &display_address(&address)).await;
        found.map_err(|error| diagnose::file_error(error, &address))?;
        checked.lock().insert(object.location.clone(), object.clone());
        Ok(())
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
        self.check_lines(store, object).await?;
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
        self.check_lines(store, object).await?;
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
