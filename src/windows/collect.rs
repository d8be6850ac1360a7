//! The rows of one input, kept until all have come, sorted into buckets.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, PrimitiveArray, UInt32Array, downcast_primitive,
};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::{SortOptions, concat, take};
use datafusion::arrow::datatypes::{ArrowNativeType, DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, SpillFile};
use datafusion::physical_plan::SpillManager;
use futures::TryStreamExt;

use super::forms::{Form, Kept, short_texts};
use super::solve::Spec;

/// Buckets into which rows are divided by the hash of their keys. So many that the tables of one bucket of 20 million rows
/// stay near the processor, so few that a run of rows has hundreds for each.
pub(super) const BUCKETS: usize = 256;

/// Buckets that share a file when rows go to disk, and are computed together then.
const BUCKETS_PER_FILE: usize = 8;

/// Rows that are divided together.
const MORSEL_ROWS: usize = 1 << 17;

/// The hashes of keys: their upper bits choose the bucket, the others the place in its table. Another seed than that of
/// the engine's exchanges, which have chosen among rows by their own.
pub(crate) const SEED: RandomState = RandomState::with_seed(0x6378_716c);

/// An odd number without pattern, by which hashes are mixed.
pub(crate) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A run of rows of one input, bucket by bucket; within a bucket the rows as they arrived.
struct Morsel {
    /// The carried columns; empty if they are on disk.
    columns: Vec<ArrayRef>,
    /// Where each bucket begins, and the end.
    bounds: Vec<usize>,
    bytes: usize,
    /// The first row's value of the column by which windows order rows first, where inputs can be compared by it.
    first: Option<ScalarValue>,
}

impl Morsel {
    fn new(spec: &Spec, forms: &[Form], batches: &[Vec<ArrayRef>], seen: &mut HashSet<usize>) -> Result<Self> {
        let mut buckets: Vec<u8> = vec![];
        for columns in batches {
            // the upper bits: the lower ones chose the place of the row where it was repartitioned before
            let bucket = |hash: u64| (hash >> (u64::BITS - BUCKETS.ilog2())) as u8;
            buckets.extend(hashes(spec, forms, columns)?.into_iter().map(bucket));
        }
        let bounds = bounds_of(buckets.iter().map(|&bucket| usize::from(bucket)), BUCKETS);
        let first = match (spec.first_order(), batches.first()) {
            (Some((column, _)), Some(columns))
                if matches!(forms[column], Form::Plain) && !columns[column].is_empty() =>
            {
                Some(ScalarValue::try_from_array(&columns[column], 0)?)
            }
            _ => None,
        };
        let places = Places::new(&buckets, &bounds);
        let columns = (0..spec.columns.len()).map(|column| places.column(batches, column));
        let mut morsel = Self { columns: columns.collect::<Result<_>>()?, bounds, bytes: 0, first };
        morsel.bytes = morsel.columns.iter().map(|column| bytes(column, seen)).sum();
        Ok(morsel)
    }

    /// The carried columns of the rows of some buckets.
    fn rows_of(&self, buckets: &Range<usize>) -> Vec<ArrayRef> {
        let (start, length) = (self.bounds[buckets.start], self.rows(buckets));
        self.columns.iter().map(|column| column.slice(start, length)).collect()
    }

    fn rows(&self, buckets: &Range<usize>) -> usize {
        self.bounds[buckets.end] - self.bounds[buckets.start]
    }
}

/// Where the rows of some batches go: to their buckets, in which they stay as they came.
struct Places<'a> {
    /// The bucket of each row.
    buckets: &'a [u8],
    /// Where each bucket begins, and the end.
    bounds: &'a [usize],
    /// The new place of each row.
    places: Vec<u32>,
    /// The row of each place.
    rows: OnceCell<UInt32Array>,
}

impl<'a> Places<'a> {
    fn new(buckets: &'a [u8], bounds: &'a [usize]) -> Self {
        let mut next = bounds.to_vec();
        let places = buckets.iter().map(|&bucket| {
            let next = &mut next[usize::from(bucket)];
            *next += 1;
            (*next - 1) as u32
        });
        Self { buckets, bounds, places: places.collect(), rows: OnceCell::new() }
    }

    /// A column of all batches, divided.
    fn column(&self, batches: &[Vec<ArrayRef>], column: usize) -> Result<ArrayRef> {
        let parts: Vec<&ArrayRef> = batches.iter().filter_map(|columns| columns.get(column)).collect();
        match self.moved(&parts) {
            Some(column) => Ok(column),
            None => Ok(take(&joined(batches, column)?, self.rows(), None)?),
        }
    }

