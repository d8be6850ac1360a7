//! [`PinnedStore`]: an object store that reads files as the versions that a listing found.
//!
//! A scan reads a file in many requests, and its footer may come from a cache. A file that is replaced meanwhile would give
//! rows of two versions, or no rows at all. Here each answer of the store is compared with the version of the listing, by
//! entity tag, else by time and size; of local files the handle is kept, and compared again after each read, because a
//! writer may also write into the file. Another version is [`Error::Changed`]; a query that has returned no rows is then
//! planned again (see `retry.rs`).

mod ndjson;
mod parquet;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result as DataFusionResult;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error as StoreError, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, coalesce_ranges,
};

pub(super) use self::ndjson::PinnedSource;
pub(super) use self::parquet::pin_footers;
use super::tables::display_address;
use crate::error::Error;

/// A store that reads some files as they were when they were listed; other files as they are.
#[derive(Debug)]
pub(super) struct PinnedStore {
    inner: Arc<dyn ObjectStore>,
    /// The address of the store, before the path of a file.
    address: Arc<str>,
    files: HashMap<Path, ObjectMeta>,
    /// The handle of the only file, if it is local and to be kept open.
    kept: Option<Mutex<Option<Arc<OpenFile>>>>,
}

impl PinnedStore {
    /// Pins files of a store to these versions.
    pub(super) fn new<'a>(
        inner: &Arc<dyn ObjectStore>,
        address: &str,
        files: impl IntoIterator<Item = &'a ObjectMeta>,
    ) -> Arc<Self> {
        let files = files.into_iter().map(|file| (file.location.clone(), file.clone())).collect();
        Arc::new(Self { inner: Arc::clone(inner), address: address.into(), files, kept: None })
    }

    /// Pins one file, whose handle is kept: a local file can be replaced while it is read.
    pub(super) fn of_file(inner: &Arc<dyn ObjectStore>, address: &str, file: &ObjectMeta) -> Arc<Self> {
        let files = HashMap::from([(file.location.clone(), file.clone())]);
        let kept = address.starts_with("file:").then(Mutex::default);
        Arc::new(Self { inner: Arc::clone(inner), address: address.into(), files, kept })
    }

    fn is_local(&self) -> bool {
        self.address.starts_with("file:")
    }

    fn replaced(&self, location: &Path) -> StoreError {
        StoreError::Generic { store: "cxql", source: Box::new(replaced(&format!("{}{location}", self.address))) }
    }

    /// Checks that nobody wrote into a local file that was read by a handle.
    ///
    /// # Errors
    /// [`Error::Changed`].
    async fn check_unwritten(&self, location: &Path) -> Result<()> {
        let Some(expected) = self.files.get(location).filter(|_| self.is_local()) else { return Ok(()) };
        let inode = |meta: &ObjectMeta| meta.e_tag.as_deref().and_then(|tag| tag.split('-').next()).map(str::to_owned);
        match self.inner.head(location).await {
            Ok(now) if inode(&now) == inode(expected) && !is_same_version(expected, &now) => {
                Err(self.replaced(location))
            }
            // where another file has its name by now, what was read is as it was
            _ => Ok(()),
        }
    }

    /// The rows of a file that is read by a handle, or an error after them if it was written to meanwhile.
    pub(super) fn checked(
        self: Arc<Self>,
        location: Path,
        rows: BoxStream<'static, DataFusionResult<RecordBatch>>,
    ) -> BoxStream<'static, DataFusionResult<RecordBatch>> {
        let end = futures::stream::once(async move { self.check_unwritten(&location).await.err() });
        rows.chain(end.filter_map(async |error| error.map(|error| Err(error.into())))).boxed()
    }

    /// The handle of a local file.
    async fn open(&self, location: &Path) -> Result<Option<Arc<OpenFile>>> {
        if let Some(file) = self.kept() {
            return Ok(Some(file));
        }
        let opened = self.get_opts(location, GetOptions::default()).await?;
        let GetResultPayload::File(file, path) = opened.payload else { return Ok(None) };
        let opened = OpenFile { file, path, meta: opened.meta };
        Ok(Some(self.kept().unwrap_or_else(|| Arc::new(opened))))
    }

    /// The handle that is kept open.
    fn kept(&self) -> Option<Arc<OpenFile>> {
        self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the handle of a file that was opened, if it is to be kept.
    fn keep(&self, found: &GetResult) {
        let (Some(kept), GetResultPayload::File(file, path)) = (&self.kept, &found.payload) else { return };
        // a file whose handle cannot be copied is opened again
        let Ok(file) = file.try_clone() else { return };
        let file = OpenFile { file, path: path.clone(), meta: found.meta.clone() };
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
    }
}

