//! The evaluation of window functions, each over all partitions of a bucket at once.
//!
//! Partitions of this field have 1.4 rows on average (contacts of a customer and topic), so that one call per partition, as
//! DataFusion's `PartitionEvaluator` is used, would cost more than the evaluation.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, PrimitiveArray, UInt32Array,
    make_comparator,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::{SortOptions, cast, interleave, take};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::frame::{Frame, FrameBound, Partitions};

/// Maps each row, with the range of its partition, to a number.
pub(super) fn map_rows(partitions: &Partitions<'_>, value: impl Fn(Range<usize>, usize) -> i64) -> ArrayRef {
    let mut values = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        values.extend(range.clone().map(|row| value(range.clone(), row)));
    }
    Arc::new(Int64Array::from(values))
}

/// Maps each row, with the range of its partition, to a fraction.
pub(super) fn map_fractions(partitions: &Partitions<'_>, value: impl Fn(Range<usize>, usize) -> f64) -> ArrayRef {
    let mut values = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        values.extend(range.clone().map(|row| value(range.clone(), row)));
    }
    Arc::new(Float64Array::from(values))
}

/// `ntile`: the tile of a row, the first tiles have one row more.
pub(super) fn tile(tiles: u64, partition: &Range<usize>, row: usize) -> i64 {
    let (rows, row) = (partition.len() as u64, (row - partition.start) as u64);
    let (small, large_count) = (rows / tiles, rows % tiles);
    let large_rows = large_count * (small + 1);
    let tile = match row < large_rows {
        true => row / (small + 1),
        // `small` is not 0: with fewer rows than tiles all rows are in large ones
        false => large_count + (row - large_rows) / small.max(1),
    };
    tile as i64 + 1
}

/// `dense_rank`. Without ORDER BY all rows are peers and have rank 1.
pub(super) fn dense_ranks(partitions: &Partitions<'_>) -> ArrayRef {
    let mut ranks = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        let mut rank = 0;
        for row in range.clone() {
            rank += i64::from(partitions.peers_of(&range, row).start == row);
            ranks.push(rank.max(1));
        }
    }
    Arc::new(Int64Array::from(ranks))
}

/// `lag` (`by` >= 0) and `lead` (`by` < 0); `default` where the row is outside the partition.
pub(super) fn shift(
    values: &ArrayRef,
    by: i64,
    default: &ScalarValue,
    partitions: &Partitions<'_>,
) -> Result<ArrayRef> {
    let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    let mut rows = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        let missing = distance.min(range.len());
        let (start, end) = (range.start as u32, range.end as u32);
        if by >= 0 {
            rows.resize(rows.len() + missing, NO_ROW);
            rows.extend(start..end - missing as u32);
        } else {
            rows.extend(start + missing as u32..end);
            rows.resize(rows.len() + missing, NO_ROW);
        }
    }
    if default.is_null() {
        return take_optional(values, rows);
    }
    let default = cast(&default.to_array_of_size(1)?, values.data_type())?;
    let index = |row: u32| if row == NO_ROW { (1, 0) } else { (0, row as usize) };
    let indices: Vec<(usize, usize)> = rows.into_iter().map(index).collect();
    Ok(interleave(&[values.as_ref(), default.as_ref()], &indices)?)
}

/// The value of the row that `index` chooses for each row; NULL where it chooses none.
pub(super) fn take_from_frame(
    values: &[ArrayRef],
    partitions: &Partitions<'_>,
    index: impl Fn(Range<usize>, usize) -> Option<usize>,
) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("a window function of one column got {}", values.len()) };
    let mut rows = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        rows.extend(range.clone().map(|row| index(range.clone(), row).map_or(NO_ROW, |index| index as u32)));
    }
    take_optional(values, rows)
}

/// The index that stands for no row; a bucket has fewer rows.
const NO_ROW: u32 = u32::MAX;

/// Takes the values of rows; NULL for [`NO_ROW`].
fn take_optional(values: &ArrayRef, mut rows: Vec<u32>) -> Result<ArrayRef> {
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |index| rows[index] != NO_ROW));
    if nulls.null_count() > 0 {
        rows.iter_mut().for_each(|row| *row = if *row == NO_ROW { 0 } else { *row });
    }
    Ok(take(values, &UInt32Array::new(rows.into(), Some(nulls)), None)?)
}

/// `count(*)` or `count(column)` over any frame, as a difference of prefix sums.
pub(super) fn counts(values: &[ArrayRef], frame: Frame, partitions: &Partitions<'_>) -> ArrayRef {
    let nulls = values.first().and_then(|values| values.logical_nulls());
    let mut counts = Vec::with_capacity(partitions.rows());
    // the number of valid values before each row; empty if all are
    let mut valid_before = Vec::new();
    if let Some(nulls) = &nulls {
        let mut sum = 0;
        valid_before.push(sum);
        valid_before.extend(nulls.iter().map(|is_valid| {
            sum += i64::from(is_valid);
            sum
        }));
    }
    let count = |range: Range<usize>| match (valid_before.get(range.start), valid_before.get(range.end)) {
        (Some(before), Some(after)) => after - before,
        _ => range.len() as i64,
    };
    for range in partitions.ranges() {
        if frame.is_whole() {
            counts.resize(counts.len() + range.len(), count(range));
        } else {
            counts.extend(range.clone().map(|row| count(frame.of(partitions, &range, row))));
        }
    }
    Arc::new(Int64Array::from(counts))
}