    /// Numbers and short texts, each written to its place; `None` for values of other types.
    fn moved(&self, parts: &[&ArrayRef]) -> Option<ArrayRef> {
        let data_type = parts.first()?.data_type();
        macro_rules! numbers {
            ($kind:ty) => {{
                let values = parts.iter().map(|part| part.as_primitive::<$kind>().values().as_ref());
                let moved = PrimitiveArray::<$kind>::new(self.written(values), self.nulls(parts));
                Some(Arc::new(moved.with_data_type(data_type.clone())))
            }};
        }
        downcast_primitive! {
            data_type => (numbers),
            DataType::Utf8View if parts.iter().all(|part| part.as_string_view().data_buffers().is_empty()) => {
                let views = parts.iter().map(|part| part.as_string_view().views().as_ref());
                Some(Arc::new(short_texts(self.written(views), self.nulls(parts))))
            }
            _ => None,
        }
    }

    fn nulls(&self, parts: &[&ArrayRef]) -> Option<NullBuffer> {
        if parts.iter().all(|part| part.null_count() == 0) {
            return None;
        }
        let mut known = BooleanBufferBuilder::new(self.places.len());
        known.append_n(self.places.len(), true);
        let mut places = self.places.as_slice();
        for part in parts {
            let here;
            (here, places) = places.split_at(part.len());
            if let Some(nulls) = part.nulls() {
                (!nulls.inner()).set_indices().for_each(|row| known.set_bit(here[row] as usize, false));
            }
        }
        Some(NullBuffer::new(known.finish()))
    }

    fn written<'b, T: ArrowNativeType>(&self, parts: impl Iterator<Item = &'b [T]>) -> ScalarBuffer<T> {
        let mut written = vec![T::default(); self.places.len()];
        for (&place, &value) in self.places.iter().zip(parts.flatten()) {
            written[place as usize] = value;
        }
        written.into()
    }

    fn rows(&self) -> &UInt32Array {
        self.rows.get_or_init(|| by_group(self.buckets.iter().map(|&bucket| bucket.into()), self.bounds).into())
    }
}

/// The hashes of the keys, the same in all forms.
fn hashes(spec: &Spec, forms: &[Form], columns: &[ArrayRef]) -> Result<Vec<u64>> {
    let mut all: Vec<u64> = vec![];
    for &key in &spec.keys {
        let hashes = forms[key].hashes(&columns[key])?;
        if all.is_empty() {
            all = hashes;
        } else {
            all.iter_mut().zip(hashes).for_each(|(all, hash)| *all = (all.rotate_left(29) ^ hash).wrapping_mul(ODD));
        }
    }
    Ok(all)
}

