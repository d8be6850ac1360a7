//! Discovers the tables below the data folder or prefix.
//!
//! A folder with Parquet files, directly or in `key=value` folders, is a table; at the top level every `name.parquet` is
//! one. Names that begin with `.` or `_` are ignored. Other folders are searched recursively.

use std::collections::BTreeMap;

use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::ListResult;
use object_store::path::Path;
use url::Url;

use super::diagnose;
use super::stores::Stores;
use crate::config::{TableConfig, TableFormat};
use crate::error::{Error, Result};

/// Maximum depth of the search.
const MAX_DEPTH: usize = 8;

/// The tables below a data folder.
#[derive(Debug, Default)]
pub(crate) struct DiscoveredTables {
    /// Address of each table by name.
    pub(crate) tables: BTreeMap<String, TableConfig>,
    /// Folders without a readable file.
    pub(crate) empty_folders: Vec<String>,
}

/// Discovers the tables below `root`.
pub(crate) async fn tables(stores: &Stores, root: &Url) -> Result<DiscoveredTables> {
    let mut found = DiscoveredTables::default();
    let store = stores.get_store(root).map_err(|error| diagnose::data_error(error, root.as_str()))?;
    let prefix = Path::from_url_path(root.path())
        .map_err(|error| Error::usage(format!("`{root}` is no address of a folder: {error}")))?;
    let mut level = vec![prefix.clone()];
    for depth in 0..MAX_DEPTH {
        let mut listings: FuturesUnordered<_> = level
            .drain(..)
            .map(|folder| {
                let store = &store;
                async move { (store.list_with_delimiter(Some(&folder)).await, folder) }
            })
            .collect();
        let mut next = Vec::new();
        while let Some((listing, folder)) = listings.next().await {
            let listing = listing.map_err(|error| diagnose::store_error(&error, root.as_str()))?;
            let is_top = depth == 0;
            next.extend(add_folder(&mut found, root, &folder, listing, is_top)?);
        }
        next.sort();
        level = next;
    }
    found.empty_folders.sort();
    Ok(found)
}

/// Adds the tables of one folder and returns the folders to search next.
fn add_folder(
    found: &mut DiscoveredTables,
    root: &Url,
    folder: &Path,
    listing: ListResult,
    is_top: bool,
) -> Result<Vec<Path>> {
    let is_hidden = |path: &Path| path.filename().is_none_or(|name| name.starts_with(['.', '_']));
    let is_parquet = |path: &Path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    let files: Vec<Path> = listing
        .objects
        .into_iter()
        .map(|object| object.location)
        .filter(|path| !is_hidden(path) && is_parquet(path))
        .collect();
    let folders: Vec<Path> = listing.common_prefixes.into_iter().filter(|path| !is_hidden(path)).collect();
    if is_top {
        for file in files {
            let name = file.filename().unwrap_or_default();
            let name = name[..name.len() - ".parquet".len()].to_string();
            add(found, name, address(root, &file, false))?;
        }
        return Ok(folders);
    }
    let is_partitioned = folders.iter().any(|path| path.filename().is_some_and(|name| name.contains('=')));
    if !files.is_empty() || is_partitioned {
        let name = folder.filename().unwrap_or_default().to_string();
        add(found, name, address(root, folder, true))?;
        return Ok(Vec::new());
    }
    if folders.is_empty() {
        found.empty_folders.push(address(root, folder, true));
    }
    Ok(folders)
}

fn add(found: &mut DiscoveredTables, name: String, address: String) -> Result<()> {
    let name = name.to_lowercase();
    if let Some(other) = found.tables.get(&name) {
        return Err(Error::data(format!(
            "two places below the data folder would both be the table `{name}`: {} and {address}; rename one",
            other.path
        )));
    }
    let table = TableConfig { format: Some(TableFormat::Parquet), ..TableConfig::at(address) };
    found.tables.insert(name, table);
    Ok(())
}

/// The full address of a path in the root's store.
fn address(root: &Url, path: &Path, is_folder: bool) -> String {
    let mut url = root.clone();
    // the path is not percent-encoded; `set_path` encodes it
    url.set_path(&format!("/{}{}", path.as_ref(), if is_folder { "/" } else { "" }));
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionOptions;

    async fn found(files: &[&str]) -> Result<DiscoveredTables> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !file.ends_with('/') {
                std::fs::write(path, b"x").unwrap();
            }
        }
        let root = Url::from_directory_path(folder.path()).unwrap();
        let mut found = tables(&Stores::of(&SessionOptions::default()), &root).await?;
        for table in found.tables.values_mut() {
            table.path = table.path.replace(root.as_str(), "");
        }
        Ok(found)
    }

    #[tokio::test]
    async fn files_folders_and_partitions_are_tables() {
        let found = found(&[
            "surveys.parquet",
            "Interactions/a.parquet",
            "interactions/b.parquet",
            "crm/tickets/year=2025/month=1/x.parquet",
            "_delta/a.parquet",
            ".hidden.parquet",
            "notes/readme.txt",
            "calls.csv",
        ])
        .await;
        assert!(found.unwrap_err().to_string().contains("both be the table `interactions`"));
        let found =
            self::found(&["surveys.parquet", "a b/x.parquet", "crm/tickets/year=2025/x.parquet", "n/r.txt"]).await;
        let found = found.unwrap();
        let tables: Vec<(&str, &str)> = found.tables.iter().map(|(name, t)| (name.as_str(), t.path.as_str())).collect();
        assert_eq!(tables, [("a b", "a%20b/"), ("surveys", "surveys.parquet"), ("tickets", "crm/tickets/")]);
        assert_eq!(found.empty_folders.len(), 1);
    }
}
