//! Errors of files and object stores: which file it is, and the remedy.

use std::error::Error as StdError;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;
use object_store::Error as StoreError;

use super::{between, clean, own};
use crate::error::{Error, with_causes};
use crate::panics::CatchStream;
use crate::session::pinned::WAS_REPLACED;
use crate::session::tables::display_address;

/// Converts an error of files or stores outside of any statement; `address` was read.
pub(crate) fn data_error(error: DataFusionError, address: &str) -> Error {
    match own(error) {
        Ok(own) => own,
        Err(error) => storage_error(&error, address).unwrap_or_else(|| file_error(error, address)),
    }
}

/// The error for a file that is not in its format.
pub(crate) fn file_error(error: DataFusionError, path: &str) -> Error {
    let error = match own(error) {
        Ok(own) => return own,
        Err(error) => error,
    };
    if error.to_string().contains("gzip header") {
        return Error::data(format!(
            "cannot read {}: it is not compressed with gzip; correct its ending",
            display_address(path)
        ));
    }
    if let Some(error) = storage_error(&error, path) {
        return error;
    }
    let root = error.find_root();
    let text = clean(root, &root.strip_backtrace());
    let text = match between(&text, "found Array [", "]") {
        Some(_) => "one JSON object a line is wanted, and this file holds an array (`jq -c '.[]'` makes lines)".into(),
        None => text,
    };
    let advice = if text.to_lowercase().contains("utf-8") || text.to_lowercase().contains("utf8") {
        "it is not UTF-8; convert it, for example with `iconv -f latin1 -t utf-8`"
    } else if is_parquet(root) || root.to_string().contains("Parquet") || path.ends_with(".parquet") {
        "it is no whole Parquet file; write it again or move it away"
    } else {
        "correct the file or move it away"
    };
    Error::Data {
        message: format!("cannot read {}: {text}; {advice}", display_address(path)),
        cause: Some(Box::new(error)),
    }
}

fn is_parquet(root: &DataFusionError) -> bool {
    matches!(root, DataFusionError::ParquetError(_))
}

/// Finds the file of the plan that is broken, if the error is one of reading a file. Reads each file once more on its own,
/// because DataFusion's error does not name the file.
pub(crate) async fn broken_file(
    error: &DataFusionError,
    plan: &Arc<dyn ExecutionPlan>,
    state: &SessionState,
) -> Option<Error> {
    if let Some(changed) = changed(error) {
        return Some(changed);
    }
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && inner.downcast_ref::<Error>().is_some()
    {
        // an error of ours names its file
        return None;
    }
    let is_reading = match root {
        DataFusionError::ParquetError(_) => true,
        DataFusionError::ArrowError(inner, _) => {
            matches!(
                inner.as_ref(),
                ArrowError::CsvError(_)
                    | ArrowError::JsonError(_)
                    | ArrowError::IpcError(_)
                    | ArrowError::ParquetError(_)
                    | ArrowError::ParseError(_)
                    | ArrowError::IoError(..)
                    | ArrowError::ExternalError(_)
            )
        }
        DataFusionError::IoError(_) | DataFusionError::External(_) => true,
        _ => false,
    };
    if !is_reading {
        return None;
    }
    let mut scans = Vec::new();
    scans_of(plan, &mut scans);
    let folder_of = |scan: &FileScanConfig| {
        let file = scan.file_groups.iter().flat_map(|group| group.iter()).next()?;
        let folder = file.object_meta.location.as_ref().rsplit_once('/').map_or("", |(folder, _)| folder);
        Some(display_address(&format!("{}{folder}/", scan.object_store_url.as_str())))
    };
    if storage_error(error, "").is_some() {
        // a store that has just failed is not asked again
        let mut folders: Vec<String> = scans.iter().filter_map(folder_of).collect();
        folders.sort();
        folders.dedup();
        return storage_error(error, &folders.join(" or "));
    }
    for scan in scans {
        for group in &scan.file_groups {
            for file in group.iter() {
                let mut one = scan.clone();
                one.file_groups = vec![vec![file.clone()].into()];
                let path = format!("{}{}", one.object_store_url.as_str(), file.object_meta.location);
                let exec = DataSourceExec::from_data_source(one);
                let failed = match execute_stream(exec, state.task_ctx()) {
                    Ok(stream) => CatchStream::new(stream).try_for_each(|_| async { Ok(()) }).await.err(),
                    Err(error) => Some(error),
                };
                if let Some(error) = failed {
                    return Some(file_error(error, &path));
                }
            }
        }
    }
    None
}

fn scans_of(plan: &Arc<dyn ExecutionPlan>, scans: &mut Vec<FileScanConfig>) {
    if let Some(scan) =
        plan.downcast_ref::<DataSourceExec>().and_then(|exec| exec.data_source().as_ref().downcast_ref())
    {
        scans.push(FileScanConfig::clone(scan));
    }
    for child in plan.children() {
        scans_of(child, scans);
    }
}

