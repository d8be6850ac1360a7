//! [`Target`]: an open destination that receives bytes, whole or not at all.
//!
//! Local files and streams are written by a separate thread behind a short queue: a pipe that is not read blocks that
//! thread, but neither the query nor Ctrl-C. The temporary file is owned by the async side, so that dropping it removes
//! the file at once. Objects are uploaded in parts, a few concurrently.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use datafusion::object_store::path::Path as ObjectPath;
use datafusion::object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutPayloadMut};
use tempfile::TempPath;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Destination, OutputError, ReaderState, Result};
use crate::temporary::TemporaryFile;

/// Capacity of the queue to a slow disk or reader, in chunks.
const QUEUE: usize = 2;

/// The part size of an upload. Stores accept at most 10,000 parts, so that the limit is 160 GB.
const PART_BYTES: usize = 16 << 20;

/// Parts of an upload that are sent concurrently.
const PARTS_IN_FLIGHT: usize = 4;

pub(super) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// An open destination.
#[derive(Debug)]
pub(super) enum Target {
    Local(Local),
    Object(Box<Object>),
}

impl Target {
    pub(super) async fn open(destination: Destination) -> Result<Self> {
        match destination {
            Destination::Stdout => Self::stream("standard output".to_owned(), io::stdout()),
            Destination::File(path) => tokio::task::spawn_blocking(move || open_file(&path))
                .await
                .map_err(|source| OutputError::io("output", io::Error::other(source)))?,
            Destination::Object { store, path, url } => Ok(Self::Object(Box::new(Object::new(store, path, url)))),
        }
    }

    /// Opens a stream, which is written as bytes arrive.
    pub(super) fn stream(place: String, writer: impl Write + Send + 'static) -> Result<Self> {
        Local::start(place, writer, |_| Ok(()), None).map(Self::Local)
    }

    /// Returns true if bytes should be sent before the end.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Local(local) if local.file.is_none())
    }

    pub(super) async fn send(&mut self, chunk: Bytes) -> Result<ReaderState> {
        match self {
            Self::Local(local) => local.send(Message::Chunk(chunk)).await,
            Self::Object(object) => object.send(chunk).await.map(|()| ReaderState::Open),
        }
    }

    pub(super) async fn commit(self) -> Result<ReaderState> {
        match self {
            Self::Local(local) => local.commit().await,
            Self::Object(object) => object.commit().await.map(|()| ReaderState::Open),
        }
    }

    /// Removes the bytes written so far, as far as possible.
    pub(super) async fn discard(&mut self) {
        match self {
            Self::Local(local) => {
                if let Some(new) = &mut local.file {
                    new.temporary = None;
                }
            }
            Self::Object(object) => {
                if let Some(upload) = object.upload.take() {
                    upload.abort().await;
                }
            }
        }
    }
}

#[derive(Debug)]
enum Message {
    Chunk(Bytes),
    Commit,
}

/// The writing thread, and the temporary file that it writes, if it is to be renamed.
#[derive(Debug)]
pub(super) struct Local {
    place: String,
    queue: mpsc::Sender<Message>,
    ended: Option<oneshot::Receiver<io::Result<()>>>,
    file: Option<NewFile>,
}

/// A temporary file in the destination's folder. Dropping it removes it.
#[derive(Debug)]
struct NewFile {
    temporary: Option<TempPath>,
    place: PathBuf,
    /// Locked until it has its name: the writing thread closes its own handle before.
    _lock: File,
    _listed: Listed,
}

/// The temporary files of this process that are not renamed yet; `None` once the program ends.
static UNFINISHED: Mutex<Option<BTreeSet<PathBuf>>> = Mutex::new(Some(BTreeSet::new()));

fn unfinished() -> MutexGuard<'static, Option<BTreeSet<PathBuf>>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry of [`UNFINISHED`], removed on drop.
#[derive(Debug)]
struct Listed(PathBuf);

impl Listed {
    /// `None` if the program is ending.
    fn new(path: &Path) -> Option<Self> {
        unfinished().as_mut()?.insert(path.to_owned());
        Some(Self(path.to_owned()))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(unfinished) = unfinished().as_mut() {
            unfinished.remove(&self.0);
        }
    }
}

/// Removes the temporary files of unfinished results, also of writers that a busy query still holds. Called when the
/// program ends: no result can be finished afterwards.
pub(crate) fn remove_unfinished() {
    let paths = unfinished().take();
    for path in paths.into_iter().flatten() {
        // it may be gone already
        let _ = fs::remove_file(path);
    }
}

