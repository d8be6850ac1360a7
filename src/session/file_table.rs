//! [`FileTable`]: a table over files that may change while the program runs.
//!
//! ```text
//!  refresh: list ──> the same files ───────────────────────────────────────> scan
//!                └─> others: read their schemas ──> the same columns ──────> scan
//!                                               └─> others: Error::Changed, and the next statement opens the table anew
//! ```
//!
//! A local table is listed again after [`LOCAL_LISTING`], one in a store after [`STORE_LISTING`]; a table of one file
//! looks at it for each scan. A scan reads the files of its listing and no other version of them (see `pinned.rs`). Where
//! all files are gone or empty, there is an error and not a table without rows.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Fields, SchemaRef};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::Constraints;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::cache::TableScopedPath;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::pinned::is_same_version;
use super::tables::{Inspected, TableFiles};
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::types::type_name;

/// How long a listing of local files is believed.
pub(super) const LOCAL_LISTING: Duration = Duration::from_secs(1);

/// How long a listing of a store is believed.
pub(super) const STORE_LISTING: Duration = Duration::from_secs(60);

/// Notes for the user.
pub(super) type Notes = Arc<std::sync::Mutex<BTreeSet<String>>>;

/// A table over files.
#[derive(Debug)]
pub(super) struct FileTable {
    files: TableFiles,
    listing: ListingTable,
    inspected: Inspected,
    known: tokio::sync::Mutex<Known>,
    /// How the columns of the files differ from those of the table, once they do.
    difference: OnceLock<String>,
    notes: Notes,
}

/// The files whose columns are those of the table.
#[derive(Debug)]
struct Known {
    files: HashMap<Path, ObjectMeta>,
    listed_at: Instant,
    /// The files that the last scan of all files found.
    scanned: usize,
}

fn by_location(files: Vec<ObjectMeta>) -> HashMap<Path, ObjectMeta> {
    files.into_iter().map(|file| (file.location.clone(), file)).collect()
}

impl FileTable {
    /// Opens a table: lists its files, reads their schemas, and checks that they agree.
    ///
    /// # Errors
    /// No files, an unknown format, an unreadable file (named), files with different schemas (both named), a file that was
    /// replaced meanwhile.
    pub(super) async fn open(state: &dyn Session, name: &str, config: &TableConfig, notes: &Notes) -> Result<Self> {
        let files = TableFiles::new(state, name, config)?;
        forget_listing(state, &files);
        let listed_at = Instant::now();
        let found = files.list(state).await?;
        let mut inspected = files.inspect(state, &found).await?;
        let listing = files.table(state, &inspected)?;
        add_notes(notes, std::mem::take(&mut inspected.notes));
        let known = tokio::sync::Mutex::new(Known { files: by_location(found), listed_at, scanned: 0 });
        Ok(Self { files, listing, inspected, known, difference: OnceLock::new(), notes: Arc::clone(notes) })
    }

    fn listing_time(&self) -> Duration {
        if self.files.url.get_url().scheme() == "file" { LOCAL_LISTING } else { STORE_LISTING }
    }

    /// Looks at the files if the last listing is old.
    ///
    /// # Errors
    /// [`Error::Changed`] if the table has other columns by now; else as [`FileTable::open`].
    pub(super) async fn refresh(&self, state: &dyn Session) -> Result<()> {
        let mut known = self.known.lock().await;
        if known.listed_at.elapsed() < self.listing_time() {
            return self.check_columns();
        }
        self.list(state, &mut known).await
    }

    /// The error of a table that has other columns by now.
    fn check_columns(&self) -> Result<()> {
        let Some(difference) = self.difference.get() else { return Ok(()) };
        let what = self.files.noted(difference);
        let message = format!(
            "{what}; run the statement again, and make a prepared statement or a view of this session that reads it anew"
        );
        Err(Error::Changed { message, can_retry: false })
    }

    async fn list(&self, state: &dyn Session, known: &mut Known) -> Result<()> {
        self.check_columns()?;
        forget_listing(state, &self.files);
        let listed_at = Instant::now();
        let files = self.files.list(state).await?;
        let found = by_location(files.clone());
        let is_other =
            |file: &&ObjectMeta| known.files.get(&file.location).is_none_or(|old| !is_same_version(old, file));
        let others: Vec<&ObjectMeta> = found.values().filter(is_other).collect();
        let gone: Vec<&ObjectMeta> = known.files.values().filter(|file| !found.contains_key(&file.location)).collect();
        if !others.is_empty() || !gone.is_empty() {
            for file in &others {
                forget_file(state, &self.files, &file.location);
            }
            let is_added = gone.is_empty() && others.iter().all(|file| !known.files.contains_key(&file.location));
            let added: Vec<ObjectMeta> = others.iter().copied().cloned().collect();
            let notes = match is_added && added.iter().any(|file| file.size > 0) {
                true => self.added_notes(state, &added, &files).await?,
                false => None,
            };
            let notes = match notes {
                Some(notes) => notes,
                None => {
                    let inspected = self.files.inspect(state, &files).await?;
                    if let Some(difference) = difference(&self.inspected, &inspected) {
                        let _ = self.difference.set(difference);
                        return self.check_columns();
                    }
                    inspected.notes
                }
            };
            add_notes(&self.notes, notes);
            let note = self.files.file_note(&gone, "is gone since it was listed", "are gone since they were listed");
            add_notes(&self.notes, note.map(|note| self.files.noted(&note)));
        }
        (known.files, known.listed_at) = (found, listed_at);
        Ok(())
    }