/// A column of all parts.
pub(crate) fn joined<'a>(parts: impl IntoIterator<Item = &'a Vec<ArrayRef>>, column: usize) -> Result<ArrayRef> {
    let parts: Vec<&dyn Array> = parts.into_iter().filter_map(|part| part.get(column)).map(AsRef::as_ref).collect();
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

/// Where each of `count` groups begins when rows stand group by group, and the end.
pub(crate) fn bounds_of(groups: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut bounds = vec![0; count + 1];
    groups.for_each(|group| bounds[group + 1] += 1);
    cumulate(&mut bounds);
    bounds
}

/// The rows group by group, as they came.
pub(crate) fn by_group(groups: impl Iterator<Item = usize>, bounds: &[usize]) -> Vec<u32> {
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

/// Rows of some buckets that came together.
pub(super) struct Part {
    /// The carried columns.
    pub(super) columns: Vec<ArrayRef>,
    first: Option<ScalarValue>,
}

/// The parts of all inputs, each with the number of its input, which keeps its parts as they came. Of different inputs the
/// one that goes first in the order of the windows comes first: where files are in the order of time, so are all rows then.
pub(super) fn merged(
    mut inputs: Vec<VecDeque<Part>>,
    order: Option<(usize, SortOptions)>,
) -> impl Iterator<Item = (usize, Part)> {
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
pub(super) struct Collected {
    morsels: Vec<Morsel>,
    /// How each carried column is kept.
    pub(super) kept: Vec<Kept>,
    /// What is on disk: nothing or all rows.
    files: Option<Vec<Option<Arc<dyn SpillFile>>>>,
    /// The memory of the morsels.
    _reservation: MemoryReservation,
}

impl Collected {
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
    pub(super) async fn rows_of(&self, buckets: &Range<usize>, spill: &SpillManager) -> Result<VecDeque<Part>> {
        let Some(files) = &self.files else {
            let morsels = self.morsels.iter().filter(|morsel| morsel.rows(buckets) > 0);
            let part = |morsel: &Morsel| Part { columns: morsel.rows_of(buckets), first: morsel.first.clone() };
            return Ok(morsels.map(part).collect());
        };
        match files.get(buckets.start / BUCKETS_PER_FILE).cloned().flatten() {
            Some(file) => {
                let batches: Vec<RecordBatch> = spill.read_spill_as_stream(file, None)?.try_collect().await?;
                let part = |batch: &RecordBatch| Part { columns: batch.columns().to_vec(), first: None };
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
pub(super) async fn collect(
    spec: Arc<Spec>,
    mut input: SendableRecordBatchStream,
    reservation: MemoryReservation,
    spill: Arc<SpillManager>,
) -> Result<Collected> {
    let mut morsels: Vec<Morsel> = vec![];
    let mut writer: Option<Writer> = None;
    let mut forms = spec.forms();
    let mut seen = HashSet::new();
    let (mut batches, mut rows) = (vec![], 0);
    loop {
        let batch = input.try_next().await?;
        let is_last = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            let mut columns = spec.carried(&batch)?;
            for (place, form) in forms.iter_mut().enumerate() {
                columns[place] = loop {
                    if let Some(kept) = form.kept(&columns[place])? {
                        break kept;
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
            let mut morsel = Morsel::new(&spec, &forms, &batches, &mut seen)?;
            batches.clear();
            rows = 0;
            if writer.is_none() && reservation.try_grow(morsel.bytes).is_err() {
                let mut new = Writer::new(&spill)?;
                for morsel in &mut morsels {
                    new.write(morsel, &forms)?;
                }
                reservation.free();
                writer = Some(new);
            }
            if let Some(writer) = &mut writer {
                writer.write(&mut morsel, &forms)?;
                forms.fill_with(|| Form::Plain);
                seen.clear();
            }
            morsels.push(morsel);
            // a scan gives a million rows at a time to whoever asks: who wants to stop this waits for a morsel at most
            tokio::task::yield_now().await;
        }
        if is_last {
            let files = writer.map(Writer::finish).transpose()?;
            let kept = forms.iter().map(Form::end).collect();
            return Ok(Collected { morsels, kept, files, _reservation: reservation });
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
        let files = (0..BUCKETS / BUCKETS_PER_FILE).map(|_| unfinished(spill)).collect::<Result<_>>()?;
        Ok(Self { files, schema: Arc::clone(spill.schema()) })
    }

    /// Moves a morsel to disk but for what says where its rows are.
    fn write(&mut self, morsel: &mut Morsel, forms: &[Form]) -> Result<()> {
        for (column, form) in morsel.columns.iter_mut().zip(forms) {
            *column = form.end().restored(column)?;
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
    use std::iter;

    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    /// The rows of each bucket one after the other, also where values are NULL or are no numbers.
    #[test]
    fn rows_are_divided_into_buckets() {
        let buckets: Vec<u8> = vec![2, 0, 255, 2, 1, 0, 0, 2];
        let wanted = UInt32Array::from(vec![1, 5, 6, 4, 0, 3, 7, 2]);
        let bounds = bounds_of(buckets.iter().map(|&bucket| bucket.into()), BUCKETS);
        let places = Places::new(&buckets, &bounds);
        let few = [true, false, true, true, false, true, false, true];
        for known in [[true; 8], few, [false; 8]] {
            let numbers: Int64Array = (10..18).zip(known).map(|(number, known)| known.then_some(number)).collect();
            let text = |number: Option<i64>| number.map(|number| format!("longer than a view: {number}"));
            let long: ArrayRef = Arc::new(numbers.iter().map(text).collect::<StringViewArray>());
            let as_type = |data_type: DataType| cast(&numbers, &data_type).unwrap();
            for (column, is_moved) in [
                (as_type(DataType::Int64), true),
                (as_type(DataType::UInt16), true),
                (as_type(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))), true),
                (as_type(DataType::Decimal128(20, 3)), true),
                (as_type(DataType::Utf8View), true),
                (as_type(DataType::Utf8), false),
                (as_type(DataType::Boolean), false),
                (Arc::clone(&long), long.null_count() == 8),
            ] {
                let ends = [0, 3, 4, 8];
                let batch = |(start, &end): (usize, &usize)| vec![column.slice(start, end - start)];
                let batches: Vec<Vec<ArrayRef>> = iter::zip(ends, &ends[1..]).map(batch).collect();
                let expected = take(&column, &wanted, None).unwrap();
                assert_eq!(&places.column(&batches, 0).unwrap(), &expected, "{}", column.data_type());
                let parts: Vec<&ArrayRef> = batches.iter().map(|columns| &columns[0]).collect();
                assert_eq!(places.moved(&parts).is_some(), is_moved, "{}", column.data_type());
            }
        }
    }

    /// Inputs keep their order; of several the part with the first value comes first, if values are known.
    #[test]
    fn parts_of_inputs_are_merged() {
        let parts = |firsts: &[Option<i64>]| -> VecDeque<Part> {
            firsts.iter().map(|first| Part { columns: vec![], first: first.map(ScalarValue::from) }).collect()
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
