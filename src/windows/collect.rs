//! The rows of one input, kept until all have come, sorted into buckets.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_plan::SpillManager;
use futures::TryStreamExt;

use super::solve::Spec;

/// Buckets into which rows are divided by the hash of their keys. So many that the tables of one bucket of 20 million rows
/// stay near the processor, so few that a run of rows has some for each.
pub(super) const BUCKETS: usize = 64;

/// Rows that are divided together.
const MORSEL_ROWS: usize = 1 << 17;

/// The hashes of keys: their upper bits choose the bucket, the others the place in its table. Another seed than that of
/// the engine's exchanges, which have chosen among rows by their own.
pub(super) const SEED: RandomState = RandomState::with_seed(0x6378_716c);

/// A run of rows of one input, bucket by bucket; within a bucket the rows as they arrived.
struct Morsel {
    /// The carried columns; empty if they are on disk.
    columns: Vec<ArrayRef>,
    /// Where each bucket begins, and the end.
    bounds: Vec<usize>,
    bytes: usize,
}

impl Morsel {
    fn new(spec: &Spec, batches: &[Vec<ArrayRef>], seen: &mut HashSet<usize>) -> Result<Self> {
        let columns = (0..spec.columns.len()).map(|column| joined(batches, column));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut hashes = vec![0; columns.first().map_or(0, |column| column.len())];
        create_hashes(spec.keys.iter().map(|&key| &columns[key]), &SEED, &mut hashes)?;
        // the upper bits: the lower ones chose the place of the row where it was repartitioned before
        let buckets: Vec<u8> = hashes.iter().map(|hash| (hash >> (u64::BITS - BUCKETS.ilog2())) as u8).collect();
        let mut bounds = vec![0; BUCKETS + 1];
        for &bucket in &buckets {
            bounds[usize::from(bucket) + 1] += 1;
        }
        cumulate(&mut bounds);
        let order = UInt32Array::from(by_group(buckets.into_iter().map(usize::from), &bounds));
        let columns = columns.iter().map(|column| take(column, &order, None));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let bytes = columns.iter().map(|column| bytes(column, seen)).sum();
        Ok(Self { columns, bounds, bytes })
    }

    /// The carried columns of the rows of a bucket.
    fn bucket(&self, bucket: usize) -> Vec<ArrayRef> {
        let (start, length) = (self.bounds[bucket], self.rows(bucket));
        self.columns.iter().map(|column| column.slice(start, length)).collect()
    }

    fn rows(&self, bucket: usize) -> usize {
        self.bounds[bucket + 1] - self.bounds[bucket]
    }
}

/// A column of all parts.
pub(super) fn joined(parts: &[Vec<ArrayRef>], column: usize) -> Result<ArrayRef> {
    let parts: Vec<&dyn Array> = parts.iter().filter_map(|part| part.get(column)).map(AsRef::as_ref).collect();
    Ok(concat(&parts)?)
}

