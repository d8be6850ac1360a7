//! Scatter: rows written group by group, as a counting sort does.

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

/// Where the rows of some batches go: to their buckets, in which they stay as they came.
pub(crate) struct ScatterIndices<'a> {
    /// The bucket of each row.
    buckets: &'a [u8],
    /// Where each bucket begins, and the end.
    bounds: &'a [usize],
    /// The new place of each row.
    places: Vec<u32>,
    /// The row of each place.
    rows: OnceCell<UInt32Array>,
}

impl<'a> ScatterIndices<'a> {
    pub(crate) fn new(buckets: &'a [u8], bounds: &'a [usize]) -> Self {
        let mut next = bounds.to_vec();
        let places = buckets.iter().map(|&bucket| {
            let next = &mut next[usize::from(bucket)];
            *next += 1;
            (*next - 1) as u32
        });
        Self { buckets, bounds, places: places.collect(), rows: OnceCell::new() }
    }

    /// A column of all batches, divided.
    pub(crate) fn column(&self, batches: &[Vec<ArrayRef>], column: usize) -> Result<ArrayRef> {
        let parts: Vec<&ArrayRef> = batches.iter().filter_map(|columns| columns.get(column)).collect();
        match self.moved(&parts) {
            Some(column) => Ok(column),
            None => Ok(take(&concat_column(batches, column)?, self.rows(), None)?),
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
                Some(Arc::new(inline_string_array(self.written(views), self.nulls(parts))))
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
        self.rows.get_or_init(|| rows_by_group(self.buckets.iter().map(|&bucket| bucket.into()), self.bounds).into())
    }
}

/// Turns counts, each one place behind its group, into bounds: where each group begins, and the end.
pub(crate) fn prefix_sums(counts: &mut [usize]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// Where each of `count` groups begins when rows stand group by group, and the end.
pub(crate) fn group_bounds(groups: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut bounds = vec![0; count + 1];
    groups.for_each(|group| bounds[group + 1] += 1);
    prefix_sums(&mut bounds);
    bounds
}

/// The rows group by group, as they came.
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

    /// The rows of each bucket one after the other, also where values are NULL or are no numbers.
    #[test]
    fn rows_are_divided_into_buckets() {
        let buckets: Vec<u8> = vec![2, 0, 255, 2, 1, 0, 0, 2];
        let wanted = UInt32Array::from(vec![1, 5, 6, 4, 0, 3, 7, 2]);
        let bounds = group_bounds(buckets.iter().map(|&bucket| bucket.into()), 256);
        let places = ScatterIndices::new(&buckets, &bounds);
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
}
