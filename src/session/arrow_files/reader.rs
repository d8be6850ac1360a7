//! Reads an Arrow file message by message.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{Block, root_as_footer, root_as_message};
use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryPool;
use futures::stream::{self, Stream};
use object_store::{ObjectMeta, ObjectStore};

use crate::error::Error;
use crate::ipc::{Decoded, IpcDecoder, IpcFault, mebibytes};
use crate::panics;
use crate::session::tables::display_address;

/// The first and the last bytes of the file format.
const MAGIC: &[u8] = b"ARROW1";

/// Bytes of the file format after its footer: the footer's length and [`MAGIC`].
const TAIL: u64 = 10;

/// The bytes before the length of a message, since version 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Bytes that are read at once from the headers of a stream.
const READ_AHEAD: u64 = 1 << 20;

/// What bounds the reading of files.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// The address of the store, before the path of a file.
    pub(super) store_address: Arc<str>,
    /// Maximum bytes of a batch.
    pub(super) memory: usize,
    pub(super) pool: Arc<dyn MemoryPool>,
}

/// A message of the file format.
#[derive(Debug, Clone)]
struct MessageRange {
    header: Range<u64>,
    body: Range<u64>,
}

#[derive(Debug)]
enum Layout {
    /// Messages by a footer.
    File { dictionaries: Vec<MessageRange>, batches: Vec<MessageRange> },
    /// One message after the other; the batches begin here.
    Stream(u64),
}

/// A file whose schema is known.
#[derive(Debug)]
pub(super) struct ArrowFile {
    input: Input,
    schema: SchemaRef,
    layout: Layout,
}

impl ArrowFile {
    /// Reads the schema, and the footer of the file format.
    ///
    /// # Errors
    /// A file that is cut off, or whose sizes contradict each other or the file; a store that fails.
    pub(super) async fn open(store: &Arc<dyn ObjectStore>, meta: &ObjectMeta, bounds: &Bounds) -> Result<Self> {
        let mut input = Input {
            store: Arc::clone(store),
            meta: meta.clone(),
            bounds: bounds.clone(),
            ahead: Bytes::new(),
            ahead_at: 0,
        };
        let start = input.read(0..meta.size.min(MAGIC.len() as u64)).await?;
        let (schema, layout) = if *start == *MAGIC { input.footer().await? } else { input.first_message().await? };
        Ok(Self { input, schema, layout })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batches with these columns by name, of a range of the file if there is one: a batch belongs to the range in which
    /// it begins, and a stream to that of its first byte. A column that the file does not have is NULL.
    ///
    /// # Errors
    /// As [`ArrowFile::open`].
    pub(super) async fn batches(
        self,
        columns: SchemaRef,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + 'static> {
        let Self { mut input, schema, layout } = self;
        let fields = columns.fields().iter();
        let found: Vec<Option<usize>> = fields.map(|field| schema.index_of(field.name()).ok()).collect();
        let mut read: Vec<usize> = found.iter().copied().flatten().collect();
        read.sort_unstable();
        read.dedup();
        let places = found.iter().map(|index| index.and_then(|index| read.binary_search(&index).ok())).collect();
        let mut decoder =
            IpcDecoder::of_file(input.bounds.memory, &input.bounds.pool, &format!("reading {}", input.shown()));
        decoder.set_schema(schema);
        decoder.set_projection(read);
        let next = match layout {
            Layout::File { dictionaries, mut batches } => {
                for message in dictionaries {
                    input.decode(&mut decoder, message).await?;
                }
                if let Some(range) = range {
                    batches.retain(|message| range.contains(&message.header.start));
                }
                batches.reverse();
                Next::Listed(batches)
            }
            Layout::Stream(_) if range.is_some_and(|range| range.start > 0) => Next::Listed(Vec::new()),
            Layout::Stream(at) => Next::At(at),
        };
        let rows = Rows { input, decoder, next, columns, places };
        Ok(stream::try_unfold(rows, async |mut rows| Ok(rows.next().await?.map(|batch| (batch, rows)))))
    }
}

/// The messages that are still to be read.
enum Next {
    /// Those of the file format, last one first.
    Listed(Vec<MessageRange>),
    /// The next message of a stream.
    At(u64),
}

/// The batches of a file.
struct Rows {
    input: Input,
    decoder: IpcDecoder,
    next: Next,
    columns: SchemaRef,
    /// The index of each column among those that are decoded.
    places: Vec<Option<usize>>,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let message = match &mut self.next {
                Next::Listed(messages) => messages.pop(),
                Next::At(at) => {
                    let message = self.input.message_at(*at).await?;
                    *at = message.as_ref().map_or(*at, |message| message.body.end);
                    message
                }
            };
            let Some(message) = message else { return Ok(None) };
            if let Decoded::Batch(batch) = self.input.decode(&mut self.decoder, message).await? {
                return Ok(Some(self.fit(&batch)?));
            }
        }
    }

    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.columns.fields().iter().zip(&self.places).map(|(field, place)| match place {
            Some(place) if batch.column(*place).data_type() == field.data_type() => {
                Ok(Arc::clone(batch.column(*place)))
            }
            Some(place) => cast(batch.column(*place), field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.columns), columns, &options)?)
    }
}

