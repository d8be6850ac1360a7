//! Tables over files: Parquet, CSV, NDJSON or Arrow; one file, several, or hive partitions.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::SessionState;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::arrow_files::ArrowFileFormat;
use super::caught_format::CaughtFormat;
use super::csv::CsvFormat;
use super::dictionary_bounds::DictionaryBounds;
use super::{diagnose, ndjson};
use crate::config::{TableConfig, TableFormat};
use crate::error::{Error, Result};
use crate::source::nearest;
use crate::types::{BaseType, type_name};

/// Opens a table: lists its files, reads their schemas, and checks that they agree.
///
/// # Errors
/// No files, an unknown format, an unreadable file (named), files with different schemas (both named).
pub(crate) async fn open(state: &SessionState, name: &str, config: &TableConfig) -> Result<OpenedTable> {
    let url = ListingTableUrl::parse(&config.path)
        .map_err(|error| Error::data(format!("table `{name}`: `{}` is no address: {error}", config.path)))?
        .with_table_ref(TableReference::bare(name));
    let store = state.runtime_env().object_store(&url).map_err(|error| diagnose::data_error(error, &config.path))?;
    let (format, compression) = format_of(name, config, &url)?;
    let files = list(state, store.as_ref(), name, config, &url, format).await?;
    let store_address = url.object_store();
    let csv = match format {
        TableFormat::Csv => Some(Arc::new(CsvFormat::new(name, config, compression, store_address.as_str())?)),
        _ => None,
    };
    let handler: Arc<dyn FileFormat> = match &csv {
        Some(csv) => Arc::clone(csv) as Arc<dyn FileFormat>,
        None => {
            let handler = handler(state, format, compression, store_address.as_str());
            if format == TableFormat::Ndjson {
                let handler = CaughtFormat::of_lines(handler, store_address.as_str(), compression);
                for file in &files {
                    let checked = handler.check_lines(&store, file).await;
                    checked.map_err(|error| diagnose::data_error(error, &config.path))?;
                }
                Arc::new(handler)
            } else {
                Arc::new(CaughtFormat::new(handler, store_address.as_str()))
            }
        }
    };
    let schema = schema(state, &store, name, config, handler.as_ref(), &files).await?;
    if format == TableFormat::Ndjson && ndjson::has_float(&schema) {
        refuse_long_numbers(&store, config, compression, &schema, &files).await?;
    }
    let notes = csv.map(|csv| csv.take_notes()).unwrap_or_default();
    let partitions = partition_columns(&url, &files);
    let has_dictionary = schema.fields().iter().any(|field| matches!(field.data_type(), DataType::Dictionary(..)));
    let handler: Arc<dyn FileFormat> = if has_dictionary { Arc::new(DictionaryBounds(handler)) } else { handler };
    let mut options =
        ListingOptions::new(handler).with_table_partition_cols(partitions).with_file_extension(String::new());
    if url.is_collection() && config.path.ends_with('/') {
        options = options.with_file_extension(ending_of(format, compression));
    }
    let listing = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    let table = ListingTable::try_new(listing).map_err(|error| diagnose::data_error(error, &config.path))?;
    let cache = state.runtime_env().cache_manager.get_file_statistic_cache();
    let is_file = super::catalog::is_file_name(name);
    let notes = notes.into_iter().map(|note| if is_file { note } else { format!("table `{name}`: {note}") }).collect();
    Ok(OpenedTable { provider: Arc::new(table.with_cache(cache)), notes })
}

/// Rejects files with whole numbers in a column of floats that floats would round.
async fn refuse_long_numbers(
    store: &Arc<dyn ObjectStore>,
    config: &TableConfig,
    compression: FileCompressionType,
    schema: &Schema,
    files: &[ObjectMeta],
) -> Result<()> {
    for file in files.iter().filter(|file| file.size > 0) {
        let address = file_address(config, file);
        let found = ndjson::long_numbers(store, file, compression).await;
        let found = found.map_err(|error| diagnose::file_error(error, &address))?;
        let is_rounded = |key: &str| schema.field_with_name(key).is_ok_and(|field| ndjson::is_float(field.data_type()));
        if let Some((key, long)) = found.iter().find(|(key, _)| is_rounded(key)) {
            return Err(Error::data(format!(
                "{}, line {}: {} of `{key}` has more digits than a float keeps, and `{key}` also holds decimals or numbers \
                 beyond 64 bits; write the column as strings",
                display_address(&address),
                long.line,
                long.number,
            )));
        }
    }
    Ok(())
}