/// The [`Error::Changed`] inside an error.
pub(crate) fn changed(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Error::Changed { message, can_retry }) = error.downcast_ref() {
            return Some(Error::Changed { message: message.clone(), can_retry: *can_retry });
        }
        // these libraries pass on the text alone
        let text = match (error.downcast_ref(), error.downcast_ref()) {
            (Some(ParquetError::General(text)), _) | (_, Some(ArrowError::ParquetError(text))) => Some(text.as_str()),
            _ => None,
        };
        if let Some(text) = text
            && let Some(end) = text.find(WAS_REPLACED)
        {
            let end = end + WAS_REPLACED.len();
            let start = text[..end].rfind("the file ").unwrap_or(0);
            return Some(Error::Changed { message: text[start..end].to_owned(), can_retry: true });
        }
        next = error.source();
    }
    None
}

/// Converts the object store error inside a DataFusion error.
pub(super) fn storage_error(error: &DataFusionError, address: &str) -> Option<Error> {
    if let Some(changed) = changed(error) {
        return Some(changed);
    }
    if error.to_string().contains("Invalid gzip header") {
        let message =
            format!("cannot read {}: it is not compressed with gzip; correct its ending", display_address(address));
        return Some(Error::data(message));
    }
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(store) = error.downcast_ref::<StoreError>() {
            return Some(store_error(store, address));
        }
        if let Some(DataFusionError::ObjectStore(store)) = error.downcast_ref::<DataFusionError>() {
            return Some(store_error(store, address));
        }
        next = match error.downcast_ref::<ParquetError>() {
            Some(ParquetError::External(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    None
}

/// S3 error codes for invalid credentials or missing permission.
const DENIED: [&str; 6] = [
    "<Code>AccessDenied",
    "<Code>SignatureDoesNotMatch",
    "<Code>InvalidAccessKeyId",
    "<Code>ExpiredToken",
    "<Code>InvalidToken",
    "<Code>NotSignedUp",
];

/// Converts an object store error, with a remedy.
pub(crate) fn store_error(error: &StoreError, address: &str) -> Error {
    let full = with_causes(error);
    let place = |path: &str| if address.is_empty() { path.to_string() } else { display_address(address) };
    let message = match error {
        _ if full.contains("NoSuchBucket") || full.contains("bucket does not exist") => {
            format!("{}: the bucket does not exist; check its name, the region and the endpoint", place("S3"))
        }
        _ if DENIED.iter().any(|code| full.contains(code)) => format!(
            "{}: access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the rights of that key ({})",
            place("S3"),
            code(&full)
        ),
        _ if full.contains("tcp connect error") || full.contains("dns error") => {
            let reason = full.rsplit(": ").next().unwrap_or_default();
            let scheme = if full.contains("https://") { "https" } else { "http" };
            let host = full.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or("the store");
            format!("{}: cannot connect to {scheme}://{host}: {reason}; check the endpoint", place("S3"))
        }
        StoreError::NotFound { path, .. } => format!("{}: there is no such file or folder", place(path)),
        StoreError::PermissionDenied { path, .. } => format!(
            "{}: access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the rights of that key ({})",
            place(path),
            code(&full)
        ),
        StoreError::Unauthenticated { path, .. } => {
            format!("{}: the store does not accept the credentials ({})", place(path), code(&full))
        }
        _ if full.contains("169.254.169.254") || full.contains("InstanceCredential") => format!(
            "{}: no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `[s3] anonymous = true` for \
             public buckets",
            place("S3")
        ),
        _ if full.contains("Permission denied") => {
            format!("{}: the system denies access; check the rights of the file", place("the data"))
        }
        _ => {
            let advice =
                "the store did not answer as it should, even when asked again; try later or check the endpoint";
            format!("{}: {}; {advice}", place("the store"), code(&full))
        }
    };
    Error::Data { message, cause: None }
}

/// The useful part of a store's long message: the S3 error code, or the innermost cause.
fn code(full: &str) -> String {
    if let Some(code) = between(full, "<Code>", "</Code>") {
        return match between(full, "<Message>", "</Message>") {
            Some(message) => format!("{code}: {message}"),
            None => code.to_string(),
        };
    }
    let mut full = full;
    for prefix in ["Generic S3 error: ", "HTTP error: ", "request or response body error: ", "Generic HTTP error: "] {
        full = full.strip_prefix(prefix).unwrap_or(full);
    }
    let mut text: String = full.chars().take(400).collect();
    if text.len() < full.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_error_shows_the_code_and_not_the_page() {
        let full = "x <Error><Code>AccessDenied</Code><Message>No.</Message></Error>";
        assert_eq!(code(full), "AccessDenied: No.");
    }
}