/// The bytes of a file.
struct Input {
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
    bounds: Bounds,
    /// Bytes that were read ahead, and where they begin.
    ahead: Bytes,
    ahead_at: u64,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Input {
    fn shown(&self) -> String {
        display_address(&format!("{}{}", self.bounds.store_address, self.meta.location))
    }

    /// The error of this file.
    fn fault(&self, fault: IpcFault) -> DataFusionError {
        let shown = self.shown();
        let (message, cause) = match fault {
            IpcFault::Invalid(text) => (
                format!("cannot read {shown}: it is no whole Arrow file: {text}; write it again or move it away"),
                DataFusionError::ArrowError(Box::new(ArrowError::IpcError(text)), None),
            ),
            IpcFault::TooLarge(text) => (
                format!("cannot read {shown}: {text}; or raise the memory limit (--memory)"),
                DataFusionError::ResourcesExhausted(text),
            ),
        };
        Error::Data { message, cause: Some(Box::new(cause)) }.into()
    }

    fn invalid(&self, text: impl ToString) -> DataFusionError {
        self.fault(IpcFault::invalid(text))
    }

    /// The bytes of a range, which must lie in the file.
    async fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        let size = range.end.saturating_sub(range.start);
        if range.end > self.meta.size {
            let (start, end) = (range.start, self.meta.size);
            return Err(self.invalid(format!("{size} bytes at {start} are wanted, and the file ends at {end}")));
        }
        if size > self.bounds.memory as u64 {
            let most = mebibytes(self.bounds.memory);
            return Err(
                self.fault(IpcFault::TooLarge(format!("a part of {} MB, at most {most} are taken", size >> 20)))
            );
        }
        // by the handle that is kept open
        let parts = self.store.get_ranges(&self.meta.location, &[range]).await?;
        Ok(parts.into_iter().next().unwrap_or_default())
    }

    /// The bytes of a small range, of which the following are wanted next.
    async fn read_ahead(&mut self, range: Range<u64>) -> Result<Bytes> {
        let is_there = range.start >= self.ahead_at && range.end <= self.ahead_at + self.ahead.len() as u64;
        if !is_there {
            let end = range.end.max(self.meta.size.min(range.start + READ_AHEAD));
            self.ahead = self.read(range.start..end).await?;
            self.ahead_at = range.start;
        }
        let offset = |at: u64| usize::try_from(at - self.ahead_at).unwrap_or(usize::MAX);
        Ok(self.ahead.slice(offset(range.start)..offset(range.end)))
    }

