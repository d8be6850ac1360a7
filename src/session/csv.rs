//! CSV and TSV tables: [`CsvFormat`].
//!
//! ```text
//!  files ──> profile: every byte once            ──> columns by name, types that fit all values, notes
//!              dialect, encoding, kinds of values,    │
//!              where records start                    v
//!  files ──> scan: ranges that begin at records  ──> record batches, one stream per thread
//! ```
//!
//! DataFusion's CSV source takes types from the first rows, splits files at any line break, matches columns by position
//! and drops the offset of a timestamp; each of these can make a wrong figure without a word. This one reads a file
//! twice, the first time to know it: no value is met that does not fit its column, a file is split only where a record
//! starts, and what cannot be read is an error with file and line (docs/decisions/design.md#csv).

mod columns;
mod input;
mod profile;
mod settings;
mod sniff;
mod source;
#[cfg(test)]
mod stock;
mod tokenizer;
mod value;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

pub(super) use self::input::bytes;
use self::profile::{FileProfile, profile};
use self::settings::CsvSettings;
use self::source::CsvSource;
use self::value::Kinds;
use crate::config::TableConfig;

/// Metadata of a column without values in any file, which is text and fits every type of the model.
pub(super) const WITHOUT_VALUES: &str = "cxql.without_values";

/// Files that are read at the same time for their types.
const CONCURRENT_PROFILES: usize = 4;

/// A column that some files of a table do not have is noted with at most so many of them.
const MAX_NOTED_FILES: usize = 3;

/// What a table's scans share.
#[derive(Debug)]
struct Shared {
    settings: CsvSettings,
    profiles: Mutex<HashMap<Path, Arc<FileProfile>>>,
    notes: Mutex<Vec<String>>,
}

impl Shared {
    fn known(&self, meta: &ObjectMeta) -> Option<Arc<FileProfile>> {
        let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        profiles.get(&meta.location).filter(|profile| profile.is_of(meta)).map(Arc::clone)
    }

    /// The profile of a file; reads the file if it is new or has changed.
    async fn profile(&self, store: &Arc<dyn ObjectStore>, meta: &ObjectMeta) -> Result<Arc<FileProfile>> {
        if let Some(known) = self.known(meta) {
            return Ok(known);
        }
        let profile = Arc::new(profile(store, &meta.location, &self.settings).await?);
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        profiles.insert(meta.location.clone(), Arc::clone(&profile));
        Ok(profile)
    }
}

/// The format of CSV and TSV tables.
#[derive(Debug)]
pub(super) struct CsvFormat {
    shared: Arc<Shared>,
}

impl CsvFormat {
    /// # Errors
    /// A setting with a value that it cannot have.
    pub(super) fn new(
        name: &str,
        config: &TableConfig,
        compression: FileCompressionType,
        store_address: &str,
    ) -> crate::error::Result<Self> {
        let settings = CsvSettings::new(name, config, compression, store_address)?;
        Ok(Self { shared: Arc::new(Shared { settings, profiles: Mutex::default(), notes: Mutex::default() }) })
    }

    /// What the user should know of the files whose schema was inferred.
    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes on columns that not all files have.
    fn missing_columns(&self, names: &[String], profiles: &[Arc<FileProfile>]) -> Vec<String> {
        let mut notes = Vec::new();
        for name in names {
            let without: Vec<String> = profiles
                .iter()
                .filter(|profile| !profile.names.is_empty() && !profile.names.contains(name))
                .map(|profile| self.shared.settings.shown(&profile.meta.location))
                .collect();
            if !without.is_empty() {
                let more = without.len().saturating_sub(MAX_NOTED_FILES);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let shown = without.iter().take(MAX_NOTED_FILES).cloned().collect::<Vec<_>>().join(", ");
                notes.push(format!("the column `{name}` is NULL for files that do not have it: {shown}{more}"));
            }
        }
        notes
    }
}

#[async_trait]
impl FileFormat for CsvFormat {
    fn get_ext(&self) -> String {
        "csv".into()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        Ok(format!("csv{}", super::tables::compression_ending(*compression)))
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        Some(self.shared.settings.compression)
    }

    async fn infer_schema(
        &self,
        _state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        // the order of the columns is that of the files' names, in whatever order a store lists them
        let mut objects: Vec<&ObjectMeta> = objects.iter().collect();
        objects.sort_by(|one, other| one.location.cmp(&other.location));
        let profiles: Vec<_> = objects.into_iter().map(|meta| self.shared.profile(store, meta).boxed()).collect();
        let profiles: Vec<Arc<FileProfile>> =
            futures::stream::iter(profiles).buffered(CONCURRENT_PROFILES).try_collect().await?;
        let mut names: Vec<String> = Vec::new();
        let mut kinds: HashMap<&str, Kinds> = HashMap::new();
        for profile in &profiles {
            for (name, own) in profile.names.iter().zip(&profile.kinds) {
                match kinds.get_mut(name.as_str()) {
                    Some(known) => known.merge(own),
                    None => {
                        names.push(name.clone());
                        kinds.insert(name, own.clone());
                    }
                }
            }
        }
        let mut notes: Vec<String> =
            profiles.iter().flat_map(|profile| profile.notes(&self.shared.settings, &profile.meta.location)).collect();
        notes.extend(self.missing_columns(&names, &profiles));
        if let Some(last) = names.last().filter(|name| **name == format!("column_{}", names.len()))
            && kinds.get(last.as_str()).is_some_and(Kinds::is_empty)
            && self.shared.settings.has_header.unwrap_or(true)
        {
            notes.push(format!("the column `{last}` has no name and no values: the lines end with a delimiter"));
        }
        let of = |name: &String| kinds.get(name.as_str()).cloned().unwrap_or_default();
        let inferred = names.iter().filter(|name| !self.shared.settings.is_declared(name));
        notes.extend(inferred.filter_map(|name| of(name).note(name)));
        let field = |name: &String| {
            let kinds = of(name);
            let field = Field::new(name, kinds.data_type(), true);
            let is_marked = kinds.is_empty() && !self.shared.settings.is_declared(name);
            if is_marked { field.with_metadata([(WITHOUT_VALUES.into(), "true".into())].into()) } else { field }
        };
        let fields: Vec<Field> = names.iter().map(field).collect();
        *self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
        Ok(Arc::new(Schema::new(fields)))
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
        let config =
            FileScanConfigBuilder::from(config).with_file_compression_type(self.shared.settings.compression).build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(CsvSource::new(Arc::clone(&self.shared), table_schema))
    }
}