/// The error of a file that was replaced.
pub(super) fn replaced(address: &str) -> Error {
    let message = format!("the file {} {WAS_REPLACED}", display_address(address));
    Error::Changed { message, can_retry: true }
}

/// The end of the message of [`replaced`], which libraries pass on as text.
pub(super) const WAS_REPLACED: &str = "was replaced while it was read; run it again";

/// Whether two descriptions are of the same version of a file.
pub(super) fn is_same_version(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    let tag = |meta: &ObjectMeta| {
        let tag = meta.e_tag.as_deref()?;
        // a listing may quote it and an answer not
        Some(tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned())
    };
    if one.size != other.size {
        return false;
    }
    if let (Some(one), Some(other)) = (tag(one), tag(other)) {
        return one == other;
    }
    let is_known = |meta: &ObjectMeta| meta.last_modified > DateTime::UNIX_EPOCH;
    // headers have whole seconds
    let is_same_time = one.last_modified.timestamp() == other.last_modified.timestamp();
    is_same_time || !is_known(one) || !is_known(other)
}

/// A local file.
#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    meta: ObjectMeta,
}

impl OpenFile {
    /// The answer that a store gives to whoever asks for the whole file or a range of it; `None` if it is to be asked. Its
    /// handle shares the position of others: it is for a [`RangeReader`].
    fn answer(&self, options: &GetOptions) -> Option<GetResult> {
        let range = match &options.range {
            None => 0..self.meta.size,
            Some(GetRange::Bounded(range)) if range.start < range.end && range.end <= self.meta.size => range.clone(),
            Some(_) => return None,
        };
        let payload = GetResultPayload::File(self.file.try_clone().ok()?, self.path.clone());
        Some(GetResult { payload, meta: self.meta.clone(), range, attributes: Attributes::default() })
    }

    /// Reads ranges; `None` if the file was written to after it was opened, or ends before them.
    fn read(&self, expected: &ObjectMeta, ranges: &[Range<u64>]) -> io::Result<Option<Vec<Bytes>>> {
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let size = usize::try_from(range.end - range.start).unwrap_or_default();
            let mut part = Vec::with_capacity(size);
            RangeReader { file: &self.file, range: range.clone() }.read_to_end(&mut part)?;
            if part.len() != size {
                return Ok(None);
            }
            parts.push(part.into());
        }
        let now = self.file.metadata()?;
        let is_unwritten =
            now.len() == expected.size && DateTime::<Utc>::from(now.modified()?) == expected.last_modified;
        Ok(is_unwritten.then_some(parts))
    }
}

/// Reads a range of a file, wherever others have put the position of its handle.
#[derive(Debug)]
pub(super) struct RangeReader<F> {
    pub(super) file: F,
    pub(super) range: Range<u64>,
}

impl<F: Borrow<File>> Read for RangeReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end.saturating_sub(self.range.start)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(self.file.borrow(), &mut buffer[..wanted], self.range.start)?;
        #[cfg(windows)]
        let count =
            std::os::windows::fs::FileExt::seek_read(self.file.borrow(), &mut buffer[..wanted], self.range.start)?;
        self.range.start += count as u64;
        Ok(count)
    }
}

