//! [`StagingStore`]: an object store that holds completed uploads and puts until all of them are to appear.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use futures::TryFutureExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use url::Url;

/// A file whose bytes are all there and which has not appeared.
#[derive(Debug)]
enum StagedFile {
    /// Parts of a multipart upload.
    Upload(UploadGuard),
    /// A small file, in memory.
    Put { store: Arc<dyn ObjectStore>, location: Path, payload: PutPayload, options: PutOptions },
}

/// The files of one sink.
#[derive(Debug)]
pub(super) struct StagedFiles {
    files: Mutex<Vec<StagedFile>>,
    /// Of the files in memory.
    reservation: MemoryReservation,
    /// Why a writer failed first: sinks report some failures without their cause.
    cause: Mutex<Option<DataFusionError>>,
}

impl StagedFiles {
    pub(super) fn new(reservation: MemoryReservation) -> Self {
        Self { files: Mutex::default(), reservation, cause: Mutex::default() }
    }

    fn push(&self, file: StagedFile) {
        self.files.lock().push(file);
    }

    /// Makes all files appear.
    ///
    /// # Errors
    /// Of the store; the files before the failing one have appeared, the others are aborted.
    pub(super) async fn complete(&self) -> Result<()> {
        let mut files = std::mem::take(&mut *self.files.lock()).into_iter();
        while let Some(file) = files.next() {
            let completed = match file {
                StagedFile::Upload(mut upload) => upload.complete().await,
                StagedFile::Put { store, location, payload, options } => {
                    store.put_opts(&location, payload, options).await
                }
            };
            if let Err(error) = completed {
                abort_all(files).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Drops all files, and their parts in the store.
    pub(super) async fn abort(&self) {
        let files = std::mem::take(&mut *self.files.lock());
        abort_all(files).await;
    }

    /// The first error of the store or of the memory pool.
    pub(super) fn cause(&self) -> Option<DataFusionError> {
        self.cause.lock().take()
    }

    fn note(&self, cause: impl FnOnce() -> DataFusionError) {
        self.cause.lock().get_or_insert_with(cause);
    }
}

async fn abort_all(files: impl IntoIterator<Item = StagedFile>) {
    for file in files {
        if let StagedFile::Upload(mut upload) = file {
            upload.abort().await;
        }
    }
}

/// A multipart upload that is aborted when it is dropped: S3 keeps the parts of others for ever.
#[derive(Debug)]
struct UploadGuard(Option<Box<dyn MultipartUpload>>);

impl UploadGuard {
    async fn complete(&mut self) -> Result<PutResult> {
        match &mut self.0 {
            Some(upload) => {
                let result = upload.complete().await?;
                self.0 = None;
                Ok(result)
            }
            None => Ok(no_version()),
        }
    }

    /// An upload that cannot be aborted leaves parts in the store, which nobody sees as a file.
    async fn abort(&mut self) {
        if let Some(mut upload) = self.0.take() {
            let _ = upload.abort().await;
        }
    }
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        if let Some(mut upload) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                let _ = upload.abort().await;
            });
        }
    }
}

/// What a sink sees of an upload: its completion only stages it.
#[derive(Debug)]
struct StagedUpload {
    upload: UploadGuard,
    files: Arc<StagedFiles>,
}

#[async_trait]
impl MultipartUpload for StagedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut self.upload.0 {
            Some(upload) => {
                let (part, files) = (upload.put_part(data), Arc::clone(&self.files));
                Box::pin(part.inspect_err(move |error| files.note(|| exec_datafusion_err!("{error}"))))
            }
            None => Box::pin(async { Err(already_complete()) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.upload.0.take() {
            Some(upload) => {
                self.files.push(StagedFile::Upload(UploadGuard(Some(upload))));
                Ok(no_version())
            }
            None => Err(already_complete()),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.upload.0.take() {
            Some(mut upload) => upload.abort().await,
            None => Ok(()),
        }
    }
}

/// Sinks do not read it.
fn no_version() -> PutResult {
    PutResult { e_tag: None, version: None }
}

fn already_complete() -> datafusion::object_store::Error {
    datafusion::object_store::Error::Generic { store: "cxql", source: "the upload is complete already".into() }
}

/// See the page of this module.
#[derive(Debug)]
struct StagingStore {
    inner: Arc<dyn ObjectStore>,
    files: Arc<StagedFiles>,
}

impl fmt::Display for StagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for StagingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if let Err(error) = self.files.reservation.try_grow(payload.content_length()) {
            let source = error.to_string().into();
            self.files.note(|| error);
            return Err(datafusion::object_store::Error::Generic { store: "cxql", source });
        }
        let (store, location) = (Arc::clone(&self.inner), location.clone());
        self.files.push(StagedFile::Put { store, location, payload, options });
        Ok(no_version())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, options).await;
        let upload = upload.inspect_err(|error| self.files.note(|| exec_datafusion_err!("{error}")))?;
        Ok(Box::new(StagedUpload { upload: UploadGuard(Some(upload)), files: Arc::clone(&self.files) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
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

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// A registry whose stores stage what is written.
#[derive(Debug)]
pub(super) struct StagingStores {
    inner: Arc<dyn ObjectStoreRegistry>,
    files: Arc<StagedFiles>,
}

impl StagingStores {
    pub(super) fn new(inner: Arc<dyn ObjectStoreRegistry>, files: Arc<StagedFiles>) -> Self {
        Self { inner, files }
    }
}

impl ObjectStoreRegistry for StagingStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.inner.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.inner.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        let inner = self.inner.get_store(url)?;
        Ok(Arc::new(StagingStore { inner, files: Arc::clone(&self.files) }))
    }
}
