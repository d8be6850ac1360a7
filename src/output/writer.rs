//! Writes one result to one destination, whole or not at all.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use super::target::Target;
use super::{Destination, FinishState, Format, OutputError, OutputOptions, ReaderState, Result, Sink, Written};

/// Encoded bytes that are buffered before they are written to a file or an object.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Batches up to this size are encoded at once; larger ones are sliced, so that encoding wide rows needs little memory
/// beyond that of the batch.
const STEP_BYTES: usize = 8 << 20;

/// A call of the sink on a blocking thread; returns the sink, its bytes and the result.
type SinkTask = JoinHandle<(Box<dyn Sink>, Vec<u8>, Result<FinishState>)>;

/// Writes one result to one destination.
///
/// A batch is encoded on a blocking thread while the next one is computed, at most one batch ahead. An error is therefore
/// returned one call after the batch that caused it, at the latest by [`Writer::end`]. After an error, and after a call that
/// was cancelled, the result is lost: every further call fails.
pub(crate) struct Writer {
    format: Format,
    sections: usize,
    holds_sections: bool,
    begun: usize,
    in_section: bool,
    /// Set if a call failed, or was cancelled and may have lost rows.
    torn: bool,
    sink: Option<Box<dyn Sink>>,
    task: Option<SinkTask>,
    buffer: Vec<u8>,
    target: Target,
    rows: u64,
    bytes: u64,
    reader_state: ReaderState,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("format", &self.format)
            .field("target", &self.target)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Opens the destination for a format that `sink` encodes. Nothing is visible there before [`Writer::end`].
    ///
    /// # Errors
    /// If the format is binary and the destination is a terminal, if it cannot hold that many sections, or if the
    /// destination cannot be written: a folder, a missing folder, no permission.
    pub(crate) async fn open(
        format: Format,
        destination: Destination,
        options: OutputOptions,
        sink: Box<dyn Sink>,
    ) -> Result<Self> {
        if destination.is_terminal() && format.is_binary() {
            return Err(OutputError::BinaryToTerminal { format });
        }
        if options.sections > 1 && !options.holds_sections(format) {
            return Err(OutputError::Sections { format, sections: options.sections });
        }
        let target = Target::open(destination).await?;
        Ok(Self::new(format, target, &options, sink))
    }

    pub(super) fn new(format: Format, target: Target, options: &OutputOptions, sink: Box<dyn Sink>) -> Self {
        Self {
            format,
            sections: options.sections,
            holds_sections: options.holds_sections(format),
            begun: 0,
            in_section: false,
            torn: false,
            sink: Some(sink),
            task: None,
            buffer: Vec::new(),
            target,
            rows: 0,
            bytes: 0,
            reader_state: ReaderState::Open,
        }
    }

    /// Ends the previous section and starts another one. A section without batches still has its header or schema.
    ///
    /// # Errors
    /// [`OutputError::Sections`] if the format cannot hold another one; else as [`Writer::write`].
    pub(crate) async fn begin_section(&mut self, title: Option<&str>, schema: SchemaRef) -> Result<ReaderState> {
        self.mark_torn()?;
        let begun = self.begin(title, schema).await;
        self.clear_torn(begun).await
    }

    async fn begin(&mut self, title: Option<&str>, schema: SchemaRef) -> Result<ReaderState> {
        self.begun += 1;
        let fits = self.holds_sections && (self.format != Format::Json || self.sections > 1);
        if self.begun > 1 && !fits {
            return Err(OutputError::Sections { format: self.format, sections: self.begun });
        }
        self.settle().await?;
        let ends = std::mem::replace(&mut self.in_section, true);
        let title = title.map(str::to_owned);
        self.start(move |sink, out| {
            if ends {
                sink.end_section(out)?;
            }
            sink.begin_section(title.as_deref(), &schema, out)?;
            Ok(FinishState::Done)
        });
        self.settle().await?;
        Ok(self.reader_state)
    }