    /// Schema and messages of the file format.
    async fn footer(&mut self) -> Result<(SchemaRef, Layout)> {
        let size = self.meta.size;
        let tail = self.read(size.saturating_sub(TAIL)..size).await?;
        let length = match tail.split_first_chunk::<4>() {
            Some((length, magic)) if magic == MAGIC => i32::from_le_bytes(*length),
            _ => return Err(self.invalid("it does not end with ARROW1, it was cut off")),
        };
        let room = size - TAIL;
        let length = u64::try_from(length)
            .ok()
            .filter(|length| (1..=room).contains(length))
            .ok_or_else(|| self.invalid(format!("a footer of {length} bytes in a file of {size} bytes")))?;
        let footer = self.read(room - length..room).await?;
        let parsed = panics::catch(|| {
            let footer = root_as_footer(&footer).map_err(|error| error.to_string())?;
            let schema = footer.schema().ok_or("there is no schema")?;
            let dictionaries: Vec<Block> = footer.dictionaries().into_iter().flatten().copied().collect();
            let batches: Vec<Block> = footer.recordBatches().into_iter().flatten().copied().collect();
            Ok::<_, String>((fb_to_schema(schema), dictionaries, batches))
        });
        let (schema, dictionaries, batches) = match parsed {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(text)) => return Err(self.invalid(text)),
            Err(panic) => return Err(self.invalid(panic.to_string())),
        };
        let ranges = |blocks: Vec<Block>| blocks.iter().map(|block| self.range_of(block)).collect::<Result<Vec<_>>>();
        let (dictionaries, batches) = (ranges(dictionaries)?, ranges(batches)?);
        Ok((Arc::new(schema), Layout::File { dictionaries, batches }))
    }

    fn range_of(&self, block: &Block) -> Result<MessageRange> {
        let (offset, header, body) = (block.offset(), block.metaDataLength(), block.bodyLength());
        let range = || {
            let start = u64::try_from(offset).ok()?;
            let middle = start.checked_add(u64::try_from(header).ok()?)?;
            let end = middle.checked_add(u64::try_from(body).ok()?)?;
            (end <= self.meta.size).then_some(MessageRange { header: start..middle, body: middle..end })
        };
        range().ok_or_else(|| {
            let size = self.meta.size;
            self.invalid(format!("a message of {header} + {body} bytes at {offset} in a file of {size} bytes"))
        })
    }

    /// Schema and start of a stream.
    async fn first_message(&mut self) -> Result<(SchemaRef, Layout)> {
        let Some(message) = self.message_at(0).await? else { return Err(self.invalid("it has no schema")) };
        let header = self.read_ahead(message.header).await?;
        let parsed = panics::catch(|| {
            let message = root_as_message(header_of(&header)).map_err(|error| error.to_string())?;
            Ok::<_, String>(fb_to_schema(message.header_as_schema().ok_or("it does not begin with a schema")?))
        });
        match parsed {
            Ok(Ok(schema)) => Ok((Arc::new(schema), Layout::Stream(message.body.end))),
            Ok(Err(text)) => Err(self.invalid(text)),
            Err(panic) => Err(self.invalid(panic.to_string())),
        }
    }

    /// The message of a stream at an offset; `None` at its end.
    async fn message_at(&mut self, at: u64) -> Result<Option<MessageRange>> {
        if at == self.meta.size {
            return Ok(None);
        }
        let start = self.read_ahead(at..at + 4).await?;
        let prefix = if *start == CONTINUATION { 8 } else { 4 };
        let start = self.read_ahead(at..at + prefix).await?;
        let length = start.last_chunk::<4>().map_or(0, |length| i32::from_le_bytes(*length));
        if length == 0 {
            return Ok(None);
        }
        let size = self.meta.size;
        let wrong = || self.invalid(format!("a header of {length} bytes at {at} in a file of {size} bytes"));
        let length = u64::try_from(length).map_err(|_| wrong())?;
        let header = at..at + prefix + length;
        if header.end > size {
            return Err(wrong());
        }
        let bytes = self.read_ahead(header.clone()).await?;
        let body = panics::catch(|| root_as_message(header_of(&bytes)).map(|message| message.bodyLength()));
        let body = match body {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(self.invalid(error.to_string())),
            Err(panic) => return Err(self.invalid(panic.to_string())),
        };
        let end = u64::try_from(body).ok().and_then(|body| header.end.checked_add(body)).filter(|end| *end <= size);
        let end = end.ok_or_else(|| {
            self.invalid(format!("a message of {body} bytes at {} in a file of {size} bytes", header.end))
        })?;
        Ok(Some(MessageRange { body: header.end..end, header }))
    }

    async fn decode(&mut self, decoder: &mut IpcDecoder, message: MessageRange) -> Result<Decoded> {
        let header = self.read(message.header).await?;
        let body = self.read(message.body).await?;
        decoder.decode(header_of(&header), &Buffer::from(body.as_ref())).map_err(|fault| self.fault(fault))
    }
}

/// A header without the length before it.
fn header_of(bytes: &[u8]) -> &[u8] {
    let prefix = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
    bytes.get(prefix..).unwrap_or_default()
}
