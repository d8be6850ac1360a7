//! [`PartitionBuffer`]: the rows of one partition of a shared subplan, as several readers take them.
//!
//! ```text
//!  reader 0 ----------------------------v
//!  reader 1 --------v                   v              whoever reaches the end polls the input
//!            | batch | batch | batch | batch |  <----  input
//!            ^ released: no reader is before it
//! ```
//! There is no task that fills the buffer: a reader that has read all batches polls the input itself, so that a LIMIT ends the
//! work, and no reader waits for another that is not polled. While one polls, the others wait to be woken. A batch leaves when
//! all readers have passed it, and a column of it when those that still need it have.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatchOptions, new_null_array};
use datafusion::arrow::datatypes::{BinaryViewType, ByteViewType, DataType, SchemaRef, StringViewType};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_plan::SpillManager;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;

/// Bytes that are not worth a memory consumer, which takes an even share of the pool from the others.
const UNACCOUNTED_BYTES: usize = 1 << 20;

/// Bytes of a partition from which its batches are spilled: files are not smaller.
const MIN_SPILLED_BYTES: usize = 256 << 10;

/// The memory of all partitions of a shared subplan.
pub(super) struct BufferMemory {
    pool: Arc<dyn MemoryPool>,
    name: String,
    /// The bytes, and the reservation once they are worth one.
    state: Mutex<(usize, Option<MemoryReservation>)>,
}

impl BufferMemory {
    pub(super) fn new(pool: &Arc<dyn MemoryPool>, name: String) -> Self {
        Self { pool: Arc::clone(pool), name, state: Mutex::default() }
    }

    /// Adds bytes. Returns false if the pool refuses them; with `is_forced` it does not.
    fn grow(&self, bytes: usize, is_forced: bool) -> bool {
        let mut state = self.state.lock();
        let (total, reservation) = &mut *state;
        let wanted = *total + bytes;
        if wanted > UNACCOUNTED_BYTES {
            let known = reservation.get_or_insert_with(|| {
                MemoryConsumer::new(self.name.clone()).with_can_spill(true).register(&self.pool)
            });
            match is_forced {
                true => known.resize(wanted),
                false if known.try_resize(wanted).is_err() => return false,
                false => {}
            }
        }
        *total = wanted;
        true
    }

    fn shrink(&self, bytes: usize) {
        let mut state = self.state.lock();
        let (total, reservation) = &mut *state;
        *total = total.saturating_sub(bytes);
        match reservation {
            Some(known) if *total > 0 => known.resize(*total),
            _ => *reservation = None,
        }
    }
}

/// A batch, as far as a reader still needs it.
enum Entry {
    Memory {
        /// Columns that no reader needs any more are `None`.
        columns: Vec<Option<ArrayRef>>,
        rows: usize,
        /// The bytes of each column.
        bytes: Vec<usize>,
    },
    /// A batch in a file, by its index there.
    Spilled { file: Arc<dyn SpillFile>, index: usize },
}

/// The buffered batches.
struct Batches {
    /// Index of the first entry.
    first: usize,
    entries: VecDeque<Entry>,
    /// The next batch of each reader; `usize::MAX` when it has ended.
    positions: Vec<usize>,
    end: Option<Result<(), Arc<DataFusionError>>>,
}

impl Batches {
    /// Whether there is a batch that the reader has not taken.
    fn has_more(&self, reader: usize) -> bool {
        self.positions.get(reader).is_some_and(|&position| position < self.first + self.entries.len())
    }
}

/// The columns of a reader.
#[derive(Debug, PartialEq)]
pub(super) struct ReaderColumns {
    /// Indices into the columns of the subplan.
    pub(super) indices: Vec<usize>,
    pub(super) schema: SchemaRef,
}

impl ReaderColumns {
    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// One partition of a shared subplan.
pub(super) struct PartitionBuffer {
    input: Mutex<Option<SendableRecordBatchStream>>,
    batches: Mutex<Batches>,
    readers: Arc<Vec<ReaderColumns>>,
    wakers: Arc<Wakers>,
    memory: Arc<BufferMemory>,
    spill: Arc<SpillManager>,
}

/// The readers that wait for a batch.
#[derive(Default)]
struct Wakers(Mutex<Vec<Waker>>);

impl Wakers {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.0.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.0.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

/// What a reader finds at its position.
enum Found {
    Batch(RecordBatch),
    Spilled(Arc<dyn SpillFile>, usize),
    End,
    Nothing,
}

impl PartitionBuffer {
    /// A buffer of `input` for these readers. The spill manager has the columns of `input`, all nullable: those that no
    /// reader needs any more are spilled as NULL.
    pub(super) fn new(
        input: SendableRecordBatchStream,
        readers: Arc<Vec<ReaderColumns>>,
        memory: Arc<BufferMemory>,
        spill: Arc<SpillManager>,
    ) -> Self {
        let batches = Batches { first: 0, entries: VecDeque::new(), positions: vec![0; readers.len()], end: None };
        Self {
            input: Mutex::new(Some(input)),
            batches: Mutex::new(batches),
            readers,
            wakers: Arc::default(),
            memory,
            spill,
        }
    }

