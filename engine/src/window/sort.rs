//! Sorts the rows of each partition by an ORDER BY clause, and finds peers (rows that are equal in it).
//!
//! A partition that already is in order is only checked: most partitions have one row, and files are mostly in time order.
//! Ties are broken by arrival, so that the result does not depend on the sort algorithm. The check also notes whether
//! there are peers at all, so that frames which end with the peers cost nothing where there are none.

use std::cmp::Ordering as CmpOrdering;
use std::sync::Arc;

use cxql_udfs::grouped::ranges;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, DynComparator, UInt32Array, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, TimeUnit, UInt32Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

/// The peers of each row: the rows of its partition that are equal in the order.
pub(super) enum Peers {
    /// The whole partition: there is no ORDER BY.
    Partition,
    /// Only the row itself, or no function needs peers.
    None,
    /// The range of peers of each row, as (start, end).
    Ranges(Vec<(u32, u32)>),
}

/// Sorts the rows of each partition. `arrival` has the rows partition by partition in their order of arrival, by which
/// ties are broken. Returns the rows in the new order and their peers.
pub(super) fn sort_partitions(
    columns: &[ArrayRef],
    order_by: &[(usize, SortOptions)],
    bounds: &[usize],
    arrival: &[u32],
    needs_peers: bool,
) -> Result<(Vec<u32>, Peers)> {
    let mut order = arrival.to_vec();
    if order_by.is_empty() {
        return Ok((order, Peers::Partition));
    }
    let peers = match SortKeys::new(columns, order_by)? {
        SortKeys::Integers(integers, rest) if rest.is_empty() => sort_and_find_peers(
            &mut order,
            bounds,
            |left, right| integers[left as usize].cmp(&integers[right as usize]),
            needs_peers,
        ),
        keys => sort_and_find_peers(&mut order, bounds, |left, right| keys.compare(left, right), needs_peers),
    };
    Ok((order, peers))
}

fn sort_and_find_peers(
    order: &mut [u32],
    bounds: &[usize],
    compare: impl Fn(u32, u32) -> CmpOrdering,
    needs_peers: bool,
) -> Peers {
    let has_equals = sort_groups(order, bounds, &compare);
    if needs_peers && has_equals { Peers::Ranges(peers(order, bounds, compare)) } else { Peers::None }
}

/// Sorts the rows of each partition; returns true if some rows of a partition are equal.
fn sort_groups(order: &mut [u32], bounds: &[usize], compare: impl Fn(u32, u32) -> CmpOrdering) -> bool {
    let mut has_equals = false;
    for range in ranges(bounds) {
        let rows = &mut order[range];
        // checked before and after sorting: the comparisons also find equal neighbours
        let mut is_sorted = |rows: &[u32]| {
            rows.is_sorted_by(|left, right| {
                let order = compare(*left, *right);
                has_equals |= order.is_eq();
                order.is_le()
            })
        };
        if !is_sorted(rows) {
            rows.sort_unstable_by(|left, right| compare(*left, *right).then(left.cmp(right)));
            is_sorted(rows);
        }
    }
    has_equals
}

/// The peers of each row: runs of equal rows in a sorted partition.
fn peers(order: &[u32], bounds: &[usize], compare: impl Fn(u32, u32) -> CmpOrdering) -> Vec<(u32, u32)> {
    let mut peers = Vec::with_capacity(order.len());
    for range in ranges(bounds) {
        let mut start = range.start;
        while start < range.end {
            let mut end = start + 1;
            while end < range.end && compare(order[start], order[end]).is_eq() {
                end += 1;
            }
            peers.resize(end, (start as u32, end as u32));
            start = end;
        }
    }
    peers
}

/// Indices that bring values from the order `order` into the order `target`: `take(values, permutation(order, target))`.
pub(super) fn permutation(order: &[u32], target: &[u32]) -> UInt32Array {
    let mut positions = vec![0; order.len()];
    for (position, &row) in (0..).zip(order) {
        positions[row as usize] = position;
    }
    target.iter().map(|&row| positions[row as usize]).collect::<Vec<u32>>().into()
}

/// The sort keys of all rows.
enum SortKeys {
    /// The first column as integers that compare as its values do, and comparators of the other columns.
    Integers(Vec<u64>, Vec<DynComparator>),
    /// Arrow's row format: strings, decimals, NULLs in the first column.
    Rows(Rows),
}

impl SortKeys {
    fn new(columns: &[ArrayRef], order_by: &[(usize, SortOptions)]) -> Result<Self> {
        // the usual ORDER BY is a timestamp without NULLs: integers compare without a call to a comparator
        if let [(first, options), rest @ ..] = order_by
            && columns[*first].null_count() == 0
            && let Some(integers) = integer_keys(&columns[*first], options.descending)
        {
            let rest = rest.iter().map(|(column, options)| {
                make_comparator(columns[*column].as_ref(), columns[*column].as_ref(), *options)
            });
            return Ok(Self::Integers(integers, rest.collect::<std::result::Result<_, _>>()?));
        }
        let fields = order_by
            .iter()
            .map(|(column, options)| SortField::new_with_options(columns[*column].data_type().clone(), *options));
        let values: Vec<ArrayRef> = order_by.iter().map(|(column, _)| Arc::clone(&columns[*column])).collect();
        Ok(Self::Rows(RowConverter::new(fields.collect())?.convert_columns(&values)?))
    }

    fn compare(&self, left: u32, right: u32) -> CmpOrdering {
        let (left, right) = (left as usize, right as usize);
        match self {
            Self::Integers(integers, rest) => {
                rest.iter().fold(integers[left].cmp(&integers[right]), |ordering, compare| {
                    ordering.then_with(|| compare(left, right))
                })
            }
            Self::Rows(rows) => rows.row(left).cmp(&rows.row(right)),
        }
    }
}

/// Integers that compare as the values of a column do.
pub(super) fn integer_keys(values: &ArrayRef, descending: bool) -> Option<Vec<u64>> {
    use datafusion::arrow::datatypes as types;

    const SIGN: u64 = 1 << 63;
    let flip = if descending { u64::MAX } else { 0 };
    macro_rules! signed {
        ($kind:ty) => {
            values
                .as_primitive::<$kind>()
                .values()
                .iter()
                .map(|value| (i64::from(*value) as u64 ^ SIGN) ^ flip)
                .collect()
        };
    }
    Some(match values.data_type() {
        DataType::Int32 => signed!(types::Int32Type),
        DataType::Int64 => signed!(types::Int64Type),
        DataType::Date32 => signed!(types::Date32Type),
        DataType::Date64 => signed!(types::Date64Type),
        DataType::Timestamp(TimeUnit::Second, _) => signed!(types::TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => signed!(types::TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => signed!(types::TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => signed!(types::TimestampNanosecondType),
        DataType::UInt64 => {
            values.as_primitive::<types::UInt64Type>().values().iter().map(|value| value ^ flip).collect()
        }
        // codes of a `MergedDictionary` compare as its strings do
        DataType::Dictionary(codes, _) if **codes == DataType::UInt32 => {
            let codes = values.as_dictionary::<UInt32Type>().keys().values();
            codes.iter().map(|&value| u64::from(value) ^ flip).collect()
        }
        // the total order of IEEE 754: sign bit flipped, and all bits inverted below zero
        DataType::Float64 => {
            let values = values.as_primitive::<types::Float64Type>().values().iter();
            values
                .map(|value| {
                    let bits = value.to_bits();
                    (if bits & SIGN == 0 { bits | SIGN } else { !bits }) ^ flip
                })
                .collect()
        }
        _ => return None,
    })
}
