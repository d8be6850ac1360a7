//! Buffers one input, scattered into hash buckets; spills it when memory does not suffice.
//!
//! ```text
//! batches        morsel, 131,072 rows                  in memory: all morsels, each sorted by bucket
//! | | | | --->   encode, hash the keys, scatter  --->  or on disk: 32 files with 8 buckets each
//! ```
//! Memory is reserved morsel by morsel. If the pool refuses, all morsels so far and all that follow go to disk; of those only
//! the bucket bounds stay in memory. A bucket is read back whole with the other buckets of its file, so that one of 32 parts of
//! the rows, and in any case one partition, must fit into memory.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_plan::SpillManager;
use futures::TryStreamExt;

use super::bucket::WindowPlan;
use super::encoding::{ColumnEncoder, ColumnEncoding};
use super::fetch::{FetchSchedule, first_rows};
use crate::exec_util::concat_column;
use crate::kernels::hash::ODD;
use crate::kernels::scatter::{ScatterIndices, group_bounds};

/// Number of hash buckets. So many that the hash table of one bucket of 20 million rows stays in the cache, so few that a
/// morsel has hundreds of rows per bucket.
pub(super) const BUCKETS: usize = 256;

/// Buckets per spill file; they are evaluated together.
const BUCKETS_PER_FILE: usize = 8;

/// Rows that are scattered together.
const MORSEL_ROWS: usize = 1 << 17;

/// Some consecutive rows of one input, sorted by bucket; within a bucket in their order of arrival.
struct Morsel {
    /// The buffered columns, encoded; empty if they are on disk.
    columns: Vec<ArrayRef>,
    /// The start of each bucket, and the end of the last.
    bounds: Vec<usize>,
    /// The reserved memory.
    bytes: usize,
    /// The value of the leading ORDER BY column in the first row that arrived; `None` if that column is encoded.
    first: Option<ScalarValue>,
}

impl Morsel {
    fn new(
        plan: &WindowPlan,
        encoders: &[ColumnEncoder],
        batches: &[Vec<ArrayRef>],
        seen: &mut HashSet<usize>,
    ) -> Result<Self> {
        let mut buckets: Vec<u8> = vec![];
        for columns in batches {
            // the upper bits: the lower ones choose the slot in a hash table
            let bucket = |hash: u64| (hash >> (u64::BITS - BUCKETS.ilog2())) as u8;
            buckets.extend(key_hashes(plan, encoders, columns)?.into_iter().map(bucket));
        }
        let bounds = group_bounds(buckets.iter().map(|&bucket| usize::from(bucket)), BUCKETS);
        let first = match (plan.leading_order(), batches.first()) {
            (Some((column, _)), Some(columns))
                if matches!(encoders[column], ColumnEncoder::Plain) && !columns[column].is_empty() =>
            {
                Some(ScalarValue::try_from_array(&columns[column], 0)?)
            }
            _ => None,
        };
        let indices = ScatterIndices::new(&buckets, &bounds);
        let columns = (0..plan.columns.len()).map(|column| indices.column(batches, column));
        let mut morsel = Self { columns: columns.collect::<Result<_>>()?, bounds, bytes: 0, first };
        morsel.bytes = morsel.columns.iter().map(|column| bytes(column, seen)).sum();
        Ok(morsel)
    }

    /// The first rows of each partition among some morsels.
    fn first_rows(
        plan: &WindowPlan,
        encoders: &[ColumnEncoder],
        morsels: Vec<Self>,
        fetch: usize,
        seen: &mut HashSet<usize>,
    ) -> Result<Self> {
        let encodings: Vec<ColumnEncoding> = encoders.iter().map(ColumnEncoder::encoding).collect();
        let (mut buckets, mut bounds) = (Vec::with_capacity(BUCKETS), vec![0]);
        for bucket in 0..BUCKETS {
            let slices: Vec<Vec<ArrayRef>> =
                morsels.iter().map(|morsel| morsel.rows_of(&(bucket..bucket + 1))).collect();
            let columns = first_rows(plan, &encodings, &slices, fetch)?;
            bounds.push(bounds[bucket] + columns.first().map_or(0, |column| column.len()));
            buckets.push(columns);
        }
        let columns = (0..plan.columns.len()).map(|column| concat_column(&buckets, column));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        seen.clear();
        let bytes = columns.iter().map(|column| bytes(column, seen)).sum();
        Ok(Self { columns, bounds, bytes, first: morsels.into_iter().next().and_then(|morsel| morsel.first) })
    }