impl Local {
    fn start<W: Write + Send + 'static>(
        place: String,
        mut writer: W,
        sync: impl FnOnce(&mut W) -> io::Result<()> + Send + 'static,
        file: Option<NewFile>,
    ) -> Result<Self> {
        let (queue, mut messages) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let work = move || {
            let mut run = || -> io::Result<bool> {
                while let Some(message) = messages.blocking_recv() {
                    match message {
                        Message::Chunk(chunk) => {
                            writer.write_all(&chunk)?;
                            // standard output is line-buffered
                            writer.flush()?;
                        }
                        Message::Commit => return Ok(true),
                    }
                }
                Ok(false)
            };
            let result = match run() {
                Ok(true) => writer.flush().and_then(|()| sync(&mut writer)),
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            // the receiver is gone if the writer was dropped
            let _ = end.send(result);
        };
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(work)
            .map_err(|source| OutputError::io(place.as_str(), source))?;
        Ok(Self { place, queue, ended: Some(ended), file })
    }

    async fn send(&mut self, message: Message) -> Result<ReaderState> {
        if self.queue.send(message).await.is_ok() {
            return Ok(ReaderState::Open);
        }
        self.reader_state().await
    }

    async fn reader_state(&mut self) -> Result<ReaderState> {
        // without a receiver the thread has ended: a closed pipe, since an error would have ended the calls
        let Some(ended) = self.ended.take() else { return Ok(ReaderState::Closed) };
        match ended.await {
            Ok(Ok(())) => Ok(ReaderState::Open),
            Ok(Err(error)) if self.file.is_none() && error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(ReaderState::Closed)
            }
            Ok(Err(error)) => Err(OutputError::io(self.place.as_str(), error)),
            Err(gone) => Err(OutputError::io(self.place.as_str(), io::Error::other(gone))),
        }
    }

    async fn commit(mut self) -> Result<ReaderState> {
        // a failed send has already returned the thread's error
        if self.queue.send(Message::Commit).await.is_err() && self.ended.is_none() {
            return Ok(ReaderState::Closed);
        }
        let reader_state = self.reader_state().await?;
        if let Some(NewFile { temporary: Some(temporary), place, _lock, _listed }) = self.file.take() {
            let failed = |source| OutputError::io(place.display().to_string(), source);
            temporary.persist(&place).map_err(|error| failed(error.error))?;
            // the rename is durable once the folder is synced, which not every file system supports
            if let Some(folder) = place.parent() {
                let _ = File::open(folder_or_here(folder)).and_then(|folder| folder.sync_all());
            }
        }
        Ok(reader_state)
    }
}

fn folder_or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

fn open_file(path: &Path) -> Result<Target> {
    let named = path.display().to_string();
    let failed = |source: io::Error| OutputError::io(named.as_str(), source);
    if ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|stdout| path == Path::new(stdout)) {
        return Target::stream(named, io::stdout());
    }
    let place = follow_links(path).map_err(failed)?;
    let existing = match fs::metadata(&place) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(missing_folder(path, &place));
        }
        Err(error) => return Err(failed(error)),
    };
    let ends_in_slash = path.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR);
    match &existing {
        Some(metadata) if metadata.is_dir() => return Err(OutputError::Folder { path: path.to_owned() }),
        None if ends_in_slash || place.file_name().is_none() => {
            return Err(OutputError::Folder { path: path.to_owned() });
        }
        // a pipe, a terminal, another device or an open file of the shell cannot be renamed
        Some(metadata) if !metadata.is_file() || is_descriptor(&place) => {
            let device = OpenOptions::new().append(true).open(&place).map_err(failed)?;
            return Target::stream(named, device);
        }
        // a rename would also replace a write-protected file
        Some(_) => drop(OpenOptions::new().write(true).open(&place).map_err(failed)?),
        None => {}
    }
    let folder = folder_or_here(place.parent().unwrap_or(Path::new("")));
    if !folder.is_dir() {
        return Err(missing_folder(path, &place));
    }
    let TemporaryFile { file, path: temporary } = TemporaryFile::beside(&place, true).map_err(failed)?;
    let listed = Listed::new(&temporary).ok_or_else(|| failed(io::Error::other("the program ends")))?;
    let lock = file.try_clone().map_err(failed)?;
    if let Some(metadata) = existing {
        keep_rights(&file, &metadata).map_err(failed)?;
    }
    let new = NewFile { temporary: Some(temporary), place, _lock: lock, _listed: listed };
    Local::start(named, file, |file| file.sync_all(), Some(new)).map(Target::Local)
}

/// Copies the permissions of the replaced file to the new one, and its owner if that is allowed.
fn keep_rights(file: &File, replaced: &fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
            let _ = fchown(file, Some(replaced.uid()), Some(replaced.gid()));
        }
    }
    file.set_permissions(replaced.permissions())
}

fn missing_folder(path: &Path, place: &Path) -> OutputError {
    let folder = place.parent().unwrap_or(place);
    if folder.exists() {
        return OutputError::NoFolder { path: path.to_owned(), folder: folder.to_owned() };
    }
    OutputError::MissingFolder { path: path.to_owned(), folder: folder.to_owned() }
}

/// Returns true if the path is one of the links by which a process names its open files, such as `/dev/fd/1`. Only the
/// system can follow them.
fn is_descriptor(place: &Path) -> bool {
    place.starts_with("/proc") || place.starts_with("/dev/fd")
}