/// `sum` over frames that start with the partition.
pub(super) fn running_sums(
    data_type: &DataType,
    values: &[ArrayRef],
    end: FrameBound,
    partitions: &Partitions<'_>,
) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("a sum of {} columns", values.len()) };
    let values = cast(values, data_type)?;
    Ok(match data_type {
        DataType::Float64 => {
            running_fold(end, partitions, values.as_primitive::<Float64Type>(), |sum, value| sum + value)
        }
        DataType::Int64 => {
            let values = values.as_primitive::<Int64Type>();
            let has_overflow = Cell::new(false);
            let sums = running_fold(end, partitions, values, |sum, value| {
                let (sum, overflows) = sum.overflowing_add(value);
                has_overflow.set(has_overflow.get() || overflows);
                sum
            });
            if has_overflow.get() { wide_running_sums(end, partitions, values)? } else { sums }
        }
        other => return exec_err!("a running sum of {other}"),
    })
}

/// Running sums of which one may be beyond `Int64`; an error if it is not only on the way to a sum.
fn wide_running_sums(end: FrameBound, partitions: &Partitions<'_>, values: &Int64Array) -> Result<ArrayRef> {
    let value = |row| values.is_valid(row).then(|| i128::from(values.value(row)));
    let sums = fold_nullable(end, partitions, value, |sum, value| sum + value);
    let narrow = |sum: i128| match i64::try_from(sum) {
        Ok(sum) => Ok(sum),
        Err(_) => exec_err!(
            "a running sum is out of the range of BIGINT: {sum}; write sum(cast(... as decimal(38, 0))) or sum(cast(... as double))"
        ),
    };
    let sums = sums.into_iter().map(|sum| sum.map(narrow).transpose());
    Ok(Arc::new(sums.collect::<Result<Int64Array>>()?))
}

/// Folds primitive values over frames that start with the partition.
fn running_fold<T: ArrowPrimitiveType>(
    end: FrameBound,
    partitions: &Partitions<'_>,
    values: &PrimitiveArray<T>,
    combine: impl Fn(T::Native, T::Native) -> T::Native,
) -> ArrayRef {
    // no frame is empty (it contains the current row) and no value is NULL, so that no result is
    let is_non_null = values.null_count() == 0 && !matches!(end, FrameBound::Rows(by) if by < 0);
    if is_non_null {
        return Arc::new(PrimitiveArray::<T>::new(
            fold_non_null(end, partitions, values.values(), combine).into(),
            None,
        ));
    }
    let value = |row| values.is_valid(row).then(|| values.value(row));
    Arc::new(fold_nullable(end, partitions, value, combine).into_iter().collect::<PrimitiveArray<T>>())
}

/// `min` and `max` over frames that start with the partition, for all types that can be compared.
pub(super) fn running_extremes(
    values: &[ArrayRef],
    is_max: bool,
    end: FrameBound,
    partitions: &Partitions<'_>,
) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("an extreme of {} columns", values.len()) };
    let nulls = values.logical_nulls();
    let compare = make_comparator(values, values, SortOptions::default())?;
    let value = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then_some(row as u32);
    let better = if is_max { Ordering::Greater } else { Ordering::Less };
    let extreme = |best: u32, row: u32| if compare(row as usize, best as usize) == better { row } else { best };
    let rows = fold_nullable(end, partitions, value, extreme);
    Ok(take(values, &UInt32Array::from(rows), None)?)
}

/// For each row, folds the values from the start of its partition to the end of its frame. No value is NULL and no frame ends
/// before its row.
fn fold_non_null<T: Copy>(
    end: FrameBound,
    partitions: &Partitions<'_>,
    values: &[T],
    combine: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut results = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        let Some(&first) = values.get(range.start) else { break };
        let (mut result, mut next) = (first, range.start + 1);
        for row in range.clone() {
            let end = end.end(partitions, &range, row);
            for value in values.get(next..end).unwrap_or_default() {
                result = combine(result, *value);
            }
            next = next.max(end);
            results.push(result);
        }
    }
    results
}

/// For each row, folds the values that are not NULL from the start of its partition to the end of its frame; `None` if there
/// is none.
fn fold_nullable<T: Copy>(
    end: FrameBound,
    partitions: &Partitions<'_>,
    value: impl Fn(usize) -> Option<T>,
    combine: impl Fn(T, T) -> T,
) -> Vec<Option<T>> {
    let mut results = Vec::with_capacity(partitions.rows());
    for range in partitions.ranges() {
        let (mut result, mut next) = (None, range.start);
        for row in range.clone() {
            // frame ends ascend from row to row, so that every value is visited once
            while next < end.end(partitions, &range, row) {
                result = match (result, value(next)) {
                    (Some(result), Some(value)) => Some(combine(result, value)),
                    (result, value) => result.or(value),
                };
                next += 1;
            }
            results.push(result);
        }
    }
    results
}

/// An aggregate over whole partitions, repeated for each of their rows.
pub(super) fn aggregate_partitions(
    aggregate: &AggregateFunctionExpr,
    values: &[ArrayRef],
    partitions: &Partitions<'_>,
) -> Result<ArrayRef> {
    let mut groups = Vec::with_capacity(partitions.rows());
    for (group, range) in partitions.ranges().enumerate() {
        groups.resize(range.end, group);
    }
    let mut accumulator = aggregate.create_groups_accumulator()?;
    let count = partitions.bounds.len().saturating_sub(1);
    accumulator.update_batch(values, &groups, None, count)?;
    let results = accumulator.evaluate(EmitTo::All)?;
    let indices = groups.into_iter().map(|group| group as u32).collect::<Vec<_>>();
    Ok(take(&results, &UInt32Array::from(indices), None)?)
}
