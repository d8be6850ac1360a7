//! The rows of one input, encode until all have come, sorted into buckets.

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
use crate::kernels::hash::ODD;
use crate::kernels::scatter::{ScatterIndices, group_bounds};

/// Buckets into which rows are divided by the hash of their keys. So many that the tables of one bucket of 20 million rows
/// stay near the processor, so few that a run of rows has hundreds for each.
pub(super) const BUCKETS: usize = 256;

/// Buckets that share a file when rows go to disk, and are computed clustered_columns then.
const BUCKETS_PER_FILE: usize = 8;

/// Rows that are divided clustered_columns.
const MORSEL_ROWS: usize = 1 << 17;

/// A run of rows of one input, bucket by bucket; within a bucket the rows as they arrived.
struct Morsel {
    /// The buffered columns; empty if they are on disk.
    columns: Vec<ArrayRef>,
    /// Where each bucket begins, and the end.
    bounds: Vec<usize>,
    bytes: usize,
    /// The first row's value of the column by which windows order rows first, where inputs can be compared by it.
    first: Option<ScalarValue>,
}

impl Morsel {
    fn new(
        spec: &WindowPlan,
        encoders: &[ColumnEncoder],
        batches: &[Vec<ArrayRef>],
        seen: &mut HashSet<usize>,
    ) -> Result<Self> {
        let mut buckets: Vec<u8> = vec![];
        for columns in batches {
            // the upper bits: the lower ones chose the place of the row where it was repartitioned before
            let bucket = |hash: u64| (hash >> (u64::BITS - BUCKETS.ilog2())) as u8;
            buckets.extend(hashes(spec, encoders, columns)?.into_iter().map(bucket));
        }
        let bounds = group_bounds(buckets.iter().map(|&bucket| usize::from(bucket)), BUCKETS);
        let first = match (spec.leading_order(), batches.first()) {
            (Some((column, _)), Some(columns))
                if matches!(encoders[column], ColumnEncoder::Plain) && !columns[column].is_empty() =>
            {
                Some(ScalarValue::try_from_array(&columns[column], 0)?)
            }
            _ => None,
        };
        let places = ScatterIndices::new(&buckets, &bounds);
        let columns = (0..spec.columns.len()).map(|column| places.column(batches, column));
        let mut morsel = Self { columns: columns.collect::<Result<_>>()?, bounds, bytes: 0, first };
        morsel.bytes = morsel.columns.iter().map(|column| bytes(column, seen)).sum();
        Ok(morsel)
    }

    /// The buffered columns of the rows of some buckets.
    fn rows_of(&self, buckets: &Range<usize>) -> Vec<ArrayRef> {
        let (start, length) = (self.bounds[buckets.start], self.rows(buckets));
        self.columns.iter().map(|column| column.slice(start, length)).collect()
    }

    fn rows(&self, buckets: &Range<usize>) -> usize {
        self.bounds[buckets.end] - self.bounds[buckets.start]
    }
}

/// The hashes of the keys, the same in all encoders.
fn hashes(spec: &WindowPlan, encoders: &[ColumnEncoder], columns: &[ArrayRef]) -> Result<Vec<u64>> {
    let mut all: Vec<u64> = vec![];
    for &key in &spec.keys {
        let hashes = encoders[key].hashes(&columns[key])?;
        if all.is_empty() {
            all = hashes;
        } else {
            all.iter_mut().zip(hashes).for_each(|(all, hash)| *all = (all.rotate_left(29) ^ hash).wrapping_mul(ODD));
        }
    }
    Ok(all)
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

/// Rows of some buckets that came clustered_columns.
pub(super) struct BucketSlice {
    /// The buffered columns.
    pub(super) columns: Vec<ArrayRef>,
    first: Option<ScalarValue>,
}

/// The parts of all inputs, each with the number of its input, which keeps its parts as they came. Of different inputs the
/// one that goes first in the order of the windows comes first: where files are in the order of time, so are all rows then.
pub(super) fn merged(
    mut inputs: Vec<VecDeque<BucketSlice>>,
    order: Option<(usize, SortOptions)>,
) -> impl Iterator<Item = (usize, BucketSlice)> {
    let is_descending = order.is_some_and(|(_, options)| options.descending);
    std::iter::from_fn(move || {
        let heads = inputs.iter().enumerate().filter_map(|(input, parts)| Some((input, parts.front()?)));
        let (next, _) = heads.reduce(|best, other| {
            let order = other.1.first.partial_cmp(&best.1.first);
            let wanted = if is_descending { Ordering::Greater } else { Ordering::Less };
            if order == Some(wanted) { other } else { best }
        })?;
        inputs[next].pop_front().map(|part| (next, part))
    })
}

/// All rows of one input.
pub(super) struct BucketedInput {
    morsels: Vec<Morsel>,
    /// How each buffered column is encode.
    pub(super) encode: Vec<ColumnEncoding>,
    /// What is on disk: nothing or all rows.
    files: Option<Vec<Option<Arc<dyn SpillFile>>>>,
    /// The memory of the morsels.
    _reservation: MemoryReservation,
}

impl BucketedInput {
    /// Rows of some buckets.
    pub(super) fn rows(&self, buckets: &Range<usize>) -> usize {
        self.morsels.iter().map(|morsel| morsel.rows(buckets)).sum()
    }

    /// How many buckets must be taken at once.
    pub(super) fn buckets_at_once(&self) -> usize {
        if self.files.is_some() { BUCKETS_PER_FILE } else { 1 }
    }

    /// The rows of some buckets, as they came.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) async fn rows_of(&self, buckets: &Range<usize>, spill: &SpillManager) -> Result<VecDeque<BucketSlice>> {
        let Some(files) = &self.files else {
            let morsels = self.morsels.iter().filter(|morsel| morsel.rows(buckets) > 0);
            let part = |morsel: &Morsel| BucketSlice { columns: morsel.rows_of(buckets), first: morsel.first.clone() };
            return Ok(morsels.map(part).collect());
        };
        match files.get(buckets.start / BUCKETS_PER_FILE).cloned().flatten() {
            Some(file) => {
                let batches: Vec<RecordBatch> = spill.read_spill_as_stream(file, None)?.try_collect().await?;
                let part = |batch: &RecordBatch| BucketSlice { columns: batch.columns().to_vec(), first: None };
                Ok(batches.iter().map(part).collect())
            }
            None => Ok(VecDeque::new()),
        }
    }
}

