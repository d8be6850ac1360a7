//! The rows of one input, kept until all have come: what the result needs of them as it arrived, what the functions need
//! sorted into buckets.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_plan::SpillManager;
use futures::TryStreamExt;

use super::solve::{Spec, kept_type};

/// Buckets into which rows are divided by the hash of their keys. So many that the tables of one bucket of 20 million rows
/// stay near the processor, so few that a run of rows has some for each.
pub(super) const BUCKETS: usize = 64;

/// Rows that are divided together.
const MORSEL_ROWS: usize = 1 << 17;

/// The hashes of keys: their upper bits choose the bucket, the others the place in its table. Another seed than that of
/// the engine's exchanges, which have chosen among rows by their own.
pub(super) const SEED: RandomState = RandomState::with_seed(0x6378_716c);

/// A run of rows of one input.
pub(super) struct Morsel {
    /// What the result shows of the rows, as it arrived; empty if it is on disk.
    pub(super) shown: Vec<RecordBatch>,
    pub(super) shown_count: usize,
    /// The bucket of each row.
    buckets: Vec<u8>,
    /// Where each bucket begins in `columns`, and the end.
    bounds: Vec<usize>,
    /// The kept columns, bucket by bucket; within a bucket the rows as they arrived. Empty if they are on disk.
    columns: Vec<ArrayRef>,
    /// The memory of `columns`, and of all else.
    column_bytes: usize,
    other_bytes: usize,
}