    /// The rows of a range of buckets, without copying.
    fn rows_of(&self, buckets: &Range<usize>) -> Vec<ArrayRef> {
        let (start, length) = (self.bounds[buckets.start], self.rows(buckets));
        self.columns.iter().map(|column| column.slice(start, length)).collect()
    }

    fn rows(&self, buckets: &Range<usize>) -> usize {
        self.bounds[buckets.end] - self.bounds[buckets.start]
    }
}

/// The hashes of the PARTITION BY keys; they do not depend on the encoding.
fn key_hashes(plan: &WindowPlan, encoders: &[ColumnEncoder], columns: &[ArrayRef]) -> Result<Vec<u64>> {
    let mut all: Vec<u64> = vec![];
    for &key in &plan.keys {
        let hashes = encoders[key].hashes(&columns[key])?;
        if all.is_empty() {
            all = hashes;
        } else {
            all.iter_mut().zip(hashes).for_each(|(all, hash)| *all = (all.rotate_left(29) ^ hash).wrapping_mul(ODD));
        }
    }
    Ok(all)
}

/// The memory of a column. Data buffers that several batches share count once: `seen` has the addresses of those counted.
pub(super) fn bytes(column: &ArrayRef, seen: &mut HashSet<usize>) -> usize {
    let views = match column.data_type() {
        DataType::Utf8View => column.as_string_view().data_buffers(),
        DataType::BinaryView => column.as_binary_view().data_buffers(),
        _ => return column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    };
    let buffers = views.iter().filter(|buffer| seen.insert(buffer.as_ptr().addr())).map(|buffer| buffer.capacity());
    buffers.sum::<usize>() + column.len() * size_of::<u128>()
}

/// The rows of some buckets from one morsel or one spilled batch.
pub(super) struct BucketSlice {
    /// The buffered columns.
    pub(super) columns: Vec<ArrayRef>,
    /// As in the morsel; `None` for spilled batches.
    first: Option<ScalarValue>,
}

/// Merges the slices of all inputs by their first values in the leading ORDER BY column. Yields the index of the input with
/// each slice.
///
/// This is not a sort. Each input keeps its order of arrival, and only whole slices are interleaved. But where files are in
/// time order, so are nearly all rows afterwards, and few partitions need a sort.
pub(super) fn merge_slices(
    mut inputs: Vec<VecDeque<BucketSlice>>,
    order: Option<(usize, SortOptions)>,
) -> impl Iterator<Item = (usize, BucketSlice)> {
    let is_descending = order.is_some_and(|(_, options)| options.descending);
    std::iter::from_fn(move || {
        let heads = inputs.iter().enumerate().filter_map(|(input, slices)| Some((input, slices.front()?)));
        let (next, _) = heads.reduce(|best, other| {
            let order = other.1.first.partial_cmp(&best.1.first);
            let precedes = if is_descending { Ordering::Greater } else { Ordering::Less };
            if order == Some(precedes) { other } else { best }
        })?;
        inputs[next].pop_front().map(|slice| (next, slice))
    })
}

/// All rows of one input, in memory or on disk.
pub(super) struct BucketedInput {
    morsels: Vec<Morsel>,
    /// The encoding of each buffered column.
    pub(super) encodings: Vec<ColumnEncoding>,
    /// The spill files, one per [`BUCKETS_PER_FILE`] buckets, `None` where those have no rows. All rows are on disk or none.
    files: Option<Vec<Option<Arc<dyn SpillFile>>>>,
    /// The memory of the morsels.
    _reservation: MemoryReservation,
}

