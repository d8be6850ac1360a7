//! Scatter: rows are written bucket by bucket, as a counting sort does.
//!
//! ```text
//! bucket of each row       2 0 2 1 0
//! bounds of the buckets    0 2 3 5            bucket b is at bounds[b]..bounds[b + 1]
//! output index per row     3 0 4 2 1          rows of a bucket keep their order
//! ```
//! Fixed-width values are written directly to their output index, from all batches, without concatenating them first.

use std::cell::OnceCell;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, PrimitiveArray, UInt32Array, downcast_primitive,
};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{ArrowNativeType, DataType};
use datafusion::common::Result;

use super::inline_strings::inline_string_array;
use crate::exec_util::concat_column;

/// The output index of each row of some batches when they are scattered into buckets; the sort is stable.
pub(crate) struct ScatterIndices<'a> {
    /// The bucket of each row.
    buckets: &'a [u8],
    /// The start of each bucket, and the end of the last.
    bounds: &'a [usize],
    /// The output index of each row.
    indices: Vec<u32>,
    /// The inverse, the row at each output index; only for types that are taken.
    rows: OnceCell<UInt32Array>,
}

impl<'a> ScatterIndices<'a> {
    pub(crate) fn new(buckets: &'a [u8], bounds: &'a [usize]) -> Self {
        let mut next = bounds.to_vec();
        let indices = buckets.iter().map(|&bucket| {
            let next = &mut next[usize::from(bucket)];
            *next += 1;
            (*next - 1) as u32
        });
        Self { buckets, bounds, indices: indices.collect(), rows: OnceCell::new() }
    }

    /// Scatters one column of all batches.
    pub(crate) fn column(&self, batches: &[Vec<ArrayRef>], column: usize) -> Result<ArrayRef> {
        let slices: Vec<&ArrayRef> = batches.iter().filter_map(|columns| columns.get(column)).collect();
        match self.scatter_fixed(&slices) {
            Some(column) => Ok(column),
            None => Ok(take(&concat_column(batches, column)?, self.rows(), None)?),
        }
    }

    /// Scatters primitive values and inline string views; `None` for other types.
    fn scatter_fixed(&self, slices: &[&ArrayRef]) -> Option<ArrayRef> {
        let data_type = slices.first()?.data_type();
        macro_rules! scatter_primitive {
            ($kind:ty) => {{
                let values = slices.iter().map(|slice| slice.as_primitive::<$kind>().values().as_ref());
                let scattered = PrimitiveArray::<$kind>::new(self.scatter_values(values), self.nulls(slices));
                Some(Arc::new(scattered.with_data_type(data_type.clone())))
            }};
        }
        downcast_primitive! {
            data_type => (scatter_primitive),
            DataType::Utf8View if slices.iter().all(|slice| slice.as_string_view().data_buffers().is_empty()) => {
                let views = slices.iter().map(|slice| slice.as_string_view().views().as_ref());
                Some(Arc::new(inline_string_array(self.scatter_values(views), self.nulls(slices))))
            }
            _ => None,
        }
    }

    /// The scattered validity; `None` if all rows are valid.
    fn nulls(&self, slices: &[&ArrayRef]) -> Option<NullBuffer> {
        if slices.iter().all(|slice| slice.null_count() == 0) {
            return None;
        }
        let mut validity = BooleanBufferBuilder::new(self.indices.len());
        validity.append_n(self.indices.len(), true);
        let mut indices = self.indices.as_slice();
        for slice in slices {
            let here;
            (here, indices) = indices.split_at(slice.len());
            if let Some(nulls) = slice.nulls() {
                (!nulls.inner()).set_indices().for_each(|row| validity.set_bit(here[row] as usize, false));
            }
        }
        Some(NullBuffer::new(validity.finish()))
    }

    /// Writes each value to its output index: sequential reads, and 256 write positions that stay in the cache.
    fn scatter_values<'b, T: ArrowNativeType>(&self, slices: impl Iterator<Item = &'b [T]>) -> ScalarBuffer<T> {
        let mut output = vec![T::default(); self.indices.len()];
        for (&index, &value) in self.indices.iter().zip(slices.flatten()) {
            output[index as usize] = value;
        }
        output.into()
    }

    /// The rows in output order, computed when first needed.
    fn rows(&self) -> &UInt32Array {
        self.rows.get_or_init(|| rows_by_group(self.buckets.iter().map(|&bucket| bucket.into()), self.bounds).into())
    }
}

/// Turns counts into bounds in place. The count of group `g` is expected at `g + 1`; afterwards group `g` is at
/// `counts[g]..counts[g + 1]`.
pub(crate) fn prefix_sums(counts: &mut [usize]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// The bounds of each of `count` groups when rows are sorted by group.
pub(crate) fn group_bounds(groups: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut bounds = vec![0; count + 1];
    groups.for_each(|group| bounds[group + 1] += 1);
    prefix_sums(&mut bounds);
    bounds
}

/// The rows sorted by group, in their order within a group.
pub(crate) fn rows_by_group(groups: impl Iterator<Item = usize>, bounds: &[usize]) -> Vec<u32> {
    let mut rows = vec![0; bounds.last().copied().unwrap_or_default()];
    let mut next = bounds.to_vec();
    for (row, group) in (0..).zip(groups) {
        rows[next[group]] = row;
        next[group] += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::iter;

    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    /// Also where values are NULL, or are not of fixed width and go through `take`.
    #[test]
    fn rows_are_scattered_into_buckets() {
        let buckets: Vec<u8> = vec![2, 0, 255, 2, 1, 0, 0, 2];
        let wanted = UInt32Array::from(vec![1, 5, 6, 4, 0, 3, 7, 2]);
        let bounds = group_bounds(buckets.iter().map(|&bucket| bucket.into()), 256);
        let indices = ScatterIndices::new(&buckets, &bounds);
        let some = [true, false, true, true, false, true, false, true];
        for validity in [[true; 8], some, [false; 8]] {
            let integers: Int64Array =
                (10..18).zip(validity).map(|(value, is_valid)| is_valid.then_some(value)).collect();
            let string = |value: Option<i64>| value.map(|value| format!("longer than a view: {value}"));
            let long: ArrayRef = Arc::new(integers.iter().map(string).collect::<StringViewArray>());
            let as_type = |data_type: DataType| cast(&integers, &data_type).unwrap();
            for (column, is_fixed) in [
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
                assert_eq!(&indices.column(&batches, 0).unwrap(), &expected, "{}", column.data_type());
                let slices: Vec<&ArrayRef> = batches.iter().map(|columns| &columns[0]).collect();
                assert_eq!(indices.scatter_fixed(&slices).is_some(), is_fixed, "{}", column.data_type());
            }
        }
    }
}