impl fmt::Display for PinnedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for PinnedStore {
    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let Some(expected) = self.files.get(location) else { return self.inner.get_opts(location, options).await };
        if let Some(answer) = self.kept().filter(|_| !options.head).and_then(|file| file.answer(&options)) {
            return Ok(answer);
        }
        // web servers disagree about conditions; their answers are compared below
        let has_conditions = self.is_local() || self.address.starts_with("s3:");
        if has_conditions && options.if_match.is_none() {
            options.if_match = expected.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        }
        match self.inner.get_opts(location, options).await {
            Ok(found) if is_same_version(expected, &found.meta) => {
                self.keep(&found);
                Ok(found)
            }
            Ok(_) | Err(StoreError::Precondition { .. } | StoreError::NotFound { .. }) => Err(self.replaced(location)),
            Err(error) => Err(error),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let expected = self.files.get(location).filter(|_| self.is_local());
        if let Some(expected) = expected
            && let Some(file) = self.open(location).await?
            // ranges of a corrupt footer have the error of the store
            && ranges.iter().all(|range| range.start <= range.end && range.end <= file.meta.size)
        {
            let (wanted, version) = (ranges.to_vec(), expected.clone());
            let read = tokio::task::spawn_blocking(move || file.read(&version, &wanted)).await;
            return match read {
                Ok(Ok(Some(parts))) => Ok(parts),
                Ok(Ok(None)) => Err(self.replaced(location)),
                Ok(Err(error)) => Err(StoreError::Generic { store: "cxql", source: Box::new(error) }),
                Err(error) => Err(StoreError::Generic { store: "cxql", source: Box::new(error) }),
            };
        }
        if expected.is_some() {
            return self.inner.get_ranges(location, ranges).await;
        }
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;

    fn is_replaced(error: StoreError) -> bool {
        let text = crate::error::with_causes(&error);
        assert!(text.contains(WAS_REPLACED), "{text}");
        true
    }

    #[tokio::test]
    async fn a_local_file_is_read_as_one_version_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let inner: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let (path, location) = (folder.path().join("x"), Path::from("x"));
        let replace = |text: &str| {
            fs::write(folder.path().join("new"), text).unwrap();
            fs::rename(folder.path().join("new"), &path).unwrap();
        };
        let ranges = [0..2, 3..4];
        fs::write(&path, "abcd").unwrap();
        let listed = inner.head(&location).await.unwrap();
        let store = PinnedStore::new(&inner, "file:///", [&listed]);
        let kept = PinnedStore::of_file(&inner, "file:///", &listed);
        assert_eq!(kept.get_ranges(&location, &ranges).await.unwrap(), ["ab", "d"]);
        assert_eq!(store.get_ranges(&location, &ranges).await.unwrap(), ["ab", "d"]);
        // of the same size
        replace("ABCD");
        assert_eq!(kept.get_ranges(&location, &ranges).await.unwrap(), ["ab", "d"]);
        kept.check_unwritten(&location).await.unwrap();
        assert!(is_replaced(store.get_ranges(&location, &ranges).await.unwrap_err()));
        assert!(is_replaced(store.get(&location).await.unwrap_err()));
        // written to
        let listed = inner.head(&location).await.unwrap();
        let kept = PinnedStore::of_file(&inner, "file:///", &listed);
        assert_eq!(kept.get_ranges(&location, &ranges).await.unwrap(), ["AB", "D"]);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(3).unwrap();
        assert!(is_replaced(kept.get_ranges(&location, &ranges).await.unwrap_err()));
        assert!(is_replaced(kept.check_unwritten(&location).await.unwrap_err()));
        // removed
        fs::remove_file(&path).unwrap();
        assert!(is_replaced(PinnedStore::new(&inner, "file:///", [&listed]).get(&location).await.unwrap_err()));
        assert!(matches!(store.head(&Path::from("other")).await, Err(StoreError::NotFound { .. })));
    }

    #[tokio::test]
    async fn an_object_is_read_as_one_version_or_not_at_all() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let location = Path::from("a/x");
        inner.put(&location, "abcd".into()).await.unwrap();
        let listed = inner.head(&location).await.unwrap();
        for address in ["s3://bucket/", "http://host/"] {
            let store = PinnedStore::of_file(&inner, address, &listed);
            assert_eq!(store.get_ranges(&location, &[1..2, 2..3]).await.unwrap(), ["b", "c"]);
        }
        inner.put(&location, "ABCD".into()).await.unwrap();
        for address in ["s3://bucket/", "http://host/"] {
            let store = PinnedStore::of_file(&inner, address, &listed);
            assert!(is_replaced(store.get_ranges(&location, &[1..2, 2..3]).await.unwrap_err()));
        }
    }

    #[test]
    fn versions_are_compared_by_what_both_have() {
        let at = |seconds, millis: u32| DateTime::from_timestamp(seconds, millis * 1_000_000).unwrap();
        let meta = |tag: Option<&str>, last_modified, size| ObjectMeta {
            location: "x".into(),
            last_modified,
            size,
            e_tag: tag.map(str::to_owned),
            version: None,
        };
        let unknown = DateTime::UNIX_EPOCH;
        assert!(is_same_version(&meta(Some("\"a\""), at(1, 0), 1), &meta(Some("W/\"a\""), at(2, 0), 1)));
        assert!(!is_same_version(&meta(Some("\"a\""), at(1, 0), 1), &meta(Some("\"b\""), at(1, 0), 1)));
        assert!(!is_same_version(&meta(Some("a"), at(1, 0), 1), &meta(Some("a"), at(1, 0), 2)));
        assert!(is_same_version(&meta(Some("a"), at(1, 5), 1), &meta(None, at(1, 0), 1)));
        assert!(!is_same_version(&meta(None, at(1, 0), 1), &meta(None, at(2, 0), 1)));
        assert!(!is_same_version(&meta(None, at(1, 0), 1), &meta(None, at(1, 0), 2)));
        assert!(is_same_version(&meta(None, unknown, 1), &meta(None, at(1, 0), 1)));
    }
}