impl BucketedInput {
    /// The number of rows in a range of buckets.
    pub(super) fn rows(&self, buckets: &Range<usize>) -> usize {
        self.morsels.iter().map(|morsel| morsel.rows(buckets)).sum()
    }

    /// How many buckets must be read together.
    pub(super) fn buckets_at_once(&self) -> usize {
        if self.files.is_some() { BUCKETS_PER_FILE } else { 1 }
    }

    /// The rows of a range of buckets, in their order of arrival.
    ///
    /// # Errors
    /// Reading a spill file failed.
    pub(super) async fn rows_of(&self, buckets: &Range<usize>, spill: &SpillManager) -> Result<VecDeque<BucketSlice>> {
        let Some(files) = &self.files else {
            let morsels = self.morsels.iter().filter(|morsel| morsel.rows(buckets) > 0);
            let slice = |morsel: &Morsel| BucketSlice { columns: morsel.rows_of(buckets), first: morsel.first.clone() };
            return Ok(morsels.map(slice).collect());
        };
        match files.get(buckets.start / BUCKETS_PER_FILE).cloned().flatten() {
            Some(file) => {
                let batches: Vec<RecordBatch> = spill.read_spill_as_stream(file, None)?.try_collect().await?;
                let slice = |batch: &RecordBatch| BucketSlice { columns: batch.columns().to_vec(), first: None };
                Ok(batches.iter().map(slice).collect())
            }
            None => Ok(VecDeque::new()),
        }
    }
}

/// Reads an input to its end, in memory or, when that does not suffice, onto disk.
///
/// # Errors
/// The input or an expression failed, or the disk is full.
pub(super) async fn buffer_input(
    plan: Arc<WindowPlan>,
    mut input: SendableRecordBatchStream,
    reservation: MemoryReservation,
    spill: Arc<SpillManager>,
) -> Result<BucketedInput> {
    let mut schedule = plan.fetch.map(FetchSchedule::new);
    let mut morsels: Vec<Morsel> = vec![];
    let mut writer: Option<SpillWriter> = None;
    let mut encoders = plan.encoders();
    let mut seen = HashSet::new();
    let (mut batches, mut rows) = (vec![], 0);
    loop {
        let batch = input.try_next().await?;
        let is_last = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            let mut columns = plan.buffered(&batch)?;
            for (column, encoder) in encoders.iter_mut().enumerate() {
                columns[column] = loop {
                    if let Some(encoded) = encoder.encode(&columns[column])? {
                        break encoded;
                    }
                    // all that is buffered is encoded again in a wider encoding; its memory is used in any case, and
                    // the next morsel may start to spill
                    let width = encoder.width();
                    let buffered = batches.iter_mut().chain(morsels.iter_mut().map(|morsel| &mut morsel.columns));
                    encoder.fall_back(&mut buffered.map(|columns| &mut columns[column]).collect::<Vec<_>>())?;
                    for morsel in &mut morsels {
                        let more = morsel.columns[column].len() * (encoder.width() - width);
                        morsel.bytes += more;
                        reservation.grow(more);
                    }
                };
            }
            batches.push(columns);
            rows += batch.num_rows();
        }
        if rows >= MORSEL_ROWS || (is_last && rows > 0) {
            let mut morsel = Morsel::new(&plan, &encoders, &batches, &mut seen)?;
            batches.clear();
            rows = 0;
            let mut is_memory_short = writer.is_none() && reservation.try_grow(morsel.bytes).is_err();
            if let Some(schedule) = schedule.as_mut().filter(|_| writer.is_none())
                && schedule.is_due(all_rows(&morsels) + morsel.rows(&(0..BUCKETS)), is_memory_short)
            {
                morsels.push(morsel);
                let morsels_before = std::mem::take(&mut morsels);
                morsel = Morsel::first_rows(&plan, &encoders, morsels_before, schedule.fetch, &mut seen)?;
                schedule.reduced_to(morsel.rows(&(0..BUCKETS)));
                reservation.free();
                is_memory_short = reservation.try_grow(morsel.bytes).is_err();
            }
            if is_memory_short {
                let mut new = SpillWriter::new(&spill)?;
                for morsel in &mut morsels {
                    new.write(morsel, &encoders)?;
                }
                reservation.free();
                writer = Some(new);
            }
            if let Some(writer) = &mut writer {
                writer.write(&mut morsel, &encoders)?;
                // spilled rows are decoded, so that encoding the next ones would not save anything
                encoders.fill_with(|| ColumnEncoder::Plain);
                seen.clear();
            }
            morsels.push(morsel);
            // yield after each morsel: a scan may return a million rows without yielding, which would delay cancellation
            tokio::task::yield_now().await;
        }
        if is_last {
            let files = writer.map(SpillWriter::finish).transpose()?;
            let encodings = encoders.iter().map(ColumnEncoder::encoding).collect();
            return Ok(BucketedInput { morsels, encodings, files, _reservation: reservation });
        }
    }
}