    /// The batch at the position of a reader, which moves on.
    fn find(&self, reader: usize) -> Result<Found> {
        let mut batches = self.batches.lock();
        let Some(&position) = batches.positions.get(reader) else { return internal_err!("there is no such reader") };
        let Some(index) = position.checked_sub(batches.first) else { return internal_err!("a batch was released") };
        let found = match batches.entries.get(index) {
            Some(Entry::Memory { columns, rows, .. }) => {
                let wanted = self.readers[reader].indices.iter();
                let wanted = wanted.map(|&column| columns.get(column).cloned().flatten()).collect::<Option<_>>();
                let wanted = wanted.ok_or_else(|| internal_datafusion_err!("a column was released"))?;
                Found::Batch(self.readers[reader].batch(wanted, *rows)?)
            }
            Some(Entry::Spilled { file, index }) => Found::Spilled(Arc::clone(file), *index),
            None => match &batches.end {
                Some(Ok(())) => Found::End,
                Some(Err(error)) => return Err(DataFusionError::Shared(Arc::clone(error))),
                None => Found::Nothing,
            },
        };
        if matches!(found, Found::Batch(_) | Found::Spilled(..)) {
            batches.positions[reader] += 1;
            self.release(&mut batches, position);
        }
        Ok(found)
    }

    /// Ends a reader.
    fn leave(&self, reader: usize) {
        let mut batches = self.batches.lock();
        let position = std::mem::replace(&mut batches.positions[reader], usize::MAX);
        let last = batches.first + batches.entries.len();
        for passed in position..last {
            self.release(&mut batches, passed);
        }
        let is_read = batches.positions.iter().all(|&position| position == usize::MAX);
        drop(batches);
        if is_read && let Some(mut input) = self.input.try_lock() {
            *input = None;
        }
        // it may have been the one whose polls drove the input
        self.wakers.wake_all();
    }

    /// Releases what no reader needs after one has passed the batch `passed`.
    fn release(&self, batches: &mut Batches, passed: usize) {
        let needed = batches.positions.iter().copied().min().unwrap_or(usize::MAX);
        let mut freed = 0;
        while batches.first < needed
            && let Some(entry) = batches.entries.pop_front()
        {
            batches.first += 1;
            if let Entry::Memory { bytes, .. } = entry {
                freed += bytes.iter().sum::<usize>();
            }
        }
        if let Some(index) = passed.checked_sub(batches.first)
            && let Some(Entry::Memory { columns, bytes, .. }) = batches.entries.get_mut(index)
        {
            for (column, (array, bytes)) in columns.iter_mut().zip(bytes).enumerate() {
                let mut readers = batches.positions.iter().zip(self.readers.iter());
                if !readers.any(|(&position, columns)| position <= passed && columns.indices.contains(&column)) {
                    *array = None;
                    freed += std::mem::take(bytes);
                }
            }
        }
        if freed > 0 {
            self.memory.shrink(freed);
        }
    }

    /// Adds a batch of the input, in memory or, when that does not suffice, onto disk with those before it.
    fn append(&self, batch: &RecordBatch) -> Result<()> {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(compact).collect();
        let bytes: Vec<usize> = columns.iter().map(column_bytes).collect();
        let total: usize = bytes.iter().sum();
        let mut batches = self.batches.lock();
        let is_spilled = !self.memory.grow(total, false);
        if is_spilled {
            self.memory.grow(total, true);
        }
        let columns = columns.into_iter().map(Some).collect();
        batches.entries.push_back(Entry::Memory { columns, rows: batch.num_rows(), bytes });
        if is_spilled { self.spill(&mut batches) } else { Ok(()) }
    }

    /// Moves the batches in memory to a file, unless they are few.
    fn spill(&self, batches: &mut Batches) -> Result<()> {
        let held = |entry: &Entry| match entry {
            Entry::Memory { bytes, .. } => bytes.iter().sum(),
            Entry::Spilled { .. } => 0,
        };
        let total: usize = batches.entries.iter().map(held).sum();
        if total < MIN_SPILLED_BYTES {
            return Ok(());
        }
        let mut file = self.spill.create_in_progress_file("a shared subplan")?;
        let mut spilled = vec![];
        for (entry_index, entry) in batches.entries.iter().enumerate() {
            let Entry::Memory { columns, rows, .. } = entry else { continue };
            // the reader of a file skips by counting batches, and empty ones are not written
            if *rows == 0 {
                continue;
            }
            let fields = self.spill.schema().fields();
            let columns = columns.iter().zip(fields).map(|(column, field)| match column {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), *rows),
            });
            let options = RecordBatchOptions::new().with_row_count(Some(*rows));
            let schema = Arc::clone(self.spill.schema());
            file.append_batch(&RecordBatch::try_new_with_options(schema, columns.collect(), &options)?)?;
            spilled.push(entry_index);
        }
        let Some(file) = file.finish()? else { return Ok(()) };
        for (index, entry_index) in spilled.into_iter().enumerate() {
            batches.entries[entry_index] = Entry::Spilled { file: Arc::clone(&file), index };
        }
        self.memory.shrink(total);
        Ok(())
    }

