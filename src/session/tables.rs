//! Tables over files: Parquet, CSV, NDJSON or Arrow; one file, several, or hive partitions.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, ident, lit};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::diagnose;
use super::dictionary_bounds::DictionaryBounds;
use crate::config::{TableConfig, TableFormat};
use crate::error::{Error, Result};
use crate::source::nearest;
use crate::types::{BaseType, type_name};

/// Rows of a CSV or NDJSON file from which column types are inferred.
const INFERENCE_ROWS: usize = 100_000;

/// Opens a table: lists its files, reads their schemas, and checks that they agree.
///
/// # Errors
/// No files, an unknown format, an unreadable file (named), files with different schemas (both named).
pub(crate) async fn open(state: &SessionState, name: &str, config: &TableConfig) -> Result<Arc<dyn TableProvider>> {
    let url = ListingTableUrl::parse(&config.path)
        .map_err(|error| Error::data(format!("table `{name}`: `{}` is no address: {error}", config.path)))?
        .with_table_ref(TableReference::bare(name));
    let store = state.runtime_env().object_store(&url).map_err(|error| diagnose::data_error(error, &config.path))?;
    let (format, compression) = format_of(name, config, &url)?;
    let files = list(state, store.as_ref(), name, config, &url, format).await?;
    let handler = handler(state, name, config, format, compression)?;
    if format == TableFormat::Csv && config.header != Some(false) && compression == FileCompressionType::UNCOMPRESSED {
        refuse_repeated_names(store.as_ref(), config, &files).await?;
    }
    let schema = schema(state, &store, name, config, handler.as_ref(), &files).await?;
    // DataFusion applies the NULL marker to type inference but not to reading: fields are read as strings, and the marker
    // is replaced in a projection above
    let marker = config.null.as_deref().filter(|_| format == TableFormat::Csv);
    let typed = Arc::clone(&schema);
    let schema = if marker.is_some() { as_text(&schema) } else { schema };
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
    let table: Arc<dyn TableProvider> = Arc::new(table.with_cache(cache));
    match marker {
        Some(marker) => without_marker(name, table, &typed, marker),
        None => Ok(table),
    }
}

/// Bytes of a CSV file that are searched for its header.
const HEADER_BYTES: u64 = 64 << 10;

/// Rejects a header with a duplicate name, which would be read as one column.
async fn refuse_repeated_names(store: &dyn ObjectStore, config: &TableConfig, files: &[ObjectMeta]) -> Result<()> {
    let Some(file) = files.iter().find(|file| file.size > 0) else { return Ok(()) };
    let address = file_address(config, file);
    let bytes = store.get_range(&file.location, 0..file.size.min(HEADER_BYTES)).await;
    let bytes = bytes.map_err(|error| diagnose::store_error(&error, &address))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let delimiter = delimiter(config);
    if line.contains('"') {
        // quoted names may contain the delimiter, so the CSV reader splits them
        return Ok(());
    }
    let mut names: Vec<&str> = line.trim_end_matches('\r').split(delimiter).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::data(format!(
            "cannot read {}: the column `{}` stands twice in its header; rename one of them",
            display_address(&address),
            pair[0]
        ))),
        None => Ok(()),
    }
}

fn as_text(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
    Arc::new(Schema::new(fields))
}

/// Replaces the NULL marker by NULL and casts the columns to the types of their other values.
fn without_marker(
    name: &str,
    table: Arc<dyn TableProvider>,
    typed: &SchemaRef,
    marker: &str,
) -> Result<Arc<dyn TableProvider>> {
    let build = || {
        let fields = table.schema();
        let columns = fields.fields().iter().map(|field| {
            let value = nullif(ident(field.name()), lit(marker));
            match typed.field_with_name(field.name()) {
                Ok(wanted) if wanted.data_type() != &DataType::Utf8 => {
                    cast(value, wanted.data_type().clone()).alias(field.name())
                }
                // partition columns are not fields of the file
                Err(_) => ident(field.name()),
                Ok(_) => value.alias(field.name()),
            }
        });
        let columns: Vec<Expr> = columns.collect();
        LogicalPlanBuilder::scan(name, provider_as_source(Arc::clone(&table)), None)?.project(columns)?.build()
    };
    let plan = build().map_err(|error| diagnose::data_error(error, name))?;
    Ok(Arc::new(ViewTable::new(plan, None)))
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

/// The delimiter of a CSV file: as configured, else by the file extension.
fn delimiter(config: &TableConfig) -> char {
    let path = config.path.to_ascii_lowercase();
    let is_tab = [".tsv", ".tab"].iter().any(|ending| path.contains(ending));
    config.delimiter.unwrap_or(if is_tab { '\t' } else { ',' })
}

fn compression_ending(compression: FileCompressionType) -> &'static str {
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
    name: &str,
    config: &TableConfig,
    format: TableFormat,
    compression: FileCompressionType,
) -> Result<Arc<dyn FileFormat>> {
    let table_options = state.default_table_options();
    Ok(match format {
        TableFormat::Parquet => Arc::new(ParquetFormat::new().with_options(table_options.parquet)),
        TableFormat::Csv => {
            let delimiter = delimiter(config);
            let delimiter = u8::try_from(delimiter).ok().filter(u8::is_ascii).ok_or_else(|| {
                Error::usage(format!("table `{name}`: the delimiter must be one ASCII character, got `{delimiter}`"))
            })?;
            let csv = CsvFormat::default()
                .with_options(table_options.csv)
                .with_schema_infer_max_rec(INFERENCE_ROWS)
                .with_has_header(config.header.unwrap_or(true))
                .with_delimiter(delimiter)
                .with_newlines_in_values(config.multiline.unwrap_or(true))
                .with_null_regex(config.null.as_deref().map(null_regex))
                .with_file_compression_type(compression);
            Arc::new(csv)
        }
        TableFormat::Ndjson => Arc::new(
            JsonFormat::default()
                .with_options(table_options.json)
                .with_schema_infer_max_rec(INFERENCE_ROWS)
                .with_file_compression_type(compression),
        ),
        TableFormat::Arrow => Arc::new(ArrowFormat),
    })
}

/// The empty field and the marker are NULL.
fn null_regex(marker: &str) -> String {
    let mut escaped = String::new();
    for c in marker.chars() {
        if !c.is_alphanumeric() && c.is_ascii() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("^({escaped})?$")
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
    fn null_markers_are_literal() {
        assert_eq!(null_regex("?"), "^(\\?)?$");
        assert_eq!(null_regex("N/A"), "^(N\\/A)?$");
        assert_eq!(null_regex("未知"), "^(未知)?$");
    }

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