    /// Appends a batch to the section. Waits while the destination is slower than the query (backpressure).
    ///
    /// # Errors
    /// If the format cannot hold a value or the destination fails.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<ReaderState> {
        self.mark_torn()?;
        let appended = self.append(batch).await;
        self.clear_torn(appended).await
    }

    async fn append(&mut self, batch: &RecordBatch) -> Result<ReaderState> {
        if !self.in_section {
            self.begin(None, batch.schema()).await?;
        }
        self.rows += batch.num_rows() as u64;
        for slice in slices(batch) {
            self.settle().await?;
            if self.reader_state == ReaderState::Closed {
                break;
            }
            self.start(move |sink, out| sink.write(&slice, out).map(|()| FinishState::Done));
        }
        Ok(self.reader_state)
    }

    /// Ends the result and makes it visible at the destination.
    ///
    /// # Errors
    /// As [`Writer::write`]. After an error the destination is as it was before.
    pub(crate) async fn end(mut self) -> Result<Written> {
        self.mark_torn()?;
        let closed = self.close().await;
        self.clear_torn(closed).await?;
        let Self { target, rows, bytes, mut reader_state, .. } = self;
        if target.commit().await? == ReaderState::Closed {
            reader_state = ReaderState::Closed;
        }
        Ok(Written { rows, bytes, reader_state })
    }

    async fn close(&mut self) -> Result<()> {
        self.settle().await?;
        if std::mem::take(&mut self.in_section) {
            self.start(|sink, out| sink.end_section(out).map(|()| FinishState::Done));
            self.settle().await?;
        }
        let mut progress = FinishState::More;
        while progress == FinishState::More && self.reader_state == ReaderState::Open {
            self.start(|sink, out| sink.finish(out));
            progress = self.settle().await?;
        }
        self.send(true).await
    }

    /// Marks the result as torn until the call has completed.
    fn mark_torn(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.torn, true) {
            true => Err(OutputError::Torn { format: self.format }),
            false => Ok(()),
        }
    }

    /// Undoes [`Writer::mark_torn`] after a call that succeeded. After an error the bytes written so far are removed at once,
    /// because a program that exits on the error may not drop the writer.
    async fn clear_torn<T>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Ok(_) => self.torn = false,
            Err(_) => self.target.discard().await,
        }
        result
    }

    /// Discards the result and waits until everything is removed. Dropping the writer does the same without waiting, which
    /// may leave parts of an upload in the store if the program exits at once.
    pub(crate) async fn abort(mut self) {
        self.target.discard().await;
    }

    /// Runs the sink on a blocking thread. Must follow a `settle`.
    fn start(&mut self, work: impl FnOnce(&mut dyn Sink, &mut Vec<u8>) -> Result<FinishState> + Send + 'static) {
        // the sink is absent only while a task runs, or after one that panicked
        let Some(mut sink) = self.sink.take() else { return };
        let mut out = std::mem::take(&mut self.buffer);
        self.task = Some(tokio::task::spawn_blocking(move || {
            let result = work(sink.as_mut(), &mut out);
            (sink, out, result)
        }));
    }

    /// Waits for the running task and sends its bytes.
    async fn settle(&mut self) -> Result<FinishState> {
        let Some(task) = self.task.as_mut() else { return Ok(FinishState::Done) };
        let ended = task.await;
        self.task = None;
        let (sink, out, result) = ended.map_err(|source| OutputError::panicked(self.format, source))?;
        self.sink = Some(sink);
        self.buffer = out;
        let progress = result?;
        self.send(false).await?;
        Ok(progress)
    }

    async fn send(&mut self, all: bool) -> Result<()> {
        let due = all || self.target.is_stream() || self.buffer.len() >= CHUNK_BYTES;
        if !due || self.buffer.is_empty() || self.reader_state == ReaderState::Closed {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        let length = chunk.len() as u64;
        self.reader_state = self.target.send(chunk).await?;
        if self.reader_state == ReaderState::Open {
            self.bytes += length;
        }
        Ok(())
    }
}

/// Copies a finished file to a destination, whole or not at all. Returns its size in bytes.
///
/// # Errors
/// A file that cannot be read, a destination that cannot be written.
pub(crate) async fn copy_file(file: &Path, destination: Destination) -> Result<u64> {
    let failed = |source| OutputError::io(file.display().to_string(), source);
    let mut reader = tokio::fs::File::open(file).await.map_err(failed)?;
    let mut target = Target::open(destination).await?;
    let mut bytes = 0;
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
        if reader.read_buf(&mut chunk).await.map_err(failed)? == 0 {
            break;
        }
        bytes += chunk.len() as u64;
        if let Err(error) = target.send(chunk.freeze()).await {
            target.discard().await;
            return Err(error);
        }
    }
    target.commit().await?;
    Ok(bytes)
}

/// Slices of the batch of about [`STEP_BYTES`] at most.
pub(super) fn slices(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    let pieces = (batch.get_array_memory_size() / STEP_BYTES).clamp(1, 64);
    let step = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(step).map(|start| batch.slice(start, step.min(rows - start))).collect()
}
