//! ORDER BY: the rows of each partition in an order, and which of them are equal in it.

use std::cmp::Ordering as CmpOrdering;
use std::sync::Arc;

use cxql_udfs::grouped::ranges;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, DynComparator, UInt32Array, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, TimeUnit, UInt32Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

/// Which rows are equal in an order.
pub(super) enum Peers {
    /// All of a partition, since there is no order.
    Partition,
    /// None, or nobody asks.
    None,
    /// For each row the first equal to it, and the one after the last.
    Known(Vec<(u32, u32)>),
}

/// The rows of each partition in an order, equal rows as they arrived; and which rows are equal.
pub(super) fn ordered(
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
        SortKeys::Numbers(numbers, rest) if rest.is_empty() => {
            sorted(&mut order, bounds, |left, right| numbers[left as usize].cmp(&numbers[right as usize]), needs_peers)
        }
        keys => sorted(&mut order, bounds, |left, right| keys.compare(left, right), needs_peers),
    };
    Ok((order, peers))
}

fn sorted(order: &mut [u32], bounds: &[usize], compare: impl Fn(u32, u32) -> CmpOrdering, needs_peers: bool) -> Peers {
    let has_equals = sort_groups(order, bounds, &compare);
    if needs_peers && has_equals { Peers::Known(peers(order, bounds, compare)) } else { Peers::None }
}

/// Sorts the rows of each partition; whether some are equal.
fn sort_groups(order: &mut [u32], bounds: &[usize], compare: impl Fn(u32, u32) -> CmpOrdering) -> bool {
    let mut has_equals = false;
    for range in ranges(bounds) {
        let rows = &mut order[range];
        // most partitions have one row, and data on disk is mostly in the order of time
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

/// Where the rows that stand as in `order` are found for standing as in `wanted`.
pub(super) fn moved(order: &[u32], wanted: &[u32]) -> UInt32Array {
    let mut places = vec![0; order.len()];
    for (place, &row) in (0..).zip(order) {
        places[row as usize] = place;
    }
    wanted.iter().map(|&row| places[row as usize]).collect::<Vec<u32>>().into()
}

/// What compares rows as the ORDER BY clause says.
enum SortKeys {
    /// The first column as numbers, and what decides where they are equal.
    Numbers(Vec<u64>, Vec<DynComparator>),
    Rows(Rows),
}

impl SortKeys {
    fn new(columns: &[ArrayRef], order_by: &[(usize, SortOptions)]) -> Result<Self> {
        if let [(first, options), rest @ ..] = order_by
            && columns[*first].null_count() == 0
            && let Some(numbers) = numbers(&columns[*first], options.descending)
        {
            let rest = rest.iter().map(|(column, options)| {
                make_comparator(columns[*column].as_ref(), columns[*column].as_ref(), *options)
            });
            return Ok(Self::Numbers(numbers, rest.collect::<std::result::Result<_, _>>()?));
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
            Self::Numbers(numbers, rest) => rest
                .iter()
                .fold(numbers[left].cmp(&numbers[right]), |known, compare| known.then_with(|| compare(left, right))),
            Self::Rows(rows) => rows.row(left).cmp(&rows.row(right)),
        }
    }
}

/// Numbers that compare as the values of a column do.
fn numbers(values: &ArrayRef, descending: bool) -> Option<Vec<u64>> {
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
        // numbered in the order of the texts
        DataType::Dictionary(numbers, _) if **numbers == DataType::UInt32 => {
            let numbers = values.as_dictionary::<UInt32Type>().keys().values();
            numbers.iter().map(|&value| u64::from(value) ^ flip).collect()
        }
        // the total order of IEEE 754: the bits, all of them inverted below zero
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