/// A table, and what the user should know of it.
pub(crate) struct OpenedTable {
    pub(crate) provider: Arc<dyn TableProvider>,
    pub(crate) notes: Vec<String>,
}

fn ending_of(format: TableFormat, compression: FileCompressionType) -> String {
    format!("{}{}", ending(format), compression_ending(compression))
}

/// File extensions of a format. NDJSON is also found as `.json`.
fn ending(format: TableFormat) -> &'static str {
    match format {
        TableFormat::Parquet => ".parquet",
        TableFormat::Csv => ".csv",
        TableFormat::Ndjson => "json",
        TableFormat::Arrow => ".arrow",
    }
}

pub(super) fn compression_ending(compression: FileCompressionType) -> &'static str {
    match compression.get_variant() {
        CompressionTypeVariant::GZIP => ".gz",
        CompressionTypeVariant::BZIP2 => ".bz2",
        CompressionTypeVariant::XZ => ".xz",
        CompressionTypeVariant::ZSTD => ".zst",
        CompressionTypeVariant::UNCOMPRESSED => "",
    }
}

/// Format and compression: as configured, else by the file extension.
fn format_of(name: &str, config: &TableConfig, url: &ListingTableUrl) -> Result<(TableFormat, FileCompressionType)> {
    let path = config.path.split('?').next().unwrap_or(&config.path).to_ascii_lowercase();
    let mut stem = path.as_str();
    let mut compression = FileCompressionType::UNCOMPRESSED;
    for known in
        [FileCompressionType::GZIP, FileCompressionType::BZIP2, FileCompressionType::XZ, FileCompressionType::ZSTD]
    {
        if let Some(rest) = path.strip_suffix(compression_ending(known)) {
            (stem, compression) = (rest, known);
        }
    }
    if let Some(text) = &config.compression {
        compression = FileCompressionType::from_str(text).map_err(|_| {
            Error::usage(format!(
                "table `{name}`: unknown compression `{text}`; the known are gzip, bzip2, xz, zstd, uncompressed"
            ))
        })?;
    }
    let by_ending = [
        (".parquet", TableFormat::Parquet),
        (".pq", TableFormat::Parquet),
        (".csv", TableFormat::Csv),
        (".tsv", TableFormat::Csv),
        (".tab", TableFormat::Csv),
        (".txt", TableFormat::Csv),
        (".ndjson", TableFormat::Ndjson),
        (".jsonl", TableFormat::Ndjson),
        (".json", TableFormat::Ndjson),
        (".arrow", TableFormat::Arrow),
        (".feather", TableFormat::Arrow),
        (".ipc", TableFormat::Arrow),
    ];
    let inferred = by_ending.iter().find(|(ending, _)| stem.ends_with(ending)).map(|(_, format)| *format);
    let format = match config.format.or(inferred) {
        Some(format) => format,
        // a folder is Parquet unless the configuration says otherwise
        None if url.is_folder() || !stem.rsplit('/').next().unwrap_or("").contains('.') => TableFormat::Parquet,
        None => {
            return Err(Error::data(format!(
                "the ending of `{}` does not tell its format; name the file in cxql.toml: \
                 [tables.NAME] path = \"...\" format = \"parquet\" (or csv, ndjson, arrow)",
                config.path
            )));
        }
    };
    Ok((format, compression))
}