/// Reads an input to its end. When memory does not suffice, all its rows go to disk.
///
/// # Errors
/// What the input or an expression gives; a full disk.
pub(super) async fn buffer_input(
    spec: Arc<WindowPlan>,
    mut input: SendableRecordBatchStream,
    reservation: MemoryReservation,
    spill: Arc<SpillManager>,
) -> Result<BucketedInput> {
    let mut morsels: Vec<Morsel> = vec![];
    let mut writer: Option<SpillWriter> = None;
    let mut encoders = spec.encoders();
    let mut seen = HashSet::new();
    let (mut batches, mut rows) = (vec![], 0);
    loop {
        let batch = input.try_next().await?;
        let is_last = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            let mut columns = spec.buffered(&batch)?;
            for (place, form) in encoders.iter_mut().enumerate() {
                columns[place] = loop {
                    if let Some(encode) = form.encode(&columns[place])? {
                        break encode;
                    }
                    let width = form.width();
                    let so_far = batches.iter_mut().chain(morsels.iter_mut().map(|morsel| &mut morsel.columns));
                    form.change(&mut so_far.map(|columns| &mut columns[place]).collect::<Vec<_>>())?;
                    for morsel in &mut morsels {
                        let more = morsel.columns[place].len() * (form.width() - width);
                        morsel.bytes += more;
                        reservation.grow(more);
                    }
                };
            }
            batches.push(columns);
            rows += batch.num_rows();
        }
        if rows >= MORSEL_ROWS || (is_last && rows > 0) {
            let mut morsel = Morsel::new(&spec, &encoders, &batches, &mut seen)?;
            batches.clear();
            rows = 0;
            if writer.is_none() && reservation.try_grow(morsel.bytes).is_err() {
                let mut new = SpillWriter::new(&spill)?;
                for morsel in &mut morsels {
                    new.write(morsel, &encoders)?;
                }
                reservation.free();
                writer = Some(new);
            }
            if let Some(writer) = &mut writer {
                writer.write(&mut morsel, &encoders)?;
                encoders.fill_with(|| ColumnEncoder::Plain);
                seen.clear();
            }
            morsels.push(morsel);
            // a scan gives a million rows at a time to whoever asks: who wants to stop this waits for a morsel at most
            tokio::task::yield_now().await;
        }
        if is_last {
            let files = writer.map(SpillWriter::finish).transpose()?;
            let encode = encoders.iter().map(ColumnEncoder::end).collect();
            return Ok(BucketedInput { morsels, encode, files, _reservation: reservation });
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
struct SpillWriter {
    files: Vec<Unfinished>,
    schema: SchemaRef,
}

impl SpillWriter {
    fn new(spill: &SpillManager) -> Result<Self> {
        let files = (0..BUCKETS / BUCKETS_PER_FILE).map(|_| unfinished(spill)).collect::<Result<_>>()?;
        Ok(Self { files, schema: Arc::clone(spill.schema()) })
    }

    /// Moves a morsel to disk but for what says where its rows are.
    fn write(&mut self, morsel: &mut Morsel, encoders: &[ColumnEncoder]) -> Result<()> {
        for (column, form) in morsel.columns.iter_mut().zip(encoders) {
            *column = form.end().decode(column)?;
        }
        for (number, file) in self.files.iter_mut().enumerate() {
            let buckets = number * BUCKETS_PER_FILE..(number + 1) * BUCKETS_PER_FILE;
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

    /// Inputs keep their order; of several the part with the first value comes first, if values are known.
    #[test]
    fn parts_of_inputs_are_merged() {
        let parts = |firsts: &[Option<i64>]| -> VecDeque<BucketSlice> {
            firsts.iter().map(|first| BucketSlice { columns: vec![], first: first.map(ScalarValue::from) }).collect()
        };
        let merged_inputs = |inputs: &[&[Option<i64>]], is_descending: bool| -> Vec<usize> {
            let options = SortOptions { descending: is_descending, nulls_first: true };
            let inputs = inputs.iter().map(|firsts| parts(firsts)).collect();
            merged(inputs, Some((0, options))).map(|(input, _)| input).collect()
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