impl Morsel {
    fn new(spec: &Spec, shown: Vec<RecordBatch>, kept: &[Vec<ArrayRef>], seen: &mut HashSet<usize>) -> Result<Self> {
        let columns = (0..spec.columns.len()).map(|column| {
            let parts: Vec<&dyn Array> = kept.iter().filter_map(|batch| batch.get(column)).map(AsRef::as_ref).collect();
            concat(&parts)
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let rows = shown.iter().map(RecordBatch::num_rows).sum();
        let mut hashes = vec![0; rows];
        create_hashes(spec.keys.iter().map(|&key| &columns[key]), &SEED, &mut hashes)?;
        // the upper bits: the lower ones chose the place of the row where it was repartitioned before
        let buckets: Vec<u8> = hashes.iter().map(|hash| (hash >> (u64::BITS - BUCKETS.ilog2())) as u8).collect();
        let mut bounds = vec![0; BUCKETS + 1];
        for &bucket in &buckets {
            bounds[usize::from(bucket) + 1] += 1;
        }
        cumulate(&mut bounds);
        let order = UInt32Array::from(by_group(buckets.iter().map(|&bucket| usize::from(bucket)), &bounds));
        let columns = columns.iter().map(|column| take(column, &order, None));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let mut held = |columns: &mut dyn Iterator<Item = &ArrayRef>| columns.map(|column| bytes(column, seen)).sum();
        let shown_bytes: usize = held(&mut shown.iter().flat_map(RecordBatch::columns));
        let column_bytes = held(&mut columns.iter());
        let mut morsel =
            Self { shown_count: shown.len(), shown, buckets, bounds, columns, column_bytes, other_bytes: 0 };
        morsel.other_bytes = shown_bytes + morsel.place_bytes();
        Ok(morsel)
    }

    /// The memory of what says where the rows are.
    fn place_bytes(&self) -> usize {
        self.buckets.len() + self.bounds.len() * size_of::<usize>()
    }

    fn bytes(&self) -> usize {
        self.column_bytes + self.other_bytes
    }

    /// Lets go of what only the functions need; gives its memory.
    fn forget_columns(&mut self) -> usize {
        self.columns.clear();
        std::mem::take(&mut self.column_bytes)
    }

    /// The kept columns of the rows of a bucket.
    fn bucket(&self, bucket: usize) -> Vec<ArrayRef> {
        let (start, length) = (self.bounds[bucket], self.rows(bucket));
        self.columns.iter().map(|column| column.slice(start, length)).collect()
    }

    pub(super) fn rows(&self, bucket: usize) -> usize {
        self.bounds[bucket + 1] - self.bounds[bucket]
    }

    /// For each row, as it arrived, its place among the rows bucket by bucket.
    pub(super) fn places(&self) -> UInt32Array {
        places(self.buckets.iter().map(|&bucket| usize::from(bucket)), &self.bounds).collect::<Vec<_>>().into()
    }
}

/// Turns counts, each one place behind its group, into bounds: where each group begins, and the end.
pub(super) fn cumulate(counts: &mut [usize]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// For each row the place that it has when the rows stand group by group, as they came.
fn places(groups: impl Iterator<Item = usize>, bounds: &[usize]) -> impl Iterator<Item = u32> {
    let mut next = bounds.to_vec();
    groups.map(move |group| {
        let place = &mut next[group];
        *place += 1;
        (*place - 1) as u32
    })
}

/// The rows group by group, as they came.
pub(super) fn by_group(groups: impl Iterator<Item = usize>, bounds: &[usize]) -> Vec<u32> {
    let mut rows = vec![0; bounds.last().copied().unwrap_or_default()];
    for (row, place) in (0..).zip(places(groups, bounds)) {
        rows[place as usize] = row;
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
    pub(super) morsels: Vec<Morsel>,
    /// What is on disk: nothing or all rows.
    pub(super) files: Option<Files>,
    /// The memory of the morsels.
    reservation: MemoryReservation,
}

impl Collected {
    /// Rows per bucket.
    pub(super) fn rows(&self, bucket: usize) -> usize {
        self.morsels.iter().map(|morsel| morsel.rows(bucket)).sum()
    }

    /// Lets go of what only the functions need.
    pub(super) fn forget_columns(&mut self) {
        for morsel in &mut self.morsels {
            self.reservation.shrink(morsel.forget_columns());
        }
        if let Some(files) = &mut self.files {
            files.kept.clear();
        }
    }

    /// Gives back the memory of a morsel that is done.
    pub(super) fn release(&self, morsel: &Morsel) {
        self.reservation.shrink(morsel.bytes());
    }

    /// The kept columns of a bucket, in parts.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn bucket(&self, bucket: usize, spills: &Spills) -> Result<Vec<Vec<ArrayRef>>> {
        let Some(files) = &self.files else {
            return Ok(self
                .morsels
                .iter()
                .filter(|morsel| morsel.rows(bucket) > 0)
                .map(|morsel| morsel.bucket(bucket))
                .collect());
        };
        match files.kept.get(bucket).cloned().flatten() {
            Some(file) => {
                let batches: Vec<RecordBatch> = spills.kept.read_spill_as_stream(file, None)?.try_collect().await?;
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
    shown_columns: Arc<[usize]>,
    mut input: SendableRecordBatchStream,
    reservation: MemoryReservation,
    spills: Arc<Spills>,
) -> Result<Collected> {
    let mut morsels: Vec<Morsel> = vec![];
    let mut writer: Option<Writer> = None;
    let mut seen = HashSet::new();
    let (mut shown, mut kept, mut rows) = (vec![], vec![], 0);
    loop {
        let batch = input.try_next().await?;
        let is_last = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            let columns = spec.columns.iter().map(|column| {
                let values = column.evaluate(&batch)?.into_array(batch.num_rows())?;
                let wanted = kept_type(values.data_type());
                if values.data_type() == &wanted { Ok(values) } else { Ok(cast(&values, &wanted)?) }
            });
            kept.push(columns.collect::<Result<Vec<_>>>()?);
            rows += batch.num_rows();
            shown.push(batch.project(&shown_columns)?);
        }
        if rows >= MORSEL_ROWS || (is_last && rows > 0) {
            let mut morsel = Morsel::new(&spec, std::mem::take(&mut shown), &kept, &mut seen)?;
            kept.clear();
            rows = 0;
            if writer.is_none() && reservation.try_grow(morsel.bytes()).is_err() {
                let mut new = spills.writer()?;
                for morsel in &mut morsels {
                    new.write(morsel)?;
                }
                reservation.free();
                reservation.grow(morsels.iter().map(Morsel::bytes).sum());
                seen = HashSet::new();
                writer = Some(new);
            }
            if let Some(writer) = &mut writer {
                writer.write(&mut morsel)?;
                seen.clear();
                reservation.grow(morsel.bytes());
            }
            morsels.push(morsel);
        }
        if is_last {
            let files = writer.map(Writer::finish).transpose()?;
            return Ok(Collected { morsels, files, reservation });
        }
    }
}

/// What is written to disk and read back.
pub(super) struct Spills {
    /// What the result shows of the input.
    pub(super) shown: SpillManager,
    /// The columns that the functions need.
    pub(super) kept: SpillManager,
    /// Their results.
    pub(super) results: SpillManager,
}

/// Rows of one input on disk.
pub(super) struct Files {
    /// What the result shows, batch by batch as it arrived.
    pub(super) shown: Option<Arc<dyn SpillFile>>,
    /// By bucket the kept columns.
    kept: Vec<Option<Arc<dyn SpillFile>>>,
}

/// An unfinished file: takes a batch, or ends and gives the file if it has rows. (The engine's type has no public name.)
type Unfinished = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

fn unfinished(manager: &SpillManager) -> Result<Unfinished> {
    let mut file = manager.create_in_progress_file("rows of a window")?;
    Ok(Box::new(move |batch| match batch {
        Some(batch) => file.append_batch(batch).map(|_| None),
        None => file.finish(),
    }))
}

struct Writer {
    shown: Unfinished,
    kept: Vec<Unfinished>,
    kept_schema: SchemaRef,
}

impl Spills {
    fn writer(&self) -> Result<Writer> {
        Ok(Writer {
            shown: unfinished(&self.shown)?,
            kept: (0..BUCKETS).map(|_| unfinished(&self.kept)).collect::<Result<_>>()?,
            kept_schema: Arc::clone(self.kept.schema()),
        })
    }
}

impl Writer {
    /// Moves a morsel to disk but for what says where its rows are.
    fn write(&mut self, morsel: &mut Morsel) -> Result<()> {
        for (bucket, file) in self.kept.iter_mut().enumerate() {
            if morsel.rows(bucket) > 0 {
                file(Some(&RecordBatch::try_new(Arc::clone(&self.kept_schema), morsel.bucket(bucket))?))?;
            }
        }
        morsel.forget_columns();
        // batches without columns are but a number
        if morsel.shown.iter().all(|shown| shown.num_columns() > 0) {
            for shown in morsel.shown.drain(..) {
                (self.shown)(Some(&shown))?;
            }
        }
        morsel.other_bytes = morsel.place_bytes();
        Ok(())
    }

    fn finish(mut self) -> Result<Files> {
        let kept = self.kept.iter_mut().map(|file| file(None)).collect::<Result<_>>()?;
        Ok(Files { shown: (self.shown)(None)?, kept })
    }
}