/// Follows symbolic links: the link stays and its target is replaced.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    // the limit of Linux
    const MOST: usize = 40;
    let mut place = path.to_owned();
    for _ in 0..MOST {
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_symlink() => {
                if is_descriptor(&place) {
                    return Ok(place);
                }
                let end = fs::read_link(&place)?;
                place = place.parent().map_or_else(|| end.clone(), |folder| folder.join(&end));
            }
            _ => return Ok(place),
        }
    }
    Err(io::Error::other("too many links"))
}

/// An upload: a single put if it is small, else a multipart upload.
#[derive(Debug)]
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    url: String,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    part_bytes: usize,
    upload: Option<Upload>,
}

/// A multipart upload. Dropping it aborts the upload in the background.
#[derive(Debug)]
struct Upload {
    upload: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<datafusion::object_store::Result<()>>,
    counted: Option<Counted>,
}

/// The number of uploads that are neither completed nor aborted.
static UPLOADS: AtomicUsize = AtomicUsize::new(0);

/// Counts in [`UPLOADS`] until dropped.
#[derive(Debug)]
struct Counted;

impl Counted {
    fn new() -> Self {
        UPLOADS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        UPLOADS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns true if an upload is neither completed nor aborted. If the program ends now, its parts stay in the store.
pub(crate) fn has_uploads() -> bool {
    UPLOADS.load(Ordering::Relaxed) > 0
}

impl Upload {
    async fn wait(&mut self, at_most: usize) -> datafusion::object_store::Result<()> {
        while self.parts.len() > at_most {
            match self.parts.join_next().await {
                Some(part) => part??,
                None => break,
            }
        }
        Ok(())
    }

    async fn abort(mut self) {
        self.parts.shutdown().await;
        if let Some(mut upload) = self.upload.take() {
            // the result is discarded; a store that keeps the parts has its own lifecycle rules
            let _ = upload.abort().await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), Handle::try_current()) {
            self.parts.abort_all();
            let counted = self.counted.take();
            runtime.spawn(async move {
                let _ = upload.abort().await;
                drop(counted);
            });
        }
    }
}

impl Object {
    fn new(store: Arc<dyn ObjectStore>, path: ObjectPath, url: String) -> Self {
        Self { store, path, url, waiting: VecDeque::new(), waiting_bytes: 0, part_bytes: PART_BYTES, upload: None }
    }

    async fn send(&mut self, chunk: Bytes) -> Result<()> {
        self.waiting_bytes += chunk.len();
        self.waiting.push_back(chunk);
        while self.waiting_bytes >= self.part_bytes {
            if self.upload.is_none() {
                let counted = Counted::new();
                let begun = self.store.put_multipart(&self.path).await;
                let upload = begun.map_err(|source| failed(&self.url, source))?;
                self.upload = Some(Upload { upload: Some(upload), parts: JoinSet::new(), counted: Some(counted) });
            }
            let part = self.take(self.part_bytes);
            self.put(part).await?;
        }
        Ok(())
    }

    async fn put(&mut self, part: PutPayload) -> Result<()> {
        let Some(running) = self.upload.as_mut() else { return Ok(()) };
        running.wait(PARTS_IN_FLIGHT - 1).await.map_err(|source| failed(&self.url, source))?;
        if let Some(upload) = running.upload.as_mut() {
            running.parts.spawn(upload.put_part(part));
        }
        Ok(())
    }

    /// Takes this many buffered bytes: all parts but the last have the same size, as some stores require.
    fn take(&mut self, bytes: usize) -> PutPayload {
        let mut part = PutPayloadMut::new();
        let mut missing = bytes;
        while missing > 0 {
            let Some(mut chunk) = self.waiting.pop_front() else { break };
            if chunk.len() > missing {
                let rest = chunk.split_off(missing);
                self.waiting.push_front(rest);
            }
            missing -= chunk.len();
            part.push(chunk);
        }
        self.waiting_bytes -= bytes - missing;
        part.freeze()
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        let rest = self.take(self.waiting_bytes);
        if self.upload.is_none() {
            let put = self.store.put(&self.path, rest).await;
            return put.map(drop).map_err(|source| failed(&self.url, source));
        }
        if rest.content_length() > 0 {
            self.put(rest).await?;
        }
        let Some(mut running) = self.upload.take() else { return Ok(()) };
        let completed = match running.wait(0).await {
            Ok(()) => match running.upload.as_mut() {
                Some(upload) => upload.complete().await.map(drop),
                None => Ok(()),
            },
            Err(source) => Err(source),
        };
        match completed {
            Ok(()) => {
                running.upload = None;
                Ok(())
            }
            Err(source) => {
                running.abort().await;
                Err(failed(&self.url, source))
            }
        }
    }
}

fn failed(url: &str, source: datafusion::object_store::Error) -> OutputError {
    OutputError::Object { url: url.to_owned(), source }
}

#[cfg(test)]
mod tests;