async fn list(
    state: &SessionState,
    store: &dyn ObjectStore,
    name: &str,
    config: &TableConfig,
    url: &ListingTableUrl,
    format: TableFormat,
) -> Result<Vec<ObjectMeta>> {
    let shown = display_address(&config.path);
    if !url.is_collection() {
        let meta = store.head(url.prefix()).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => {
                Error::data(format!("table `{name}`: {shown}: there is no such file or folder; correct its path (a configured table's stands in cxql.toml)"))
            }
            error => diagnose::store_error(&error, &shown),
        })?;
        return Ok(vec![meta]);
    }
    let files: Vec<ObjectMeta> = url
        .list_all_files(state, store, "")
        .await
        .map_err(|error| diagnose::data_error(error, &shown))?
        .try_collect()
        .await
        .map_err(|error| diagnose::data_error(error, &shown))?;
    let wanted = ending(format);
    let is_data = |file: &ObjectMeta| {
        let file_name = file.location.filename().unwrap_or_default();
        url.get_glob().is_some() || file_name.contains(wanted)
    };
    let files: Vec<ObjectMeta> = files.into_iter().filter(is_data).collect();
    if files.is_empty() {
        return Err(Error::data(format!(
            "table `{name}`: {shown} holds no {} files; put some there or correct the path",
            wanted.trim_start_matches('.')
        )));
    }
    Ok(files)
}

fn handler(
    state: &SessionState,
    format: TableFormat,
    compression: FileCompressionType,
    store_address: &str,
) -> Arc<dyn FileFormat> {
    let table_options = state.default_table_options();
    match format {
        TableFormat::Parquet => Arc::new(ParquetFormat::new().with_options(table_options.parquet)),
        TableFormat::Ndjson => Arc::new(
            JsonFormat::default()
                .with_options(table_options.json)
                // a column that first comes in a later line would be left out without a word
                .with_schema_infer_max_rec(usize::MAX)
                .with_file_compression_type(compression),
        ),
        TableFormat::Csv | TableFormat::Arrow => {
            Arc::new(ArrowFileFormat::new(store_address, &state.runtime_env().memory_pool))
        }
    }
}

async fn schema(
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    name: &str,
    config: &TableConfig,
    format: &dyn FileFormat,
    files: &[ObjectMeta],
) -> Result<SchemaRef> {
    let filled: Vec<ObjectMeta> = files.iter().filter(|file| file.size > 0).cloned().collect();
    if filled.is_empty() {
        return Err(Error::data(format!("table `{name}`: {} is empty (0 bytes)", display_address(&config.path))));
    }
    let schema = match format.infer_schema(state, store, &filled).await {
        Ok(schema) => schema,
        Err(error) => return Err(find_broken_file(state, store, name, config, format, &filled, error).await),
    };
    if schema.fields().is_empty() {
        return Err(Error::data(format!("table `{name}`: {} has no columns", display_address(&config.path))));
    }
    declare(name, config, &schema)
}

/// Finds the file that is broken, or two files with different schemas.
async fn find_broken_file(
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    name: &str,
    config: &TableConfig,
    format: &dyn FileFormat,
    files: &[ObjectMeta],
    error: datafusion::error::DataFusionError,
) -> Error {
    let mut seen: Vec<(SchemaRef, &ObjectMeta)> = Vec::new();
    for file in files {
        let schema = format.infer_schema(state, store, std::slice::from_ref(file)).await;
        let schema = match schema {
            Ok(schema) => schema,
            Err(error) => return diagnose::file_error(error, &file_address(config, file)),
        };
        for field in schema.fields() {
            let conflict = seen.iter().find_map(|(other, other_file)| {
                let (_, known) = other.fields().find(field.name())?;
                let agrees =
                    Schema::try_merge([Schema::new(vec![Field::clone(known)]), Schema::new(vec![Field::clone(field)])]);
                agrees.is_err().then(|| (known.data_type().clone(), *other_file))
            });
            if let Some((known, other_file)) = conflict {
                return Error::data(format!(
                    "table `{name}`: its files disagree about the column `{}`: {} in {}, {} in {}; \
                     rewrite one of them, or put them into tables of their own and join them in a view with a cast",
                    field.name(),
                    type_name(&known),
                    display_address(&file_address(config, other_file)),
                    type_name(field.data_type()),
                    display_address(&file_address(config, file)),
                ));
            }
        }
        seen.push((schema, file));
    }
    diagnose::data_error(error, &display_address(&config.path))
}