/// Turns counts, each one place behind its group, into bounds: where each group begins, and the end.
pub(super) fn cumulate(counts: &mut [usize]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// The rows group by group, as they came.
pub(super) fn by_group(groups: impl Iterator<Item = usize>, bounds: &[usize]) -> Vec<u32> {
    let mut rows = vec![0; bounds.last().copied().unwrap_or_default()];
    let mut next = bounds.to_vec();
    for (row, group) in (0..).zip(groups) {
        rows[next[group]] = row;
        next[group] += 1;
    }
    rows
}

/// The memory of a column; what was seen before is shared with another batch and counts once.
fn bytes(column: &ArrayRef, seen: &mut HashSet<usize>) -> usize {
    let views = match column.data_type() {
        DataType::Utf8View => column.as_string_view().data_buffers(),
        DataType::BinaryView => column.as_binary_view().data_buffers(),
        _ => return column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    };
    let texts = views.iter().filter(|buffer| seen.insert(buffer.as_ptr().addr())).map(|buffer| buffer.capacity());
    texts.sum::<usize>() + column.len() * size_of::<u128>()
}

/// All rows of one input.
pub(super) struct Collected {
    morsels: Vec<Morsel>,
    /// By bucket what is on disk: nothing or all rows.
    files: Option<Vec<Option<Arc<dyn SpillFile>>>>,
    /// The memory of the morsels.
    _reservation: MemoryReservation,
}

impl Collected {
    /// Rows per bucket.
    pub(super) fn rows(&self, bucket: usize) -> usize {
        self.morsels.iter().map(|morsel| morsel.rows(bucket)).sum()
    }

    /// The carried columns of a bucket, in parts.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn bucket(&self, bucket: usize, spill: &SpillManager) -> Result<Vec<Vec<ArrayRef>>> {
        let Some(files) = &self.files else {
            let morsels = self.morsels.iter().filter(|morsel| morsel.rows(bucket) > 0);
            return Ok(morsels.map(|morsel| morsel.bucket(bucket)).collect());
        };
        match files.get(bucket).cloned().flatten() {
            Some(file) => {
                let batches: Vec<RecordBatch> = spill.read_spill_as_stream(file, None)?.try_collect().await?;
                Ok(batches.iter().map(|batch| batch.columns().to_vec()).collect())
            }
            None => Ok(vec![]),
        }
    }
}

/// Reads an input to its end. When memory does not suffice, all its rows go to disk.
///
/// # Errors
/// What the input or an expression gives; a full disk.
pub(super) async fn collect(
    spec: Arc<Spec>,
    mut input: SendableRecordBatchStream,
    reservation: MemoryReservation,
    spill: Arc<SpillManager>,
) -> Result<Collected> {
    let mut morsels: Vec<Morsel> = vec![];
    let mut writer: Option<Writer> = None;
    let mut seen = HashSet::new();
    let (mut batches, mut rows) = (vec![], 0);
    loop {
        let batch = input.try_next().await?;
        let is_last = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            batches.push(spec.carried(&batch)?);
            rows += batch.num_rows();
        }
        if rows >= MORSEL_ROWS || (is_last && rows > 0) {
            let mut morsel = Morsel::new(&spec, &batches, &mut seen)?;
            batches.clear();
            rows = 0;
            if writer.is_none() && reservation.try_grow(morsel.bytes).is_err() {
                let mut new = Writer::new(&spill)?;
                for morsel in &mut morsels {
                    new.write(morsel)?;
                }
                reservation.free();
                writer = Some(new);
            }
            if let Some(writer) = &mut writer {
                writer.write(&mut morsel)?;
                seen.clear();
            }
            morsels.push(morsel);
        }
        if is_last {
            let files = writer.map(Writer::finish).transpose()?;
            return Ok(Collected { morsels, files, _reservation: reservation });
        }
    }
}

/// An unfinished file: takes a batch, or ends and gives the file if it has rows. (The engine's type has no public name.)
type Unfinished = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

fn unfinished(spill: &SpillManager) -> Result<Unfinished> {
    let mut file = spill.create_in_progress_file("rows of a window")?;
    Ok(Box::new(move |batch| match batch {
        Some(batch) => file.append_batch(batch).map(|_| None),
        None => file.finish(),
    }))
}

/// The rows of one input on their way to disk.
struct Writer {
    files: Vec<Unfinished>,
    schema: SchemaRef,
}

impl Writer {
    fn new(spill: &SpillManager) -> Result<Self> {
        let files = (0..BUCKETS).map(|_| unfinished(spill)).collect::<Result<_>>()?;
        Ok(Self { files, schema: Arc::clone(spill.schema()) })
    }

    /// Moves a morsel to disk but for what says where its rows are.
    fn write(&mut self, morsel: &mut Morsel) -> Result<()> {
        for (bucket, file) in self.files.iter_mut().enumerate() {
            if morsel.rows(bucket) > 0 {
                file(Some(&RecordBatch::try_new(Arc::clone(&self.schema), morsel.bucket(bucket))?))?;
            }
        }
        morsel.columns.clear();
        morsel.bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Option<Arc<dyn SpillFile>>>> {
        self.files.iter_mut().map(|file| file(None)).collect()
    }
}
