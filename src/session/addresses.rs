//! The addresses of data folders and tables, as users and configuration files write them.

use std::path::{Path, PathBuf};

use url::Url;

use super::tables;
use crate::error::{Error, Result};

/// The address of a folder or bucket as a user names it: a path, `s3://bucket/prefix` or `http(s)://`.
///
/// # Errors
/// A path that is no folder, an address that does not parse.
pub(crate) fn data_url(text: &str) -> Result<Url> {
    if text.contains("://") {
        let mut url = Url::parse(text).map_err(|error| Error::usage(format!("`{text}` is no address: {error}")))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        return Ok(url);
    }
    let path = tables::full_path(Path::new(text))
        .map_err(|cause| Error::usage(format!("cannot find the data folder `{text}`: {cause}")))?;
    if path.is_file() {
        return Err(Error::usage(format!(
            "--data wants a folder, but {} is a file; name its folder, or read it with `from '{text}'`",
            path.display()
        )));
    }
    if !path.is_dir() {
        return Err(Error::usage(format!(
            "there is no data folder {}; name one with --data, or make sample data with `cxql demo {text}`",
            path.display()
        )));
    }
    Url::from_directory_path(&path).map_err(|()| Error::usage(format!("`{text}` is no usable path")))
}

/// The full address of a configured table.
pub(super) fn table_address(name: &str, path: &str, root: Option<&Url>) -> Result<String> {
    if path.contains("://") {
        return Ok(path.to_string());
    }
    let is_absolute = Path::new(path).is_absolute();
    let root = match root {
        Some(root) if root.scheme() != "file" && !is_absolute => {
            return root
                .join(path)
                .map(String::from)
                .map_err(|error| Error::usage(format!("[tables.{name}] path `{path}`: {error}")));
        }
        Some(root) => root.to_file_path().unwrap_or_default(),
        None => PathBuf::new(),
    };
    let full = root.join(path);
    let full = tables::full_path(&full).unwrap_or(full);
    let text = full.display().to_string();
    if full.is_dir() && !text.ends_with('/') { Ok(format!("{text}/")) } else { Ok(text) }
}