    /// Polls the input for a batch, unless another reader does; then that one wakes this one.
    fn poll_input(&self, reader: usize, context: &mut Context<'_>) -> Poll<()> {
        // before the lock is tried: who holds it wakes all that are added until it has released it
        self.wakers.add(context.waker());
        let Some(mut input) = self.input.try_lock() else { return Poll::Pending };
        // another reader may have added a batch, or found the end, since this one looked
        let has_news = input.is_none() || self.batches.lock().has_more(reader);
        let stream = match input.as_mut() {
            Some(stream) if !has_news => stream,
            _ => {
                drop(input);
                self.wakers.wake_all();
                return Poll::Ready(());
            }
        };
        let waker = Waker::from(Arc::clone(&self.wakers));
        let next = ready!(stream.poll_next_unpin(&mut Context::from_waker(&waker)));
        let end = match next {
            Some(Ok(batch)) => self.append(&batch).err().map(|error| Err(Arc::new(error))),
            Some(Err(error)) => Some(Err(Arc::new(error))),
            None => Some(Ok(())),
        };
        if let Some(end) = end {
            *input = None;
            self.batches.lock().end.get_or_insert(end);
        }
        drop(input);
        self.wakers.wake_all();
        Poll::Ready(())
    }
}

/// A column without the parts of string buffers that it does not use: views keep whole pages of a file in memory.
fn compact(column: &ArrayRef) -> ArrayRef {
    fn is_sparse<T: ByteViewType>(column: &dyn Array) -> bool {
        let views = column.as_byte_view::<T>();
        let capacity: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
        capacity > 2 * views.total_buffer_bytes_used()
    }
    match column.data_type() {
        DataType::Utf8View if is_sparse::<StringViewType>(column) => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView if is_sparse::<BinaryViewType>(column) => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

fn column_bytes(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.get_array_memory_size(),
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

/// Reads one partition of a shared subplan from its beginning.
pub(super) struct BufferReader {
    buffer: Arc<PartitionBuffer>,
    reader: usize,
    /// The batch that is read from a file.
    wanted: Option<(Arc<dyn SpillFile>, usize)>,
    /// The open file, with the index of its next batch.
    open: Option<(Arc<dyn SpillFile>, usize, SendableRecordBatchStream)>,
    has_failed: bool,
}

impl BufferReader {
    pub(super) fn new(buffer: Arc<PartitionBuffer>, reader: usize) -> Self {
        Self { buffer, reader, wanted: None, open: None, has_failed: false }
    }

    fn poll_file(
        &mut self,
        file: &Arc<dyn SpillFile>,
        index: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<RecordBatch>> {
        loop {
            let (_, next, stream) = match &mut self.open {
                Some(open) if Arc::ptr_eq(&open.0, file) && open.1 <= index => open,
                open => {
                    let stream = self.buffer.spill.read_spill_as_stream(Arc::clone(file), None)?;
                    open.insert((Arc::clone(file), 0, stream))
                }
            };
            let Some(batch) = ready!(stream.poll_next_unpin(context)).transpose()? else {
                return Poll::Ready(internal_err!("a spill file ends too early"));
            };
            *next += 1;
            if *next == index + 1 {
                let reader = &self.buffer.readers[self.reader];
                let columns = reader.indices.iter().map(|&column| Arc::clone(batch.column(column))).collect();
                return Poll::Ready(reader.batch(columns, batch.num_rows()));
            }
        }
    }
}

impl Stream for BufferReader {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        loop {
            if let Some((file, index)) = self.wanted.clone() {
                let batch = ready!(self.poll_file(&file, index, context));
                self.wanted = None;
                self.has_failed = batch.is_err();
                return Poll::Ready(Some(batch));
            }
            match self.buffer.find(self.reader) {
                Ok(Found::Batch(batch)) => return Poll::Ready(Some(Ok(batch))),
                Ok(Found::Spilled(file, index)) => self.wanted = Some((file, index)),
                Ok(Found::End) => return Poll::Ready(None),
                Ok(Found::Nothing) => ready!(self.buffer.poll_input(self.reader, context)),
                Err(error) => {
                    self.has_failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Drop for BufferReader {
    fn drop(&mut self) {
        self.buffer.leave(self.reader);
    }
}