fn all_rows(morsels: &[Morsel]) -> usize {
    morsels.iter().map(|morsel| morsel.rows(&(0..BUCKETS))).sum()
}

/// A spill file that is being written: appends a batch, or with `None` finishes and returns the file if it has rows. A closure,
/// since DataFusion's `InProgressSpillFile` is not exported.
type InProgressFile = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

fn create_file(spill: &SpillManager) -> Result<InProgressFile> {
    let mut file = spill.create_in_progress_file("rows of a window")?;
    Ok(Box::new(move |batch| match batch {
        Some(batch) => file.append_batch(batch).map(|_| None),
        None => file.finish(),
    }))
}

/// Writes the rows of one input to its spill files.
struct SpillWriter {
    files: Vec<InProgressFile>,
    schema: SchemaRef,
}

impl SpillWriter {
    fn new(spill: &SpillManager) -> Result<Self> {
        let files = (0..BUCKETS / BUCKETS_PER_FILE).map(|_| create_file(spill)).collect::<Result<_>>()?;
        Ok(Self { files, schema: Arc::clone(spill.schema()) })
    }

    /// Decodes a morsel and moves its columns to disk; the bucket bounds stay in memory.
    fn write(&mut self, morsel: &mut Morsel, encoders: &[ColumnEncoder]) -> Result<()> {
        for (column, encoder) in morsel.columns.iter_mut().zip(encoders) {
            *column = encoder.encoding().decode(column)?;
        }
        for (index, file) in self.files.iter_mut().enumerate() {
            let buckets = index * BUCKETS_PER_FILE..(index + 1) * BUCKETS_PER_FILE;
            if morsel.rows(&buckets) > 0 {
                file(Some(&RecordBatch::try_new(Arc::clone(&self.schema), morsel.rows_of(&buckets))?))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each input keeps its order; among inputs the slice with the first value comes first, if values are known.
    #[test]
    fn slices_of_inputs_are_merged_by_first_value() {
        let slices = |firsts: &[Option<i64>]| -> VecDeque<BucketSlice> {
            firsts.iter().map(|first| BucketSlice { columns: vec![], first: first.map(ScalarValue::from) }).collect()
        };
        let merged_inputs = |inputs: &[&[Option<i64>]], is_descending: bool| -> Vec<usize> {
            let options = SortOptions { descending: is_descending, nulls_first: true };
            let inputs = inputs.iter().map(|firsts| slices(firsts)).collect();
            merge_slices(inputs, Some((0, options))).map(|(input, _)| input).collect()
        };
        let some = |values: &[i64]| -> Vec<Option<i64>> { values.iter().copied().map(Some).collect() };
        let (a, b) = (some(&[1, 4, 2, 9]), some(&[3, 5]));
        assert_eq!(merged_inputs(&[&a, &b], false), [0, 1, 0, 0, 1, 0]);
        assert_eq!(merged_inputs(&[&b, &a], false), [1, 0, 1, 1, 0, 1]);
        let (a, b) = (some(&[9, 4, 1]), some(&[8, 2]));
        assert_eq!(merged_inputs(&[&a, &b], true), [0, 1, 0, 1, 0]);
        assert_eq!(merged_inputs(&[&[None, None], &[None], &[]], false), [0, 0, 1]);
    }
}
