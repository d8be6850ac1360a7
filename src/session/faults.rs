//! [`Faults`]: an object store or a memory pool that fails at its n-th call, for tests.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::resources_datafusion_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use futures::stream::{BoxStream, StreamExt, once};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The words of every error that a faulty store or pool returns.
pub(crate) const FAULT: &str = "a fault of the test";

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultTarget {
    /// Calls of object stores, each piece of a read and each part of an upload among them.
    Store,
    /// Reservations in the memory pool that may fail.
    Memory,
}

/// Which calls fail: the n-th, counted from 1, or all from the n-th on. The zeroth never comes: calls are only counted.
#[derive(Debug)]
pub(crate) struct Faults {
    target: FaultTarget,
    fails_at: usize,
    is_lasting: bool,
    calls: AtomicUsize,
}

impl Faults {
    pub(crate) fn new(target: FaultTarget, fails_at: usize, is_lasting: bool) -> Arc<Self> {
        Arc::new(Self { target, fails_at, is_lasting, calls: AtomicUsize::new(0) })
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn strikes(&self, target: FaultTarget) -> bool {
        if target != self.target {
            return false;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.fails_at > 0 && (call == self.fails_at || self.is_lasting && call > self.fails_at)
    }

    fn check_store(&self) -> Result<()> {
        if self.strikes(FaultTarget::Store) {
            return Err(Error::Generic { store: "faulty", source: FAULT.into() });
        }
        Ok(())
    }

    /// The store with these faults.
    pub(crate) fn store(self: &Arc<Self>, inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(FaultyStore { inner, faults: Arc::clone(self) })
    }

    /// The pool with these faults.
    pub(crate) fn pool(self: &Arc<Self>, inner: Arc<dyn MemoryPool>) -> Arc<dyn MemoryPool> {
        Arc::new(FaultyPool { inner, faults: Arc::clone(self) })
    }
}

#[derive(Debug)]
struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.faults.check_store()?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.faults.check_store()?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultyUpload { inner, faults: Arc::clone(&self.faults) }))
    }

    /// What a local file holds comes as a stream, as from a server: each piece of it is a call.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.check_store()?;
        let found = self.inner.get_opts(location, options).await?;
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let faults = Arc::clone(&self.faults);
        let pieces = found.into_stream().map(move |piece| faults.check_store().and(piece));
        Ok(GetResult { payload: GetResultPayload::Stream(pieces.boxed()), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.faults.check_store()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.faults.check_store() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.faults.check_store() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.check_store()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.check_store()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.faults.check_store()?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.faults.check_store() {
            Ok(()) => self.inner.put_part(data),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.faults.check_store()?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.faults.check_store()?;
        self.inner.abort().await
    }
}

#[derive(Debug)]
struct FaultyPool {
    inner: Arc<dyn MemoryPool>,
    faults: Arc<Faults>,
}

impl fmt::Display for FaultyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl MemoryPool for FaultyPool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        if self.faults.strikes(FaultTarget::Memory) {
            let name = reservation.consumer().name();
            return Err(resources_datafusion_err!("{FAULT}: {name} wants {additional} bytes"));
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}