/// The address of a file of the table.
fn file_address(config: &TableConfig, file: &ObjectMeta) -> String {
    match ListingTableUrl::parse(&config.path) {
        Ok(url) => format!("{}{}", url.object_store().as_str(), file.location),
        Err(_) => format!("/{}", file.location),
    }
}

/// Applies the declared column types; `"*"` is the type of all columns that are not named.
fn declare(name: &str, config: &TableConfig, schema: &SchemaRef) -> Result<SchemaRef> {
    if config.columns.is_empty() {
        return Ok(Arc::clone(schema));
    }
    for column in config.columns.keys().filter(|column| *column != "*") {
        if schema.index_of(column).is_err() {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            let hint = nearest(column, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(Error::usage(format!(
                "[tables.{name}] declares the column `{column}`, which {} does not have{hint}",
                display_address(&config.path)
            )));
        }
    }
    let declared = |column: &str| config.columns.get(column).or_else(|| config.columns.get("*"));
    let fields = schema.fields().iter().map(|field| match declared(field.name()) {
        Some(type_name) => {
            let base = BaseType::parse(type_name)
                .map_err(|error| Error::usage(format!("[tables.{name}] column `{}`: {error}", field.name())))?;
            Ok(Field::new(field.name(), base.data_type(), true))
        }
        None => Ok(Field::clone(field)),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<Field>>>()?)))
}

/// The hive partition columns of the files, with the narrowest type that fits all values.
fn partition_columns(url: &ListingTableUrl, files: &[ObjectMeta]) -> Vec<(String, DataType)> {
    let mut columns: Vec<(String, Vec<String>)> = Vec::new();
    for file in files {
        let Some(parts) = url.strip_prefix(&file.location) else { continue };
        let parts: Vec<&str> = parts.collect();
        let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
        for part in folders {
            let Some((key, value)) = part.split_once('=') else { continue };
            match columns.iter_mut().find(|(known, _)| known == key) {
                Some((_, values)) => values.push(value.to_string()),
                None => columns.push((key.to_string(), vec![value.to_string()])),
            }
        }
    }
    columns
        .into_iter()
        .map(|(key, values)| {
            let known: Vec<&String> = values.iter().filter(|value| *value != "__HIVE_DEFAULT_PARTITION__").collect();
            let all = |accepts: &dyn Fn(&str) -> bool| !known.is_empty() && known.iter().all(|value| accepts(value));
            let data_type = if known.len() < values.len() {
                DataType::Utf8
            } else if all(&|value| value.parse::<i64>().is_ok_and(|number| number.to_string() == value)) {
                DataType::Int64
            } else if all(&|value| chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok() && value.len() == 10) {
                DataType::Date32
            } else {
                DataType::Utf8
            };
            (key, data_type)
        })
        .collect()
}

/// The absolute path without `.` and `..`, which URLs cannot contain.
pub(crate) fn full_path(path: &Path) -> std::io::Result<PathBuf> {
    let mut full = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                full.pop();
            }
            Component::CurDir => {}
            part => full.push(part),
        }
    }
    Ok(full)
}

/// An address as a user writes it: local paths without `file://`.
pub(crate) fn display_address(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(url) if url.scheme() == "file" => {
            url.to_file_path().map_or_else(|()| address.to_string(), |path| path.display().to_string())
        }
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_types_are_the_narrowest() {
        let url = ListingTableUrl::parse("file:///t/").unwrap();
        let file = |path: &str| ObjectMeta {
            location: path.into(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        };
        let types = |paths: &[&str]| partition_columns(&url, &paths.iter().map(|path| file(path)).collect::<Vec<_>>());
        assert_eq!(
            types(&["t/year=2024/day=2024-01-31/code=01/a.parquet", "t/year=2025/day=2025-01-31/code=02/b.parquet"]),
            [
                ("year".to_string(), DataType::Int64),
                ("day".to_string(), DataType::Date32),
                ("code".to_string(), DataType::Utf8)
            ]
        );
        assert_eq!(types(&["t/a.parquet"]), []);
    }
}
