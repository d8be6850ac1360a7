//! Refuses files in which two columns, or two fields of a struct, have the same name: the schema of a table keeps one of
//! them, and the values of the other would be lost without a word.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Fields};
use datafusion::catalog::Session;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::schema::types::Type;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore};

use super::diagnose;
use super::tables::display_address;
use crate::error::{Error, Result};
use crate::panics;

/// Footers that are read at the same time.
const CONCURRENT_FOOTERS: usize = 32;

/// Checks the columns of Parquet files; their footers are in the session's cache afterwards.
///
/// # Errors
/// Two columns of one name: file, name, positions, remedy. A file that cannot be read.
pub(super) async fn check_parquet(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
    store_address: &str,
) -> Result<()> {
    let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
    let hint = state.config_options().execution.parquet.metadata_size_hint;
    let checks: Vec<_> =
        files.iter().map(|file| check_footer(store, file, Arc::clone(&footers), hint, store_address).boxed()).collect();
    futures::stream::iter(checks).buffered(CONCURRENT_FOOTERS).try_collect().await
}

async fn check_footer(
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
    footers: Arc<FileMetadataCache>,
    hint: Option<usize>,
    store_address: &str,
) -> Result<()> {
    let address = format!("{store_address}{}", file.location);
    let reader = DFParquetMetadata::new(store.as_ref(), file)
        .with_file_metadata_cache(Some(footers))
        .with_metadata_size_hint(hint);
    let footer = match panics::catch_future(reader.fetch_metadata()).await {
        Ok(Ok(footer)) => footer,
        Ok(Err(error)) => return Err(diagnose::file_error(error, &address)),
        Err(panic) => return Err(diagnose::file_error(panic.into(), &address)),
    };
    check_group(footer.file_metadata().schema_descr().root_schema(), "", &address)
}

/// Checks the fields of a Parquet group, whose path is `path` with a dot at its end; empty for the columns.
fn check_group(group: &Type, path: &str, address: &str) -> Result<()> {
    if !group.is_group() {
        return Ok(());
    }
    check_names(group.get_fields().iter().map(|field| field.name()), path, address)?;
    let mut fields = group.get_fields().iter();
    fields.try_for_each(|field| check_group(field, &format!("{path}{}.", field.name()), address))
}

/// Checks the columns of an Arrow file.
///
/// # Errors
/// As [`check_parquet`].
pub(super) fn check_fields(fields: &Fields, address: &str) -> Result<()> {
    check_level(fields, "", address)
}

fn check_level(fields: &Fields, path: &str, address: &str) -> Result<()> {
    check_names(fields.iter().map(|field| field.name().as_str()), path, address)?;
    fields.iter().try_for_each(|field| check_type(field.data_type(), &format!("{path}{}.", field.name()), address))
}

fn check_type(data_type: &DataType, path: &str, address: &str) -> Result<()> {
    match data_type {
        DataType::Struct(fields) => check_level(fields, path, address),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => check_type(item.data_type(), path, address),
        _ => Ok(()),
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>, path: &str, address: &str) -> Result<()> {
    let mut seen = HashMap::new();
    for (index, name) in names.enumerate() {
        match seen.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(index);
            }
            Entry::Occupied(first) => {
                let (kind, place) = if path.is_empty() { ("columns", "column") } else { ("fields", "field") };
                return Err(Error::data(format!(
                    "cannot read {}: two {kind} have the name `{path}{name}` ({place}s {} and {}), of which only one could be \
                     read; write the file again with another name for one of them",
                    display_address(address),
                    first.get() + 1,
                    index + 1,
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn equal_names_on_one_level_are_found_with_their_positions() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let inner = |names: [&str; 2]| DataType::Struct(names.map(|name| field(name, DataType::Int64)).to_vec().into());
        let said =
            |fields: Vec<Field>| check_fields(&fields.into(), "file:///t.arrow").map_err(|error| error.to_string());
        assert_eq!(said(vec![field("a", DataType::Int64), field("A", inner(["a", "A"]))]), Ok(()));
        let error = said(["a", "b", "a"].map(|name| field(name, DataType::Int64)).to_vec()).unwrap_err();
        assert!(error.contains("/t.arrow: two columns have the name `a` (columns 1 and 3)"), "{error}");
        let list = DataType::List(Arc::new(field("item", inner(["x", "x"]))));
        let error = said(vec![field("s", list)]).unwrap_err();
        assert!(error.contains("two fields have the name `s.x` (fields 1 and 2)"), "{error}");
    }
}