    /// The notes on files that were added, if their columns are among those of the table. The others need not be read again.
    async fn added_notes(
        &self,
        state: &dyn Session,
        added: &[ObjectMeta],
        all: &[ObjectMeta],
    ) -> Result<Option<Vec<String>>> {
        let inspected = self.files.inspect(state, added).await?;
        let own = &self.inspected.schema;
        let is_own = inspected.schema.fields().iter().all(|field| {
            own.field_with_name(field.name()).is_ok_and(|known| {
                known.data_type() == field.data_type()
                    && known.metadata() == field.metadata()
                    && (known.is_nullable() || !field.is_nullable())
            })
        });
        Ok((is_own && self.files.partitions(all) == self.inspected.partitions).then_some(inspected.notes))
    }

    /// Checks the files of a scan; `is_whole` if it should have read all. Returns false if the scan must be planned again.
    async fn check_scan(&self, state: &dyn Session, scanned: &[ObjectMeta], is_whole: bool) -> Result<bool> {
        let is_known = |known: &Known, file: &ObjectMeta| {
            known.files.get(&file.location).is_some_and(|listed| is_same_version(listed, file))
        };
        let mut known = self.known.lock().await;
        let has_all = |known: &Known| scanned.iter().all(|file| is_known(known, file));
        let is_short = scanned.is_empty() || is_whole && scanned.len() < known.scanned;
        if !has_all(&known) || is_short {
            self.list(state, &mut known).await?;
        }
        if is_whole {
            known.scanned = scanned.len();
        }
        // a whole scan without files was planned from a listing without any
        Ok(has_all(&known) && !(is_whole && scanned.is_empty()))
    }
}

fn add_notes(notes: &Notes, new: impl IntoIterator<Item = String>) {
    notes.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
}

/// Removes a table's listing from the session's cache.
fn forget_listing(state: &dyn Session, files: &TableFiles) {
    let key = TableScopedPath { table: files.url.get_table_ref().clone(), path: files.url.prefix().clone() };
    if let Some(cache) = state.runtime_env().cache_manager.get_list_files_cache() {
        cache.remove(&key);
    }
}

/// Removes what the session has cached of a file: the caches compare size and time, which another version may share.
fn forget_file(state: &dyn Session, files: &TableFiles, location: &Path) {
    let caches = &state.runtime_env().cache_manager;
    caches.get_file_metadata_cache().remove(location);
    if let Some(cache) = caches.get_file_statistic_cache() {
        cache.remove(&TableScopedPath { table: files.url.get_table_ref().clone(), path: location.clone() });
    }
}

/// How the columns differ; `None` if they are the same.
fn difference(old: &Inspected, new: &Inspected) -> Option<String> {
    if old.schema.fields() == new.schema.fields() && old.partitions == new.partitions {
        return None;
    }
    let columns = |inspected: &Inspected| -> Vec<(String, DataType)> {
        let fields: &Fields = inspected.schema.fields();
        let fields = fields.iter().map(|field| (field.name().clone(), field.data_type().clone()));
        fields.chain(inspected.partitions.iter().cloned()).collect()
    };
    let (old, new) = (columns(old), columns(new));
    let of = |columns: &[(String, DataType)], name: &str| {
        columns.iter().find(|(known, _)| known == name).map(|(_, data_type)| data_type.clone())
    };
    let mut parts: Vec<String> = Vec::new();
    for (name, data_type) in &new {
        match of(&old, name) {
            None => parts.push(format!("`{name}` is new")),
            Some(before) if before != *data_type => {
                parts.push(format!("`{name}` is {}, and was {}", type_name(data_type), type_name(&before)));
            }
            Some(_) => {}
        }
    }
    parts.extend(old.iter().filter(|(name, _)| of(&new, name).is_none()).map(|(name, _)| format!("`{name}` is gone")));
    let details = if parts.is_empty() { "their order or NULLs".to_owned() } else { parts.join(", ") };
    Some(format!("its columns changed in the files: {details}"))
}

/// The files that a scan reads.
fn scanned(plan: &Arc<dyn ExecutionPlan>) -> Vec<ObjectMeta> {
    let config =
        plan.downcast_ref::<DataSourceExec>().and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>());
    let groups = config.into_iter().flat_map(|config| &config.file_groups);
    groups.flat_map(|group| group.iter()).map(|file| file.object_meta.clone()).collect()
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        self.listing.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.listing.constraints()
    }

    fn table_type(&self) -> TableType {
        self.listing.table_type()
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.listing.get_table_definition()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.listing.get_logical_plan()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.listing.get_column_default(column)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default()
            .with_projection(projection.map(Vec::as_slice))
            .with_filters(Some(filters))
            .with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> DataFusionResult<ScanResult> {
        // files may change between the listing and the scan, more than once
        const TRIES: usize = 4;
        self.refresh(state).await?;
        let is_whole = args.limit().is_none() && self.inspected.partitions.is_empty();
        for _ in 0..TRIES {
            let scan = self.listing.scan_with_args(state, args.clone()).await?;
            if self.check_scan(state, &scanned(scan.plan()), is_whole).await? {
                return Ok(scan);
            }
        }
        Err(super::pinned::replaced(&self.files.config.path).into())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        self.listing.supports_filters_pushdown(filters)
    }

    async fn insert_into(
        &self,
        state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.listing.insert_into(state, input, insert_op).await
    }
}
